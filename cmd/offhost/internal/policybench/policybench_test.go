package policybench

import (
	"io"
	"math"
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/trace"
)

// The calls are a trace as any other: its writer, which checks it, takes them. They have so
// many components, and end between two requests.
func TestCallsAreATrace(t *testing.T) {
	rounds := 0
	c := newCalls(func() bool { rounds++; return rounds <= 10 })
	if n := len(c.Header().Components); n != Components {
		t.Errorf("%d components, want %d", n, Components)
	}
	w, err := trace.NewWriter(io.Discard, c.Header())
	if err != nil {
		t.Fatal(err)
	}
	called := map[int]bool{}
	for {
		var r trace.Record
		if err := c.Next(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&r); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		called[r.Component] = true
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	delete(called, trace.NoComponent)
	if len(called) != Components {
		t.Errorf("%d components are called, want all %d", len(called), Components)
	}
}

// Any argument is lawful: what is too much is all.
func TestEvicted(t *testing.T) {
	const chunk = uint64(host.DefaultChunk)
	for bytes, want := range map[uint64]uint64{0: 8, 1: 1, chunk: 1, chunk + 1: 2, 8*chunk - 1: 8, 8 * chunk: 8, 9 * chunk: 8, math.MaxUint64: 8} {
		if got := evicted(bytes, 8*chunk); got != want*chunk {
			t.Errorf("an EVICT of %d bytes takes %d, want %d chunks", bytes, got, want)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ percent, n, want int }{{50, 1, 0}, {99, 1, 0}, {50, 2, 0}, {50, 3, 1}, {99, 100, 98}, {99, 101, 99}, {50, 1000, 499}} {
		if got := rank(c.percent, c.n); got != c.want {
			t.Errorf("percentile %d of %d is at %d, want %d", c.percent, c.n, got, c.want)
		}
	}
	hundred := make([]uint32, 100)
	for i := range hundred {
		hundred[i] = 10
	}
	hundred[99] = 1e9
	if got := trimmedMean(hundred); got != 10 {
		t.Errorf("the mean is %v, want the 10 of all but the largest hundredth", got)
	}
	if got := trimmedMean([]uint32{7}); got != 7 {
		t.Errorf("the mean of one is %v", got)
	}
}
