package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

func TestHintsFillWhatTheUserLeftOut(t *testing.T) {
	hints := trace.Device{Name: "card", Memory: 24 * units.GiB, H2D: 25e9, D2H: 20e9, Pageable: 5e9}
	for _, c := range []struct {
		name   string
		device trace.Device
		budget units.Bytes
		link   config.Link
		want   units.Bytes
		links  config.Link
		fails  bool
	}{
		{name: "all from the trace", device: hints, want: 24 * units.GiB, links: config.Link{H2D: 25e9, D2H: 20e9, Pageable: 5e9}},
		{name: "all from the user", device: hints, budget: units.GiB, link: config.Link{H2D: 4e9, D2H: 2e9, Pageable: 3e9},
			want: units.GiB, links: config.Link{H2D: 4e9, D2H: 2e9, Pageable: 3e9}},
		{name: "no hints", budget: units.GiB, link: config.Link{H2D: 10e9, D2H: 10e9},
			want: units.GiB, links: config.Link{H2D: 10e9, D2H: 10e9, Pageable: 6e9}},
		{name: "pageable copies are not faster than pinned ones", budget: units.GiB, link: config.Link{H2D: 1e9, D2H: 1e9},
			want: units.GiB, links: config.Link{H2D: 1e9, D2H: 1e9, Pageable: 1e9}},
		{name: "nor are those that the trace hints at", device: hints, link: config.Link{H2D: 1e9, D2H: 1e9},
			want: 24 * units.GiB, links: config.Link{H2D: 1e9, D2H: 1e9, Pageable: 1e9}},
		{name: "nor are those that the user wishes", budget: units.GiB, link: config.Link{H2D: 1e9, D2H: 1e9, Pageable: 3e9},
			want: units.GiB, links: config.Link{H2D: 1e9, D2H: 1e9, Pageable: 1e9}},
		{name: "no memory", device: trace.Device{H2D: 1}, fails: true},
		{name: "no link", budget: units.GiB, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := config.Settings{Budget: c.budget, Link: c.link}
			err := takeHints(&s, &trace.Header{Name: "t", Device: c.device})
			if (err != nil) != c.fails {
				t.Fatalf("error %v, want one: %v", err, c.fails)
			}
			if err == nil && (s.Budget != c.want || s.Link != c.links) {
				t.Errorf("budget %v, link %+v; want %v, %+v", s.Budget, s.Link, c.want, c.links)
			}
		})
	}
}

// newWhole is a bench whose replay is the real one.
func newWhole(t *testing.T) *bench {
	b := newBench(t, "")
	b.replay = replayTrace
	return b
}

func (b *bench) report(t *testing.T, args ...string) report.Report {
	t.Helper()
	if code := b.run(append([]string{"run", "--format", "json"}, args...)...); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	var r report.Report
	if err := json.Unmarshal(b.out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheDefaultRunShowsBothBudgets(t *testing.T) {
	b := newWhole(t)
	if code := b.run("run"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	for _, want := range []string{"budget 24 GiB", "budget 12 GiB", "Everything fits: nothing moved after the first request.", "does not fit"} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &b.out)
		}
	}
}

func TestTheDefaultRunLoadsEachComponentOnce(t *testing.T) {
	r := newWhole(t).report(t)
	if r.BudgetBytes != int64(24*units.GiB) || r.Requests != 4 || r.Policy.Name != "sticky-loop" {
		t.Errorf("ran %d requests of %s at %d bytes", r.Requests, r.Policy.Name, r.BudgetBytes)
	}
	for _, c := range r.PerComponent {
		if c.Loads != 1 || c.H2DBytes != c.Bytes {
			t.Errorf("%s: %d loads of %d bytes in all, want 1 of its %d", c.Name, c.Loads, c.H2DBytes, c.Bytes)
		}
	}
	for _, q := range r.PerRequest[1:] {
		if q.H2DBytes+q.D2HBytes > 0 {
			t.Errorf("request %d moved %d bytes in and %d back, want none", q.Request, q.H2DBytes, q.D2HBytes)
		}
	}
}

