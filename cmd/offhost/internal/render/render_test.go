package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s (-want +got), -update to accept:\n%s", name, diff)
	}
}

func text(t *testing.T, p render.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := render.Text(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// settled is a run whose components fit: all of them loaded once.
func settled() *report.Report {
	return &report.Report{
		Trace:       "flux-img2img-8bit",
		Policy:      report.Policy{Name: "sticky-loop", SHA256: strings.Repeat("0123abcd", 8), ABI: "offhost_v1"},
		Device:      "sim",
		BudgetBytes: int64(24 * units.GiB), LinkBytesPerSecond: 25e9, LinkD2HBytesPerSecond: 25e9,
		Requests: 4, Calls: 36,
		H2DBytes: 17_100_000_000, Loads: 4, StallNS: 684e6, ComputeNS: 52e9, MakespanNS: 52_684e6,
		PolicyEvents: 120, Decisions: 2,
		PerRequest: []report.Request{{Request: 1, H2DBytes: 17_100_000_000}, {Request: 2}, {Request: 3}, {Request: 4}},
		PerComponent: []report.Component{
			{Name: "text_encoder", Bytes: 246_000_000, Calls: 4, Loads: 1, H2DBytes: 246_000_000, StallNS: 10e6},
			{Name: "text_encoder_2", Bytes: 4_760_000_000, Calls: 4, Loads: 1, H2DBytes: 4_760_000_000, StallNS: 190e6},
			{Name: "transformer", Bytes: 11_900_000_000, Calls: 20, Loads: 1, H2DBytes: 11_900_000_000, StallNS: 476e6},
			{Name: "vae", Bytes: 168_000_000, Calls: 8, Loads: 1, H2DBytes: 168_000_000, StallNS: 7e6},
			{Name: "safety_checker", Bytes: 1_200_000_000},
		},
		Baselines: []report.Baseline{
			{Name: "lru", Fits: true, H2DBytes: ptr(17_100_000_000), D2HBytes: ptr(0), StallNS: ptr(684e6), MakespanNS: ptr(52_684e6)},
			{Name: "optimum", Fits: true, H2DBytes: ptr(17_100_000_000), D2HBytes: ptr(0), StallNS: ptr(684e6), MakespanNS: ptr(52_684e6)},
			{Name: "accelerate", Fits: true, H2DBytes: ptr(68_400_000_000), D2HBytes: ptr(68_400_000_000), StallNS: ptr(22_800e6), MakespanNS: ptr(74_800e6)},
		},
	}
}

// tight is a run that moves in each request, with a component in blocks, a baseline
// that does not fit, a policy that failed, and names from an untrusted file.
func tight() *report.Report {
	return &report.Report{
		Trace:       "evil\x1b[31m",
		Policy:      report.Policy{Name: "lru", SHA256: strings.Repeat("f", 64), ABI: "offhost_v1"},
		BudgetBytes: 9_999_999_999, LinkBytesPerSecond: 25e9, LinkD2HBytesPerSecond: 12_500_000_000,
		Requests: 1, Evictions: 3,
		H2DBytes: 30_000_000_000, D2HBytes: 1_000_000_000, StallNS: 1_240_000_000, MakespanNS: 124e9,
		PolicyEvents: 9, Decisions: 1, Rejected: 2, Faults: 3, FloorDecisions: 4,
		PerRequest: []report.Request{{Request: 1, H2DBytes: 30_000_000_000, D2HBytes: 1_000_000_000}},
		PerComponent: []report.Component{
			{Name: "transformer", Bytes: 100, Calls: 28, Loads: 1, H2DBytes: 100, StallNS: 1},
			{Name: "transformer.0", Parent: "transformer", Bytes: 6_000_000_000, Calls: 28, Loads: 2, H2DBytes: 12_000_000_000, StallNS: 400_000},
			{Name: "transformer.1", Parent: "transformer", Bytes: 6_000_000_000, Calls: 28, Loads: 3, H2DBytes: 18_000_000_000, D2HBytes: 1_000_000_000, StallNS: 1_239_000_000},
			{Name: "v\x1b[0m\"ae", Bytes: 168_000_000},
		},
		Baselines: []report.Baseline{
			{Name: "lru", Fits: true, H2DBytes: ptr(31_000_000_000), D2HBytes: ptr(0), StallNS: ptr(0), MakespanNS: ptr(124e9)},
			{Name: "optimum", Fits: true, H2DBytes: ptr(100_000_000), D2HBytes: ptr(0), StallNS: ptr(0), MakespanNS: ptr(124e9)},
			{Name: "accelerate", Fits: false, PeakResidentBytes: ptr(33_700_000_000), H2DBytes: ptr(33_000_000_000), D2HBytes: ptr(33_000_000_000), StallNS: ptr(11e9), MakespanNS: ptr(135e9)},
		},
		Notes: []string{"transformer\x07 was loaded again and again: a budget of 13 GiB would hold it"},
	}
}

func ptr(n int64) *int64 { return &n }

func TestTextWhenEverythingFits(t *testing.T) {
	golden(t, "settled.txt", text(t, render.Page{Report: settled()}))
}

func TestTextWhenMemoryIsTight(t *testing.T) {
	golden(t, "tight.txt", text(t, render.Page{Report: tight()}))
}

func TestVerboseTextShowsEachBlock(t *testing.T) {
	golden(t, "tight-verbose.txt", text(t, render.Page{Report: tight(), Verbose: true}))
}

// onDevice is a run of real bytes, some of them from files, at a scale.
func onDevice() *report.Report {
	r := settled()
	r.Device, r.Scale = "shm", "1/64"
	r.Host = &report.Host{HeldBytes: 15_000_000_000, FileBytes: 3_300_000_000, PinnedBytes: 1_000_000_000, BudgetBytes: 15_000_000_000, Weights: "/models/\x1b[31mflux"}
	r.Measured = &report.Measured{H2DBytesPerSecond: 9_360_000_000, D2HBytesPerSecond: 8_000_000_000, VerifiedBytes: 76_160_000_000}
	r.PerComponent[2].FileBytes = 3_300_000_000
	return r
}

func TestTextOfRealBytes(t *testing.T) {
	golden(t, "device.txt", text(t, render.Page{Report: onDevice()}))

	synthetic := onDevice()
	synthetic.Host = &report.Host{HeldBytes: 17_100_000_000, Weights: report.Synthetic}
	synthetic.Measured.D2HBytesPerSecond = 0
	got := text(t, render.Page{Report: synthetic})
	for _, want := range []string{"shm measured at 9.36 GB/s in   policy", "\nSynthetic weights: 17.10 GB in host memory.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// A run that ended early, by a wrong byte perhaps, is not called a good one.
func TestTextOfARunThatEndedEarly(t *testing.T) {
	r := onDevice()
	r.EndedEarly = "chunk 2 is \x07wrong"
	got := text(t, render.Page{Report: r})
	if !strings.Contains(got, "The run ended early: chunk 2 is \\awrong\n") || strings.Contains(got, "Everything fits") || strings.Contains(got, "was right") {
		t.Errorf("it claims too much, or does not say how it ended:\n%s", got)
	}
}

// What several policies did is booked to all of them.
func TestTextOfARunThatWasSwapped(t *testing.T) {
	r := tight()
	r.Faults, r.Swaps, r.TookOver = 0, 1, []report.Policy{{Name: "mine"}}
	if got := text(t, render.Page{Report: r}); !strings.Contains(got, "\nlru, then mine ") || !strings.Contains(got, "\nlru, then mine moved 30.00 GB in") || !strings.Contains(got, "less than lru") {
		t.Errorf("after one swap:\n%s", got)
	}
	r.Swaps, r.TookOver = 20, make([]report.Policy, report.MostTookOver)
	if got := text(t, render.Page{Report: r}); !strings.Contains(got, "\nlru, then 20 others ") {
		t.Errorf("after twenty:\n%s", got)
	}
}

func TestTextHasNoControlCharacters(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		if got := text(t, render.Page{Report: tight(), Verbose: verbose}); strings.ContainsAny(got, "\x1b\x07") {
			t.Errorf("control characters reach the terminal:\n%q", got)
		}
	}
}

func TestTextOfRealBytesHasNoControlCharacters(t *testing.T) {
	if got := text(t, render.Page{Report: onDevice()}); strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("control characters reach the terminal:\n%q", got)
	}
}

func TestBlocksWithoutTheirParentAreFoldedAllTheSame(t *testing.T) {
	r := tight()
	r.PerComponent = r.PerComponent[1:]
	got := text(t, render.Page{Report: r})
	if !strings.Contains(got, "transformer (2 blocks)  12.00 GB      -      5") {
		t.Errorf("no row for both blocks:\n%s", got)
	}
}

func TestVerdictIsHonest(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *report.Report)
		want   string
	}{
		{"fits", func(*report.Report) {}, "Everything fits: nothing moved after the first request."},
		{"settles after evictions", func(r *report.Report) { r.Evictions = 1 }, "\nNothing moved after the first request."},
		{"moves between requests", func(r *report.Report) { r.Evictions, r.D2HBytes = 1, 1 }, "sticky-loop moved 17.10 GB in,"},
		{"moves before requests", func(r *report.Report) { r.H2DBytes += 1e9 }, "Everything fits: nothing moved after the first request."},
		{"a single request", func(r *report.Report) { r.Requests, r.PerRequest = 1, r.PerRequest[:1] }, "Everything fits: nothing that was loaded left the device."},
		{"a list cut short of requests that evicted", func(r *report.Report) { r.Requests, r.Evictions = 140_000, 1 }, "sticky-loop moved 17.10 GB in,"},
		{"a list cut short of requests that did not", func(r *report.Report) { r.Requests = 140_000 }, "Everything fits: nothing that was loaded left the device."},
		{"what is copied back is not compared", func(r *report.Report) {
			r.PerRequest[3].H2DBytes = 1
			r.D2HBytes = 34_200_000_000
		}, "sticky-loop  17.10 GB    34.20 GB   684 ms  52.68 s       1.00x"},
		{"nothing moved", func(r *report.Report) { r.H2DBytes = 0 }, "Nothing moved."},
		{"better than lru", func(r *report.Report) {
			r.PerRequest[3].H2DBytes = 1
			r.Baselines[0].H2DBytes = ptr(34_200_000_000)
		}, "sticky-loop moved 17.10 GB in, as much as the optimum and 50.0 % less than lru; calls waited 684 ms, 1.3 % of the total."},
		{"worse than lru", func(r *report.Report) {
			r.PerRequest[3].H2DBytes = 1
			r.Baselines[0].H2DBytes = ptr(15_000_000_000)
			r.Baselines[1].H2DBytes = ptr(1_000_000_000)
		}, "sticky-loop moved 17.10 GB in, 17.1 times as much as the optimum and 14.0 % more than lru;"},
		{"nothing to compare with", func(r *report.Report) {
			r.PerRequest[3].D2HBytes = 1
			r.Baselines = nil
			r.StallNS = 0
		}, "sticky-loop moved 17.10 GB in; no call waited."},
		{"ended before a call did", func(r *report.Report) {
			r.EndedEarly, r.Baselines, r.MakespanNS = "interrupt", nil, 0
		}, "sticky-loop moved 17.10 GB in; calls waited 684 ms.\n"},
		{"a baseline that was not run", func(r *report.Report) {
			r.PerRequest[3].H2DBytes = 1
			r.Baselines[1] = report.Baseline{Name: "optimum"}
		}, "sticky-loop moved 17.10 GB in, as much as lru; calls waited"},
		{"a policy that never answered", func(r *report.Report) {
			r.PerRequest[3].H2DBytes = 1
			r.Decisions, r.Faults = 0, 3
		}, "The fallback, in place of sticky-loop, moved 17.10 GB in, as much as"},
		{"a baseline without figures", func(r *report.Report) {
			r.Baselines[2] = report.Baseline{Name: "accelerate"}
		}, "accelerate        n/a         n/a     n/a      n/a         n/a  does not fit\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := settled()
			c.change(r)
			if got := text(t, render.Page{Report: r}); !strings.Contains(got, c.want) {
				t.Errorf("no %q in:\n%s", c.want, got)
			}
		})
	}
}

