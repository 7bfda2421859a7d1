package shm_test

import (
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

// flow keeps two copies of each kind in flight, as the engine does, until n of each are
// done, and returns when the first of each kind was submitted and the last one ended.
func flow(r *rig, n int, kinds map[host.ActionKind]host.ID) map[host.ActionKind]time.Duration {
	begun := r.Now()
	next, done := map[host.ActionKind]int{}, map[host.ActionKind]int{}
	kind, took := map[host.OpID]host.ActionKind{}, map[host.ActionKind]time.Duration{}
	submit := func(k host.ActionKind) {
		if next[k] < n {
			a := r.action(k, kinds[k], next[k])
			next[k]++
			kind[a.Op] = k
			r.Submit(a)
		}
	}
	for k := range kinds {
		submit(k)
		submit(k)
	}
	for c, ok := r.Wait(host.Forever); ok; c, ok = r.Wait(host.Forever) {
		k := kind[c.Op]
		if c.Status != host.OK {
			r.t.Fatalf("%v: %v, %v", k, c.Status, c.Err)
		}
		done[k]++
		took[k] = c.Time - begun
		submit(k)
	}
	return took
}

// paced returns how far both directions, running beside each other, are off their
// figures, in percent.
func paced(t testing.TB, chunk units.Bytes, n int, h2d, d2h units.BytesPerSecond) (in, back float64) {
	size := chunk * units.Bytes(n)
	r := open(t, shm.Config{Budget: 2 * size, Chunk: chunk, Granularity: gran, Populate: true, Pace: shm.Pace{H2D: h2d, D2H: d2h},
		Components: []shm.Component{{Name: "a", Bytes: size, ReadOnly: true, Source: weights(1, size)}, {Name: "b", Bytes: size, Source: weights(2, size)}}})
	for i := range n {
		r.Submit(r.action(host.ActCopyIn, 1, i))
	}
	for range n {
		r.Wait(host.Forever)
	}
	took := flow(r, n, map[host.ActionKind]host.ID{host.ActCopyIn: 0, host.ActCopyBack: 1})
	off := func(took time.Duration, rate units.BytesPerSecond) float64 {
		return 100 * (float64(took)/float64(rate.Time(size)) - 1)
	}
	return off(took[host.ActCopyIn], h2d), off(took[host.ActCopyBack], d2h)
}

// A machine that is busy with other things can make any copy late, and BenchmarkPace says
// how late; that none is early holds always.
func TestPaceIsKept(t *testing.T) {
	for _, c := range []struct {
		chunk    units.Bytes
		n        int
		h2d, d2h units.BytesPerSecond
	}{
		{4 * units.MiB, 16, 500e6, 300e6},
		{512 * units.KiB, 64, 200e6, 300e6},
	} {
		t.Run(c.chunk.String(), func(t *testing.T) {
			if in, back := paced(t, c.chunk, c.n, c.h2d, c.d2h); min(in, back) < -1 {
				t.Fatalf("H2D took %+.2f %% and D2H %+.2f %% more than the link would: faster than it", in, back)
			}
		})
	}
}

func TestLatencyIsKept(t *testing.T) {
	const n = 20
	r := open(t, shm.Config{Pace: shm.Pace{Latency: 3 * time.Millisecond},
		Components: []shm.Component{{Name: "a", Bytes: n * chunk, ReadOnly: true, Source: weights(1, n*chunk)}}})
	if took := flow(r, n, map[host.ActionKind]host.ID{host.ActCopyIn: 0})[host.ActCopyIn]; took < 59*time.Millisecond {
		t.Errorf("20 copies of 3ms each took %v", took)
	}
}
