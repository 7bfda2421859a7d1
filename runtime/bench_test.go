package runtime

import (
	"context"
	"fmt"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/policies"
)

// warm loads oldest.wasm and tells it of 64 resident components and their calls.
func warm(b *testing.B, cfg Config) (*Policy, *abi.Event) {
	b.Helper()
	p := load(b, "oldest", cfg)
	ev := &abi.Event{Kind: abi.Call, Bytes: 1 << 30, Resident: 1 << 30}
	for range 10 {
		for c := range uint32(64) {
			ev.Seq++
			ev.Component = c * 7 % 64
			if _, err := p.Decide(ev, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	return p, ev
}

// One event through a policy in C, with and without counters. NEED chooses three of
// 64 components, by three passes over all of them.
func BenchmarkDecide(b *testing.B) {
	for _, kind := range []abi.Kind{abi.Call, abi.Need} {
		for _, mode := range []struct {
			name string
			cfg  Config
		}{
			{"metered", Config{}},
			{"unmetered", Config{unmetered: true}},
			{"interpreter", Config{Interpreter: true}},
		} {
			b.Run(kind.String()+"/"+mode.name, func(b *testing.B) {
				p, ev := warm(b, mode.cfg)
				ev.Kind = kind
				if kind == abi.Need {
					ev.Amount = 3 << 30
				}
				used, n := p.FuelUsed(), 0
				b.ReportAllocs()
				for b.Loop() {
					ev.Seq++
					ev.Component = uint32(ev.Seq) % 64
					got, err := p.Decide(ev, nil)
					if err != nil {
						b.Fatal(err)
					}
					n += len(got)
				}
				if kind == abi.Need && n != 3*b.N {
					b.Errorf("%d decisions in %d answers, want 3 each", n, b.N)
				}
				b.ReportMetric(float64(p.FuelUsed()-used)/float64(b.N), "fuel/op")
			})
		}
	}
}

// What the counters cost the built-in policies: events about 64 components, in a loop
// that they know.
func BenchmarkShipped(b *testing.B) {
	log := eventLog(1, 64, 4000)
	for _, builtin := range policies.List() {
		for _, ev := range []abi.Event{{Kind: abi.Call}, {Kind: abi.Need, Amount: 1 << 30}} {
			for _, mode := range []struct {
				name string
				cfg  Config
			}{{"metered", Config{Limits: Limits{Refill: DefaultFuel}}}, {"unmetered", Config{unmetered: true}}} {
				b.Run(fmt.Sprint(builtin.Name, "/", ev.Kind, "/", mode.name), func(b *testing.B) {
					p, err := Load(context.Background(), builtin.Wasm, mode.cfg)
					if err != nil {
						b.Fatal(err)
					}
					defer p.Close()
					tell := func(ev *abi.Event) {
						if _, err := p.Decide(ev, nil); err != nil {
							b.Fatal(err)
						}
					}
					for _, past := range log {
						tell(&past)
					}
					ev := ev
					ev.Seq = uint64(len(log))
					used := p.FuelUsed()
					b.ReportAllocs()
					for b.Loop() {
						ev.Seq++
						ev.Component = uint32(ev.Seq) % 64
						tell(&ev)
					}
					b.ReportMetric(float64(p.FuelUsed()-used)/float64(b.N), "fuel/op")
				})
			}
		}
	}
}

// What Decide itself allocates: nothing.
func TestDecideDoesNotAllocate(t *testing.T) {
	p := load(t, "echo", Config{})
	ev, payload := &abi.Event{Kind: abi.Need}, make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.Decide(ev, payload); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations an event, want 0", n)
	}
}

// Spending the most that an event may have, in the ways that cost the most time for
// it.
func BenchmarkOutOfFuel(b *testing.B) {
	for name, component := range map[string]uint32{"loop": probeEndless, "calls": probeExponential,
		"fill": probeFills, "grow": probeMemoryBomb, "recursion": probeRecurse} {
		b.Run(name, func(b *testing.B) {
			p := load(b, "probe", Config{Limits: Limits{Refill: DefaultFuel}})
			for b.Loop() {
				if _, err := p.Decide(&abi.Event{Component: component}, nil); err == nil {
					b.Fatal("no fault")
				}
				b.StopTimer()
				if _, err := p.Revive(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	wasm := fixture(b, "oldest")
	for name, cfg := range map[string]Config{"compiler": {}, "interpreter": {Interpreter: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := Load(context.Background(), wasm, cfg)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
