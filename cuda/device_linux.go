package cuda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/realtime"
	"github.com/offhost/offhost/host/units"
)

// slots is how many chunks can be in the ring: two copies are in flight in each direction,
// and one may be late.
const slots = 6

// Device implements host.Worker. Submit, Compute, Lose and Stats may be called from any
// goroutine; Wait, Now and Restore from one at a time.
type Device struct {
	cfg   Config
	inbox *realtime.Inbox
	ring  *ring
	alive context.Context // until Close
	end   context.CancelFunc

	mu       sync.Mutex
	p        *process        // nil while the device is lost
	old      *process        // the last one that was
	working  *sync.WaitGroup // the goroutines of the present or last worker
	out      *outbox
	asked    []chan<- units.Bytes // of free memory, in order
	info     Info
	epoch    int // of the worker
	acts     map[host.OpID]*act
	computes map[host.CallID]bool
	lost     bool
	closed   bool
	stats    Stats
	why      error // the last worker ended
	reads    host.OpID
}

var (
	_ host.Worker   = (*Device)(nil)
	_ host.Restorer = (*Device)(nil)
)

// act is an action in flight.
type act struct {
	host.Action
	slot   int
	silent bool
	read   chan<- []byte // of a chunk that is read
}

// New starts a worker and gives it the components. Close the device. The context is for
// the start, which takes as long as pinning does.
func New(ctx context.Context, cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("cuda device: %w", err)
	}
	d := &Device{cfg: cfg, inbox: realtime.NewInbox(), acts: map[host.OpID]*act{}, computes: map[host.CallID]bool{}}
	d.alive, d.end = context.WithCancel(context.Background())
	if d.ring, err = newRing(slots, int64(cfg.Chunk)); err == nil {
		if err = d.startWorker(ctx); err != nil {
			err = errors.Join(err, d.ring.close())
		}
	}
	if err != nil {
		d.end()
		return nil, fmt.Errorf("cuda device: %w", err)
	}
	return d, nil
}

var errClosed = errors.New("it is closed")

// startWorker starts a worker and waits until it is ready.
func (d *Device) startWorker(ctx context.Context) error {
	p, ready, err := begin(ctx, &d.cfg, d.introduce)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.Join(errClosed, p.kill())
	}
	d.p, d.lost, d.why = p, false, nil
	d.info = infoOf(ready)
	d.working = new(sync.WaitGroup)
	d.out = newOutbox()
	epoch, out := d.epoch, d.out
	d.working.Go(func() { d.hear(p, epoch, out) })
	d.working.Go(func() { out.run(p.conn) })
	return nil
}

// introduce tells a worker what it is for.
func (d *Device) introduce(p *process) error {
	c := &d.cfg
	hello := wire.Hello{Version: wire.Version, GPU: c.GPU, Components: len(c.Components), Chunk: c.Chunk, Granularity: c.Granularity,
		Slots: slots, Verify: c.Verify, Pageable: c.Pageable, Pin: c.Pin}
	if err := tell(p, &wire.ToWorker{Hello: &hello}); err != nil {
		return err
	}
	for i := range c.Components {
		if err := d.present(p, &c.Components[i]); err != nil {
			return err
		}
	}
	if len(c.Components) == 0 {
		return nil
	}
	return tell(p, &wire.ToWorker{Ring: &wire.Ring{}}, d.ring.file)
}

func (d *Device) present(p *process, c *Component) error {
	m := &wire.ToWorker{Component: &wire.Component{Name: c.Name, Bytes: c.Bytes, File: c.FileBytes, ReadOnly: c.ReadOnly}}
	if c.Bytes == c.FileBytes {
		return tell(p, m)
	}
	f, err := c.Source.Memory()
	if err != nil {
		return fmt.Errorf("component %q: %w", c.Name, err)
	}
	defer f.Close()
	return tell(p, m, f)
}

// Info says what the device is. It is that of the present worker, or the last one.
func (d *Device) Info() Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info
}

// hear takes what a worker says until it ends.
func (d *Device) hear(p *process, epoch int, out *outbox) {
	why := errors.New("the worker has ended")
	for {
		var m wire.FromWorker
		_, err := p.conn.Receive(&m)
		if err == io.EOF {
			break
		}
		if err == nil && m.Ready != nil {
			err = errors.New("the worker is ready twice")
		}
		if err != nil {
			why = err
			break
		}
		switch {
		case m.Failed != nil:
			why = errors.New(m.Failed.Err) // and it ends
		case m.Memory != nil:
			d.measured(m.Memory)
		default:
			d.ended(m.Done, epoch)
		}
	}
	if err := out.failed(); err != nil {
		why = fmt.Errorf("nothing can be said to the worker: %w", err)
	}
	d.mu.Lock()
	if d.closed { // it has things to give back
		d.mu.Unlock()
		return
	}
	told := d.epoch == epoch && !d.lost
	if told {
		d.lose(why)
	}
	d.mu.Unlock()
	err := p.kill()
	if told {
		d.cfg.Logger.Warn("the CUDA worker has ended: what was on the device is lost", "reason", why, "exit", errors.Join(p.exit(), err))
	}
}

