package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// A script is what happens to a host: plain data, of which any part can be left out and
// the rest still happens. Acted out on a stage, with the module deciding, it becomes a log
// that a host has told.
type script struct {
	name   string
	budget units.Bytes
	cues   []cue
}

// A cue is one thing that happens. Numbers that name one of several things are taken
// modulo how many there are; when there are none, nothing happens.
type cue struct {
	do      verb
	a, b, c int
}

type verb uint8

const (
	register   verb = iota // a component of a MiB, of kind b, child of component c
	enqueue                // a request of pipeline a waits
	begin                  // a request of pipeline a begins; b > 0: it declares its order
	end                    // request a ends, with what it has called
	forward                // component a is called in request b, computes c ms, and is done
	forwardFat             // the same with a workspace of c MiB
	enter                  // component a is called in request b, and other things happen before it is done
	call                   // the same, and nobody waits until it may run
	exit                   // open call a is done
	wait                   // a milliseconds pass
	cut                    // the budget is a MiB
	foreign                // others use a MiB
	fail                   // the next copy to the device fails; a > 0: for want of memory
	lose                   // the device is lost and comes back
	exchange               // another instance of the policy takes over, with what the one before has learned
	mark                   // here the cycle begins
)

// Kinds of components.
const (
	plain = iota
	dirty // calls change it
	excluded
	kept
	child
	fromFile // host memory does not hold half of it
	traits
)

// outside in place of a request is none: the call is made outside requests.
const outside = -1

// mebi is a number of MiB.
func mebi(n int) units.Bytes { return units.Bytes(max(n, 0)) * units.MiB }

// A stage is a host that a script happens to: the engine, a simulated device, and the
// policy, which is listened in to.
type stage struct {
	ctx    context.Context // of the bench
	engine *host.Engine
	device *sim.Device
	policy *runtime.Policy
	actor  *actor // that decides
	log    Log
	marked int // steps that were there at the mark, -1 without one

	components []host.ID // that may have children
	count      int
	requests   []openRequest
	calls      []openCall
	request    uint32
	call       host.CallID
	failing    host.Status // of the next copy to the device
	failed     map[host.OpID]host.Status
	lost       bool
	over       bool   // the policy has failed: the log ends
	err        error  // of the stage's own
	room       int    // how many steps the log may have
	purse      uint64 // how much fuel may have been spent in the end
}

type openRequest struct {
	id       uint32
	pipeline int
}

type openCall struct {
	id      host.CallID
	request uint32
	granted bool
}

// act plays a script with a policy, from a fresh instance on, and returns what that was
// told. It ends at the policy's first fault.
func (b *bench) act(m manner, s *script) (*Log, error) {
	p, err := b.player(m, 0)
	if err != nil {
		return nil, err
	}
	st := &stage{ctx: b.ctx, policy: p, device: sim.New(sim.Config{H2D: link, D2H: link, Latency: sim.DefaultLatency, Release: sim.DefaultRelease}),
		marked: -1, failed: map[host.OpID]host.Status{}, room: MaxSteps, purse: p.FuelUsed() + maxSpent}
	st.actor = &actor{stage: st}
	st.log.Name = s.name
	st.engine, err = host.New(host.Config{Budget: s.budget, Chunk: chunk, H2D: link, D2H: link, Latency: sim.DefaultLatency, File: link / 8,
		Constraints: host.Constraints{Exclude: []string{"excluded-*"}, Keep: []string{"kept-*"}}, Policy: st.actor, PolicyConfig: b.config})
	if err != nil {
		return nil, err
	}
	spent := p.FuelUsed()
	for i, c := range s.cues {
		if st.over || st.err != nil {
			break
		}
		if err := st.play(c); b.ctx.Err() != nil {
			return nil, context.Cause(b.ctx)
		} else if err != nil {
			return nil, fmt.Errorf("script %s, cue %d %+v: %w", s.name, i, c, err)
		}
	}
	b.effort += stageEffort*uint64(len(st.log.Steps)) + (p.FuelUsed()-spent)*b.part()/2
	if st.marked >= 0 && !st.over {
		st.log.Cycle = len(st.log.Steps) - st.marked
	}
	return &st.log, st.err
}

// step feeds the engine.
func (st *stage) step(in host.Input) error {
	in.Time = st.device.Now()
	out, err := st.engine.Step(in)
	if err != nil {
		return err
	}
	for i := range out.Actions {
		switch a := &out.Actions[i]; a.Kind {
		case host.ActCopyIn, host.ActCopyBack, host.ActRelease:
			if a.Kind == host.ActCopyIn && st.failing != host.OK {
				st.failed[a.Op], st.failing = st.failing, host.OK
			}
			st.device.Submit(*a)
		case host.ActGrant:
			for i := range st.calls {
				if st.calls[i].id == a.Call {
					st.calls[i].granted = true
				}
			}
		case host.ActRefuse:
			st.calls = without(st.calls, func(k openCall) bool { return k.id == a.Call })
		}
	}
	for i := range out.Records {
		if out.Records[i].Kind == host.RecFault {
			st.over = true
		}
	}
	return nil
}

