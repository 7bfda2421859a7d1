//go:build !race

package policies_test

import (
	"fmt"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// What the same rule costs in each language, and without an SDK: builtin is C on its own
// table, wat is by hand. CALL is one event; NEED frees a byte, and all, of 64 components.
func BenchmarkLRU(b *testing.B) {
	const n, bytes = 64, 64 << 20
	builtin, _ := policies.Get("lru")
	for _, m := range append([]namedModule{{"builtin", builtin.Wasm}}, lrus(b)...) {
		for _, ev := range []abi.Event{
			{Kind: abi.Call},
			{Kind: abi.Need, Amount: 1},
			{Kind: abi.Need, Amount: n * bytes},
		} {
			b.Run(fmt.Sprint(m.name, "/", ev.Kind, ev.Amount), func(b *testing.B) {
				p := load(b, m.wasm, runtime.Config{Limits: runtime.Limits{Refill: runtime.DefaultFuel}})
				for id := range uint32(n) {
					for _, kind := range []abi.Kind{abi.Component, abi.Call, abi.Loaded, abi.Done} {
						tell(b, p, abi.Event{Kind: kind, Component: id, Bytes: bytes, Resident: bytes}, "")
					}
				}
				ev.Bytes, ev.Resident = bytes, bytes
				b.ReportAllocs()
				before := p.FuelUsed()
				for i := 0; b.Loop(); i++ {
					ev.Component = uint32(i % n)
					if _, err := p.Decide(&ev, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(p.FuelUsed()-before)/float64(b.N), "fuel/op")
			})
		}
	}
}
