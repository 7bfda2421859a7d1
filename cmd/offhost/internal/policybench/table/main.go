// Command table prints what the README says of the languages as Markdown: a row for each
// module, as offhost policy bench measures it beside the built-in lru. Arguments are
// NAME=MODULE.wasm.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/policybench"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

func main() {
	events := flag.Int("events", policybench.DefaultEvents, "how many events to tell each")
	flag.Parse()
	if err := run(*events, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(events int, args []string) error {
	builtin, _ := policies.Get("lru")
	reference := policybench.Subject{Name: builtin.Name, Wasm: builtin.Wasm}
	fmt.Println("| | module | load: cold / from cache | CALL | NEED | NEED of all | fuel of the three | all events, lru = 1 |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, arg := range args {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q: want NAME=MODULE.wasm", arg)
		}
		wasm, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r, err := policybench.Run(context.Background(), policybench.Config{
			Policy: policybench.Subject{Name: name, Wasm: wasm}, Reference: reference, Events: events,
			Load: runtime.Config{Logger: slog.New(slog.DiscardHandler)},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if r.Fault != nil {
			return fmt.Errorf("%s failed after %d events: %s", name, r.Fault.Event, r.Fault.Error)
		}
		row(name, r)
	}
	return nil
}

func row(name string, r *policybench.Result) {
	cached := "-"
	if ns := r.Policy.Load.CachedNS; ns != nil {
		cached = milliseconds(*ns)
	}
	var times, fuel []string
	for _, k := range append(r.Kinds, *r.NeedAll) {
		switch k.Kind {
		case "CALL", "NEED", r.NeedAll.Kind:
			times = append(times, fmt.Sprintf("%.0f ns", k.Policy.MeanNS))
			fuel = append(fuel, fmt.Sprint(k.Policy.FuelMedian))
		}
	}
	fmt.Printf("| %s | %s | %s / %s ms | %s | %s | %.2f |\n", name, units.Bytes(r.Policy.Bytes).Decimal(),
		milliseconds(r.Policy.Load.ColdNS), cached, strings.Join(times, " | "), strings.Join(fuel, " / "),
		r.All.Policy.MeanNS/r.All.Reference.MeanNS)
}

func milliseconds(ns int64) string { return fmt.Sprintf("%.1f", float64(ns)/1e6) }
