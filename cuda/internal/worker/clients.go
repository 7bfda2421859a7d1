//go:build cuda

package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// clients are the processes that chunks of read-only components are given to. Memory that
// a client has mapped is free only when the client has given it back, or is gone: so a
// release waits for that. A client is trusted with weights: it is of the same user, and
// chooses its own access.
type clients struct {
	w       *worker
	readers sync.WaitGroup

	mu  sync.Mutex
	all map[*client]bool
	// there is what is on the device and not about to leave.
	there map[*chunk]*part
	// leaving are releases that wait until no client has their chunk.
	leaving map[*chunk]*job
	ended   bool
}

// client is one of them.
type client struct {
	conn  *wire.Conn
	pid   int      // 0 when it is not known
	life  *os.File // a pidfd
	wants map[*part]bool
	given map[*chunk]uint32 // and not given back: its generation
}

const (
	// MaxClients bounds what hostile ones can take.
	MaxClients = 64
	// patience is how long a client may not listen: it keeps the others waiting.
	patience = 2 * time.Second
	// farewell is how long a client that hung up may take to end, before what it had is
	// taken to be free.
	farewell = 10 * time.Second
)

func (c *clients) init(w *worker) {
	c.w, c.all, c.there, c.leaving = w, map[*client]bool{}, map[*chunk]*part{}, map[*chunk]*job{}
}

// attach takes a client's socket over. One that is of no use is the client's loss.
func (w *worker) attach(f *os.File) {
	conn, err := wire.NewConn(f)
	if err == nil {
		if err = conn.Identify(); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "offhost: a client's socket:", err)
		return
	}
	c := &w.clients
	x := &client{conn: conn, wants: map[*part]bool{}, given: map[*chunk]uint32{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	why := ""
	switch {
	case c.all == nil:
		why = "there are no components"
	case !w.ctx.GPU.Export:
		why = "the GPU's memory cannot be given to other processes here"
	case len(c.all) == MaxClients:
		why = fmt.Sprintf("there are %d clients already", MaxClients)
	}
	if why != "" {
		_ = conn.SendWithin(patience, &wire.ToClient{Refused: why})
		conn.Close()
		return
	}
	c.all[x] = true
	c.readers.Go(func() {
		if err := w.ctx.Bind(); err != nil { // exporting needs it
			w.fail(err)
		}
		c.gone(x, c.serve(x))
	})
}

// receive waits for what a client says, and finds out who it is: whoever sends a message
// before its socket asks for that is known by the next.
func (x *client) receive() (*wire.FromClient, error) {
	m := new(wire.FromClient)
	_, err := x.conn.Receive(m)
	if pid := x.conn.Sender(); err == nil && x.pid == 0 && pid != 0 {
		x.pid = pid
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			x.life = os.NewFile(uintptr(fd), "pidfd")
		}
	}
	return m, err
}

// serve does what a client asks for, until it ends.
func (c *clients) serve(x *client) error {
	m, err := x.receive()
	if err != nil {
		return err
	}
	gpu := c.w.ctx.GPU.UUID
	if m.Hello == nil || m.Hello.GPU != gpu {
		return errors.New("the first message is to be a hello for " + gpu)
	}
	if err := c.describe(x); err != nil {
		return err
	}
	for {
		m, err := x.receive()
		if err != nil {
			return err
		}
		if err := c.hear(x, m); err != nil {
			return err
		}
	}
}

// describe says what there is to be wanted.
func (c *clients) describe(x *client) error {
	var list []*part
	for _, p := range c.w.parts {
		if p.readOnly && p.size > 0 {
			list = append(list, p)
		}
	}
	l := &wire.Layout{Parts: len(list), Chunk: c.w.hello.Chunk, Granularity: c.w.hello.Granularity}
	if err := x.conn.SendWithin(patience, &wire.ToClient{Layout: l}); err != nil {
		return err
	}
	for _, p := range list {
		if err := x.conn.SendWithin(patience, &wire.ToClient{Part: &wire.Part{Component: p.id, Name: p.name, Bytes: units.Bytes(p.size)}}); err != nil {
			return err
		}
	}
	return nil
}

func (c *clients) hear(x *client, m *wire.FromClient) error {
	switch {
	case m.Want != nil:
		p, err := c.w.part(m.Want.Component)
		if err != nil {
			return err
		}
		if !p.readOnly {
			return fmt.Errorf("component %q is not read-only: its chunks are not given away", p.name)
		}
		return c.want(x, p)
	case m.Unmapped != nil:
		return c.returned(x, m.Unmapped)
	}
	return errors.New("hello is said once")
}

