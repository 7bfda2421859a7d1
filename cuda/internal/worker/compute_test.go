//go:build cuda

package worker

import (
	"math/rand/v2"
	"testing"
)

// A sum is of the bytes, however they are divided, and of each of them.
func TestSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, piece - 1, piece, piece + 1, 3*piece + 5} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		want := sumOf(b)
		for range 20 {
			at := r.IntN(n + 1)
			to := at + r.IntN(n-at+1)
			if got := sumOf(b[:at], b[at:to], b[to:]); got != want {
				t.Fatalf("%d bytes, cut at %d and %d: %#x, whole %#x", n, at, to, got, want)
			}
		}
		for range min(n, 20) {
			i := r.IntN(n)
			b[i]++
			if sumOf(b) == want {
				t.Fatalf("byte %d of %d may change", i, n)
			}
			b[i]--
		}
	}
}
