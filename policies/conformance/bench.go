package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// A manner is one of the ways in which a module is run. The zero value is the usual one.
type manner struct {
	otherSeed   bool // of the random bytes that it may ask for
	interpreter bool
	wide        bool // the window has room for the largest payload
	plenty      bool // of fuel: a hundred times as much
	roomy       bool // of memory: four times as much
}

// A bench is where a module is run, in as many manners as it takes.
type bench struct {
	ctx    context.Context // of the Run that the bench is for
	wasm   []byte
	cfg    Config
	config []byte // CONFIG's payload
	loaded map[manner]*runtime.Policy
	// effort is what was spent so far, by all instances: a measure of time that is the same on
	// every machine. thirsty is the part that finding out about ends has taken.
	effort, thirsty uint64
}

// What telling an event takes beside the fuel that is spent on it, of which two units are some
// nanosecond: on a bench, and on a stage, where a host acts upon the answer.
const (
	benchEffort = 200
	stageEffort = 20_000
	stepEffort  = 1_000 // to put a step into another log
)

// The world in which logs are made.
const (
	chunk = 32 * units.MiB
	link  = 25e9 // bytes a second, either way
)

func newBench(ctx context.Context, wasm []byte, cfg Config) (*bench, error) {
	lines, err := host.ConfigLines(cfg.PolicyConfig, chunk, link, link)
	if err != nil {
		return nil, err
	}
	return &bench{ctx: ctx, wasm: wasm, cfg: cfg, config: lines, loaded: map[manner]*runtime.Policy{}}, nil
}