// want gives a client all that is there of a component.
func (c *clients) want(x *client, p *part) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.wants[p] {
		return nil
	}
	x.wants[p] = true
	var list []*chunk
	for i := range p.chunks {
		if k := &p.chunks[i]; c.there[k] != nil {
			list = append(list, k)
		}
	}
	for len(list) > 0 {
		n := min(len(list), wire.MaxFiles)
		if err := c.give(x, p, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// give exports chunks to a client; the caller holds the lock. The descriptors are closed
// here as soon as they are on their way.
func (c *clients) give(x *client, p *part, list []*chunk) error {
	m := &wire.Chunks{Component: p.id}
	var files []*os.File
	defer func() { closeAll(files) }()
	for _, k := range list {
		f, err := k.handle.Export()
		if err != nil {
			return fmt.Errorf("component %q: chunk %d: %w", p.name, k.index, err)
		}
		files = append(files, f)
		m.List = append(m.List, wire.Chunk{Index: k.index, Generation: k.generation})
		x.given[k] = k.generation
	}
	return x.conn.SendWithin(patience, &wire.ToClient{Map: m}, files...)
}

// loaded says that a chunk is there, whole: its copy has ended.
func (c *clients) loaded(p *part, k *chunk) {
	if !p.readOnly {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.there[k] = p
	for x := range c.all {
		if x.wants[p] {
			if c.give(x, p, []*chunk{k}) != nil {
				x.conn.Close() // its reader sees to the rest
			}
		}
	}
}

// leave takes a job's chunk back from everybody who has it. It is true when somebody has:
// the job is put in line again when nobody does.
func (c *clients) leave(j *job) bool {
	if !j.p.readOnly {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.there, j.k)
	for x := range c.all {
		if gen, has := x.given[j.k]; has {
			m := &wire.Chunks{Component: j.p.id, List: []wire.Chunk{{Index: j.k.index, Generation: gen}}}
			if x.conn.SendWithin(patience, &wire.ToClient{Unmap: m}) != nil {
				x.conn.Close()
			}
		}
	}
	if !c.holds(j.k) {
		return false
	}
	c.leaving[j.k] = j
	return true
}

// left lets the releases go on whose chunk nobody has any more; the caller holds the lock.
func (c *clients) left() {
	for k, j := range c.leaving {
		if !c.holds(k) {
			delete(c.leaving, k)
			c.w.drops.push(j)
		}
	}
}

func (c *clients) holds(k *chunk) bool {
	for x := range c.all {
		if _, has := x.given[k]; has {
			return true
		}
	}
	return false
}

// returned books what a client has given back. A generation that it does not have is an
// old story.
func (c *clients) returned(x *client, m *wire.Chunks) error {
	p, err := c.w.part(m.Component)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range m.List {
		if u.Index >= len(p.chunks) {
			return fmt.Errorf("chunk %d of %d of component %q", u.Index, len(p.chunks), p.name)
		}
		k := &p.chunks[u.Index]
		if gen, has := x.given[k]; has && gen == u.Generation {
			delete(x.given, k)
		}
	}
	c.left()
	return nil
}

// gone takes what a client had as free, when its process has ended and with it all its
// mappings: while it lives it may use them.
func (c *clients) gone(x *client, why error) {
	if why != io.EOF {
		_ = x.conn.SendWithin(patience, &wire.ToClient{Refused: clip(why)})
	}
	x.conn.Close()
	c.mu.Lock()
	has := len(x.given) > 0
	c.mu.Unlock()
	if has {
		awaitExit(x.life, farewell, c.w.end)
	}
	if x.life != nil {
		x.life.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, x)
	c.left()
}

// awaitExit waits until a process has ended, but not for ever. Of one that is not known,
// the time has to do.
func awaitExit(life *os.File, most time.Duration, end <-chan struct{}) {
	for until := time.Now().Add(most); time.Now().Before(until); {
		select {
		case <-end:
			return
		default:
		}
		if life == nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(life.Fd()), Events: unix.POLLIN}}, 100); n > 0 {
			return
		}
	}
}

// close ends all clients' connections, and waits for their readers.
func (c *clients) close() {
	c.mu.Lock()
	c.ended = true
	for x := range c.all {
		x.conn.Close()
	}
	c.mu.Unlock()
	c.readers.Wait()
}
