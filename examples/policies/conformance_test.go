//go:build !race

package policies_test

import (
	"regexp"
	"strconv"
	"strings"
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
	for name, little := range map[string]runtime.Limits{
		"accelerate-chain/accelerate_chain.wasm": {}, // which refills too slowly for it
		"lru/rust/lru.wasm":                      {Fuel: 400_000, Refill: 400_000},
	} {
		module := read(t, name)
		check := func(limits runtime.Limits) *conformance.Verdict {
			r, err := conformance.Run(t.Context(), module, conformance.Config{Limits: limits, Only: []string{"fuel"}, Quick: true})
			if err != nil || len(r.Verdicts) != 1 {
				t.Fatalf("%s with %+v: %v, %+v", name, limits, err, r)
			}
			return r.Verdicts[0]
		}
		v := check(little)
		said := advice.FindAllStringSubmatch(strings.Join(v.Found, "\n"), -1)
		if v.Result == conformance.Failed || said == nil {
			t.Fatalf("%s with %+v: %v %q, want what would be enough", name, little, v.Result, v.Found)
		}
		var enough runtime.Limits
		for _, s := range said {
			enough.Fuel, enough.Refill = max(enough.Fuel, number(t, s[1])), max(enough.Refill, number(t, s[2]))
		}
		if v := check(enough); v.Result != conformance.Passed || advice.MatchString(strings.Join(v.Found, "\n")) {
			t.Errorf("%s with %+v, as was advised: %v %q", name, enough, v.Result, v.Found)
		}
	}
}

var advice = regexp.MustCompile(`--policy-fuel (\d+) --policy-refill (\d+) would be enough`)

func number(t *testing.T, digits string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
