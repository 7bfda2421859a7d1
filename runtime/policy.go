package runtime

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero"

	"github.com/offhost/offhost/abi"
)

// A Policy is a loaded module. It has one instance and is for one goroutine at a
// time: events have an order.
type Policy struct {
	info        Info
	seed        [32]byte // of the module's random bytes
	logger      *slog.Logger
	stackBytes  uint32
	windowSize  uint32
	memoryPages uint32

	fuel                              uint64 // the most that one event may spend
	refill                            uint64 // what each event adds to what was left, beside:
	refillPerComponent, refillPerByte uint64
	startFuel                         uint64

	rt       wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache // holds the compiled code if it is not nil
	in       *instance               // nil when lost
	log      guestLog

	now  uint64 // the current event's time
	seq  uint64 // its number
	used uint64 // fuel
	out  []abi.Decision
	call [2]uint64 // arguments and results
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
	// Fuel and Refill are what its events get, of Limits.Fuel and Limits.Refill: all, or a
	// part where the module is too complex to be compiled.
	Fuel, Refill uint64
}

// Info returns what is known of the module.
func (p *Policy) Info() Info { return p.info }

// FuelUsed returns the fuel spent since Load. An event that ended in a trap counts
// with all the fuel it was given.
func (p *Policy) FuelUsed() uint64 { return p.used }

// MemoryBytes is the size of the instance's linear memory, which never shrinks while it
// lives; 0 when it is lost.
func (p *Policy) MemoryBytes() int {
	if p.in == nil {
		return 0
	}
	return int(p.in.mem.Size())
}

// MemoryLimit is how large the instance's linear memory may become, in bytes: what
// Limits.MemoryPages allows, or the module itself if that is less; 0 when it is lost.
func (p *Policy) MemoryLimit() int {
	if p.in == nil {
		return 0
	}
	return p.in.memoryLimit
}

// Decide tells the policy an event and returns its answer, which is valid until
// the next call. payload has to fit the window that Config.MaxPayload asked for;
// Decide sets ev.PayloadLen. What the policy does wrong is a *Fault; after those
// that lose the instance, Revive has to be called.
func (p *Policy) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	return p.DecideLonger(ev, nil, payload)
}

// DecideLonger is Decide for an event that has bytes beyond those of this version, as a
// host of a later revision sends them: at most abi.EventArea - abi.EventSize. A policy has
// to ignore them.
func (p *Policy) DecideLonger(ev *abi.Event, beyond, payload []byte) ([]abi.Decision, error) {
	if most := abi.EventArea - abi.EventSize; len(beyond) > most {
		return nil, fmt.Errorf("event %d %v: %d bytes beyond the event, at most %d fit", ev.Seq, ev.Kind, len(beyond), most)
	}
	in := p.in
	if in == nil {
		return nil, p.fault(ev, "", ErrLost)
	}
	view, err := p.view(in)
	if err != nil {
		return nil, p.lose(ev, "", err)
	}
	room := view[abi.EventArea : p.windowSize-abi.DecisionArea]
	if len(payload) > len(room) {
		return nil, fmt.Errorf("event %d %v: a payload of %d bytes does not fit the window, which takes %d", ev.Seq, ev.Kind, len(payload), len(room))
	}
	ev.PayloadLen = uint32(len(payload))
	abi.PutEvent(view, ev)
	clear(view[abi.EventSize:abi.EventArea])
	copy(view[abi.EventSize:], beyond)
	copy(room, payload)

	p.now, p.seq = ev.Time, ev.Seq
	p.log.begin(ev.Seq, true)
	if ev.Kind == abi.Component && ev.Component < abi.MaxComponents {
		in.components = max(in.components, ev.Component+1)
	}
	given := min(in.saved+p.refillFor(in, len(payload)), p.fuel)
	if ev.Kind == abi.Config {
		given = p.fuel
	}
	p.call = [2]uint64{uint64(abi.EventSize + len(beyond)), given}
	if err := in.event.CallWithStack(context.Background(), p.call[:]); err != nil {
		fn, reason := p.explain(in, given, err)
		p.used += given
		return nil, p.lose(ev, fn, reason)
	}
	if in.fuel != nil {
		in.saved = p.call[1]
		p.used += given - in.saved
	}
	n := int32(uint32(p.call[0]))
	if n < 0 {
		return nil, p.fault(ev, "", fmt.Errorf("%w: it returned %d", ErrGaveUp, n))
	}
	// The view may be stale: the memory moves when it grows.
	if view, err = p.view(in); err != nil {
		return nil, p.lose(ev, "", err)
	}
	out, err := abi.AppendDecisions(p.out[:0], view[p.windowSize-abi.DecisionArea:], int(n))
	p.out = out
	if err != nil {
		return nil, p.fault(ev, "", err)
	}
	return out, nil
}

// refillFor is what an event with so many bytes of payload adds to the fuel.
func (p *Policy) refillFor(in *instance, payload int) uint64 {
	return p.refill + p.refillPerComponent*uint64(in.components) + p.refillPerByte*uint64(payload)
}

func (p *Policy) fault(ev *abi.Event, fn string, err error) error {
	return &Fault{Policy: p.info.Name, SHA256: p.info.SHA256, Seq: ev.Seq, Kind: ev.Kind, Func: fn, Said: p.log.fail(), Hint: p.hint(err), Err: err}
}

// lose gives up the instance: its memory may be half written.
func (p *Policy) lose(ev *abi.Event, fn string, err error) error {
	fault := p.fault(ev, fn, err)
	if closeErr := p.drop(); closeErr != nil {
		fault = errors.Join(fault, closeErr)
	}
	return fault
}

func (p *Policy) refuse(step string, err error) error {
	return &LoadError{Policy: p.info.Name, SHA256: p.info.SHA256, Step: step, Said: p.log.fail(), Err: err}
}

// Close ends the policy and frees its memory. It may be called more than once.
func (p *Policy) Close() error {
	p.in = nil
	p.log.flush()
	err := p.rt.Close(context.Background())
	if p.cache != nil {
		err = errors.Join(err, p.cache.Close(context.Background()))
	}
	if err != nil {
		return fmt.Errorf("close policy %s: %w", p.info.Name, err)
	}
	return nil
}

func (p *Policy) setDigest(digest [32]byte) {
	p.info.SHA256 = hex.EncodeToString(digest[:])
}
