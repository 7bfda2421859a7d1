//go:build !race

package policies_test

import (
	"testing"

	"github.com/offhost/offhost/policies/conformance"
	"github.com/offhost/offhost/runtime"
)

// Every example keeps to the ABI, with the configuration that it comes without and, if it
// takes one, with one.
func TestExamplesKeepToTheABI(t *testing.T) {
	configured := map[string]map[string]string{
		"sets":        {"set.a": "part-0 part-1|part-2", "set.b": "part-3 part-*", "cost.part-0": "2.5"},
		"greedy-dual": {"cost": "count"},
		"lfu-aging":   {"half_life": "20"},
		"markov":      {"confidence": "90"},
	}
	for _, m := range modules(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			conformance.Test(t, m.wasm, conformance.Config{Name: m.name, Quick: true})
		})
		if config := configured[m.name]; config != nil {
			t.Run(m.name+" with a configuration", func(t *testing.T) {
				t.Parallel()
				conformance.Test(t, m.wasm, conformance.Config{Name: m.name, Quick: true, PolicyConfig: config, Seed: 1})
			})
		}
	}
}

// The fuel that a check advises is enough: with it nothing is to be remarked on.
func TestTheFuelThatIsAdvisedIsEnough(t *testing.T) {
	for name, limits := range map[string]runtime.Limits{
		"greedy-dual/greedy_dual.wasm": {Fuel: 7_800_000, Refill: 2_700_000},
		"lru/rust/lru.wasm":            {Fuel: 4_800_000},
	} {
		module := read(t, name)
		for _, c := range []struct {
			limits runtime.Limits
			want   conformance.Result
		}{{runtime.Limits{}, conformance.Warned}, {limits, conformance.Passed}} {
			r, err := conformance.Run(t.Context(), module, conformance.Config{Limits: c.limits, Only: []string{"fuel"}, Quick: true})
			if err != nil || len(r.Verdicts) != 1 || r.Verdicts[0].Result != c.want {
				t.Fatalf("%s with %+v: %v, %+v", name, c.limits, err, r)
			}
		}
	}
}
