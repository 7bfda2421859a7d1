//go:build cuda

package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// Stride is the distance between the bytes of a chunk that a call changes in a component
// that is not read-only, from the chunk's first on: each grows by one.
const Stride = 4096

// job is an action on a chunk.
type job struct {
	wire.Act
	p      *part
	k      *chunk
	slot   []byte // the chunk's bytes there, nil when it needs none
	staged []staged
	took   time.Duration
	marks  *marks // around it in its stream, nil when it was waited for already
	err    error
	asked  bool // a release: clients were
	// outOfMemory says that err is that the device had none.
	outOfMemory bool
}

// staged is a buffer through which a part of a chunk passes.
type staged struct {
	buf []byte // of the worker's
	dst []byte // where it is to go when it has come, nil when it has gone to the device
}

// copier copies chunks in one direction: one goroutine queues, one waits.
type copier struct {
	stream  *driver.Stream
	check   *driver.Stream // for reading back
	scratch []byte         // what was read
	jobs    queue[*job]
	waits   queue[*job]

	mu    sync.Mutex
	spare []*marks
}

// marks are the events at the beginning and the end of a copy.
type marks struct{ begun, ended *driver.Event }

func (c *copier) newMarks(ctx *driver.Context) (m *marks, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spare); n > 0 {
		m = c.spare[n-1]
		c.spare = c.spare[:n-1]
		return m, nil
	}
	m = &marks{}
	if m.begun, err = ctx.NewEvent(); err != nil {
		return nil, err
	}
	if m.ended, err = ctx.NewEvent(); err != nil {
		return nil, errors.Join(err, m.begun.Close())
	}
	return m, nil
}

func (c *copier) reuse(m *marks) {
	if m != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.spare = append(c.spare, m)
	}
}

func newCopier(w *worker, priority int) (c *copier, err error) {
	c = &copier{}
	c.jobs.init()
	c.waits.init()
	if c.stream, err = w.ctx.NewStream(priority); err != nil {
		return nil, err
	}
	if c.check, err = w.ctx.NewStream(priority); err != nil {
		return nil, errors.Join(err, c.stream.Close())
	}
	return c, nil
}

func (c *copier) close(ctx *driver.Context) error {
	err := errors.Join(c.stream.Close(), c.check.Close())
	if c.scratch != nil {
		err = errors.Join(err, ctx.FreePinned(c.scratch))
	}
	for _, m := range c.spare {
		err = errors.Join(err, m.begun.Close(), m.ended.Close())
	}
	return err
}

// act takes an action. One that cannot be done as things stand has failed; one on what
// does not exist ends the worker, whose host has lost its mind.
func (w *worker) act(a *wire.Act) error {
	p, err := w.part(a.Component)
	if err != nil {
		return err
	}
	if a.Chunk >= len(p.chunks) {
		return fmt.Errorf("chunk %d of %d of component %q", a.Chunk, len(p.chunks), p.name)
	}
	j := &job{Act: *a, p: p, k: &p.chunks[a.Chunk]}
	if a.Inject != "" && w.cfg.Inject == nil {
		return errors.New("a fault to be made on purpose")
	}
	if j.err = j.k.begin(a.Kind != wire.CopyIn); j.err == nil {
		j.err = w.needs(j)
	}
	switch {
	case j.err != nil:
		w.done(wire.Done{Op: a.Op, Status: host.Failed, Err: clip(fmt.Errorf("component %q: %w", p.name, j.err))})
	case a.Kind == wire.Release:
		w.drops.push(j)
	case a.Kind != wire.CopyIn:
		w.back.jobs.push(j)
	case a.Demand:
		w.demand.jobs.push(j)
	default:
		w.ahead.jobs.push(j)
	}
	return nil
}

