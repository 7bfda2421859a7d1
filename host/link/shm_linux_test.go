package link_test

import (
	"testing"
	"time"

	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

// Real bytes take real time: what is measured is not more than the link was told to be.
func TestOnRealBytes(t *testing.T) {
	points, err := link.Measure(t.Context(), link.Config{Sizes: []units.Bytes{4 * units.MiB}, Bytes: 16 * units.MiB, Duration: 100 * time.Millisecond,
		Open: func(chunk, n units.Bytes) (link.Target, error) {
			return shm.New(shm.Config{Budget: n, Chunk: chunk, Pace: shm.Pace{H2D: 500e6, D2H: 250e6},
				Components: []shm.Component{{Name: "weights", Bytes: n, Source: make(shm.Memory, n)}}})
		}})
	if err != nil || len(points) != 1 {
		t.Fatal(points, err)
	}
	if p := points[0]; p.H2D <= 0 || p.H2D > 510e6 || p.D2H <= 0 || p.D2H > 255e6 {
		t.Errorf("measured %+v, want at most 500 MB/s and 250 MB/s", p)
	}
}