func TestJSONIsOneObjectThatReadsBack(t *testing.T) {
	var b bytes.Buffer
	if err := render.JSON(&b, tight()); err != nil {
		t.Fatal(err)
	}
	var got report.Report
	d := json.NewDecoder(&b)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tight(), &got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.More() {
		t.Error("there is more than one object")
	}
}

func TestJSONListsAreNeverNull(t *testing.T) {
	var b bytes.Buffer
	if err := render.JSON(&b, &report.Report{}); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"per_request", "per_component", "baselines", "notes"} {
		if !strings.Contains(b.String(), `"`+list+`": []`) {
			t.Errorf("%s is not an empty list:\n%s", list, b.String())
		}
	}
}

func TestMovement(t *testing.T) {
	var b bytes.Buffer
	for _, m := range []replay.Movement{
		{Time: 0, What: "load", Component: "transformer", Bytes: 11_900_000_000, Why: "request 1, call 3 needs it", Who: "sticky-loop"},
		{Time: 123456789 * time.Microsecond, What: "copy back", Component: "a\nb", Bytes: 0, Why: "bad\x1b", Who: "fallback"},
	} {
		if err := render.Movement(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	want := `    0.000000 s  load       transformer        11.90 GB  sticky-loop: request 1, call 3 needs it
  123.456789 s  copy back  "a\nb"                    -  fallback: bad\x1b
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"transformer.blocks.0", "transformer.blocks.0"},
		{"日本 é", "日本 é"},
		{"", `""`},
		{" x", `" x"`},
		{"a\tb", `"a\tb"`},
		{`a\tb`, `"a\\tb"`},
		{"\x1b]0;title\a", `"\x1b]0;title\a"`},
		{"\xff", `"\xff"`},
		{"a\u202eb", `"a\u202eb"`}, // would reverse what follows
	} {
		if got := render.Name(c.in); got != c.want {
			t.Errorf("Name(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailedWritesAreReported(t *testing.T) {
	if err := render.Text(full{}, render.Page{Report: settled()}); err == nil || err.Error() != "disk full" {
		t.Errorf("Text: %v, want the writer's error", err)
	}
}