func TestExcludedAndKeptComponentsNeverReturn(t *testing.T) {
	for _, policy := range []string{"sticky-loop", "lru"} {
		r := newWhole(t).report(t, "--policy", policy, "--budget", "16GiB", "--exclude", "vae,text_encoder", "--keep", "transformer")
		for _, c := range r.PerComponent {
			most := int64(1) // for the run
			switch c.Name {
			case "transformer":
				most = r.Requests
			case "text_encoder_2":
				continue
			}
			if c.H2DBytes > most*c.Bytes {
				t.Errorf("%s: %s moved in %d bytes, want at most %d times its %d", policy, c.Name, c.H2DBytes, most, c.Bytes)
			}
		}
	}
}

func TestWhatCannotBeIsRefusedWithTheNumbers(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"budget below a component", []string{"--budget", "5GiB"}, "the budget is 5.37 GB"},
		{"excluded components above the budget", []string{"--budget", "14GiB", "--exclude", "*"}, "raise --budget"},
		{"a constraint on nothing", []string{"--keep", "transfromer"}, "transfromer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newWhole(t)
			if code := b.run(append([]string{"run"}, c.args...)...); code != 2 || !strings.Contains(b.errs.String(), c.want) {
				t.Errorf("exit code %d, want 2; standard error %q, want %q in it", code, &b.errs, c.want)
			}
		})
	}
}

func TestAPinnedModuleIsTheOnlyOneThatRuns(t *testing.T) {
	b := newWhole(t)
	if code := b.run("run", "--policy-sha256", strings.Repeat("0", 64)); code != 1 || !strings.Contains(b.errs.String(), "digest differs") {
		t.Errorf("exit code %d, want 1; standard error %q", code, &b.errs)
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(builtin(t, "sticky-loop").wasm))
	if r := newWhole(t).report(t, "--policy-sha256", strings.ToUpper(digest)); r.Policy.SHA256 != digest {
		t.Errorf("ran %s, want %s", r.Policy.SHA256, digest)
	}
}

func TestSettingsReachTheRun(t *testing.T) {
	with := newWhole(t).report(t, "--budget", "12GiB")
	without := newWhole(t).report(t, "--budget", "12GiB", "--ignore-workspace")
	if without.H2DBytes >= with.H2DBytes {
		t.Errorf("moved %d bytes without workspace and %d with it, want fewer", without.H2DBytes, with.H2DBytes)
	}
	for _, limit := range []string{"--policy-start-fuel=1", "--policy-memory=64KiB"} {
		b := newWhole(t)
		if code := b.run("run", limit); code != 1 || !strings.Contains(b.errs.String(), "refused at step") {
			t.Errorf("%s: exit code %d, want 1; standard error %q", limit, code, &b.errs)
		}
	}
	// What the settings let pass is no more than the runtime takes.
	newWhole(t).report(t, "--policy-fuel=9223372036854775807", "--policy-refill=9223372036854775807",
		"--policy-start-fuel=9223372036854775807", "--policy-memory=2097088KiB")
	if r := newWhole(t).report(t, "--policy-fuel=1"); r.Faults == 0 || r.FloorDecisions == 0 && r.Evictions > 0 {
		t.Errorf("a policy without fuel: %d faults, %d decisions of the fallback", r.Faults, r.FloorDecisions)
	}
	r := newWhole(t).report(t, "--requests", "6", "--chunk", "4MiB", "--link", "10GB/s,5GB/s", "--baselines", "lru")
	if r.Requests != 6 || r.ChunkBytes != int64(4*units.MiB) || r.LinkBytesPerSecond != 10e9 || r.LinkD2HBytesPerSecond != 5e9 || len(r.Baselines) != 1 {
		t.Errorf("ran %d requests, chunk %d, link %d and %d, baselines %v", r.Requests, r.ChunkBytes, r.LinkBytesPerSecond, r.LinkD2HBytesPerSecond, r.Baselines)
	}
}

func TestBaselinesAreThoseOfTheReplay(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("run"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	if got := b.requests[0].Baselines; !slices.Equal(got, replay.Baselines) {
		t.Errorf("by default %v, the replay knows %v", got, replay.Baselines)
	}
}
