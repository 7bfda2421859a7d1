package shm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/realtime"
	"github.com/offhost/offhost/host/units"
)

// Device implements host.Worker. Submit, Compute, Lose, Restore, Stats and Trim may be
// called from any goroutine; Wait and Now from one at a time.
type Device struct {
	cfg   Config
	inbox *realtime.Inbox
	pool  *pool
	space *space
	parts []*component
	crew  *crew

	in, back, releases, computes lane
	link                         [2]schedule // of in and back
	workers                      sync.WaitGroup

	mu       sync.Mutex
	inFlight int    // submitted, will complete
	epoch    uint32 // how often the device was lost
	lost     bool
	closed   bool
	halt     chan struct{} // closed when what runs is to end early: the device is lost, or closed
	stats    Stats
	verified atomic.Int64
}

var _ host.Worker = (*Device)(nil)

// component is a component's address range and its chunks.
type component struct {
	Component
	chunks []chunk
	mem    []byte // the range, of which only mapped chunks may be touched
}

// chunk is a part of a component. Its lock is held while its memory is worked on.
type chunk struct {
	mu    sync.Mutex
	index int
	off   int64 // in the component
	size  int64 // of its weights
	alloc int64
	block *block // nil when it is not on the device
	sums  []sum  // what its pieces are on the device, while they are known
	host  []sum  // and in host memory
}

// New returns a device that runs, and whose clock begins, when it is ready. Close it.
func New(cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("shm device: %w", err)
	}
	d := &Device{cfg: cfg, halt: make(chan struct{})}
	d.link[0] = schedule{rate: cfg.Pace.H2D, latency: cfg.Pace.Latency}
	d.link[1] = schedule{rate: cfg.Pace.D2H, latency: cfg.Pace.Latency}
	if err := d.build(); err != nil {
		return nil, fmt.Errorf("shm device: %w", err)
	}
	d.inbox = realtime.NewInbox()
	d.crew = newCrew(cfg.Workers-1, &d.workers)
	for l, work := range map[*lane]func(*job){&d.in: d.copyIn, &d.back: d.copyBack, &d.releases: d.release, &d.computes: d.compute} {
		d.workers.Go(func() { l.run(work) })
	}
	return d, nil
}

func (d *Device) lanes() []*lane { return []*lane{&d.in, &d.back, &d.releases, &d.computes} }

