package sweep_test

import (
	"context"
	"testing"

	"github.com/offhost/offhost/cmd/offhost/internal/sweep"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
)

// limits are what sticky-loop is held to at every point of the sweep. A budget
// outside them is an exception that the README's table names.
const (
	mostVsLRU     = 1.01
	mostVsOptimum = 1.15
	meanVsOptimum = 1.04
)

// exceptions are the points at which sticky-loop is known to be further from the
// optimum than mostVsOptimum, by trace and percent of its weights, with the ratio
// that it may reach there.
var exceptions = map[string]map[int]float64{
	"sdxl-controlnet": {80: 1.20}, // the loop misses by less than a chunk each round
	"three-pipelines": {65: 1.16, 70: 1.16},
}

func TestStickyLoopOverEveryTraceAndBudget(t *testing.T) {
	var all []sweep.Point
	for _, name := range library.Names() {
		ps, err := sweep.Sweep(context.Background(), name, "sticky-loop", 6, true)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, ps...)
	}
	for _, p := range all {
		if p.VsLRU() > mostVsLRU {
			t.Errorf("%s at %v: %.3f times lru's bytes", p.Trace, p.Budget, p.VsLRU())
		}
		most := mostVsOptimum
		if x, ok := exceptions[p.Trace][p.Percent]; ok {
			most = x
		}
		if p.VsOptimum() > most {
			t.Errorf("%s at %v (%d %%): %.3f times the optimum's bytes", p.Trace, p.Budget, p.Percent, p.VsOptimum())
		}
		if p.VsOptimum() < 1 {
			t.Errorf("%s at %v: %d bytes, fewer than the optimum's %d", p.Trace, p.Budget, p.Policy, p.Optimum)
		}
	}
	if s := sweep.Summarise(all); s.MeanOptimum > meanVsOptimum {
		t.Errorf("mean over %d points: %.3f times the optimum's bytes", len(all), s.MeanOptimum)
	}
}

func TestStickyLoopInTheSteadyState(t *testing.T) {
	for _, s := range sweep.SteadyStates() {
		got, err := s.Measure(context.Background(), "sticky-loop")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s at %v: %.2f GB a request, at most %.2f", s.Trace, s.Budget.Decimal(), got, s.Most)
		if got > s.Most {
			t.Errorf("%s at %v: %.2f GB a request in the steady state, want at most %.2f", s.Trace, s.Budget.Decimal(), got, s.Most)
		}
	}
}

func TestTheSameTraceGivesTheSameDecisions(t *testing.T) {
	for _, name := range library.Names() {
		for _, b := range policies.List() {
			_, total, err := sweep.Smallest(name, true)
			if err != nil {
				t.Fatal(err)
			}
			var sums [2]string
			for i := range sums {
				r, err := sweep.Replay(context.Background(), sweep.Run{Trace: name, Policy: b.Name, Budget: total * 8 / 10, Requests: 2, IgnoreWorkspace: true})
				if err != nil {
					t.Fatal(err)
				}
				sums[i] = r.DecisionsSHA256
				if r.Faults != 0 || r.Rejected != 0 {
					t.Errorf("%s under %s: %d faults, %d rejected", name, b.Name, r.Faults, r.Rejected)
				}
			}
			if sums[0] != sums[1] {
				t.Errorf("%s under %s: two runs, two sequences of decisions", name, b.Name)
			}
		}
	}
}

// The module and the host's own rule are the same rule.
func TestTheModuleLRUMovesWhatTheBaselineMoves(t *testing.T) {
	for _, name := range library.Names() {
		ps, err := sweep.Sweep(context.Background(), name, "lru", 2, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if p.Policy != p.LRU {
				t.Errorf("%s at %v: the module moved %d bytes, the baseline %d", name, p.Budget, p.Policy, p.LRU)
			}
		}
	}
}

func TestConstraintsHoldUnderBothPolicies(t *testing.T) {
	for _, policy := range []string{"sticky-loop", "lru"} {
		for _, c := range []struct {
			trace  string
			budget units.Bytes
			rules  host.Constraints
		}{
			{"flux-bf16", 34 * units.GB, host.Constraints{Exclude: []string{"text_encoder_2"}}},
			{"flux-bf16", 25 * units.GB, host.Constraints{Keep: []string{"transformer"}}},
			{"three-pipelines", 32 * units.GB, host.Constraints{Exclude: []string{"sdxl.unet", "*.vae"}}},
			{"three-pipelines", 32 * units.GB, host.Constraints{Keep: []string{"flux.*"}}},
		} {
			r, err := sweep.Replay(context.Background(), sweep.Run{Trace: c.trace, Policy: policy, Budget: c.budget, Requests: 6,
				IgnoreWorkspace: true, Constraints: c.rules})
			if err != nil {
				t.Fatalf("%s under %s: %v", c.trace, policy, err)
			}
			if r.Rejected != 0 {
				t.Logf("%s under %s: %d decisions were refused", c.trace, policy, r.Rejected)
			}
			for _, x := range r.PerComponent {
				if (host.Constraints{Exclude: c.rules.Exclude}).Check([]string{x.Name}) == nil && len(c.rules.Exclude) == 1 && x.Loads != 1 {
					t.Errorf("%s under %s: %s is excluded and was loaded %d times", c.trace, policy, x.Name, x.Loads)
				}
			}
		}
	}
}

func TestReplayingIsCounted(t *testing.T) {
	r, err := sweep.Replay(context.Background(), sweep.Run{Trace: "flux-bf16", Policy: "sticky-loop", Budget: 32 * units.GB, Requests: 3,
		Baselines: replay.Baselines})
	if err != nil {
		t.Fatal(err)
	}
	if r.PolicyEvents == 0 || r.Decisions == 0 || r.FloorDecisions != 0 {
		t.Errorf("%d events, %d decisions, %d by the floor", r.PolicyEvents, r.Decisions, r.FloorDecisions)
	}
}

// What follows a policy's name configures it.
func TestAPolicyIsConfigured(t *testing.T) {
	const sets = "../../../../examples/policies/sets/sets.wasm"
	for policy, decides := range map[string]bool{sets: false, sets + "?set.all=*": true} {
		r, err := sweep.Replay(context.Background(), sweep.Run{Trace: "flux-bf16", Policy: policy, Budget: 24 * units.GiB, Requests: 2, IgnoreWorkspace: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Decisions > 0 != decides || r.Faults > 0 {
			t.Errorf("%s: %d decisions, %d faults", policy, r.Decisions, r.Faults)
		}
	}
}
