package main

import (
	"slices"
	"testing"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

// Policies that decide lawfully and as badly as they can.
var saboteurs = []string{"evicts-everything", "evicts-what-comes-next", "prefetches-in-vain",
	"retains-everything", "retains-what-is-over", "juggles", "juggles-when-idle"}

// Traces at budgets where a good rule moves little and a bad one much.
var fragile = [][]string{
	{"flux-img2img-8bit", "--budget", "12GiB", "--requests", "8"},
	{"flux-controlnet", "--budget", "31GB", "--ignore-workspace"},
	{"sdxl-controlnet", "--budget", "6GB"},
	{"three-pipelines", "--budget", "30GB", "--ignore-workspace"},
}

// What a request may move under the harm bound: twice what the fallback alone moves for
// it and one budget, until it takes over; then what it moves for the rest, and at most
// one budget to come by what it would have had. What is in flight when the bound is
// met, two chunks each way, still arrives. Sizes are allocated bytes: weights, and up
// to 2 MiB for each component that is loaded.
func mostHarm(floor report.Request, alone, r report.Report) int64 {
	rounding := alone.Loads * int64(2*units.MiB)
	return 2*(floor.H2DBytes+floor.D2HBytes+rounding) + 2*r.BudgetBytes + 4*r.ChunkBytes
}

func TestSabotageIsBoundedOnRequest(t *testing.T) {
	for _, trace := range fragile {
		t.Run(trace[0], func(t *testing.T) {
			args := append(slices.Clone(trace), "--baselines", "none")
			alone := shell{}.report(t, append(slices.Clone(args), "--policy", hostile(t, "gives-up"))...)
			tripped := 0
			for _, name := range saboteurs {
				with := append(slices.Clone(args), "--policy", hostile(t, name))
				free := shell{}.report(t, with...)
				if free.Requests != alone.Requests || free.FaultReasons["harm"] != 0 {
					t.Errorf("%s: unbound, %d requests completed, want %d; %d faults of harm, want none",
						name, free.Requests, alone.Requests, free.FaultReasons["harm"])
				}
				bound := shell{}.report(t, append(with, "--harm-bound")...)
				t.Logf("%s: alone %v, unbound %v, bound %v, %d times", name, moved(alone), moved(free), moved(bound), bound.FaultReasons["harm"])
				if bound.Requests != alone.Requests || len(bound.PerRequest) != len(alone.PerRequest) {
					t.Errorf("%s: %d requests completed, want %d", name, bound.Requests, alone.Requests)
				}
				if bound.FaultReasons["harm"] > 0 {
					tripped++
				}
				for i, q := range bound.PerRequest {
					if got, most := q.H2DBytes+q.D2HBytes, mostHarm(alone.PerRequest[i], alone, bound); got > most {
						t.Errorf("%s: request %d moved %v, want at most %v: the fallback alone moves %v, the budget is %v", name, q.Request,
							units.Bytes(got), units.Bytes(most), units.Bytes(alone.PerRequest[i].H2DBytes), units.Bytes(bound.BudgetBytes))
					}
				}
			}
			if tripped == 0 {
				t.Error("no policy met the bound: the trace tests nothing")
			}
		})
	}
}

// A policy that does what it should is not touched by the bound.
func TestTheHarmBoundLeavesGoodPoliciesAlone(t *testing.T) {
	for _, trace := range fragile {
		for _, policy := range []string{"sticky-loop", "lru"} {
			args := append(slices.Clone(trace), "--baselines", "none", "--policy", policy)
			free, bound := shell{}.report(t, args...), shell{}.report(t, append(args, "--harm-bound")...)
			if bound.Faults != 0 || bound.DecisionsSHA256 != free.DecisionsSHA256 {
				t.Errorf("%s on %s: %d faults, decisions %.8s; want none, and %.8s as without the bound",
					policy, trace[0], bound.Faults, bound.DecisionsSHA256, free.DecisionsSHA256)
			}
		}
	}
}

func moved(r report.Report) units.Bytes { return units.Bytes(r.H2DBytes + r.D2HBytes) }
