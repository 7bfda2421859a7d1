//go:build cuda

package worker

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// setUp takes the messages of the beginning and answers with Ready.
func (w *worker) setUp() error {
	var m wire.ToWorker
	files, err := w.conn.Receive(&m)
	if err != nil {
		return err
	}
	if m.Hello == nil {
		closeAll(files)
		return errors.New("the first message says no hello")
	}
	w.hello = *m.Hello
	if w.lib, err = driver.Load(); err != nil {
		return err
	}
	ready := wire.Ready{Library: w.lib.Path, Driver: w.lib.Version, Missing: w.lib.Missing}
	list, err := driver.GPUs()
	if err != nil {
		return err
	}
	for _, g := range list {
		ready.GPUs = append(ready.GPUs, describe(&g))
	}
	if len(list) > 0 || w.hello.Components > 0 {
		if err := w.openGPU(&ready); err != nil {
			return err
		}
	}
	if w.hello.Components > 0 {
		if err := w.build(); err != nil {
			return err
		}
		ready.Pinned, ready.Unpinned = units.Bytes(w.pins.bytes), w.pins.why
	}
	w.say(&wire.FromWorker{Ready: &ready})
	return nil
}

func describe(g *driver.GPU) wire.GPU {
	return wire.GPU{Name: g.Name, UUID: g.UUID, PCI: g.PCI, Total: units.Bytes(g.Total), VirtualMemory: g.VirtualMemory, Export: g.Export, ReadOnlyPin: g.ReadOnlyPin}
}

// openGPU opens the device's context.
func (w *worker) openGPU(ready *wire.Ready) error {
	g, err := driver.Find(w.hello.GPU)
	if err != nil {
		return err
	}
	ready.GPU = describe(&g)
	if !g.VirtualMemory {
		return fmt.Errorf("%s (%s) has no virtual memory management, which chunks need", g.Name, g.UUID)
	}
	if w.ctx, err = driver.Open(g); err != nil {
		return err
	}
	if err := w.ctx.Bind(); err != nil {
		return err
	}
	if err := w.ctx.TryExport(); err != nil {
		return err
	}
	ready.GPU.Export = w.ctx.GPU.Export
	for i := range ready.GPUs {
		if ready.GPUs[i].UUID == g.UUID {
			ready.GPUs[i].Export = w.ctx.GPU.Export
		}
	}
	if w.gran, err = w.ctx.Granularity(); err != nil {
		return err
	}
	free, _, err := w.ctx.Memory()
	ready.Granularity, ready.Free = units.Bytes(w.gran), units.Bytes(free)
	return err
}

// build takes the components and starts what works on them.
func (w *worker) build() error {
	geo, err := host.Config{Budget: 1, Chunk: w.hello.Chunk, Granularity: w.hello.Granularity}.WithDefaults()
	if err != nil {
		return err
	}
	if int64(geo.Granularity)%w.gran != 0 {
		return fmt.Errorf("granularity %v: want a multiple of the device's %v", geo.Granularity, units.Bytes(w.gran))
	}
	w.pins = pins{left: int64(w.hello.Pin), off: w.hello.Pageable}
	w.clients.init(w)
	for len(w.parts) < w.hello.Components {
		if err := w.takePart(int64(geo.Chunk), int64(geo.Granularity)); err != nil {
			return err
		}
	}
	if w.hello.Slots > 0 {
		if err := w.takeRing(int64(geo.Chunk)); err != nil {
			return err
		}
	}
	return w.start(int64(geo.Chunk))
}

func (w *worker) takePart(chunk, gran int64) error {
	var m wire.ToWorker
	files, err := w.conn.Receive(&m)
	if err != nil {
		return unexpected(err)
	}
	defer closeAll(files)
	if m.Component == nil {
		return fmt.Errorf("%d components have come of %d", len(w.parts), w.hello.Components)
	}
	p, err := newPart(w, len(w.parts), m.Component, chunk, gran)
	if err != nil {
		return fmt.Errorf("component %q: %w", m.Component.Name, err)
	}
	w.parts = append(w.parts, p)
	if held := p.size - p.file; held > 0 {
		if err := w.pinPart(p, files[0], held); err != nil {
			return fmt.Errorf("component %q: %w", p.name, err)
		}
	}
	return nil
}

// pinPart maps a component's memory, for reading alone, and pins it if it can. Where the
// device cannot pin what must not be written, it is pinned before that is forbidden; the
// host may have sealed it against that.
func (w *worker) pinPart(p *part, f *os.File, n int64) (err error) {
	if !w.ctx.GPU.ReadOnlyPin && !w.pins.off {
		if p.mem, err = mapShared(f, n, unix.PROT_READ|unix.PROT_WRITE); err == nil {
			p.pinned = w.pins.try(w.ctx, p.mem, false)
			return os.NewSyscallError("mprotect", unix.Mprotect(p.mem, unix.PROT_READ))
		}
	}
	if p.mem, err = mapShared(f, n, unix.PROT_READ); err != nil {
		return err
	}
	p.pinned = w.pins.try(w.ctx, p.mem, true)
	return nil
}

func (w *worker) takeRing(chunk int64) error {
	var m wire.ToWorker
	files, err := w.conn.Receive(&m)
	if err != nil {
		return unexpected(err)
	}
	defer closeAll(files)
	if m.Ring == nil {
		return errors.New("the ring's memory has not come")
	}
	mem, err := mapShared(files[0], chunk*int64(w.hello.Slots), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return fmt.Errorf("the ring: %w", err)
	}
	// Beside the budget, which is for weights.
	p := pins{left: int64(len(mem)), off: w.pins.off}
	w.ring = ring{mem: mem, chunk: chunk, pinned: p.try(w.ctx, mem, false)}
	w.pins.list = append(w.pins.list, p.list...)
	return nil
}

// start starts the goroutines. Each has the context current on its thread before it does
// anything; one that cannot fails the worker.
func (w *worker) start(chunk int64) (err error) {
	w.staging = newBuffers(chunk)
	least, most, err := w.ctx.Priorities()
	if err != nil {
		return err
	}
	for _, c := range []struct {
		to       **copier
		priority int
	}{{&w.demand, most}, {&w.ahead, least}, {&w.back, most}} {
		if *c.to, err = newCopier(w, c.priority); err != nil {
			return err
		}
	}
	w.drops.init()
	w.uses.init()
	for _, c := range w.copiers() {
		w.goBound(func() {
			defer c.waits.finish() // the device has what was queued
			for j, ok := c.jobs.pop(); ok; j, ok = c.jobs.pop() {
				w.queueCopy(c, j)
			}
		})
		w.goBound(func() {
			for j, ok := c.waits.pop(); ok; j, ok = c.waits.pop() {
				w.endCopy(c, j)
			}
		})
	}
	w.goBound(func() {
		for j, ok := w.drops.pop(); ok; j, ok = w.drops.pop() {
			w.release(j)
		}
	})
	w.goBound(w.compute)
	return nil
}

func (w *worker) goBound(f func()) {
	w.others.Go(func() {
		if err := w.ctx.Bind(); err != nil {
			w.fail(err)
			return
		}
		f()
	})
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
