package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/policybench"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// benchReference is the built-in policy that others are measured beside.
const benchReference = "lru"

const policyBenchHelp = `Measures what a policy costs: how long its module takes to load, and what each event
takes it in time, fuel and memory, beside the built-in ` + benchReference + ` in the same run.

The engine drives it. Three pipelines with 64 components between them, made up of what
the shipped traces have, are called on the simulated device with memory for a third of
their weights, until --events events are told; the policy's answers have effect. Each
event is told to ` + benchReference + `, too, right before or right after, so that both see the same
ones and whatever else the machine does disturbs both: trust the ratios. The calls are
the same in each run; which events follow from them depends on the answers.

Reading the clock takes about as long as a small event takes a policy in C. What it
takes is measured along the way ("clock") and taken off each time; what is left of one
event is as coarse as the clock, some nanoseconds or tens of them. Between two events the
engine works, so that a policy finds less of itself in the caches than it would in a
loop that tells it one event again and again: times are those of a host at work.

The table has a row for each kind of event that occurred: the mean of its times, the
slowest hundredth left out, their median, 99th percentile and maximum, and the same of
its fuel. "x" is the policy's mean as a multiple of ` + benchReference + `'s. Below it:
  all       all of these
  NEED all  a question for the bytes of 63 components with 64 resident, 1,000 times, each
            time after all have been called again
Loading is measured cold, and with the code in the cache (--policy-cache-dir of offhost
run), as medians. Memory that grows from event to event will run out some day.

--format json prints one object of schema ` + policybench.Schema + `:
  policy, reference  name, sha256, bytes (of the module), load (cold_ns; cached_ns, null where
                     nothing is cached; loads, how many were timed), memory (start_bytes,
                     end_bytes, growths: events in which it grew)
  events             that were told
  components, clock_ns, rejected (decisions of the policy's that were unlawful)
  kinds              kind, count, and for policy and reference mean_ns, median_ns, p99_ns,
                     max_ns, fuel_mean, fuel_median, fuel_p99, fuel_max
  all, need_all      the same; need_all is null after a fault
  fault              null, or event (how many had been told) and error

A policy that fails is measured up to there, and the exit code is 1.

` + moduleHelp

func (a *app) policyBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [MODULE]",
		Short: "Measure what a policy costs, event by event, beside " + benchReference,
		Long:  policyBenchHelp,
		Example: `  offhost policy bench ./my.wasm
  offhost policy bench ./my.wasm --events 100000 --policy-config threshold=3
  offhost policy bench sticky-loop --format json`,
		Args: moduleArg,
	}
	f := cmd.Flags()
	config.AddModuleFlags(f)
	events := f.Int("events", policybench.DefaultEvents, "how many events to tell, a `number`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.benchPolicy(cmd.Context(), f, moduleOf(args), *events)
	}
	return cmd
}

func (a *app) benchPolicy(ctx context.Context, flags *pflag.FlagSet, name string, events int) error {
	s, err := config.Load(flags, a.dir, a.log)
	if err != nil {
		return err
	}
	if events < 1 || events > policybench.MaxEvents {
		return usagef("--events %d: want 1 to %d", events, policybench.MaxEvents)
	}
	m, err := a.loadModule(ctx, s.Sources, name)
	if err != nil {
		return err
	}
	a.warnUnread(m, s.Policy.Config)
	reference, err := a.loadModule(ctx, s.Sources, benchReference)
	if err != nil {
		return err
	}
	p := newProgress(terminal(a.stderr))
	r, err := policybench.Run(ctx, policybench.Config{
		Policy:       policybench.Subject{Name: m.name, Wasm: m.wasm},
		Reference:    policybench.Subject{Name: reference.name, Wasm: reference.wasm},
		PolicyConfig: s.Policy.Config,
		Load: runtime.Config{
			Limits: policyLimits(s.Policy),
			Seed:   s.Seed, Logger: a.log,
		},
		Events: events, Progress: p.count,
	})
	p.clear()
	if err != nil {
		return err
	}
	if s.Format == config.FormatJSON {
		err = render.Object(a.stdout, r)
	} else {
		err = a.showPolicyBench(r)
	}
	if err == nil && r.Fault != nil {
		err = fmt.Errorf("the policy failed after %s: %s", render.Count(int64(r.Fault.Event), "event"), r.Fault.Error)
	}
	return err
}

func (a *app) showPolicyBench(r *policybench.Result) error {
	ref := r.Reference.Name
	fmt.Fprintf(a.stdout, "%s   %v   %d events about %d components, beside %s   clock %.0f ns, taken off\n\n",
		render.Name(r.Policy.Name), units.Bytes(r.Policy.Bytes).Decimal(), r.Events, r.Components, ref, r.ClockNS)
	t := render.Table{Header: []string{"event", "count", "mean", "median", "p99", "max", "x " + ref, "fuel", "median", "p99", "max", "x " + ref}}
	rows := append(slices.Clone(r.Kinds), r.All)
	if r.NeedAll != nil {
		rows = append(rows, *r.NeedAll)
	}
	for _, row := range rows {
		p := row.Policy
		t.Rows = append(t.Rows, []string{row.Kind, fmt.Sprint(row.Count),
			nanoseconds(p.MeanNS), nanoseconds(float64(p.MedianNS)), nanoseconds(float64(p.P99NS)), nanoseconds(float64(p.MaxNS)),
			multiple(p.MeanNS, row.Reference.MeanNS),
			fmt.Sprintf("%.0f", p.FuelMean), fmt.Sprint(p.FuelMedian), fmt.Sprint(p.FuelP99), fmt.Sprint(p.FuelMax),
			multiple(p.FuelMean, row.Reference.FuelMean)})
	}
	if err := t.Write(a.stdout); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	sides := render.Table{Header: []string{"", "load", "from cache", "memory", "at the end", "grew"}}
	for _, s := range []policybench.Side{r.Policy, r.Reference} {
		cached := "-"
		if s.Load.CachedNS != nil {
			cached = nanoseconds(float64(*s.Load.CachedNS))
		}
		sides.Rows = append(sides.Rows, []string{render.Name(s.Name), nanoseconds(float64(s.Load.ColdNS)), cached,
			kibibytes(s.Memory.StartBytes), kibibytes(s.Memory.EndBytes), render.Count(int64(s.Memory.Growths), "time")})
	}
	return sides.Write(a.stdout)
}

// multiple is a as a multiple of b.
func multiple(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func nanoseconds(ns float64) string {
	switch {
	case ns < 9999.5:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	}
	return fmt.Sprintf("%.1f ms", ns/1e6)
}

// kibibytes is for linear memories, which have whole pages of 64 KiB.
func kibibytes(bytes int) string { return fmt.Sprintf("%d KiB", bytes>>10) }
