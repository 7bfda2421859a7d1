package policies

import (
	"context"
	"fmt"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// metered is a policy in the runtime that it ships in.
type metered struct {
	t      tb
	policy *runtime.Policy
}

func newMetered(t tb, name string) metered {
	t.Helper()
	b, ok := Get(name)
	if !ok {
		t.Fatalf("no built-in policy %q", name)
	}
	p, err := runtime.Load(context.Background(), b.Wasm, runtime.Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return metered{t, p}
}

// cost delivers an event and returns the fuel that it took.
func (m metered) cost(ev abi.Event) uint64 {
	before := m.policy.FuelUsed()
	if _, err := m.policy.Decide(&ev, nil); err != nil {
		m.t.Fatal(err)
	}
	return m.policy.FuelUsed() - before
}

// learn shows the policy rounds over n components that all stay resident.
func (m metered) learn(n, rounds int) {
	const bytes = 64 << 20
	for i := range n {
		m.cost(abi.Event{Kind: abi.Component, Component: uint32(i), Bytes: bytes})
	}
	m.cost(abi.Event{Kind: abi.Begin, Component: abi.None, NameHash: 1})
	for range rounds {
		for i := range n {
			m.cost(abi.Event{Kind: abi.Call, Component: uint32(i), Bytes: bytes})
			m.cost(abi.Event{Kind: abi.Loaded, Component: uint32(i), Bytes: bytes, Resident: bytes})
			m.cost(abi.Event{Kind: abi.Done, Component: uint32(i), Bytes: bytes, Resident: bytes})
		}
	}
}

// As many components as a host registers, the longest answers, and nothing but
// victims that must be passed over: every event stays well inside the default fuel.
func TestTheWorstEventsStayWithinTheDefaultFuel(t *testing.T) {
	const most = runtime.DefaultFuel * 3 / 4
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			m := newMetered(t, b.Name)
			m.learn(abi.MaxComponents, 4)
			check := func(what string, ev abi.Event) {
				t.Helper()
				if fuel := m.cost(ev); fuel > most {
					t.Errorf("%s takes %d fuel, want at most %d", what, fuel, most)
				}
			}
			all := abi.Event{Kind: abi.Need, Component: abi.None, Amount: 1 << 50}
			check("everything, in a loop", all)
			check("the end of the longest loop", abi.Event{Kind: abi.Call, Component: abi.MaxComponents / 2})
			check("everything, after the loop", all)
			check("another request", abi.Event{Kind: abi.Begin, Component: abi.None, NameHash: 2})
			check("everything, nothing foreseen", all)
			for i := range abi.MaxComponents {
				m.cost(abi.Event{Kind: abi.Loaded, Flags: abi.FlagPinned, Component: uint32(i), Resident: 1})
			}
			check("what cannot be had, nothing foreseen", all)
			check("the beginning of a foreseen round", abi.Event{Kind: abi.Call, Component: 0})
			check("what cannot be had", all)
		})
	}
}

// The figures are what the host pays for an event with 64 components.
func BenchmarkMetered(b *testing.B) {
	const n = 64
	for _, policy := range List() {
		for _, ev := range []abi.Event{
			{Kind: abi.Call},
			{Kind: abi.Need, Amount: 1},
			{Kind: abi.Need, Amount: 1 << 50},
		} {
			name := fmt.Sprint(policy.Name, "/", ev.Kind)
			if ev.Kind == abi.Need {
				name += fmt.Sprint("/free", ev.Amount)
			}
			b.Run(name, func(b *testing.B) {
				m := newMetered(b, policy.Name)
				m.learn(n, 4)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					ev.Component = uint32(i % n)
					m.policy.Decide(&ev, nil)
				}
			})
		}
	}
}
