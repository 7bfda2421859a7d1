package runtime

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// A Policy is a loaded module. It has one instance and is for one goroutine at a
// time: events have an order.
type Policy struct {
	info       Info
	digest     [32]byte
	logger     *slog.Logger
	fuel       uint64 // an event's
	startFuel  uint64
	stackBytes uint32
	windowSize uint32

	rt       wazero.Runtime
	compiled wazero.CompiledModule
	in       *instance // nil when lost
	log      guestLog

	now  uint64 // the current event's time
	used uint64 // fuel
	out  []abi.Decision
	call [1]uint64 // argument and result
}

// An instance is what is lost with a trap.
type instance struct {
	mod    api.Module
	mem    api.Memory
	event  api.Function
	fuel   api.MutableGlobal // nil without counters
	stack  api.Global
	window uint32 // address
	random *rand.ChaCha8
}

// Info says what was loaded.
type Info struct {
	Metadata
	Name    string // see Config.Name
	SHA256  string // of the module, in hexadecimal
	ABI     string
	Size    int // of the module, in bytes
	Engine  string
	Imports []string // WASI functions
	Exports []string // the ABI's exports that it has
	Window  int      // bytes
}

// Info returns what is known of the module.
func (p *Policy) Info() Info { return p.info }

// FuelUsed returns the fuel spent since Load. An event that ended in a trap counts
// with all the fuel it was given.
func (p *Policy) FuelUsed() uint64 { return p.used }

// Decide tells the policy an event and returns its answer, which is valid until
// the next call. payload has to fit the window that Config.MaxPayload asked for;
// Decide sets ev.PayloadLen. What the policy does wrong is a *Fault; after those
// that lose the instance, Revive has to be called.
func (p *Policy) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	in := p.in
	if in == nil {
		return nil, p.fault(ev, "", ErrLost)
	}
	view, ok := in.mem.Read(in.window, p.windowSize)
	if !ok {
		return nil, p.lose(ev, "", fmt.Errorf("%w: the window at %#x is outside", ErrMemory, in.window))
	}
	room := view[abi.EventArea : p.windowSize-abi.DecisionArea]
	if len(payload) > len(room) {
		return nil, fmt.Errorf("event %d %v: a payload of %d bytes does not fit the window, which takes %d", ev.Seq, ev.Kind, len(payload), len(room))
	}
	ev.PayloadLen = uint32(len(payload))
	abi.PutEvent(view, ev)
	clear(view[abi.EventSize:abi.EventArea])
	copy(room, payload)

	p.now = ev.Time
	p.log.lines = maxEventLines
	if in.fuel != nil {
		in.fuel.Set(p.fuel)
	}
	p.call[0] = abi.EventSize
	if err := in.event.CallWithStack(context.Background(), p.call[:]); err != nil {
		fn, reason := p.explain(in, p.fuel, err)
		p.used += p.fuel
		return nil, p.lose(ev, fn, reason)
	}
	if in.fuel != nil {
		p.used += p.fuel - in.fuel.Get()
	}
	n := int32(uint32(p.call[0]))
	if n < 0 {
		return nil, p.fault(ev, "", fmt.Errorf("%w: it returned %d", ErrGaveUp, n))
	}
	// The view may be stale: the memory moves when it grows.
	if view, ok = in.mem.Read(in.window, p.windowSize); !ok {
		return nil, p.lose(ev, "", fmt.Errorf("%w: the window at %#x is outside", ErrMemory, in.window))
	}
	out, err := abi.AppendDecisions(p.out[:0], view[p.windowSize-abi.DecisionArea:], int(n))
	p.out = out
	if err != nil {
		return nil, p.fault(ev, "", err)
	}
	return out, nil
}

func (p *Policy) fault(ev *abi.Event, fn string, err error) error {
	return &Fault{Policy: p.info.Name, SHA256: p.info.SHA256, Seq: ev.Seq, Kind: ev.Kind, Func: fn, Err: err}
}

// lose gives up the instance: its memory may be half written.
func (p *Policy) lose(ev *abi.Event, fn string, err error) error {
	fault := p.fault(ev, fn, err)
	p.log.flush()
	if closeErr := p.drop(); closeErr != nil {
		fault = errors.Join(fault, closeErr)
	}
	return fault
}

func (p *Policy) drop() error {
	in := p.in
	if in == nil {
		return nil
	}
	p.in = nil
	if err := in.mod.Close(context.Background()); err != nil {
		return fmt.Errorf("close instance: %w", err)
	}
	return nil
}

// Revive makes the policy usable again after an error of Decide. fresh says that
// the instance was lost and a new one has taken its place, which knows nothing yet:
// its configuration and all components have to be told again.
func (p *Policy) Revive() (fresh bool, err error) {
	if p.in != nil {
		return false, nil
	}
	if err := p.start(context.Background()); err != nil {
		return false, p.refuse("start", err)
	}
	return true, nil
}

// Suspend gives the instance back with its memory; Revive brings a fresh one.
func (p *Policy) Suspend() {
	p.log.flush()
	if err := p.drop(); err != nil {
		p.logger.Warn("suspending", "policy", p.info.Name, "problem", err)
	}
}

// start makes an instance, runs what the module wants to run first and borrows the
// window.
func (p *Policy) start(ctx context.Context) error {
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := p.rt.InstantiateModule(withMemory(ctx), p.compiled, config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	in := &instance{mod: mod, mem: mod.Memory(), event: mod.ExportedFunction(abi.ExportEvent), random: rand.NewChaCha8(p.digest)}
	if g, ok := mod.ExportedGlobal(meter.FuelGlobal).(api.MutableGlobal); ok {
		in.fuel, in.stack = g, mod.ExportedGlobal(meter.StackGlobal)
	}
	p.in = in // host functions need it
	p.log.lines = maxEventLines
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
			_, reason := p.explain(in, p.startFuel, err)
			return fmt.Errorf("%w: %s: %w", ErrStart, name, reason)
		}
	}
	p.call[0] = uint64(p.windowSize)
	if err := in.mod.ExportedFunction(abi.ExportBuffer).CallWithStack(ctx, p.call[:]); err != nil {
		_, reason := p.explain(in, p.startFuel, err)
		return fmt.Errorf("%w: %s: %w", ErrWindow, abi.ExportBuffer, reason)
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

func (p *Policy) refuse(step string, err error) error {
	return &LoadError{Policy: p.info.Name, SHA256: p.info.SHA256, Step: step, Err: err}
}

// Close ends the policy and frees its memory. It may be called more than once.
func (p *Policy) Close() error {
	p.in = nil
	p.log.flush()
	if err := p.rt.Close(context.Background()); err != nil {
		return fmt.Errorf("close policy %s: %w", p.info.Name, err)
	}
	return nil
}

func (p *Policy) setDigest(digest [32]byte) {
	p.digest = digest
	p.info.SHA256 = hex.EncodeToString(digest[:])
}