// needs finds a job's slot. On an error its chunk is free again.
func (w *worker) needs(j *job) (err error) {
	if j.Kind == wire.Release {
		return nil
	}
	low := max(0, min(j.k.size, j.p.file-j.k.off)) // what only a file has
	need := j.k.size
	if j.Kind == wire.CopyIn {
		need = low
		if int64(j.File) != low {
			err = fmt.Errorf("chunk %d: %d bytes come from a file: want %d", j.k.index, j.File, low)
		}
	} else if j.Kind == wire.CopyBack && j.p.readOnly {
		err = fmt.Errorf("chunk %d is read-only: it cannot be copied back", j.k.index)
	}
	if err == nil && need > 0 {
		j.slot, err = w.ring.slot(j.Slot, need)
	}
	if err != nil {
		j.k.end(j.Kind != wire.CopyIn)
	}
	return err
}

// prepare does what tests ask for before the driver is called.
func (w *worker) prepare(j *job) error {
	if j.DelayNS > 0 {
		time.Sleep(time.Duration(j.DelayNS))
	}
	if j.Inject != "" {
		return w.cfg.Inject(j.Inject)
	}
	return nil
}

// queueCopy puts a copy into its stream, and it in line to be waited for.
func (w *worker) queueCopy(c *copier, j *job) {
	j.err = w.prepare(j)
	if j.err == nil && j.Kind == wire.CopyIn {
		j.err = w.mapNew(j.k)
	}
	j.outOfMemory = driver.OutOfMemory(j.err)
	if j.err == nil {
		if w.hello.Pageable {
			j.err = w.copyPageable(j)
		} else {
			j.err = w.copyPinned(c, j)
		}
		if j.err != nil { // a part of it may be on its way
			j.err = errors.Join(j.err, c.stream.Synchronize())
			if j.Kind == wire.CopyIn {
				j.err = errors.Join(j.err, w.unmap(j.k))
			}
		}
	}
	c.waits.push(j)
}

func (w *worker) copyPinned(c *copier, j *job) (err error) {
	if j.marks, err = c.newMarks(w.ctx); err != nil {
		return err
	}
	if err := j.marks.begun.Record(c.stream); err != nil {
		return err
	}
	if err := w.queueParts(c, j); err != nil {
		return err
	}
	return j.marks.ended.Record(c.stream)
}

func (w *worker) queueParts(c *copier, j *job) error {
	if j.Kind != wire.CopyIn {
		return w.fromDevice(c, j)
	}
	at := int64(0)
	for _, src := range j.sources() {
		pinned := j.p.pinned
		if at == 0 && j.slot != nil {
			pinned = w.ring.pinned
		}
		if !pinned {
			buf, err := w.staging.take(w.ctx)
			if err != nil {
				return err
			}
			j.staged = append(j.staged, staged{buf: buf})
			src = buf[:copy(buf, src)]
		}
		if err := c.stream.ToDevice(j.k.at+driver.Address(at), src); err != nil {
			return err
		}
		at += int64(len(src))
	}
	return nil
}

// sources are where a chunk's weights lie, the lowest first.
func (j *job) sources() (list [][]byte) {
	low := int64(len(j.slot))
	if low > 0 {
		list = append(list, j.slot)
	}
	if low < j.k.size {
		list = append(list, j.p.span(j.k.off+low, j.k.size-low))
	}
	return list
}

func (w *worker) fromDevice(c *copier, j *job) error {
	if w.ring.pinned {
		return c.stream.ToHost(j.slot, j.k.at)
	}
	buf, err := w.staging.take(w.ctx)
	if err != nil {
		return err
	}
	j.staged = append(j.staged, staged{buf, j.slot})
	return c.stream.ToHost(buf[:j.k.size], j.k.at)
}

// copyPageable copies as a program does that pins nothing.
func (w *worker) copyPageable(j *job) error {
	begun := now()
	defer func() { j.took = now() - begun }()
	if j.Kind != wire.CopyIn {
		return driver.CopyToHost(j.slot, j.k.at)
	}
	at := j.k.at
	for _, src := range j.sources() {
		if err := driver.CopyToDevice(at, src); err != nil {
			return err
		}
		at += driver.Address(len(src))
	}
	return nil
}

