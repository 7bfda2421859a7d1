package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// MB is the size that the small traces count in.
const MB = units.MB

// nested has a transformer whose blocks are components, of which some are changed by
// their calls.
const nested = `{"kind":"trace","format":"offhost.trace/1","name":"nested"}
{"kind":"component","name":"text","bytes":30000000,"read_only":true}
{"kind":"component","name":"unet","bytes":5000000,"workspace_bytes":4000000,"read_only":true}
{"kind":"component","name":"unet.0","bytes":20000000,"read_only":false,"parent":"unet","index":0}
{"kind":"component","name":"unet.1","bytes":21000001,"read_only":true,"parent":"unet","index":1}
{"kind":"component","name":"unet.2","bytes":22000000,"read_only":false,"parent":"unet","index":2}
{"kind":"pipeline","name":"p","components":["text","unet"],"offload_seq":["text","unet"]}
{"kind":"begin","request":1,"pipeline":"p","steps":3}
{"kind":"call","component":"text","compute_ns":1000000}
{"kind":"enter","component":"unet","compute_ns":10}
{"kind":"call","component":"unet.0","compute_ns":2000000}
{"kind":"call","component":"unet.1","compute_ns":2000000}
{"kind":"call","component":"unet.2","compute_ns":2000000}
{"kind":"exit","component":"unet"}
{"kind":"end","request":1}
`

// interleaved has two requests that are open at once and call the same components,
// and ends the younger one first.
const interleaved = `{"kind":"trace","format":"offhost.trace/1","name":"interleaved"}
{"kind":"component","name":"a","bytes":30000000,"read_only":false}
{"kind":"component","name":"b","bytes":30000000,"read_only":false}
{"kind":"component","name":"c","bytes":20000000,"read_only":true}
{"kind":"pipeline","name":"p","components":["a","b","c"]}
{"kind":"begin","request":3,"pipeline":"p"}
{"kind":"call","component":"a","compute_ns":1000000}
{"kind":"begin","request":7,"pipeline":"p"}
{"kind":"enter","request":7,"component":"c","compute_ns":5}
{"kind":"call","request":3,"component":"b","compute_ns":1000000}
{"kind":"call","request":7,"component":"a","compute_ns":1000000}
{"kind":"call","request":3,"component":"b","compute_ns":1000}
{"kind":"call","request":7,"component":"a","compute_ns":1000}
{"kind":"exit","request":7,"component":"c"}
{"kind":"end","request":7}
{"kind":"call","component":"c","compute_ns":1000}
{"kind":"end","request":3}
`

// text is a source of n requests of a trace.
func text(t testing.TB, s string, n int64) *trace.Requests {
	t.Helper()
	src, err := trace.OpenRequests(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }, n)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// small is a configuration in which the small traces do not fit.
func small(src trace.Records) replay.Config {
	return replay.Config{Source: src, Budget: 64 * MB, Chunk: 4 * MB, Granularity: MB, H2D: 10e9, D2H: 5e9, Pageable: 2e9,
		Baselines: replay.Baselines}
}

// eager answers every news with prefetches of everything and evictions of what was
// called last, so that transfers outlive the calls and requests that they serve.
type eager struct{ components int }

func (p eager) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	var ds []abi.Decision
	switch ev.Kind {
	case abi.Done:
		ds = append(ds, abi.Decision{Op: abi.Evict, Component: ev.Component, Reason: 1})
		fallthrough
	case abi.End, abi.Begin:
		for c := range p.components {
			if c != int(ev.Component) {
				ds = append(ds, abi.Decision{Op: abi.Prefetch, Component: uint32(c), Reason: 2})
			}
		}
	}
	return ds, nil
}

func (eager) Suspend()              {}
func (eager) Revive() (bool, error) { return false, nil }

// sums is what the parts of a report add up to.
type sums struct{ Loads, H2D, D2H, Ahead, Avoided, Evictions, Calls, Stall int64 }

func total(r *report.Report) sums {
	return sums{r.Loads, r.H2DBytes, r.D2HBytes, r.PrefetchedBytes, r.D2HAvoidedBytes, r.Evictions, r.Calls, r.StallNS}
}

