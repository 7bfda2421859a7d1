package baseline

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

func TestOptimum(t *testing.T) {
	for _, test := range []struct {
		name       string
		components string
		calls      string
		budget     units.Bytes
		h2d, d2h   units.Bytes
		peak       units.Bytes
	}{
		{"what fits is loaded once", "a:10 b:20", "a b | a b |", 30, 30, 0, 30},
		{"a narrow miss costs what is missing, not a component", "a:10 b:20", "a b | a b | a b |", 29, 30 + 1*4, 0, 29},
		{"used furthest ahead goes first", "a:10 b:10 c:10", "a b c a b |", 20, 30 + 10, 0, 20},
		{"never used again goes before", "a:10 b:10 c:10 d:10", "a b c a c d a c |", 30, 40, 0, 30},
		{"workspace takes room from weights", "a:10 b:20", "a b+4 a b+4 |", 30, 30 + 4, 0, 30},
		{"and gives it back", "a:10 b:20", "a b a+20 b |", 30, 30 + 20, 0, 30},
		{"an entered component is not evicted", "p:10 p.q:10 p.r:10", "(p q r ) (p q r ) |", 20, 10 + 10*4, 0, 20},
		{"its workspace stays taken", "p:10 p.q:10 p.r:10", "(p+5 q r ) |", 25, 30, 0, 25},
		{"what calls change is copied back, what they do not is dropped", "a:10! b:10", "a b a b a |", 10, 50, 20, 10},
		{"by the byte", "a:10! b:10", "a b a b a |", 16, 10 + 10 + 4*3, 4 + 4, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, test.components, "", test.calls)
			r := replay(t, s, NewOptimum(s.Header(), Config{Budget: test.budget, H2D: 10, D2H: 5}))
			if !r.Counted || !r.Fits || r.H2D != test.h2d || r.D2H != test.d2h || r.Peak != test.peak {
				t.Errorf("in %d, back %d, peak %d (%q): want %d, %d, %d", r.H2D, r.D2H, r.Peak, r.Note, test.h2d, test.d2h, test.peak)
			}
			if want := time.Duration(test.h2d)*time.Second/10 + time.Duration(test.d2h)*time.Second/5; r.Stall != want {
				t.Errorf("stall %v: want %v", r.Stall, want)
			}
		})
	}
}

// A load books on the request that needs it; a run that goes on in the next
// request costs that nothing.
func TestOptimumShares(t *testing.T) {
	s := script(t, "a:10 b:20", "", "a b | b b | a |")
	r := replay(t, s, NewOptimum(s.Header(), Config{Budget: 25, H2D: 10, D2H: 10, Latency: time.Millisecond}))
	want := []Request{{H2D: 30, Stall: 3*time.Second + 2*time.Millisecond}, {}, {H2D: 5, Stall: 500*time.Millisecond + time.Millisecond}}
	if len(r.Requests) != 3 || r.Requests[0] != want[0] || r.Requests[1] != want[1] || r.Requests[2] != want[2] {
		t.Errorf("shares %v: want %v", r.Requests, want)
	}
	if want := 5*time.Second + r.Stall; r.Makespan != want {
		t.Errorf("makespan %v: want %v", r.Makespan, want)
	}
}

func TestOptimumRefuses(t *testing.T) {
	s := script(t, "p:10 p.q:10", "", "(p+3 q+4 ) |")
	r := replay(t, s, NewOptimum(s.Header(), Config{Budget: 26, H2D: 10, D2H: 10}))
	const want = `the optimum is not computed: a call of "q" needs 27 B at once with its workspace and what is entered around it, the budget is 26 B`
	if r.Counted || r.Fits || r.Note != want {
		t.Errorf("counted %v, fits %v, note\n%s\nwant\n%s", r.Counted, r.Fits, r.Note, want)
	}
	s = script(t, "p:10 p.q:10", "", "(p+3 q+4 ) |")
	if r := replay(t, s, NewOptimum(s.Header(), Config{Budget: 20, IgnoreWorkspace: true})); !r.Fits {
		t.Errorf("without workspace: %s", r.Note)
	}
}

