//go:build cuda

// Package client is the other end of what a worker gives away: a process that maps chunks
// of components at addresses of its own and reads them. What it shows in Go is what a
// client in another language has to do; the tests use it as such.
//
// It maps read-only, which guards against accidents and not against attackers.
package client

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
)

// Client is a connection to a worker and what it has given. Its goroutine is bound to the
// context, and so must be those that call its methods.
type Client struct {
	ctx   *driver.Context
	conn  *wire.Conn
	chunk int64
	parts map[int]*Part

	// Idle returns when no work of this process uses a mapping any more, side streams
	// included; nil stands for waiting for all of the context's work.
	Idle func() error

	// use is held for reading by those who use mappings, for writing to take one away.
	use     sync.RWMutex
	changed chan struct{} // something was mapped or unmapped
}

// Part is a component.
type Part struct {
	Name   string
	Bytes  int64
	at     driver.Address
	room   int64
	mapped map[int]uint32 // chunks, their generation
}

// Connect says hello and learns what there is. The connection becomes the client's.
func Connect(ctx *driver.Context, conn *wire.Conn) (*Client, error) {
	c := &Client{ctx: ctx, conn: conn, parts: map[int]*Part{}, changed: make(chan struct{}, 1)}
	if err := conn.Send(&wire.FromClient{Hello: &wire.ClientHello{Version: wire.Version, GPU: ctx.GPU.UUID}}); err != nil {
		return nil, err
	}
	left, gran := -1, int64(0)
	for left != 0 {
		var m wire.ToClient
		if _, err := conn.Receive(&m); err != nil {
			return nil, err
		}
		switch {
		case m.Refused != "":
			return nil, errors.New(m.Refused)
		case m.Layout != nil && left < 0:
			c.chunk, gran, left = int64(m.Layout.Chunk), int64(m.Layout.Granularity), m.Layout.Parts
		case m.Part != nil && left > 0:
			left--
			p := &Part{Name: m.Part.Name, Bytes: int64(m.Part.Bytes), mapped: map[int]uint32{}}
			p.room = (p.Bytes + gran - 1) / gran * gran
			// For the client's life: pointers into it stay valid whatever comes and goes.
			var err error
			if p.at, err = ctx.Reserve(p.room, 0); err != nil {
				return nil, err
			}
			c.parts[m.Part.Component] = p
		default:
			return nil, errors.New("the worker does not say first what there is")
		}
	}
	return c, nil
}

// Parts are the components by number.
func (c *Client) Parts() map[int]*Part { return c.parts }

// Want asks for a component.
func (c *Client) Want(component int) error {
	return c.conn.Send(&wire.FromClient{Want: &wire.Want{Component: component}})
}

// Run maps and unmaps as the worker says, until the connection ends. An error while
// something is unmapped is the process's end: it must not go on as if that had happened.
func (c *Client) Run() error {
	for {
		var m wire.ToClient
		files, err := c.conn.Receive(&m)
		if err != nil {
			return err
		}
		switch {
		case m.Map != nil:
			err = c.mapAll(m.Map, files)
		case m.Unmap != nil:
			err = c.unmapAll(m.Unmap)
		case m.Refused != "":
			err = errors.New(m.Refused)
		default:
			err = errors.New("the worker says twice what there is")
		}
		if err != nil {
			return err
		}
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
}

func (c *Client) alloc(p *Part, i int) (driver.Address, int64) {
	off := int64(i) * c.chunk
	return p.at + driver.Address(off), min(c.chunk, p.room-off)
}

func (c *Client) mapAll(m *wire.Chunks, files []*os.File) error {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	p := c.parts[m.Component]
	if p == nil {
		return fmt.Errorf("component %d was not announced", m.Component)
	}
	c.use.Lock()
	defer c.use.Unlock()
	for i, k := range m.List {
		at, n := c.alloc(p, k.Index)
		if n <= 0 {
			return fmt.Errorf("chunk %d of %q", k.Index, p.Name)
		}
		h, err := c.ctx.Import(files[i])
		if err != nil {
			return err
		}
		if err := c.ctx.Map(at, n, h); err != nil {
			return errors.Join(err, h.Release())
		}
		// The mapping keeps the memory.
		if err := errors.Join(c.ctx.Allow(at, n, false), h.Release()); err != nil {
			return errors.Join(err, c.ctx.Unmap(at, n))
		}
		p.mapped[k.Index] = k.Generation
	}
	return nil
}

func (c *Client) unmapAll(m *wire.Chunks) error {
	p := c.parts[m.Component]
	if p == nil {
		return fmt.Errorf("component %d was not announced", m.Component)
	}
	c.use.Lock()
	defer c.use.Unlock()
	if err := c.idle(); err != nil {
		return err
	}
	for _, k := range m.List {
		if gen, ok := p.mapped[k.Index]; ok && gen == k.Generation {
			if err := c.ctx.Unmap(c.alloc(p, k.Index)); err != nil {
				return err
			}
			delete(p.mapped, k.Index)
		}
	}
	return c.conn.Send(&wire.FromClient{Unmapped: m})
}

func (c *Client) idle() error {
	if c.Idle != nil {
		return c.Idle()
	}
	return c.ctx.Synchronize()
}

// Use calls f with the address of a component and which of its chunks are there, in their
// generations. None is taken away before f returns and what it queued has ended.
func (c *Client) Use(component int, f func(at driver.Address, chunks map[int]uint32) error) error {
	c.use.RLock()
	defer c.use.RUnlock()
	p := c.parts[component]
	if p == nil {
		return fmt.Errorf("component %d was not announced", component)
	}
	return f(p.at, p.mapped)
}

// Changed is sent to when something was mapped or unmapped.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// Close gives back all that is mapped, and the addresses.
func (c *Client) Close() error {
	c.use.Lock()
	defer c.use.Unlock()
	err := errors.Join(c.conn.Close(), c.idle())
	for _, p := range c.parts {
		for i := range p.mapped {
			err = errors.Join(err, c.ctx.Unmap(c.alloc(p, i)))
		}
		clear(p.mapped)
		err = errors.Join(err, c.ctx.Free(p.at, p.room))
	}
	return err
}
