package main

import (
	"bytes"
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// A witness stands between the engine and a policy and is told what it is told.
type witness struct {
	*runtime.Policy
	number int // 1 for the first, then one for each swap
	see    func(w *witness, ev abi.Event, payload []byte, answer []abi.Decision, err error)
}

func (w *witness) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	answer, err := w.Policy.Decide(ev, payload)
	w.see(w, *ev, payload, answer, err)
	return answer, err
}

// witnessed replays a trace whose policies have witnesses; the first of modules
// decides first, each of the others is swapped in at its input.
type witnessed struct {
	trace    string
	requests int64
	budget   units.Bytes
	modules  []string
	at       []int64 // of modules[1:]
	see      func(w *witness, ev abi.Event, payload []byte, answer []abi.Decision, err error)
	swapped  func(number int) // called before each swap
	config   runtime.Config
}

func (c witnessed) run(t *testing.T) *report.Report {
	t.Helper()
	open, err := library.Open(c.trace)
	if err != nil {
		t.Fatal(err)
	}
	source, err := trace.OpenRequests(open, c.requests)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	load := func(number int) (replay.Module, error) {
		m, err := (&app{}).loadModule(t.Context(), config.Sources{}, c.modules[number-1])
		if err != nil {
			return replay.Module{}, err
		}
		p, loaded, err := load(context.Background(), m, c.config)
		if err != nil {
			return replay.Module{}, err
		}
		see := c.see
		if see == nil {
			see = func(*witness, abi.Event, []byte, []abi.Decision, error) {}
		}
		loaded.Policy = &witness{p, number, see}
		return loaded, nil
	}
	first, err := load(1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Policy.(*witness).Close()
	cfg := replay.Config{Source: source, Policy: first, Budget: c.budget, IgnoreWorkspace: true, H2D: 25e9, D2H: 25e9, Pageable: 6e9}
	for i, at := range c.at {
		cfg.Swaps = append(cfg.Swaps, replay.Swap{At: at, Name: c.modules[i+1], Load: func() (replay.Module, error) {
			if c.swapped != nil {
				c.swapped(i + 1)
			}
			return load(i + 2)
		}})
	}
	r, err := replay.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// In a thousand exchanges no event is missed or told twice or to the wrong policy, and
// what each policy decides is what another instance of its module decides that is told
// the same, from its introduction on. Nothing accumulates.
func TestAThousandSwaps(t *testing.T) {
	const swaps, apart = 1000, 40 // inputs
	c := witnessed{trace: "flux-bf16-blocks", requests: 3, budget: 20 * units.GB}
	references := map[string]*runtime.Policy{}
	for i := range swaps + 1 {
		name := []string{"sticky-loop", "lru"}[i%2]
		c.modules = append(c.modules, name)
		if i > 0 {
			c.at = append(c.at, int64(500+apart*i))
		}
		if references[name] == nil {
			m, err := (&app{}).loadModule(t.Context(), config.Sources{}, name)
			if err != nil {
				t.Fatal(err)
			}
			if references[name], err = runtime.Load(context.Background(), m.wasm, runtime.Config{}); err != nil {
				t.Fatal(err)
			}
			defer references[name].Close()
		}
	}

	decider, last, events, decisions := 0, uint64(0), 0, 0
	c.see = func(w *witness, ev abi.Event, payload []byte, answer []abi.Decision, err error) {
		events++
		decisions += len(answer)
		reference := references[c.modules[w.number-1]]
		introduced := ev.Kind <= abi.Loaded && ev.Seq == last
		switch {
		case ev.Kind == abi.Config && w.number == decider+1:
			decider = w.number
			reference.Suspend()
			if _, err := reference.Revive(); err != nil {
				t.Fatal(err)
			}
		case w.number != decider:
			t.Fatalf("event %d is told to policy %d, policy %d decides", ev.Seq, w.number, decider)
		case ev.Seq != last+1 && !introduced:
			t.Fatalf("event %d %v follows event %d", ev.Seq, ev.Kind, last)
		}
		last = ev.Seq
		want, wantErr := reference.Decide(&ev, payload)
		if !slices.Equal(answer, want) || err != nil || wantErr != nil {
			t.Fatalf("policy %d answers event %d with %v, %v; another instance with %v, %v", w.number, ev.Seq, answer, err, want, wantErr)
		}
	}
	type footprint struct {
		heap       units.Bytes
		goroutines int
	}
	var early, late footprint
	c.swapped = func(number int) {
		if number != swaps/10 && number != swaps {
			return
		}
		goruntime.GC()
		var m goruntime.MemStats
		goruntime.ReadMemStats(&m)
		early, late = late, footprint{units.Bytes(m.HeapAlloc), goruntime.NumGoroutine()}
	}
	r := c.run(t)
	t.Logf("%d events, %d decisions; after %d swaps %v, after %d %v", events, decisions, swaps/10, early, swaps, late)
	if r.Swaps != swaps || r.SwapsRefused != 0 || r.Faults != 0 || decider != swaps+1 || decisions == 0 || r.Requests != 3 {
		t.Errorf("%d swaps, %d refused, %d faults, %d decisions in %d requests; the last policy is number %d",
			r.Swaps, r.SwapsRefused, r.Faults, decisions, r.Requests, decider)
	}
	if late.heap > early.heap+4*units.MiB || late.goroutines > early.goroutines {
		t.Errorf("after %d swaps %v, after %d %v", swaps/10, early, swaps, late)
	}
}

// A policy that cannot take over changes nothing: not what is decided, not what moves.
func TestFailingSwapsChangeNothing(t *testing.T) {
	run := func(args ...string) (report.Report, []string) {
		var out, errs bytes.Buffer
		a := newApp(nil, &out, &errs)
		a.dir = t.TempDir()
		args = append(append([]string{"run", "--format", "json", "--verbose"}, tryOut...), args...)
		if code := a.main(context.Background(), args); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		var movements []string
		for line := range strings.Lines(errs.String()) {
			if !strings.HasPrefix(line, "level=") {
				movements = append(movements, line)
			}
		}
		return decode[report.Report](t, out.String()), movements
	}
	want, wantMoved := run()
	if len(wantMoved) < 100 {
		t.Fatalf("only %d movements", len(wantMoved))
	}
	for _, c := range []struct {
		name    string
		modules []string
		args    []string
	}{
		{"at once", []string{"traps-when-introduced", "forbidden-import", "start-traps", "window-over-its-own-data"}, nil},
		{"on trial", []string{"garbage", "traps-when-introduced", "traps", "gives-up"}, []string{"--swap-trial", "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const swaps = 100
			args := c.args
			for i := range swaps {
				args = append(args, "--swap", fmt.Sprintf("%d:%s", 20+10*i, hostile(t, c.modules[i%len(c.modules)])))
			}
			got, gotMoved := run(args...)
			if got.Swaps != 0 || got.SwapsRefused != swaps {
				t.Errorf("%d swaps, %d refused, want none and %d", got.Swaps, got.SwapsRefused, swaps)
			}
			// What they were told and what they spent is counted.
			ignore := cmpopts.IgnoreFields(report.Report{}, "SwapsRefused", "Notes", "Fuel", "PolicyEvents")
			if d := cmp.Diff(want, got, ignore); d != "" {
				t.Errorf("the run was not what it is without (-without +with):\n%s", d)
			}
			if d := cmp.Diff(wantMoved, gotMoved); d != "" {
				t.Errorf("movements (-without +with):\n%s", d)
			}
		})
	}
}

// While a policy is left alone the one before it decides, from the next request on,
// and at the first request after the pause it is tried again.
func TestThePreviousPolicyDecidesWhileTheChosenOneIsLeftAlone(t *testing.T) {
	const lru, chosen = 1, 2
	c := witnessed{trace: library.Default, requests: 60, budget: 12 * units.GiB,
		modules: []string{"lru", hostile(t, "loops-on-need")}, at: []int64{400}}
	type begin struct {
		decider int
		at      time.Duration
	}
	var begins []begin
	var faults []time.Duration
	answered := map[int]int{}
	c.see = func(w *witness, ev abi.Event, _ []byte, answer []abi.Decision, err error) {
		answered[w.number] += len(answer)
		if ev.Kind == abi.Begin {
			begins = append(begins, begin{w.number, time.Duration(ev.Time)})
		}
		if err != nil {
			faults = append(faults, time.Duration(ev.Time))
		}
	}
	r := c.run(t)
	if len(begins) != 60 || len(faults) < 6 || r.Swaps != 1 || answered[lru] == 0 || answered[chosen] != 0 {
		t.Fatalf("%d requests told of, %d faults, %d swaps, %v decisions; want 60, more than 6, 1, and none but the first policy's",
			len(begins), len(faults), r.Swaps, answered)
	}
	// Three faults end each of its turns, and the pause doubles.
	until, pause, want := time.Duration(0), 60*time.Second, lru
	returns := 0
	for i, b := range begins {
		if want == chosen {
			for len(faults) >= 3 && faults[2] <= b.at {
				until, want = faults[2]+pause, lru
				faults, pause = faults[3:], 2*pause
			}
		}
		if want == lru && until > 0 && b.at >= until {
			want = chosen
			returns++
		}
		if want == lru && until == 0 && b.decider == chosen { // the swap
			want = chosen
		}
		if b.decider != want {
			t.Errorf("request %d at %v is told to policy %d, want %d", i+1, b.at, b.decider, want)
		}
	}
	if returns < 2 {
		t.Errorf("it was tried again %d times, want 2 or more", returns)
	}
}

var _ host.StateKeeper = (*witness)(nil)
