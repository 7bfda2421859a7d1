// Command table prints what the README says of a built-in policy as Markdown: its
// sweep over every shipped trace (totals of six requests, at every 5 % of the weights
// from the smallest admissible budget to 110 %), or with -steady its bytes a request
// once it knows the trace.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/offhost/offhost/cmd/offhost/internal/sweep"
	"github.com/offhost/offhost/host/trace/library"
)

func main() {
	policy := flag.String("policy", "sticky-loop", "built-in policy")
	requests := flag.Int64("requests", 6, "requests of each trace")
	ignore := flag.Bool("ignore-workspace", false, "calls need their weights only")
	all := flag.Bool("all", false, "print every point")
	steady := flag.Bool("steady", false, "print gigabytes a request in the steady state instead")
	flag.Parse()
	print := func() error { return run(*policy, *requests, *ignore, *all) }
	if *steady {
		print = func() error { return printSteady(*policy) }
	}
	if err := print(); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(policy string, requests int64, ignore, all bool) error {
	if all {
		fmt.Println("| trace | budget | policy GB | lru GB | optimum GB | vs lru | vs optimum |")
		fmt.Println("|---|---:|---:|---:|---:|---:|---:|")
	} else {
		fmt.Println("| trace | points | vs lru: worst | mean | vs optimum: worst (at) | mean |")
		fmt.Println("|---|---:|---:|---:|---:|---:|")
	}
	var every []sweep.Point
	for _, name := range library.Names() {
		ps, err := sweep.Sweep(context.Background(), name, policy, requests, ignore)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		every = append(every, ps...)
		if all {
			for _, p := range ps {
				fmt.Printf("| %s | %s | %.2f | %.2f | %.2f | %.3f | %.3f |\n", p.Trace, p.Budget.Decimal(),
					gb(p.Policy), gb(p.LRU), gb(p.Optimum), p.VsLRU(), p.VsOptimum())
			}
			continue
		}
		summary(name, ps)
	}
	if !all {
		summary("**all**", every)
	}
	return nil
}

// printSteady compares with lru at the budgets of sweep.SteadyStates.
func printSteady(policy string) error {
	fmt.Printf("| trace | budget | %s | lru |\n|---|---:|---:|---:|\n", policy)
	for _, s := range sweep.SteadyStates() {
		var got [2]float64
		for i, p := range []string{policy, "lru"} {
			var err error
			if got[i], err = s.Measure(context.Background(), p); err != nil {
				return fmt.Errorf("%s: %w", s.Trace, err)
			}
		}
		fmt.Printf("| %s | %s | %.2f | %.2f |\n", s.Trace, s.Budget.Decimal(), got[0], got[1])
	}
	return nil
}

func summary(name string, ps []sweep.Point) {
	s := sweep.Summarise(ps)
	fmt.Printf("| %s | %d | %.3f | %.3f | %.3f (%s) | %.3f |\n", name, len(ps), s.WorstLRU.VsLRU(), s.MeanLRU,
		s.WorstOptimum.VsOptimum(), s.WorstOptimum.Budget.Decimal(), s.MeanOptimum)
}

func gb(n int64) float64 { return float64(n) / 1e9 }