func TestThePartsOfAReportAddUp(t *testing.T) {
	cases := map[string]func() replay.Config{
		"nested":             func() replay.Config { return small(text(t, nested, 5)) },
		"interleaved":        func() replay.Config { return small(text(t, interleaved, 5)) },
		"nested, eager":      func() replay.Config { c := small(text(t, nested, 5)); c.Policy.Policy = eager{5}; return c },
		"interleaved, eager": func() replay.Config { c := small(text(t, interleaved, 5)); c.Policy.Policy = eager{3}; return c },
		"excluded": func() replay.Config {
			c := small(text(t, nested, 3))
			c.Exclude, c.Keep = []string{"unet.1"}, []string{"unet.0"}
			c.Budget = 75 * MB
			return c
		},
	}
	for _, name := range library.Names() {
		cases[name] = func() replay.Config { return config(t, name, 2, 44*units.GB) }
	}
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			c := cfg()
			var moved sums
			var before int64 // moved in by no request
			c.Movement = func(m replay.Movement) error {
				switch m.What {
				case "load", "prefetch":
					moved.Loads++
					moved.H2D += int64(m.Bytes)
					if m.Why == "excluded from offloading: always on the device" {
						before += int64(m.Bytes)
					}
				case "copy back":
					moved.D2H += int64(m.Bytes)
				case "evict":
					moved.Evictions++
					moved.Avoided += int64(m.Bytes) // of all that leaves; what is copied back is not avoided
				}
				return nil
			}
			r := run(t, c)
			want := total(r)

			moved.Avoided -= moved.D2H
			moved.Ahead, moved.Calls, moved.Stall = want.Ahead, want.Calls, want.Stall
			if moved != want {
				t.Errorf("movements add up to %+v, the report says %+v", moved, want)
			}
			var requests, components sums
			var calls, span int64
			for i, q := range r.PerRequest {
				if q.Request != int64(i+1) {
					t.Errorf("request %d is listed at place %d", q.Request, i+1)
				}
				requests.H2D += q.H2DBytes
				requests.D2H += q.D2HBytes
				requests.Stall += q.StallNS
				span = max(span, q.MakespanNS)
			}
			if requests.H2D+before != r.H2DBytes || requests.D2H != r.D2HBytes || requests.Stall != r.StallNS {
				t.Errorf("requests add up to %+v and %d before them, the report says %+v", requests, before, want)
			}
			for _, k := range r.PerComponent {
				components.Loads += k.Loads
				components.H2D += k.H2DBytes
				components.D2H += k.D2HBytes
				components.Stall += k.StallNS
				calls += k.Calls
			}
			if components.Loads != r.Loads || components.H2D != r.H2DBytes || components.D2H != r.D2HBytes ||
				components.Stall != r.StallNS || calls != r.Calls {
				t.Errorf("components add up to %+v and %d calls, the report says %+v", components, calls, want)
			}
			if r.StallNS+r.ComputeNS != r.MakespanNS {
				t.Errorf("stall %d and compute %d are not the makespan %d", r.StallNS, r.ComputeNS, r.MakespanNS)
			}
			if len(r.PerRequest) != int(r.Requests) || span > r.MakespanNS || r.PrefetchedBytes > r.H2DBytes {
				t.Errorf("%d of %d requests; one of %d ns in %d; %d of %d bytes ahead", len(r.PerRequest), r.Requests, span, r.MakespanNS, r.PrefetchedBytes, r.H2DBytes)
			}
			if strings.Contains(name, "eager") && (r.PrefetchedBytes == 0 || r.D2HBytes == 0) {
				t.Errorf("%d bytes ahead and %d back: the case shows nothing", r.PrefetchedBytes, r.D2HBytes)
			}
		})
	}
}

func TestNestedCallsHoldTheirParent(t *testing.T) {
	c := small(text(t, nested, 2))
	c.Movement = func(m replay.Movement) error {
		if m.What == "evict" && m.Component == "unet" && m.Why != "least recently used, for text" {
			t.Errorf("the parent was evicted while its blocks ran: %+v", m)
		}
		return nil
	}
	r := run(t, c)
	if r.Calls != 10 || r.PerComponent[1].Calls != 2 || r.PerComponent[2].Calls != 2 {
		t.Errorf("%d calls, %d of the parent, %d of a block; want 10, 2, 2", r.Calls, r.PerComponent[1].Calls, r.PerComponent[2].Calls)
	}
	// The parent's workspace and one block at a time: what both need fits just so.
	for _, b := range []struct {
		budget units.Bytes
		fits   bool
	}{{5*MB + 4*MB + 22*MB, true}, {5*MB + 4*MB + 22*MB - 1*MB, false}} {
		c := small(text(t, strings.Replace(nested, `"bytes":30000000`, `"bytes":3000000`, 1), 1))
		c.Budget = b.budget
		_, err := replay.Run(context.Background(), c)
		var bad *replay.Inadmissible
		if b.fits && err != nil || !b.fits && !errors.As(err, &bad) {
			t.Errorf("budget %v: %v", b.budget, err)
		}
		if bad != nil && (bad.Line == 0 || bad.Request != 1 || bad.ExitCode() != 2) {
			t.Errorf("refused at line %d, request %d, with exit code %d; want a line, 1, 2", bad.Line, bad.Request, bad.ExitCode())
		}
	}
}

// A trace fixes the order of its calls: one that waits for a call which the trace ends
// only later can never start, and the user is told the numbers.
func TestARequestThatWaitsForOneBehindItIsInadmissible(t *testing.T) {
	c := small(text(t, interleaved, 2))
	c.Budget = 45 * MB // c stays entered in request 7 while request 3 calls b
	_, err := replay.Run(context.Background(), c)
	var bad *replay.Inadmissible
	var why *host.Refusal
	if !errors.As(err, &bad) || !errors.As(err, &why) {
		t.Fatalf("%v, want an *Inadmissible with the numbers", err)
	}
	if bad.Line != 10 || why.Needs != 30*MB || why.InUse != 20*MB || why.Short() != 5*MB {
		t.Errorf("line %d: %v; want line 10, 30 MB beside 20 MB, 5 MB short", bad.Line, why)
	}
}

