package runtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// An instance is what is lost with a trap.
type instance struct {
	mod    api.Module
	mem    api.Memory
	event  api.Function
	fuel   api.MutableGlobal // nil without counters
	stack  api.Global
	window uint32 // address
	saved  uint64 // fuel that the last event left
	// memoryStart and memoryLimit are what the memory had at first and may have, in bytes.
	memoryStart, memoryLimit int
	// components is how many it was told of, by their highest id.
	components uint32
	random     *rand.ChaCha8
}

// Revive makes the policy usable again after an error of Decide. fresh says that
// the instance was lost or given back and a new one has taken its place, which knows
// nothing yet: its configuration and all components have to be told again. It has
// saved no fuel, so that trapping never earns any.
func (p *Policy) Revive() (fresh bool, err error) {
	if p.in != nil {
		return false, nil
	}
	if err := p.start(context.Background()); err != nil {
		return false, p.refuse("start", err)
	}
	return true, nil
}

// Suspend gives back the instance and its memory, and keeps what was compiled and
// counted. The policy answers no event until Revive has made a fresh instance.
func (p *Policy) Suspend() {
	if err := p.drop(); err != nil {
		p.logger.Warn("suspending", "policy", p.info.Name, "problem", err)
	}
}

// start makes an instance, runs what the module wants to run first and borrows the
// window.
func (p *Policy) start(ctx context.Context) error {
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	inMemory, discard := withMemory(ctx)
	mod, err := p.rt.InstantiateModule(inMemory, p.compiled, config)
	if err != nil {
		discard()
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	in := &instance{mod: mod, mem: mod.Memory(), event: mod.ExportedFunction(meter.EntryFunction), random: rand.NewChaCha8(p.seed)}
	in.memoryStart, in.memoryLimit = int(in.mem.Size()), int(p.memoryPages)<<16
	if most, ok := in.mem.Definition().Max(); ok {
		in.memoryLimit = min(in.memoryLimit, int(most)<<16)
	}
	if g, ok := mod.ExportedGlobal(meter.FuelGlobal).(api.MutableGlobal); ok {
		in.fuel, in.stack = g, mod.ExportedGlobal(meter.StackGlobal)
		in.fuel.Set(p.startFuel)
	} else {
		in.event = mod.ExportedFunction(abi.ExportEvent)
	}
	p.in = in // host functions need it
	p.log.begin(0, false)
	if err := p.borrow(ctx, in); err != nil {
		return errors.Join(err, p.drop())
	}
	if in.fuel != nil {
		p.used += p.startFuel - in.fuel.Get()
	}
	return nil
}

func (p *Policy) borrow(ctx context.Context, in *instance) error {
	for _, name := range []string{meter.StartFunction, abi.ExportInit} {
		f := in.mod.ExportedFunction(name)
		if f == nil {
			continue
		}
		if err := f.CallWithStack(ctx, nil); err != nil {
			fn, reason := p.explain(in, p.startFuel, err)
			return fmt.Errorf("%w: %s%s: %w", ErrStart, name, within(fn), reason)
		}
	}
	p.call[0] = uint64(p.windowSize)
	if err := in.mod.ExportedFunction(abi.ExportBuffer).CallWithStack(ctx, p.call[:]); err != nil {
		fn, reason := p.explain(in, p.startFuel, err)
		return fmt.Errorf("%w: %s%s: %w", ErrWindow, abi.ExportBuffer, within(fn), reason)
	}
	in.window = uint32(p.call[0])
	switch {
	case in.window == 0:
		return fmt.Errorf("%w: the module refuses to lend %d bytes", ErrWindow, p.windowSize)
	case in.window%abi.WindowAlign != 0:
		return fmt.Errorf("%w: the address %#x is no multiple of %d", ErrWindow, in.window, abi.WindowAlign)
	}
	if _, ok := in.mem.Read(in.window, p.windowSize); !ok {
		return fmt.Errorf("%w: %d bytes at %#x do not lie in a memory of %d", ErrWindow, p.windowSize, in.window, in.mem.Size())
	}
	return nil
}

func (p *Policy) drop() error {
	in := p.in
	if in == nil {
		return nil
	}
	p.in = nil
	p.log.flush()
	if err := in.mod.Close(context.Background()); err != nil {
		return fmt.Errorf("close instance: %w", err)
	}
	return nil
}

// view is the window. It holds until the guest runs again, which may grow the memory
// and so move it.
func (p *Policy) view(in *instance) ([]byte, error) {
	view, ok := in.mem.Read(in.window, p.windowSize)
	if !ok {
		return nil, fmt.Errorf("%w: the window at %#x is outside", ErrMemory, in.window)
	}
	return view, nil
}
