//go:build cuda

package worker

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/host/units"
)

// pins is memory that is pinned once, within a budget, and never on the way of a copy.
// What cannot be is copied through buffers that are.
type pins struct {
	off   bool // nothing is to be pinned
	left  int64
	bytes int64
	why   string // the first that could not be
	list  [][]byte
}

// try pins memory. It is unmapped by close.
func (p *pins) try(ctx *driver.Context, mem []byte, readOnly bool) (pinned bool) {
	switch {
	case p.off:
	case int64(len(mem)) > p.left:
		p.note(fmt.Errorf("%v do not fit into what is left of what may be pinned, %v", units.Bytes(len(mem)), units.Bytes(p.left)))
	case readOnly && !ctx.GPU.ReadOnlyPin:
		p.note(errors.New("the device cannot pin memory that must not be written"))
	default:
		if err := ctx.Pin(mem, readOnly); err != nil {
			p.note(err)
			break
		}
		p.left -= int64(len(mem))
		p.bytes += int64(len(mem))
		p.list = append(p.list, mem)
		return true
	}
	return false
}

func (p *pins) note(err error) {
	if p.why == "" {
		p.why = clip(err)
	}
}

func (p *pins) close(ctx *driver.Context) (err error) {
	for _, mem := range p.list {
		err = errors.Join(err, ctx.Unpin(mem))
	}
	p.list = nil
	return err
}

// buffers are pinned memory of a chunk's size, for what passes through. They are made
// when they are first needed.
type buffers struct {
	size int64
	// few bounds how many there are: two copies are in flight in each direction.
	few  chan struct{}
	mu   sync.Mutex
	free [][]byte
	all  [][]byte
}

const mostBuffers = 8

func newBuffers(size int64) *buffers {
	return &buffers{size: size, few: make(chan struct{}, mostBuffers)}
}

// take returns one, when there is one.
func (b *buffers) take(ctx *driver.Context) ([]byte, error) {
	b.few <- struct{}{}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		buf := b.free[n-1]
		b.free = b.free[:n-1]
		return buf, nil
	}
	buf, err := ctx.Pinned(b.size)
	if err != nil {
		<-b.few
		return nil, err
	}
	b.all = append(b.all, buf)
	return buf, nil
}

func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	b.free = append(b.free, buf[:b.size])
	b.mu.Unlock()
	<-b.few
}

func (b *buffers) close(ctx *driver.Context) (err error) {
	for _, buf := range b.all {
		err = errors.Join(err, ctx.FreePinned(buf))
	}
	return err
}

// unmapHost gives a component's view of host memory back.
func (p *part) unmapHost() error {
	if p.mem == nil {
		return nil
	}
	mem := p.mem
	p.mem = nil
	return unix.Munmap(mem)
}