// build lays out the address space and the pool of memory.
func (d *Device) build() (err error) {
	defer func() {
		if err != nil {
			_ = d.teardown()
		}
	}()
	for _, l := range d.lanes() {
		if err := l.init(); err != nil {
			return err
		}
	}
	geo, gran := int64(d.cfg.Chunk), int64(d.cfg.Granularity)
	roundUp := func(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
	var total int64
	for _, k := range d.cfg.Components {
		total += roundUp(int64(k.Bytes), max(gran, alignment))
	}
	d.pool = newPool(int64(d.cfg.Budget))
	if d.space, err = reserve(total); err != nil {
		return err
	}
	var at int64
	for _, k := range d.cfg.Components {
		c := &component{Component: k}
		size := roundUp(int64(k.Bytes), gran)
		c.mem = d.space.mem[at : at+size : at+size]
		at += roundUp(int64(k.Bytes), max(gran, alignment))
		c.chunks = make([]chunk, (size+geo-1)/geo)
		for i := range c.chunks {
			off := int64(i) * geo
			c.chunks[i] = chunk{index: i, off: off, alloc: min(geo, size-off), size: min(geo, int64(k.Bytes)-off)}
		}
		d.parts = append(d.parts, c)
	}
	if d.cfg.Populate {
		return d.pool.populate(geo)
	}
	return nil
}

// teardown gives back what build has taken, when nothing runs any more.
func (d *Device) teardown() error {
	for _, l := range d.lanes() {
		l.alarm.close()
	}
	d.dropAll()
	if d.space == nil {
		return nil
	}
	return d.space.release()
}

// Submit implements host.Device.
func (d *Device) Submit(a host.Action) {
	j := &job{action: a, submitted: d.inbox.Elapsed()}
	if d.cfg.Fault != nil {
		j.fault = d.cfg.Fault(a)
	}
	if err := d.locate(j); err != nil {
		j.fault.Status, j.err = host.Failed, err
	}
	if !d.admit(j) {
		return
	}
	switch a.Kind {
	case host.ActCopyIn:
		d.feed(j)
		d.in.push(j, a.Demand)
	case host.ActCopyBack:
		d.back.push(j, true)
	case host.ActRelease:
		d.releases.push(j, true)
	default:
		d.complete(j, host.Failed, fmt.Errorf("%v is no action of a device", a.Kind))
	}
}

// Compute implements host.Worker.
func (d *Device) Compute(call host.CallID, c host.ID, least time.Duration) {
	j := &job{action: host.Action{Component: c, Call: call}, submitted: d.inbox.Elapsed(), least: least}
	if int(c) < len(d.parts) {
		j.c = d.parts[c]
	} else {
		j.err = fmt.Errorf("component %d: there are %d", c, len(d.parts))
	}
	if d.admit(j) {
		d.computes.push(j, true)
	}
}

// locate finds the chunk of an action, and checks that both sides cut it alike.
func (d *Device) locate(j *job) error {
	a := &j.action
	if int(a.Component) >= len(d.parts) {
		return fmt.Errorf("component %d: there are %d", a.Component, len(d.parts))
	}
	c := d.parts[a.Component]
	if a.Chunk < 0 || a.Chunk >= len(c.chunks) {
		return fmt.Errorf("component %q: chunk %d: it has %d", c.Name, a.Chunk, len(c.chunks))
	}
	j.c, j.k = c, &c.chunks[a.Chunk]
	if a.Kind != host.ActRelease && a.Weights != units.Bytes(j.k.size) || a.Alloc != units.Bytes(j.k.alloc) || a.File < 0 || a.File > a.Weights {
		return fmt.Errorf("component %q: %v of chunk %d takes %d bytes for %d of weights, %d of them in a file: want %d and %d", c.Name, a.Kind, a.Chunk,
			a.Alloc, a.Weights, a.File, j.k.alloc, j.k.size)
	}
	return nil
}

// admit counts a job as in flight. It is false when the device is closed, or lost: then
// the job is completed already.
func (d *Device) admit(j *job) bool {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return false
	}
	j.epoch, j.halt = d.epoch, d.halt
	if !j.fault.Silent {
		d.inFlight++
	}
	lost := d.lost
	d.mu.Unlock()
	if lost {
		d.complete(j, host.Lost, host.ErrLost)
	}
	return !lost
}

// current reports whether the device that a job was submitted to is still there. Whoever
// holds the lock of a chunk and finds it so may work on it: Lose takes each lock.
func (d *Device) current(j *job) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return j.epoch == d.epoch && !d.closed
}

// complete tells how a job ended, at this moment.
func (d *Device) complete(j *job, st host.Status, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j.epoch != d.epoch {
		st, err = host.Lost, host.ErrLost
	}
	c := host.Completion{Op: j.action.Op, Call: j.action.Call, Status: st, Err: err}
	if c.Call != 0 {
		c.Op, c.Status = 0, host.OK
	}
	if j.fault.Silent || d.closed {
		return
	}
	if err != nil && c.Call == 0 && st != host.Lost { // a call's error is in its completion
		d.cfg.Logger.Warn("device action failed", "kind", j.action.Kind, "chunk", j.action.Chunk, "status", st, "error", err)
	}
	d.inbox.Put(c)
	d.inFlight--
}

// Wait implements host.Device. An action whose completion is never told is not in flight.
func (d *Device) Wait(until time.Duration) (host.Completion, bool) {
	return d.inbox.Wait(until, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.inFlight > 0
	})
}

// Now implements host.Device.
func (d *Device) Now() time.Duration { return d.inbox.Now() }

// Memory is the address range of a component, which never changes. Only the chunks that
// are on the device may be touched, and what a call does not hold may leave any time.
func (d *Device) Memory(c host.ID) []byte { return d.parts[c].mem }

// Trim gives memory back that released chunks have left populated for the next loads,
// until keep is left.
func (d *Device) Trim(keep units.Bytes) { d.pool.trim(int64(keep)) }

// Close ends what runs and gives everything back: goroutines, descriptors, mappings.
// What is in flight does not complete any more. A second Close does nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	close(d.halt)
	d.inbox.Close()
	d.mu.Unlock()
	for _, l := range d.lanes() {
		l.close()
	}
	d.crew.close()
	d.workers.Wait()
	return d.teardown()
}