// lose books that all is lost; the caller holds the lock.
func (d *Device) lose(why error) {
	d.lost, d.why = true, why
	d.epoch++
	d.p, d.old = nil, d.p
	d.out.close()
	d.stats.Used = 0
	for op, a := range d.acts {
		delete(d.acts, op)
		d.free(a)
		if a.read != nil {
			close(a.read)
		} else if !a.silent {
			d.inbox.Put(host.Completion{Op: op, Status: host.Lost})
		}
	}
	for _, ask := range d.asked {
		close(ask)
	}
	d.asked = nil
	for call := range d.computes {
		delete(d.computes, call)
		d.inbox.Put(host.Completion{Call: call, Err: fmt.Errorf("%w: %w", host.ErrLost, why)})
	}
}

// Lose makes the device what it is after the worker has died: it kills it.
func (d *Device) Lose() {
	d.mu.Lock()
	p, working := d.p, d.working
	if p == nil || d.closed {
		d.mu.Unlock()
		return
	}
	d.lose(errors.New("the worker was killed"))
	d.mu.Unlock()
	if err := p.kill(); err != nil {
		d.cfg.Logger.Warn("the CUDA worker was to end", "error", err)
	}
	working.Wait()
}

// Restore starts another worker. The device is empty then.
func (d *Device) Restore() error {
	d.mu.Lock()
	closed, lost, old, working := d.closed, d.lost, d.old, d.working
	d.mu.Unlock()
	switch {
	case closed:
		return fmt.Errorf("cuda device: %w", errClosed)
	case !lost:
		return errors.New("cuda device: it was not lost")
	}
	// What the last one had is free when it is gone.
	err := old.await(reaping)
	if err == nil {
		working.Wait()
		err = d.startWorker(d.alive)
	}
	if err != nil {
		return fmt.Errorf("cuda device: another worker: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Restored++
	return nil
}

// Close ends the worker, which gives everything back. What is in flight does not complete
// any more. The error is how the worker ended, if not well. A second Close does nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.end()
	p, working := d.p, d.working
	d.out.close()
	for _, ask := range d.asked {
		close(ask)
	}
	d.asked = nil
	d.mu.Unlock()
	d.inbox.Close()
	var err error
	if p != nil {
		err = p.quit()
	}
	working.Wait()
	return errors.Join(err, d.ring.close())
}

// Wait implements host.Device. An action whose completion is never told is not in flight.
func (d *Device) Wait(until time.Duration) (host.Completion, bool) {
	return d.inbox.Wait(until, d.awaits)
}

// Now implements host.Device.
func (d *Device) Now() time.Duration { return d.inbox.Now() }

// awaits says whether anything that is in flight will complete.
func (d *Device) awaits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.acts {
		if !a.silent && a.read == nil {
			return true
		}
	}
	return len(d.computes) > 0
}

var _ host.Meter = (*Device)(nil)

// Free implements host.Meter.
func (d *Device) Free() (units.Bytes, bool) {
	answer := make(chan units.Bytes, 1)
	d.mu.Lock()
	if d.lost || d.closed {
		d.mu.Unlock()
		return 0, false
	}
	d.asked = append(d.asked, answer)
	d.out.push(&wire.ToWorker{Memory: &wire.Memory{}})
	d.mu.Unlock()
	n, ok := <-answer
	return n, ok
}

func (d *Device) measured(m *wire.Memory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.asked) == 0 {
		return
	}
	if m.Err == "" {
		d.asked[0] <- m.Free
	}
	close(d.asked[0])
	d.asked = d.asked[1:]
}

// Stats is what a device did so far. Bytes are of weights.
type Stats struct {
	H2D, D2H units.Bytes // copied, by copies that succeeded
	File     units.Bytes // of H2D, read from files
	Verified units.Bytes // read back and compared

	Loads, CopiesBack, Releases int64
	// BusyH2D and BusyD2H are how long copies took, by the device's clock.
	BusyH2D, BusyD2H time.Duration
	Used             units.Bytes // device memory of chunks
	Restored         int         // workers that were started after the first
}

// Stats returns what was done so far.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}
