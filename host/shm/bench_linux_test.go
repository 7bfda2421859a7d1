package shm_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

// BenchmarkH2D loads and evicts a component, and copies the same bytes between two
// slices on as many goroutines. "of-memcpy" is the ratio of the medians; 1 is as fast.
func BenchmarkH2D(b *testing.B) {
	for _, chunk := range []units.Bytes{2 * units.MiB, 8 * units.MiB, 32 * units.MiB} {
		b.Run(chunk.String(), func(b *testing.B) {
			const size = 512 * units.MiB
			n := int(size / chunk)
			src := weights(1, size)
			d, err := shm.New(shm.Config{Budget: size, Chunk: chunk, Populate: true, Components: []shm.Component{{Name: "a", Bytes: size, ReadOnly: true, Source: src}}})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			r := &rig{Device: d, cfg: shm.Config{Chunk: chunk, Granularity: 2 * units.MiB, Components: []shm.Component{{Bytes: size, Source: src}}}}
			plain := make([]byte, size)
			workers := min(runtime.GOMAXPROCS(0), 4)
			memcpy := func() {
				for off := 0; off < int(size); off += int(chunk) {
					parallelCopy(plain[off:off+int(chunk)], src[off:off+int(chunk)], workers)
				}
			}
			memcpy()
			flow(r, n, map[host.ActionKind]host.ID{host.ActCopyIn: 0})
			var device, memory []time.Duration
			for b.Loop() {
				flow(r, n, map[host.ActionKind]host.ID{host.ActRelease: 0})
				device = append(device, flow(r, n, map[host.ActionKind]host.ID{host.ActCopyIn: 0})[host.ActCopyIn])
				begun := time.Now()
				memcpy()
				memory = append(memory, time.Since(begun))
			}
			slices.Sort(device)
			slices.Sort(memory)
			d50, m50 := device[len(device)/2], memory[len(memory)/2]
			b.ReportMetric(float64(m50)/float64(d50), "of-memcpy")
			b.ReportMetric(float64(size)/d50.Seconds()/1e9, "h2d-GB/s")
			b.ReportMetric(float64(size)/m50.Seconds()/1e9, "memcpy-GB/s")
		})
	}
}

func parallelCopy(dst, src []byte, workers int) {
	var wg sync.WaitGroup
	for w := range workers {
		a, z := len(src)*w/workers, len(src)*(w+1)/workers
		wg.Go(func() { copy(dst[a:z], src[a:z]) })
	}
	wg.Wait()
}

// BenchmarkPace says how far a paced link is off its figure, in percent, in both
// directions at once.
func BenchmarkPace(b *testing.B) {
	for _, c := range []struct {
		chunk units.Bytes
		n     int
		rate  units.BytesPerSecond
	}{{32 * units.MiB, 16, 3e9}, {8 * units.MiB, 32, 3e9}, {512 * units.KiB, 256, 1e9}, {512 * units.KiB, 256, 6e9}} {
		b.Run(fmt.Sprintf("%v/%v", c.chunk, c.rate), func(b *testing.B) {
			var in, back []float64
			for b.Loop() {
				x, y := paced(b, c.chunk, c.n, c.rate, c.rate)
				in, back = append(in, x), append(back, y)
			}
			slices.Sort(in)
			slices.Sort(back)
			b.ReportMetric(in[len(in)/2], "h2d-%off")
			b.ReportMetric(back[len(back)/2], "d2h-%off")
		})
	}
}