func (b *bench) close() error {
	var errs []error
	for _, p := range b.loaded {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// policy returns the module, loaded in a manner.
func (b *bench) policy(m manner) (*runtime.Policy, error) {
	if p := b.loaded[m]; p != nil {
		return p, nil
	}
	return b.load(m, nil)
}

// load does for policy; onStep, if set, is told of the steps.
func (b *bench) load(m manner, onStep func(runtime.Step)) (*runtime.Policy, error) {
	cfg := runtime.Config{
		Name: b.cfg.Name, SHA256: b.cfg.SHA256, MaxPayload: len(b.config), Limits: b.cfg.Limits, Seed: b.cfg.Seed,
		Logger: b.cfg.Logger, CacheDir: b.cfg.CacheDir, Interpreter: m.interpreter, OnStep: onStep,
	}
	if m.otherSeed {
		cfg.Seed++
	}
	if m.wide {
		cfg.MaxPayload = abi.MaxPayload
	}
	if m.plenty {
		fuel, _ := b.limits()
		cfg.Limits.Fuel = min(fuel, math.MaxInt64/plentiful) * plentiful
		cfg.Limits.Refill = cfg.Limits.Fuel
	}
	if m.roomy {
		cfg.Limits.MemoryPages = min(cmp.Or(b.cfg.Limits.MemoryPages, runtime.DefaultMemoryPages), 1<<16/ampler) * ampler
	}
	p, err := runtime.Load(b.ctx, b.wasm, cfg)
	if err != nil {
		return nil, err
	}
	b.loaded[m] = p
	return p, nil
}

// room is the largest payload that the module lends a window for.
func (b *bench) room() (int, error) {
	_, err := b.policy(manner{wide: true})
	if errors.Is(err, runtime.ErrWindow) {
		return max(len(b.config), abi.MinPayload), nil
	}
	return abi.MaxPayload, err
}

// player returns the module in a manner that has room for a log's payloads, as far as the
// module lends it. Plenty of fuel comes with plenty of room.
func (b *bench) player(m manner, payload int) (*runtime.Policy, error) {
	if m.wide = m.plenty || payload > max(len(b.config), abi.MinPayload); m.wide {
		room, err := b.room()
		if err != nil {
			return nil, err
		}
		m.wide = room == abi.MaxPayload
	}
	return b.policy(m)
}

// A reply is what comes of one step. It is valid until the next.
type reply struct {
	index  int // of the step in the log
	round  int // how often the cycle was told before
	step   *Step
	event  *abi.Event // as it was told
	answer []abi.Decision
	fuel   uint64 // spent on the step
	// memory is in bytes, after the step, and limit is what it may be.
	memory, limit int
	// blob is what was saved, accepted whether it was restored.
	blob     []byte
	accepted bool
	// fault is what the policy did wrong; the log ends when the instance is lost by it.
	fault *runtime.Fault
}

// follow tells a log to a fresh instance, and see what comes of each step, until that
// returns false or an instance is lost. The error is none of the module's.
func (b *bench) follow(m manner, log *Log, see func(*reply) bool) error {
	p, err := b.player(m, log.largestPayload())
	if err != nil {
		return err
	}
	r := &reply{}
	if err := attach(p); err != nil {
		return err
	}
	var saved []byte
	var ev abi.Event // the policy is told one of them at a time
	goOn := func(i int) (bool, error) {
		if b.ctx.Err() != nil { // at each event: one of plenty of fuel takes a second
			return false, context.Cause(b.ctx)
		}
		s := &log.Steps[i]
		*r = reply{index: i, round: r.round, step: s, event: &ev}
		before := p.FuelUsed()
		var err error
		switch s.Act {
		case Tell:
			r.answer, err = p.DecideLonger(&ev, s.Beyond, s.Payload)
		case Attach:
			err = attach(p)
		case Save:
			r.blob, err = p.Save()
			saved = r.blob
		case Restore:
			blob := s.Blob
			if blob == nil {
				blob = saved
			}
			r.accepted, err = p.Restore(blob)
		}
		r.fuel, r.memory, r.limit = p.FuelUsed()-before, p.MemoryBytes(), p.MemoryLimit()
		b.effort += benchEffort + r.fuel*b.part()/2
		if err != nil && !errors.As(err, &r.fault) {
			return false, err
		}
		return see(r) && r.memory > 0, nil
	}
	for i := range log.Steps {
		ev = log.Steps[i].Event
		if ok, err := goOn(i); !ok {
			return err
		}
	}
	first := len(log.Steps) - log.Cycle
	for next := rounds(log.Steps[first:], log.Fresh); r.round < log.Times; {
		r.round++
		for i := first; i < len(log.Steps); i++ {
			ev = log.Steps[i].Event
			next(&ev, r.round)
			if ok, err := goOn(i); !ok {
				return err
			}
		}
	}
	return nil
}

// attach gives a policy a fresh instance.
func attach(p *runtime.Policy) error {
	p.Suspend()
	if _, err := p.Revive(); err != nil {
		return fmt.Errorf("a fresh instance: %w", err)
	}
	return nil
}

// rounds returns what makes of an event of a cycle the one of a later round: numbers of
// events and requests and times go on from those of the round before, and if they are to be
// fresh, sessions and pipelines are others.
func rounds(cycle []Step, fresh bool) func(ev *abi.Event, round int) {
	if len(cycle) == 0 {
		return nil
	}
	var requests, least, most uint32
	var sessions uint32 = 1
	for i := range cycle {
		if n := cycle[i].Event.Request; n > 0 {
			if least == 0 {
				least = n
			}
			least, most = min(least, n), max(most, n)
		}
		sessions = max(sessions, cycle[i].Event.Session+1)
	}
	if least > 0 {
		requests = most - least + 1
	}
	first, last := &cycle[0].Event, &cycle[len(cycle)-1].Event
	events, span := last.Seq-first.Seq+1, last.Time-first.Time+1
	return func(ev *abi.Event, round int) {
		ev.Seq += events * uint64(round)
		ev.Time += span * uint64(round)
		if ev.Request > 0 {
			ev.Request += requests * uint32(round)
		}
		if fresh && (ev.Request > 0 || ev.Session > 0) {
			ev.Session += sessions * uint32(round)
		}
		if fresh && (ev.Kind == abi.Enqueued || ev.Kind == abi.Begin) {
			ev.NameHash = abi.NameHash(fmt.Sprintf("%x-%d", ev.NameHash, round))
		}
	}
}

// kept is a reply that stays valid.
func (r *reply) kept() *reply {
	c, ev := *r, *r.event
	c.event, c.answer, c.blob = &ev, slices.Clone(r.answer), slices.Clone(r.blob)
	return &c
}

// failed is the reason of a reply's fault, empty if there was none.
func (r *reply) failed() string {
	if r.fault == nil {
		return ""
	}
	return r.fault.Reason()
}

// sums hash replies; sums of one run of the program are compared, and no other ones.
var sums = maphash.MakeSeed()

// sum is a number that replies that differ do not share.
func (r *reply) sum(fuel bool) uint64 {
	var h maphash.Hash
	h.SetSeed(sums)
	h.WriteString(r.failed())
	var b [abi.DecisionSize + 1]byte // the last byte says that it is a decision
	b[abi.DecisionSize] = 1
	for _, d := range r.answer {
		le.PutUint16(b[0:], uint16(d.Op))
		le.PutUint16(b[2:], d.Reason)
		le.PutUint32(b[4:], d.Component)
		le.PutUint64(b[8:], d.Arg)
		h.Write(b[:])
	}
	h.WriteByte(0)
	h.Write(r.blob)
	if fuel {
		h.Write(le.AppendUint64(nil, r.fuel))
	}
	return h.Sum64()
}

// twice tells a log, or the first most steps of it, to two instances, and returns the first
// two replies that differ; nil if none do. Of the others it keeps a number each: a log may
// tell millions of events.
func (b *bench) twice(log *Log, other manner, fuel bool, most int) (first, second *reply, err error) {
	if most <= 0 {
		most = log.events()
	}
	told := make([]uint64, 0, min(most, log.events()))
	err = b.follow(manner{}, log, func(r *reply) bool {
		told = append(told, r.sum(fuel))
		return len(told) < most
	})
	if err != nil {
		return nil, nil, err
	}
	n := 0
	err = b.follow(other, log, func(r *reply) bool {
		if n == len(told) {
			return false
		}
		if r.sum(fuel) != told[n] {
			second = r.kept()
			return false
		}
		n++
		return true
	})
	if err != nil || second == nil {
		return nil, nil, err
	}
	first = &reply{} // of an instance that does not come so far again
	err = b.follow(manner{}, log, func(r *reply) bool {
		if n == 0 {
			first = r.kept()
		}
		n--
		return n >= 0
	})
	return first, second, err
}
