//go:build cuda

// Package worker is the process that has the GPU. It does what its host tells it: makes
// chunks of device memory appear at the addresses of components and fills them, copies
// them back, takes them away, reads them as a call would, and gives them to other processes.
//
// It is a process of its own because some errors of a GPU are final for the process that
// meets them: then the worker says so and ends, the host starts another one and loads
// again what it needs. So nothing here is worth keeping. The weights are the host's: the
// worker sees them through mappings that it cannot write, and what is copied back goes to
// shared memory from which the host takes it when it has come whole.
//
// One goroutine reads messages. Each kind of work has goroutines of its own, locked to a
// thread on which the context is current: those that queue work for the device, and those
// that wait for its end. What a chunk is used for is serialised by the host's engine; the
// worker refuses what would break that (part.go).
//
// The hidden command of the command line serves it, and tests do in their own process. It
// decides nothing and knows no engine.
package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// Config is what a worker can be told beside its messages.
type Config struct {
	// Inject, if set, lets the driver do something wrong in the next call, as an Act asks
	// for. Without it such an Act is refused. It is called on the goroutine that makes the
	// call.
	Inject func(string) error
}

// ErrTold is in an error of Serve that the host has heard of.
var ErrTold = errors.New("the host was told")

// ErrDeviceLost is in the error of Serve when the device is lost to this process.
var ErrDeviceLost = errors.New("the GPU is lost to this process")

type worker struct {
	cfg   Config
	conn  *wire.Conn
	hello wire.Hello
	lib   *driver.Loaded
	ctx   *driver.Context
	gran  int64
	parts []*part
	ring  ring
	pins  pins

	staging *buffers
	demand  *copier // loads that somebody waits for
	ahead   *copier // prefetches
	back    *copier
	others  sync.WaitGroup
	drops   queue[*job]
	uses    queue[*use]
	clients clients

	used atomic.Int64 // device memory of chunks

	sending sync.Mutex
	ended   sync.Once
	failure error         // why it ended
	end     chan struct{} // closed when it did
}

// Serve does what comes over the connection, until it ends. It gives everything back,
// unless the device is lost: then the process should end. The connection is closed.
func Serve(conn *wire.Conn, cfg Config) error {
	w := &worker{cfg: cfg, conn: conn, end: make(chan struct{})}
	defer conn.Close()
	err := w.serve()
	w.ended.Do(func() { close(w.end) })
	if errors.Is(err, ErrDeviceLost) {
		return err
	}
	return errors.Join(err, w.close())
}

func (w *worker) serve() error {
	if err := w.setUp(); err != nil {
		w.fail(err)
		return w.failure
	}
	for {
		var m wire.ToWorker
		files, err := w.conn.Receive(&m)
		select {
		case <-w.end: // the connection was closed for that
			closeAll(files)
			return w.failure
		default:
		}
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = w.take(&m, files)
		}
		if err != nil {
			w.fail(err)
			return w.failure
		}
	}
}

func (w *worker) take(m *wire.ToWorker, files []*os.File) error {
	switch {
	case m.Act != nil:
		return w.act(m.Act)
	case m.Compute != nil:
		p, err := w.part(m.Compute.Component)
		if err != nil {
			return err
		}
		w.uses.push(&use{Compute: *m.Compute, p: p, begun: now()})
		return nil
	case m.Client != nil:
		w.attach(files[0])
		return nil
	case m.Memory != nil:
		return w.memory()
	}
	closeAll(files)
	return errors.New("a message that belongs to the beginning")
}

// memory answers how much device memory nobody uses.
func (w *worker) memory() error {
	free, _, err := w.ctx.Memory()
	m := wire.Memory{Free: units.Bytes(free)}
	if err != nil {
		m = wire.Memory{Err: clip(err)}
	}
	w.say(&wire.FromWorker{Memory: &m})
	if w.lost(err) {
		return err
	}
	return nil
}

// lost reports whether an error means that the device is. The driver does not always say
// so in the call that finds it out, but in every one after it.
func (w *worker) lost(err error) bool {
	if err == nil || driver.Sticky(err) || driver.OutOfMemory(err) {
		return driver.Sticky(err)
	}
	_, _, again := w.ctx.Memory()
	return driver.Sticky(again)
}

// fail ends the worker with a reason, which the host hears of. Without the device, no
// goroutine may touch it any more.
func (w *worker) fail(err error) {
	w.ended.Do(func() {
		if w.ctx != nil && w.lost(err) {
			err = fmt.Errorf("%w: %w", ErrDeviceLost, err)
		}
		w.failure = fmt.Errorf("%w: %w", ErrTold, err)
		w.say(&wire.FromWorker{Failed: &wire.Failed{Err: clip(err)}})
		close(w.end)
		w.conn.Close()
	})
}

// say sends a message.
func (w *worker) say(m *wire.FromWorker) {
	w.sending.Lock()
	defer w.sending.Unlock()
	w.send(m)
}

// send sends it when nobody else does. A host that cannot hear it has to notice: the
// connection ends then, if it has not already.
func (w *worker) send(m *wire.FromWorker) {
	if w.conn.Send(m) != nil {
		w.conn.Close()
	}
}

func (w *worker) done(d wire.Done) {
	w.sending.Lock()
	defer w.sending.Unlock()
	d.Used = units.Bytes(w.used.Load()) // what is said later is later
	w.send(&wire.FromWorker{Done: &d})
}

// part finds a component.
func (w *worker) part(i int) (*part, error) {
	if i >= len(w.parts) {
		return nil, fmt.Errorf("component %d of %d", i, len(w.parts))
	}
	return w.parts[i], nil
}

// close gives everything back, when all that the device was given has ended.
func (w *worker) close() (err error) {
	if w.ctx == nil {
		return nil
	}
	w.clients.close()
	w.stop()
	keep := func(e error) { err = errors.Join(err, e) }
	keep(w.ctx.Bind())
	keep(w.ctx.Synchronize())
	for _, p := range w.parts {
		keep(p.close(w))
	}
	keep(w.pins.close(w.ctx))
	for _, p := range w.parts {
		keep(p.unmapHost())
	}
	keep(w.ring.close())
	if w.staging != nil {
		keep(w.staging.close(w.ctx))
	}
	for _, c := range w.copiers() {
		keep(c.close(w.ctx))
	}
	keep(w.ctx.Close())
	return err
}

func (w *worker) copiers() (list []*copier) {
	for _, c := range []*copier{w.demand, w.ahead, w.back} {
		if c != nil {
			list = append(list, c)
		}
	}
	return list
}

// stop lets all goroutines end: what was not begun is not done any more.
func (w *worker) stop() {
	for _, c := range w.copiers() {
		c.jobs.close()
	}
	w.drops.close()
	w.uses.close()
	w.others.Wait()
}

func clip(err error) string { return wire.Clip(err.Error()) }

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// mapShared maps a descriptor of shared memory of a size that cannot change.
func mapShared(f *os.File, size int64, prot int) ([]byte, error) {
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, errors.New("shared memory that could shrink while it is read: want it sealed against that")
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if stat.Size < size {
		return nil, fmt.Errorf("shared memory of %d bytes: want %d", stat.Size, size)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), prot, unix.MAP_SHARED)
	return mem, os.NewSyscallError("mmap", err)
}
