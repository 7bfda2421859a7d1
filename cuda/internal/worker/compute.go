//go:build cuda

package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// use is a call's compute.
type use struct {
	wire.Compute
	p     *part
	begun time.Duration
}

// compute does what calls do to their weights: it reads every byte, and changes some
// where it may. A replay needs no kernel for that, and would not know which.
func (w *worker) compute() {
	c, err := newCopier(w, 0)
	if err != nil {
		w.fail(err)
		return
	}
	defer func() {
		if err := c.close(w.ctx); err != nil {
			w.fail(err)
		}
	}()
	for u, ok := w.uses.pop(); ok; u, ok = w.uses.pop() {
		d := wire.Done{Call: u.Call}
		for i := range u.p.chunks {
			if err = w.useChunk(c, u.p, &u.p.chunks[i]); err != nil {
				break
			}
			if w.hello.Verify {
				d.Verified += units.Bytes(u.p.chunks[i].size)
			}
		}
		if w.lost(err) {
			w.fail(err)
			return
		}
		if err != nil {
			d.Err = clip(fmt.Errorf("component %q: %w", u.p.name, err))
		}
		select {
		case <-time.After(u.begun + time.Duration(u.LeastNS) - now()):
		case <-w.end:
			return
		}
		w.done(d)
	}
}

func (w *worker) useChunk(c *copier, p *part, k *chunk) error {
	if err := k.begin(true); err != nil {
		return fmt.Errorf("a call uses it: %w", err)
	}
	defer k.end(true)
	got, err := w.read(c, k)
	if err != nil {
		return err
	}
	if w.hello.Verify {
		s := sumOf(got)
		if k.sum == 0 {
			k.sum = s
		}
		if s != k.sum {
			return fmt.Errorf("chunk %d: bytes %d to %d of the weights are not what they should be on the device", k.index, k.off, k.off+k.size)
		}
	}
	if p.readOnly {
		return nil
	}
	for i := 0; i < len(got); i += Stride {
		got[i]++
	}
	k.sum = sumOf(got)
	return errors.Join(c.check.ToDevice(k.at, got), c.check.Synchronize())
}

// sum is the checksum of a chunk, 0 when it is not known.
type sum uint64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// piece is how much of a chunk one processor sums: a link of 50 GB/s is faster than one.
const piece = 1 << 20

// sumOf sums bytes that lie in several parts.
func sumOf(parts ...[]byte) sum {
	var n int
	for _, p := range parts {
		n += len(p)
	}
	sums := make([]byte, 4*((n+piece-1)/piece))
	var busy sync.WaitGroup
	for i := range len(sums) / 4 {
		busy.Go(func() {
			var c uint32
			skip, left := i*piece, piece
			for _, p := range parts {
				from := min(skip, len(p))
				to := min(from+left, len(p))
				skip, left = skip-from, left-(to-from)
				c = crc32.Update(c, castagnoli, p[from:to])
			}
			binary.LittleEndian.PutUint32(sums[4*i:], c)
		})
	}
	busy.Wait()
	return 1<<32 | sum(crc32.Checksum(sums, castagnoli))
}
