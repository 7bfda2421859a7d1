package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/policies"
)

// eventLog is a log as a host would write it, of calls in a loop that is left now and
// then, over components of which some are evicted; the same for the same seed.
func eventLog(seed uint64, components, events int) (log []abi.Event) {
	r := rand.New(rand.NewPCG(seed, 1))
	resident := make([]uint64, components)
	add := func(ev abi.Event) {
		ev.Seq, ev.Time = uint64(len(log)+1), uint64(len(log))*1000
		log = append(log, ev)
	}
	add(abi.Event{Kind: abi.Config, Component: abi.None})
	for c := range components {
		add(abi.Event{Kind: abi.Component, Component: uint32(c), Bytes: uint64(c+1) << 25})
	}
	next := 0
	for len(log) < events {
		if next++; r.IntN(7) == 0 {
			next = r.IntN(components)
		}
		c := uint32(next % components)
		bytes := uint64(c+1) << 25
		ev := abi.Event{Component: c, Bytes: bytes, Request: 1}
		with := func(kind abi.Kind, amount uint64) {
			ev.Kind, ev.Amount, ev.Resident = kind, amount, resident[c]
			add(ev)
		}
		with(abi.Call, 0)
		if resident[c] < bytes {
			with(abi.Need, bytes-resident[c])
			victim := uint32(r.IntN(components))
			add(abi.Event{Kind: abi.Evicted, Component: victim, Bytes: uint64(victim+1) << 25, Amount: resident[victim]})
			resident[victim], resident[c] = 0, bytes
			with(abi.Loaded, bytes)
		}
		with(abi.Done, 0)
	}
	return log
}

// follow tells a policy the log and returns a line for each event: what it answered,
// or what went wrong, and in the end what it has spent.
func follow(t *testing.T, p *Policy, log []abi.Event, fuel bool) (lines []string) {
	t.Helper()
	for _, ev := range log {
		out, err := p.Decide(&ev, nil)
		line := fmt.Sprint(ev.Seq, " ", out)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatal(err)
			}
			line = fmt.Sprint(ev.Seq, " ", fault.Reason(), ": ", fault.Err)
			if _, err := p.Revive(); err != nil {
				t.Fatal(err)
			}
		}
		if fuel {
			line += fmt.Sprint(" ", p.FuelUsed())
		}
		lines = append(lines, line)
	}
	return lines
}

func start(t *testing.T, wasm []byte, cfg Config) *Policy {
	t.Helper()
	p, err := Load(context.Background(), wasm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// The same log gives the same decisions compiled and interpreted, with counters and
// without.
func TestDecisionsAreTheSameInFourModes(t *testing.T) {
	modules := map[string][]byte{"oldest": fixture(t, "oldest"), "keeper": fixture(t, "keeper")}
	for _, b := range policies.List() {
		modules[b.Name] = b.Wasm
	}
	for name, wasm := range modules {
		for seed, components := range []int{3, 60, 200} {
			log := eventLog(uint64(seed), components, 2000)
			want := follow(t, start(t, wasm, Config{}), log, false)
			if !slices.ContainsFunc(want, func(line string) bool { return strings.Contains(line, "{evict") }) {
				t.Errorf("%s decides nothing", name)
			}
			for mode, cfg := range map[string]Config{"interpreter": {Interpreter: true}, "unmetered": {unmetered: true}, "unmetered, interpreter": {Interpreter: true, unmetered: true}} {
				if diff := cmp.Diff(want, follow(t, start(t, wasm, cfg), log, false)); diff != "" {
					t.Errorf("%s, %d components, compiled (-) and %s (+):\n%.2000s", name, components, mode, diff)
				}
			}
		}
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// Decisions, faults and fuel are those of the golden file, on every engine and machine.
func TestFaultsAndFuelAreTheSameEverywhere(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		var got strings.Builder
		for _, name := range []string{"oldest", "probe", "wasi", "keeper"} {
			log := eventLog(9, 12, 600)
			if name == "probe" || name == "wasi" {
				for i := range log { // whatever they do wrong, and what comes after
					if log[i].Component = uint32(i*7) % 16; i%3 > 0 {
						log[i].Component = 0
					}
				}
			}
			lines := follow(t, start(t, fixture(t, name), cfg), log, true)
			fmt.Fprintf(&got, "%s %x %s\n", name, sha256.Sum256([]byte(strings.Join(lines, "\n"))), lines[len(lines)-1])
		}
		const golden = "testdata/everywhere.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("differs from %s (-want +got); if it should, run with -update:\n%s", golden, diff)
		}
	})
}

// A policy that was saved in the middle of a log and restored into another instance
// goes on as if nothing had happened, whichever engine either of them runs on.
func TestDecisionsAreTheSameAfterARestore(t *testing.T) {
	wasm, log := fixture(t, "keeper"), eventLog(4, 20, 1000)
	for i := range log {
		log[i].Component = keeperWorks
	}
	want := follow(t, start(t, wasm, Config{}), log, false)
	for _, from := range []Config{{}, {Interpreter: true}} {
		for _, to := range []Config{{}, {Interpreter: true}} {
			first, second := start(t, wasm, from), start(t, wasm, to)
			got := follow(t, first, log[:500], false)
			blob, err := first.Save()
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := second.Restore(blob); !ok || err != nil {
				t.Fatalf("Restore: %t, %v", ok, err)
			}
			got = append(got, follow(t, second, log[500:], false)...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("uninterrupted (-), %+v to %+v (+):\n%.2000s", from, to, diff)
			}
		}
	}
}