// Beyond its limits it says that it did not compute, and keeps nothing more.
func TestOptimumLimits(t *testing.T) {
	h := &trace.Header{
		Components: []trace.Component{{Name: "a", Bytes: 1, Parent: trace.NoComponent}},
		Pipelines:  []trace.Pipeline{{Name: "p", Components: []int{0}}},
	}
	o := NewOptimum(h, Config{Budget: units.GiB, H2D: 1, D2H: 1})
	o.Add(&trace.Record{Kind: trace.Begin, Request: 1})
	for i := range MaxWorkspaces + 1 {
		o.Add(&trace.Record{Kind: trace.Call, Request: 1, Workspace: units.Bytes(i)})
	}
	if r := o.Result(); r.Counted || !strings.Contains(r.Note, "different workspaces") {
		t.Errorf("counted %v, note %q", r.Counted, r.Note)
	}
}

// bruteForce tries everything: before each call any amounts may be evicted and,
// though it cannot pay, loaded. It returns the least that is loaded in all, -1
// when a call has no room.
func bruteForce(sizes []int, ops []bruteOp) int {
	states := 1
	for _, n := range sizes {
		states *= n + 1
	}
	amounts := make([][]int, states)
	for s := range amounts {
		amounts[s] = make([]int, len(sizes))
		rest := s
		for i, n := range sizes {
			amounts[s][i] = rest % (n + 1)
			rest /= n + 1
		}
	}
	const impossible = 1 << 30
	cost := make([]int, states)
	for s := range cost {
		cost[s] = impossible
	}
	cost[0] = 0
	for _, op := range ops {
		next := make([]int, states)
		for s := range next {
			next[s] = impossible
		}
		for to := range next {
			sum, allowed := 0, true
			for i, n := range amounts[to] {
				sum += n
				allowed = allowed && (!op.needed[i] || n == sizes[i])
			}
			if !allowed || sum > op.room {
				continue
			}
			for from, c := range cost {
				if c == impossible {
					continue
				}
				for i, n := range amounts[to] {
					c += max(0, n-amounts[from][i])
				}
				next[to] = min(next[to], c)
			}
		}
		cost = next
	}
	best := impossible
	for _, c := range cost {
		best = min(best, c)
	}
	if best == impossible {
		return -1
	}
	return best
}

// A bruteOp is a moment at which components must be there, in so much room.
type bruteOp struct {
	needed []bool
	room   int
}

// The optimum equals brute force on small random traces: with and without
// workspace, with entered components, with interleaved requests.
func TestOptimumEqualsBruteForce(t *testing.T) {
	counted := 0
	for seed := range uint64(4500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		sizes := make([]int, 2+rnd.IntN(2))
		h := &trace.Header{Name: "random", Pipelines: []trace.Pipeline{{Name: "p"}}}
		for i := range sizes {
			sizes[i] = 1 + rnd.IntN(3)
			h.Components = append(h.Components, trace.Component{Name: string('a' + rune(i)), Bytes: units.Bytes(sizes[i]), Parent: trace.NoComponent, ReadOnly: rnd.IntN(2) == 0})
			h.Pipelines[0].Components = append(h.Pipelines[0].Components, i)
		}
		budget := 3 + rnd.IntN(7)
		spaces := 1 + rnd.IntN(3) // workspaces are below it: 1 means none
		o := NewOptimum(h, Config{Budget: units.Bytes(budget), H2D: 1, D2H: 1})
		var ops []bruteOp
		entered := map[uint32][]frame{}
		const requests = 2
		for q := range uint32(requests) {
			o.Add(&trace.Record{Kind: trace.Begin, Request: q + 1})
		}
		moment := func(c, workspace int) {
			op := bruteOp{needed: make([]bool, len(sizes)), room: budget - workspace}
			op.needed[c] = true
			for _, frames := range entered {
				for _, f := range frames {
					op.needed[f.component] = true
					op.room -= int(f.workspace)
				}
			}
			ops = append(ops, op)
		}
		leave := func(q uint32) {
			last := len(entered[q]) - 1
			o.Add(&trace.Record{Kind: trace.Exit, Request: q, Component: entered[q][last].component})
			entered[q] = entered[q][:last]
		}
		for range 3 + rnd.IntN(9) {
			q, c, workspace := 1+uint32(rnd.IntN(requests)), rnd.IntN(len(sizes)), rnd.IntN(spaces)
			inside := false
			for _, f := range entered[q] {
				inside = inside || f.component == c
			}
			switch {
			case len(entered[q]) > 0 && (inside || rnd.IntN(3) == 0):
				leave(q)
			case len(entered[q]) < trace.MaxDepth && rnd.IntN(4) == 0:
				moment(c, workspace)
				o.Add(&trace.Record{Kind: trace.Enter, Request: q, Component: c, Workspace: units.Bytes(workspace)})
				entered[q] = append(entered[q], frame{c, units.Bytes(workspace)})
			default:
				moment(c, workspace)
				o.Add(&trace.Record{Kind: trace.Call, Request: q, Component: c, Workspace: units.Bytes(workspace)})
			}
		}
		for q := range uint32(requests) {
			for len(entered[q+1]) > 0 {
				leave(q + 1)
			}
			o.Add(&trace.Record{Kind: trace.End, Request: q + 1})
		}
		got, want := o.Result(), bruteForce(sizes, ops)
		if got.Counted {
			counted++
		}
		if got.Counted != (want >= 0) || got.Counted && int(got.H2D) != want {
			t.Fatalf("seed %d: %d bytes (%q), brute force %d; sizes %v, budget %d, %v", seed, got.H2D, got.Note, want, sizes, budget, ops)
		}
	}
	if counted < 3000 {
		t.Errorf("%d instances with room for every call: want at least 3000", counted)
	}
}