func without[T any](list []T, gone func(T) bool) []T {
	kept := list[:0]
	for _, x := range list {
		if !gone(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// next delivers what completes next; false when nothing is in flight.
func (st *stage) next(until time.Duration) (bool, error) {
	c, ok := st.device.Wait(until)
	if !ok {
		return false, nil
	}
	status := st.failed[c.Op]
	delete(st.failed, c.Op)
	if st.lost {
		status = host.Lost
	}
	return true, st.step(host.Input{Kind: host.InCompleted, Op: c.Op, Status: status})
}

// pass lets time pass.
func (st *stage) pass(d time.Duration) error {
	for until := st.device.Now() + d; !st.over; {
		if ok, err := st.next(until); !ok || err != nil {
			return err
		}
	}
	return nil
}

// pick is one of n things.
func pick(which, n int) int { return int(uint(which) % uint(n)) }

func (st *stage) play(c cue) error {
	switch c.do {
	case register:
		return st.register(c)
	case enqueue:
		return st.step(host.Input{Kind: host.InEnqueued, Request: st.request + 1, Signature: signature(c.a)})
	case begin:
		return st.begin(c)
	case end:
		return st.end(c.a)
	case forward, forwardFat, enter, call:
		if st.count == 0 {
			return nil
		}
		return st.forward(c)
	case exit:
		if len(st.calls) == 0 {
			return nil
		}
		return st.exit(st.calls[pick(c.a, len(st.calls))].id)
	case wait:
		return st.pass(time.Duration(c.a) * time.Millisecond)
	case cut:
		return st.step(host.Input{Kind: host.InBudget, Bytes: max(mebi(c.a), 1)})
	case foreign:
		return st.step(host.Input{Kind: host.InForeign, Bytes: mebi(c.a)})
	case fail:
		st.failing = host.Failed
		if c.a > 0 {
			st.failing = host.OutOfMemory
		}
	case lose:
		return st.lose()
	case exchange:
		return st.exchange()
	case mark:
		if len(st.log.Steps) > 0 { // CONFIG comes first, and is not repeated
			st.marked = len(st.log.Steps)
		}
	}
	return nil
}

func (st *stage) register(c cue) error {
	if st.count == abi.MaxComponents {
		return nil
	}
	// Not a whole number of chunks, nor of what the device allocates in.
	s := host.Spec{Bytes: mebi(c.a) + units.Bytes(st.count%3), ReadOnly: c.b != dirty, Parent: host.NoComponent}
	name := "part"
	switch c.b {
	case excluded:
		name = "excluded"
	case kept:
		name = "kept"
	case fromFile:
		s.FileBytes = s.Bytes / 2
	case child:
		if len(st.components) > 0 {
			s.Parent, s.Index = st.components[pick(c.c, len(st.components))], uint32(st.count)
		}
	}
	s.Name = fmt.Sprintf("%s-%d", name, st.count)
	if s.Parent == host.NoComponent {
		st.components = append(st.components, host.ID(st.count))
	}
	st.count++
	return st.step(host.Input{Kind: host.InRegister, Spec: s})
}

// signature is a pipeline's.
func signature(pipeline int) uint64 { return abi.NameHash(fmt.Sprint("pipeline-", pipeline)) }

func (st *stage) begin(c cue) error {
	st.request++
	in := host.Input{Kind: host.InBegin, Request: st.request, Session: uint32(pick(c.a, 5)), Signature: signature(c.a)}
	if c.b > 0 {
		for id := range min(c.b, st.count) {
			in.Order = append(in.Order, host.ID(id))
		}
		in.Steps = uint32(len(in.Order))
	}
	st.requests = append(st.requests, openRequest{st.request, c.a})
	return st.step(in)
}

// end ends a request once its calls are done. If one of them cannot be, it goes on.
func (st *stage) end(which int) error {
	if len(st.requests) == 0 {
		return nil
	}
	r := st.requests[pick(which, len(st.requests))]
	for {
		k := st.find(func(k openCall) bool { return k.request == r.id })
		if k == nil || st.over {
			break
		}
		id := k.id
		if err := st.exit(id); err != nil {
			return err
		}
		if st.find(func(k openCall) bool { return k.id == id }) != nil {
			return nil
		}
	}
	if st.over {
		return nil
	}
	st.requests = without(st.requests, func(q openRequest) bool { return q == r })
	return st.step(host.Input{Kind: host.InEnd, Request: r.id})
}

func (st *stage) find(is func(openCall) bool) *openCall {
	for i := range st.calls {
		if is(st.calls[i]) {
			return &st.calls[i]
		}
	}
	return nil
}

// forward makes a call; all but call waits until it may run, and forward ends it.
func (st *stage) forward(c cue) error {
	st.call++
	in := host.Input{Kind: host.InCall, Call: st.call, Component: host.ID(pick(c.a, st.count))}
	if n := len(st.requests); n > 0 && c.b != outside {
		in.Request = st.requests[pick(c.b, n)].id
	}
	compute := time.Duration(c.c) * time.Millisecond
	if c.do != forward {
		in.Workspace, compute = mebi(c.c), time.Millisecond
	}
	st.calls = append(st.calls, openCall{id: in.Call, request: in.Request})
	if err := st.step(in); err != nil || c.do == call {
		return err
	}
	if granted, err := st.await(in.Call); !granted || c.do == enter {
		return err
	}
	if err := st.pass(compute); err != nil || st.over {
		return err
	}
	return st.exit(in.Call)
}

// await delivers completions until a call is granted, or nothing is in flight.
func (st *stage) await(id host.CallID) (granted bool, err error) {
	for !st.over {
		k := st.find(func(k openCall) bool { return k.id == id })
		if k == nil || k.granted {
			return k != nil, nil
		}
		if ok, err := st.next(host.Forever); !ok || err != nil {
			return false, err
		}
	}
	return false, nil
}

// exit ends a call, if it comes to run.
func (st *stage) exit(id host.CallID) error {
	if granted, err := st.await(id); !granted {
		return err
	}
	st.calls = without(st.calls, func(k openCall) bool { return k.id == id })
	return st.step(host.Input{Kind: host.InDone, Call: id})
}

func (st *stage) lose() error {
	if err := st.step(host.Input{Kind: host.InLost}); err != nil {
		return err
	}
	st.lost = true
	for !st.over {
		if ok, err := st.next(host.Forever); err != nil {
			return err
		} else if !ok {
			break
		}
	}
	st.lost = false
	return st.step(host.Input{Kind: host.InRestored})
}

// exchange lets another instance take over, as when a policy is exchanged for itself.
func (st *stage) exchange() error {
	if !st.actor.attached {
		return nil
	}
	blob, err := st.actor.Save()
	if err != nil || st.over {
		return nil // the log ends with it
	}
	return st.step(host.Input{Kind: host.InSwap, Policy: &actor{stage: st}, Blob: blob})
}

// An actor is the policy as the engine of a stage knows it: one instance, which is told
// what the log then says. Of several, the last to be attached lives.
type actor struct {
	stage    *stage
	attached bool
}

var (
	_ host.Policy      = (*actor)(nil)
	_ host.StateKeeper = (*actor)(nil)
)

// tell appends a step, unless the log is over.
func (a *actor) tell(s Step) (*Step, bool) {
	st := a.stage
	if st.over = st.over || st.ctx.Err() != nil; st.over || st.err != nil {
		return nil, false
	}
	if len(st.log.Steps) == st.room || st.policy.FuelUsed() > st.purse {
		st.over = true
		return nil, false
	}
	st.log.Steps = append(st.log.Steps, s)
	return &st.log.Steps[len(st.log.Steps)-1], true
}

// ended ends the log if the policy has failed.
func (a *actor) ended(err error) error {
	if err != nil {
		a.stage.over = true
	}
	return err
}

func (a *actor) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	s, ok := a.tell(Step{Event: *ev, Payload: append([]byte(nil), payload...)})
	if !ok {
		return nil, nil
	}
	s.Event.PayloadLen = 0 // the payload says it
	answer, err := a.stage.policy.Decide(ev, payload)
	s.Answer = append([]abi.Decision(nil), answer...)
	return answer, a.ended(err)
}

func (a *actor) Revive() (bool, error) {
	st := a.stage
	if a.attached || st.over {
		return false, nil
	}
	if len(st.log.Steps) > 0 {
		if _, ok := a.tell(Step{Act: Attach}); !ok {
			return false, nil
		}
	}
	st.actor.attached = false
	st.actor, a.attached = a, true
	st.policy.Suspend()
	_, err := st.policy.Revive()
	if err != nil {
		st.err = err
	}
	return true, err
}

func (a *actor) Suspend() { a.attached = false }

func (a *actor) Save() ([]byte, error) {
	if _, ok := a.tell(Step{Act: Save}); !ok {
		return nil, nil
	}
	blob, err := a.stage.policy.Save()
	return blob, a.ended(err)
}

func (a *actor) Restore(blob []byte) (bool, error) {
	if _, ok := a.tell(Step{Act: Restore}); !ok {
		return false, nil
	}
	accepted, err := a.stage.policy.Restore(blob)
	return accepted, a.ended(err)
}
