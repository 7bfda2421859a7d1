package policies

import (
	"fmt"
	"testing"

	"github.com/offhost/offhost/abi"
)

// taught is a policy that has seen four rounds over n components, all resident.
func taught(b *testing.B, policy string, n int) *host {
	h := newHost(b, policy, 1, 1<<20)
	for i := range n {
		h.add(fmt.Sprint("c", i), 2, 0)
	}
	h.begin("p")
	for range 4 {
		for _, c := range h.components {
			h.call(c)
			h.done(c)
		}
	}
	return h
}

// The figures are of the module alone, called through wazero without metering.
func BenchmarkCall(b *testing.B) {
	for _, policy := range List() {
		for _, n := range []int{4, 64, 4096} {
			b.Run(fmt.Sprint(policy.Name, "/", n), func(b *testing.B) {
				h := taught(b, policy.Name, n)
				ev := h.event(abi.Call, h.components[0])
				for i := 0; b.Loop(); i++ {
					ev.Component = uint32(i % n)
					h.policy.tell(b, ev, nil)
				}
			})
		}
	}
}

func BenchmarkNeed(b *testing.B) {
	for _, policy := range List() {
		for _, n := range []int{4, 64, 4096} {
			for _, amount := range []uint64{1, 1 << 20} { // one victim, a full answer
				b.Run(fmt.Sprint(policy.Name, "/", n, "/free", amount), func(b *testing.B) {
					h := taught(b, policy.Name, n)
					ev := h.event(abi.Need, h.components[0])
					ev.Amount = amount
					for b.Loop() {
						h.policy.tell(b, ev, nil)
					}
				})
			}
		}
	}
}