// onePass fails when anything is read twice.
type onePass struct {
	io.Reader
	t    *testing.T
	done bool
}

func (o *onePass) Read(b []byte) (int, error) {
	if o.done {
		o.t.Error("the stream was read on after its end")
	}
	n, err := o.Reader.Read(b)
	o.done = err != nil
	return n, err
}

func TestATraceMayComeFromAPipe(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, nested)
		w.CloseWithError(err)
	}()
	src, err := trace.OpenRequests(trace.Once(&onePass{Reader: r, t: t}), 0)
	if err != nil {
		t.Fatal(err)
	}
	piped := run(t, small(src))
	whole := run(t, small(text(t, nested, 1)))
	if total(piped) != total(whole) || len(piped.Baselines) != len(replay.Baselines) {
		t.Errorf("from a pipe %+v and %d baselines, from memory %+v", total(piped), len(piped.Baselines), total(whole))
	}
	for i, b := range piped.Baselines {
		if x := whole.Baselines[i]; *b.H2DBytes != *x.H2DBytes || *b.MakespanNS != *x.MakespanNS {
			t.Errorf("%s moved %d in %d ns from a pipe, %d in %d ns from memory", b.Name, *b.H2DBytes, *b.MakespanNS, *x.H2DBytes, *x.MakespanNS)
		}
	}
}

func TestBaselinesAreThoseAskedForInTheirOwnOrder(t *testing.T) {
	for _, c := range []struct{ ask, want []string }{
		{nil, []string{}},
		{[]string{replay.Accelerate}, []string{replay.Accelerate}},
		{[]string{replay.Accelerate, replay.LRU}, []string{replay.LRU, replay.Accelerate}},
	} {
		cfg := small(text(t, nested, 1))
		cfg.Baselines = c.ask
		r := run(t, cfg)
		got := []string{}
		for _, b := range r.Baselines {
			got = append(got, b.Name)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || r.Baselines == nil {
			t.Errorf("asked for %v: got %v, want %v", c.ask, got, c.want)
		}
	}
}

// stops cancels a context after some records.
type stops struct {
	trace.Records
	after  int
	cancel func()
}

func (s *stops) Next(r *trace.Record) error {
	if s.after--; s.after == 0 {
		s.cancel()
	}
	if s.after < 0 {
		return errors.New("a record was asked for after the context was cancelled")
	}
	return s.Records.Next(r)
}

func TestWhatEndsARun(t *testing.T) {
	gone := errors.New("the reader of movements is gone")
	for _, c := range []struct {
		name  string
		spoil func(*replay.Config)
		is    error
		says  string
	}{
		{"an unknown baseline", func(c *replay.Config) { c.Baselines = []string{"belady"} }, nil, `baseline "belady": want one of`},
		{"no bandwidth", func(c *replay.Config) { c.D2H = 0 }, nil, "bandwidths must be positive"},
		{"no budget", func(c *replay.Config) { c.Budget = 0 }, nil, "budget 0: want"},
		{"a chunk that is no multiple", func(c *replay.Config) { c.Chunk = MB + 1 }, nil, "want a multiple of the granularity"},
		{"a key of the host's own", func(c *replay.Config) { c.PolicyConfig = map[string]string{"offhost.x": "1"} }, nil, `keys under "offhost."`},
		{"a constraint that matches nothing", func(c *replay.Config) { c.Exclude = []string{"vae"} }, nil, `exclude: "vae" matches no component`},
		{"a pattern that is none", func(c *replay.Config) { c.Keep = []string{"[a"} }, nil, `keep: "[a" is not a pattern`},
		{"excluded components above the budget", func(c *replay.Config) { c.Exclude = []string{"*"} }, nil, "the budget is 64 MB, 35 MB short"},
		{"a movement that nobody takes", func(c *replay.Config) { c.Movement = func(replay.Movement) error { return gone } }, gone, ""},
		{"a trace that breaks off", func(c *replay.Config) {
			c.Source = text(t, nested[:strings.LastIndex(nested, `{"kind":"exit"`)], 0)
		}, io.ErrUnexpectedEOF, "request 1"},
		{"a line that is none", func(c *replay.Config) { c.Source = text(t, nested+"{\n", 0) }, nil, "line 16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := small(text(t, nested, 2))
			c.spoil(&cfg)
			_, err := replay.Run(context.Background(), cfg)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %q", err, c.says)
			}
		})
	}
	t.Run("a cancelled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := replay.Run(ctx, small(&stops{text(t, nested, 100), 42, cancel}))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	})
}
