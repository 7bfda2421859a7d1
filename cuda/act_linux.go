package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host"
)

// Submit implements host.Device.
func (d *Device) Submit(a host.Action) {
	var f Fault
	if d.cfg.Fault != nil {
		f = d.cfg.Fault(a)
	}
	d.submit(a, f, nil)
}

func (d *Device) submit(a host.Action, f Fault, read chan<- []byte) {
	x := &act{Action: a, slot: wire.NoSlot, silent: f.Silent, read: read}
	m := wire.Act{Op: uint64(a.Op), Component: int(a.Component), Chunk: a.Chunk, File: a.File, Slot: wire.NoSlot, Demand: a.Demand,
		DelayNS: int64(f.Delay), Inject: f.Inject}
	switch {
	case read != nil:
		m.Kind = wire.Read
	case a.Kind == host.ActCopyIn:
		m.Kind = wire.CopyIn
	case a.Kind == host.ActCopyBack:
		m.Kind = wire.CopyBack
	default:
		m.Kind = wire.Release
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if why := d.cannot(&a); why != nil {
		d.refuse(x, host.Failed, why)
		return
	}
	if d.lost {
		d.refuse(x, host.Lost, d.why)
		return
	}
	d.acts[a.Op] = x
	if m.Kind == wire.Release || m.Kind == wire.CopyIn && m.File == 0 {
		d.out.push(&wire.ToWorker{Act: &m})
		return
	}
	// A slot may have to be waited for, and a file read.
	epoch, out := d.epoch, d.out
	d.working.Go(func() { d.prepare(&m, epoch, out) })
}

// cannot says why an action makes no sense to any worker.
func (d *Device) cannot(a *host.Action) error {
	switch {
	case a.Kind != host.ActCopyIn && a.Kind != host.ActCopyBack && a.Kind != host.ActRelease:
		return fmt.Errorf("%v is no action of a device", a.Kind)
	case int(a.Component) >= len(d.cfg.Components):
		return fmt.Errorf("component %d of %d", a.Component, len(d.cfg.Components))
	}
	n := d.cfg.Components[a.Component].Bytes
	if chunks := int((n + d.cfg.Chunk - 1) / d.cfg.Chunk); a.Chunk < 0 || a.Chunk >= chunks {
		return fmt.Errorf("chunk %d of %d of component %q", a.Chunk, chunks, d.cfg.Components[a.Component].Name)
	}
	if d.acts[a.Op] != nil {
		return fmt.Errorf("operation %d is in flight already", a.Op)
	}
	return nil
}

// refuse ends an action that was not begun; the caller holds the lock.
func (d *Device) refuse(x *act, st host.Status, why error) {
	d.cfg.Logger.Debug("device action failed", "kind", x.Kind, "component", x.Component, "chunk", x.Chunk, "status", st, "error", why)
	if x.read != nil {
		close(x.read)
	} else if !x.silent {
		d.inbox.Put(host.Completion{Op: x.Op, Status: st, Err: why})
	}
}

// prepare finds a slot for an action, fills it from the file, and sends the action.
func (d *Device) prepare(m *wire.Act, epoch int, out *outbox) {
	slot, ok := d.ring.take(out.ended)
	if !ok {
		return // the device was lost: so is the action
	}
	m.Slot = slot
	var err error
	if m.Kind == wire.CopyIn {
		c := &d.cfg.Components[m.Component]
		_, err = io.ReadFull(io.NewSectionReader(c.Source, int64(m.Chunk)*int64(d.cfg.Chunk), int64(m.File)), d.ring.slot(slot, int64(m.File)))
		if err != nil {
			err = fmt.Errorf("component %q: chunk %d: reading its file: %w", c.Name, m.Chunk, err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.acts[host.OpID(m.Op)]
	if d.epoch != epoch || x == nil {
		d.ring.put(slot)
		return
	}
	x.slot = slot
	if err != nil {
		delete(d.acts, x.Op)
		d.free(x)
		d.refuse(x, host.Failed, err)
		return
	}
	out.push(&wire.ToWorker{Act: m})
}

func (d *Device) free(x *act) {
	if x.slot != wire.NoSlot {
		d.ring.put(x.slot)
	}
}

// Compute implements host.Worker: the call reads every byte of its component, and changes
// some where it may.
func (d *Device) Compute(call host.CallID, c host.ID, least time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
	case int(c) >= len(d.cfg.Components):
		d.inbox.Put(host.Completion{Call: call, Err: fmt.Errorf("component %d of %d", c, len(d.cfg.Components))})
	case d.lost:
		d.inbox.Put(host.Completion{Call: call, Err: fmt.Errorf("%w: %w", host.ErrLost, d.why)})
	default:
		d.computes[call] = true
		d.out.push(&wire.ToWorker{Compute: &wire.Compute{Call: uint64(call), Component: int(c), LeastNS: int64(least)}})
	}
}

// ended takes the word of the worker of an epoch on an action or a compute.
func (d *Device) ended(m *wire.Done, epoch int) {
	d.mu.Lock()
	x := d.acts[host.OpID(m.Op)]
	slot := wire.NoSlot
	if x != nil { // whatever happens to the action, the slot is ours until it was read
		slot, x.slot = x.slot, wire.NoSlot
	}
	d.mu.Unlock()
	var read []byte
	if slot != wire.NoSlot {
		if m.Status == host.OK {
			read = d.arrive(x, slot, m) // outside the lock: it takes its time
		}
		d.ring.put(slot)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.epoch != epoch { // all was lost meanwhile
		return
	}
	var why error
	if m.Err != "" {
		why = errors.New(m.Err)
	}
	d.stats.Used, d.stats.Verified = m.Used, d.stats.Verified+m.Verified
	if m.Call != 0 {
		if call := host.CallID(m.Call); d.computes[call] {
			delete(d.computes, call)
			d.inbox.Put(host.Completion{Call: call, Err: why})
		}
		return
	}
	if x == nil || d.acts[x.Op] != x {
		return
	}
	delete(d.acts, x.Op)
	if m.Status == host.OK {
		d.count(x, m)
	} else {
		d.cfg.Logger.Debug("device action failed", "kind", x.Kind, "component", x.Component, "chunk", x.Chunk, "status", m.Status, "error", why)
	}
	switch {
	case x.read != nil:
		if read != nil {
			x.read <- read
		}
		close(x.read)
	case !x.silent:
		d.inbox.Put(host.Completion{Op: x.Op, Status: m.Status, Err: why})
	}
}

// arrive takes what has come back out of a slot, and returns what was only read.
func (d *Device) arrive(x *act, slot int, m *wire.Done) []byte {
	c := &d.cfg.Components[x.Component]
	off := int64(x.Chunk) * int64(d.cfg.Chunk)
	n := min(int64(d.cfg.Chunk), int64(c.Bytes)-off)
	switch {
	case x.read != nil:
		return bytes.Clone(d.ring.slot(slot, n))
	case x.Kind == host.ActCopyBack:
		dst := c.Source.Span(off, n)
		if dst == nil {
			m.Status, m.Err = host.Failed, fmt.Sprintf("component %q: chunk %d is not in host memory: it cannot be copied back", c.Name, x.Chunk)
			break
		}
		copyWide(dst, d.ring.slot(slot, n))
	}
	return nil
}

// copyWide copies with several processors: one alone is slower than a link.
func copyWide(dst, src []byte) {
	const stroke = 2 << 20
	var busy sync.WaitGroup
	for len(src) > stroke {
		to, from := dst[:stroke], src[:stroke]
		busy.Go(func() { copy(to, from) })
		dst, src = dst[stroke:], src[stroke:]
	}
	copy(dst, src)
	busy.Wait()
}

func (d *Device) count(x *act, m *wire.Done) {
	s := &d.stats
	switch {
	case x.read != nil:
	case x.Kind == host.ActCopyIn:
		s.Loads++
		s.H2D += x.Weights
		s.File += x.File
		s.BusyH2D += time.Duration(m.TookNS)
	case x.Kind == host.ActCopyBack:
		s.CopiesBack++
		s.D2H += x.Weights
		s.BusyD2H += time.Duration(m.TookNS)
	default:
		s.Releases++
	}
}

// readOps is where the numbers of reads begin, far from the engine's.
const readOps = host.OpID(1) << 63

// Read returns what is on the device of a chunk: for whoever wants to look. Nothing else
// may happen to the chunk meanwhile.
func (d *Device) Read(c host.ID, chunk int) ([]byte, error) {
	got := make(chan []byte, 1)
	d.mu.Lock()
	d.reads++
	op := readOps + d.reads
	d.mu.Unlock()
	d.submit(host.Action{Kind: host.ActCopyBack, Op: op, Component: c, Chunk: chunk}, Fault{}, got)
	b, ok := <-got
	if !ok {
		return nil, fmt.Errorf("chunk %d of component %d could not be read", chunk, c)
	}
	return b, nil
}

// outbox is what is to be said to a worker: whoever says something never waits.
type outbox struct {
	mu    sync.Mutex
	more  *sync.Cond
	list  []outgoing
	err   error         // of sending
	ended chan struct{} // closed when nothing more is sent
}

// outgoing is a message, and descriptors that are closed when it was sent.
type outgoing struct {
	*wire.ToWorker
	files []*os.File
}

func newOutbox() *outbox {
	o := &outbox{ended: make(chan struct{})}
	o.more = sync.NewCond(&o.mu)
	return o
}

func (o *outbox) push(m *wire.ToWorker, files ...*os.File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, outgoing{m, files})
	o.more.Signal()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.ended:
	default:
		close(o.ended)
	}
	o.more.Signal()
}

func (o *outbox) closed() bool {
	select {
	case <-o.ended:
		return true
	default:
		return false
	}
}

// run sends until the outbox is closed, or nobody listens: the reader notices that.
func (o *outbox) run(conn *wire.Conn) {
	defer o.drop()
	for {
		o.mu.Lock()
		for len(o.list) == 0 && !o.closed() {
			o.more.Wait()
		}
		if o.closed() {
			o.mu.Unlock()
			return
		}
		m := o.list[0]
		o.list = o.list[1:]
		o.mu.Unlock()
		err := conn.Send(m.ToWorker, m.files...)
		for _, f := range m.files {
			f.Close()
		}
		if err != nil {
			o.mu.Lock()
			if !o.closed() && !wire.Gone(err) {
				o.err = err
			}
			o.mu.Unlock()
			conn.Close() // whoever listens learns that this is the end
			return
		}
	}
}

// failed is why nothing could be sent any more.
func (o *outbox) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// drop closes the descriptors of what is not sent any more.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.list {
		for _, f := range m.files {
			f.Close()
		}
	}
	o.list = nil
}

// Attach gives a client's socket (SOCK_SEQPACKET) to the worker, which gives the client
// the chunks that it wants of read-only components. The file is closed. A client has to
// be attached again after the device was lost.
func (d *Device) Attach(f *os.File) error {
	if err := wire.IsSocket(f); err != nil {
		return errors.Join(err, f.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost || d.closed {
		return errors.Join(host.ErrLost, f.Close())
	}
	d.out.push(&wire.ToWorker{Client: &wire.Client{}}, f)
	return nil
}