// The steady state of shipped traces, mean of requests 5 and 6, in MB.
func TestOptimumOfShippedTraces(t *testing.T) {
	for _, test := range []struct {
		trace  string
		budget units.Bytes
		low    units.Bytes
		high   units.Bytes
	}{
		{"flux-bf16", 24 * units.GB, 19_000, 19_600},
		{"flux-bf16", 32 * units.GB, 3_050, 3_100},
		{"flux-controlnet", 32 * units.GB, 16_300, 16_800},
		{"flux-controlnet", 40 * units.GB, 0, 700},
		{"flux-bf16-blocks", 20 * units.GB, 125_000, 127_000},
		{"flux-bf16-blocks", 32 * units.GB, 3_000, 3_100},
		{"wan22-a14b", 64 * units.GB, 6_900, 7_100},
		{"chunked-i2v", 32_789_757_568 + 253_785_062 - 30*units.MB, 23_000, 23_600},
		{"flux-bf16", 40 * units.GB, 0, 0},
	} {
		s := shipped(t, test.trace, 6)
		r := replay(t, s, NewOptimum(s.Header(), Config{Budget: test.budget, H2D: 25 * 1e9, D2H: 25 * 1e9, IgnoreWorkspace: true}))
		if !r.Fits || len(r.Requests) != 6 {
			t.Fatalf("%s at %v: %+v", test.trace, test.budget, r)
		}
		if mean := (r.Requests[4].H2D + r.Requests[5].H2D) / 2 / units.MB; mean < test.low || mean > test.high {
			t.Errorf("%s at %v: %d MB a request, want %d to %d", test.trace, test.budget, mean, test.low, test.high)
		}
	}
}

// BenchmarkOptimum decides over 165,000 runs of 61 components.
func BenchmarkOptimum(b *testing.B) {
	h := &trace.Header{Pipelines: []trace.Pipeline{{Name: "p"}}}
	for range 61 {
		h.Components = append(h.Components, trace.Component{Name: "c", Bytes: 400 * units.MB, Parent: trace.NoComponent, ReadOnly: true})
	}
	const runs = 61 * 2700
	for b.Loop() {
		o := NewOptimum(h, Config{Budget: 12 * units.GB, H2D: 25 * 1e9, D2H: 25 * 1e9})
		o.Add(&trace.Record{Kind: trace.Begin, Request: 1})
		for i := range runs {
			o.Add(&trace.Record{Kind: trace.Call, Request: 1, Component: i % 61})
		}
		if r := o.Result(); !r.Counted {
			b.Fatal(r.Note)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/runs, "ns/run")
}