// endCopy waits for a copy's end and says how it was.
func (w *worker) endCopy(c *copier, j *job) {
	mapped := j.Kind != wire.CopyIn || j.err == nil
	err := j.err
	if err == nil {
		err = w.await(j)
	}
	var verified int64
	if err == nil {
		if verified, err = w.verify(c, j); err == nil && j.Kind == wire.CopyBack {
			j.k.host = j.k.sum
		}
	}
	if err != nil && j.err == nil && j.Kind == wire.CopyIn {
		err = errors.Join(err, w.unmap(j.k))
		mapped = false
	}
	for _, s := range j.staged {
		w.staging.put(s.buf)
	}
	c.reuse(j.marks)
	if w.lost(err) {
		w.fail(err)
		return
	}
	d := wire.Done{Op: j.Op, TookNS: int64(j.took), Verified: units.Bytes(verified)}
	if err == nil && j.Kind == wire.CopyIn {
		j.k.generation++
	}
	j.k.end(mapped)
	if err != nil {
		refuse(&d, j, err)
	} else if j.Kind == wire.CopyIn {
		w.clients.loaded(j.p, j.k)
	}
	w.done(d)
}

// refuse says why a job did not succeed.
func refuse(d *wire.Done, j *job, err error) {
	d.Status, d.Err = host.Failed, clip(fmt.Errorf("component %q: chunk %d: %w", j.p.name, j.k.index, err))
	if j.outOfMemory {
		d.Status = host.OutOfMemory
	}
}

// await waits until a copy has ended on the device, and moves what was staged on.
func (w *worker) await(j *job) error {
	if j.marks == nil {
		return nil
	}
	if err := j.marks.ended.Synchronize(); err != nil {
		return err
	}
	seconds, err := j.marks.ended.Since(j.marks.begun)
	if err != nil {
		return err
	}
	j.took = time.Duration(seconds * float64(time.Second))
	for _, s := range j.staged {
		if s.dst != nil {
			copy(s.dst, s.buf)
		}
	}
	return nil
}

// verify compares what is on the device after a copy with what it was copied from, and
// what was copied back with what is on the device.
func (w *worker) verify(c *copier, j *job) (n int64, err error) {
	if !w.hello.Verify || j.Kind == wire.Read {
		return 0, nil
	}
	k := j.k
	if j.Kind == wire.CopyBack {
		if got := sumOf(j.slot); k.sum != 0 && got != k.sum {
			return 0, errors.New("what was copied back is not what was on the device")
		}
		return k.size, nil
	}
	if k.host == 0 {
		k.host = sumOf(j.sources()...)
	}
	got, err := w.read(c, k)
	if err != nil {
		return 0, err
	}
	k.sum = sumOf(got)
	if k.sum == k.host {
		return k.size, nil
	}
	at := int64(0)
	for _, src := range j.sources() {
		for i := range src {
			if src[i] != got[at] {
				return 0, fmt.Errorf("byte %d of the weights is %#02x on the device and should be %#02x", k.off+at, got[at], src[i])
			}
			at++
		}
	}
	return 0, errors.New("its weights have changed since they were first read")
}

// read copies a chunk from the device to the scratch memory of a copier.
func (w *worker) read(c *copier, k *chunk) ([]byte, error) {
	if c.scratch == nil {
		var err error
		if c.scratch, err = w.ctx.Pinned(w.staging.size); err != nil {
			return nil, err
		}
	}
	got := c.scratch[:k.size]
	if err := c.check.ToHost(got, k.at); err != nil {
		return nil, err
	}
	return got, c.check.Synchronize()
}

// release takes a chunk off the device: first from the clients that see it. When one has
// to give it back, the job comes again when nobody has it.
func (w *worker) release(j *job) {
	var err error
	if !j.asked {
		err = w.prepare(j)
		if j.asked = true; err == nil && w.clients.leave(j) {
			return
		}
	}
	gone := false
	if err == nil {
		err = w.unmap(j.k)
		gone = j.k.handle == (driver.Handle{})
	}
	if w.lost(err) || err != nil && gone { // what has become of its memory is not known
		w.fail(err)
		return
	}
	j.k.end(!gone)
	d := wire.Done{Op: j.Op}
	if err != nil {
		refuse(&d, j, err)
		w.clients.loaded(j.p, j.k) // it is there still
	}
	w.done(d)
}

var start = time.Now()

// now is the time since the worker began.
func now() time.Duration { return time.Since(start) }
