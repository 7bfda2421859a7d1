// Command table prints what the README says of a policy as Markdown: its sweep over every
// shipped trace (totals of six requests, at every 5 % of the weights from the smallest
// admissible budget to 110 %), or with -steady its bytes a request once it knows the
// trace. With -compare it prints a column for each of several policies, by which the
// examples' page is made.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/sweep"
	"github.com/offhost/offhost/host/trace/library"
)

func main() {
	policy := flag.String("policy", "sticky-loop", "built-in policy, or the path of a module; \"?key=value\" after it configures it")
	compare := flag.String("compare", "", "policies to compare, comma-separated, as for -policy")
	requests := flag.Int64("requests", 6, "requests of each trace")
	ignore := flag.Bool("ignore-workspace", false, "calls need their weights only")
	all := flag.Bool("all", false, "print every point")
	steady := flag.Bool("steady", false, "print gigabytes a request in the steady state instead")
	flag.Parse()
	print := func() error { return run(*policy, *requests, *ignore, *all) }
	switch {
	case *steady:
		print = func() error { return printSteady(*policy) }
	case *compare != "":
		print = func() error { return printComparison(strings.Split(*compare, ","), *requests, *ignore) }
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

// printComparison prints the bytes of several policies as multiples of the optimum's:
// means over the budgets of each trace, then over all points, and the worst point.
func printComparison(policies []string, requests int64, ignore bool) error {
	fmt.Print("| trace | budgets |")
	for _, p := range policies {
		name, _ := sweep.Named(p)
		fmt.Printf(" %s |", strings.TrimSuffix(filepath.Base(name), ".wasm"))
	}
	fmt.Printf("\n|---|---:|%s\n", strings.Repeat("---:|", len(policies)))
	every := make([][]sweep.Point, len(policies))
	for _, name := range library.Names() {
		row := ""
		for i, policy := range policies {
			ps, err := sweep.Sweep(context.Background(), name, policy, requests, ignore)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			every[i] = append(every[i], ps...)
			row += fmt.Sprintf(" %.3f |", sweep.Summarise(ps).MeanOptimum)
			if i == len(policies)-1 {
				fmt.Printf("| %s | %d |%s\n", name, len(ps), row)
			}
		}
	}
	mean, worst := "", ""
	for _, ps := range every {
		s := sweep.Summarise(ps)
		mean += fmt.Sprintf(" %.3f |", s.MeanOptimum)
		worst += fmt.Sprintf(" %.2f |", s.WorstOptimum.VsOptimum())
	}
	_, err := fmt.Printf("| **mean** | %d |%s\n| **worst** | |%s\n", len(every[0]), mean, worst)
	return err
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
