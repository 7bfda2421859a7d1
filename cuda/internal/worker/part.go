//go:build cuda

package worker

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
)

// part is a component: an address range on the device, and where its weights are in host
// memory.
type part struct {
	id       int
	name     string
	size     int64 // bytes of weights
	file     int64 // the lowest of them, which are in no memory
	readOnly bool
	mem      []byte // the rest, not to be written
	pinned   bool
	base     driver.Address
	room     int64 // of addresses
	chunks   []chunk
}

// chunk is a part of a component. What happens to it is one thing after the other; busy
// says that something does.
type chunk struct {
	index  int
	off    int64 // in the component
	size   int64 // bytes of weights
	alloc  int64
	at     driver.Address
	handle driver.Handle

	mu       sync.Mutex
	busy     bool
	resident bool
	// generation is how often it was loaded: what clients know of an earlier one is void.
	generation uint32
	sum        sum // of the chunk on the device, while it is known
	host       sum // and in host memory, or the file
}

func newPart(w *worker, id int, c *wire.Component, chunkSize, gran int64) (*part, error) {
	p := &part{id: id, name: c.Name, size: int64(c.Bytes), file: int64(c.File), readOnly: c.ReadOnly}
	p.room = (p.size + gran - 1) / gran * gran
	if p.room == 0 {
		return p, nil
	}
	if !p.readOnly && p.file > 0 {
		return nil, errors.New("calls may change it, and a part of it is in a file: make it read-only, or hold all of it in host memory")
	}
	var err error
	if p.base, err = w.ctx.Reserve(p.room, 0); err != nil {
		p.room = 0
		return nil, err
	}
	p.chunks = make([]chunk, (p.room+chunkSize-1)/chunkSize)
	for i := range p.chunks {
		off := int64(i) * chunkSize
		p.chunks[i] = chunk{index: i, off: off, alloc: min(chunkSize, p.room-off), size: min(chunkSize, p.size-off), at: p.base + driver.Address(off)}
	}
	return p, nil
}

// close gives a component back. Nothing uses it any more.
func (p *part) close(w *worker) (err error) {
	for i := range p.chunks {
		if k := &p.chunks[i]; k.handle != (driver.Handle{}) {
			err = errors.Join(err, w.unmap(k))
		}
	}
	if p.room > 0 {
		err = errors.Join(err, w.ctx.Free(p.base, p.room))
	}
	return err
}

// span is where a part of a chunk's weights lies in host memory.
func (p *part) span(from, n int64) []byte { return p.mem[from-p.file : from-p.file+n] }

// begin takes a chunk for one thing to happen to it.
func (k *chunk) begin(resident bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.busy:
		return fmt.Errorf("chunk %d: something else happens to it", k.index)
	case k.resident && !resident:
		return fmt.Errorf("chunk %d is on the device already", k.index)
	case !k.resident && resident:
		return fmt.Errorf("chunk %d is not on the device", k.index)
	}
	k.busy = true
	return nil
}

// end is when it has.
func (k *chunk) end(resident bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy, k.resident = false, resident
}

// mapNew makes device memory appear at a chunk's address. On an error nothing is there.
func (w *worker) mapNew(k *chunk) error {
	if k.handle != (driver.Handle{}) { // it could not be undone before
		if err := w.unmap(k); err != nil {
			return err
		}
	}
	h, err := w.ctx.Create(k.alloc)
	if err != nil {
		return err
	}
	if err := w.ctx.Map(k.at, k.alloc, h); err != nil {
		return errors.Join(err, h.Release())
	}
	k.handle = h
	w.used.Add(k.alloc)
	if err := w.ctx.Allow(k.at, k.alloc, true); err != nil {
		return errors.Join(err, w.unmap(k))
	}
	return nil
}

// unmap takes a chunk's memory away, which no work of the device's uses any more. It is
// still there after an error if the chunk has its handle.
func (w *worker) unmap(k *chunk) error {
	if err := w.ctx.Unmap(k.at, k.alloc); err != nil {
		return err
	}
	h := k.handle
	k.handle, k.sum = driver.Handle{}, 0
	w.used.Add(-k.alloc)
	return h.Release()
}

// ring is shared memory in slots of a chunk's size.
type ring struct {
	mem    []byte
	chunk  int64
	pinned bool
}

// slot is the first n bytes of one.
func (r *ring) slot(i int, n int64) ([]byte, error) {
	if i < 0 || int64(i+1)*r.chunk > int64(len(r.mem)) || n > r.chunk {
		return nil, fmt.Errorf("%d bytes of slot %d: the ring has %d of %d bytes", n, i, int64(len(r.mem))/max(r.chunk, 1), r.chunk)
	}
	at := int64(i) * r.chunk
	return r.mem[at : at+n : at+n], nil
}

func (r *ring) close() error {
	if r.mem == nil {
		return nil
	}
	mem := r.mem
	r.mem = nil
	return unix.Munmap(mem)
}
