package host

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/offhost/offhost/host/units"
)

// Forever is a time that does not come.
const Forever = time.Duration(math.MaxInt64)

// A Device performs the engine's device actions and has the clock of a run. Submit
// never blocks; each action completes later, exactly once, through Wait.
type Device interface {
	// Submit starts a copy in, a copy back or a release.
	Submit(a Action)
	// Wait returns the next completion, at the time it happened. When none happens
	// until then, it returns false at that time; with Forever and nothing in
	// flight it returns at once.
	Wait(until time.Duration) (c Completion, ok bool)
	// Now is the time since the run began.
	Now() time.Duration
}

// A Worker is a Device that also does what clients do with granted calls, so that a
// replay needs no client.
type Worker interface {
	Device
	// Compute starts the compute of a granted call, which uses the weights of its
	// component and takes at least d. It never blocks; Wait returns the end, after
	// the device actions that completed at the same time.
	Compute(call CallID, c ID, d time.Duration)
}

// A Meter is a Device that knows how much memory it has free, as others use it too.
type Meter interface {
	// Free asks how much device memory nobody uses; false when it cannot be known now.
	Free() (units.Bytes, bool)
}

// A Restorer is a Device that can be used again after it was lost, empty.
type Restorer interface {
	// Restore makes it so. It may take seconds.
	Restore() error
}

// A Completion is how a device action ended, or a call's compute, and when.
type Completion struct {
	Time   time.Duration
	Op     OpID // 0 when it is a call's
	Status Status

	Call CallID
	// Err is what was wrong with the weights that a call's compute used; of an action that
	// failed, why, if the device knows. The engine is not told that.
	Err error
}

// A Driver carries an engine's actions to a device and completions back: one
// client at a time, in the manner of a replay.
type Driver struct {
	Engine *Engine
	Device Worker
	// Observe, if set, is given the records of each step as they come.
	Observe func(*Record)
	// Before, if set, is asked before each input, with its number from 1, for an
	// InSwap to be fed first; it is asked again until there is none.
	Before func(n int64) (Input, bool)
	// Discard, if set, is given the policies that the engine lets go.
	Discard func(Policy) error
	// Journal, if set, is given each input that the engine took, swaps included, and
	// what followed from it. Both are valid until it returns.
	Journal func(*Input, *Output) error

	inputs  int64    // fed, swaps not counted
	answers []Action // grants and refusals that were not waited for yet
	// causes are why the last action on a component failed, since it was granted.
	causes map[ID]error
}

// Inputs is how many inputs were fed, swaps not counted.
func (d *Driver) Inputs() int64 { return d.inputs }

// Step feeds one input to the engine, at the device's present time, and submits
// what follows.
func (d *Driver) Step(in Input) error {
	in.Time = d.Device.Now()
	return d.feed(&in)
}

func (d *Driver) complete(c Completion) error {
	if c.Status == OutOfMemory {
		// First, so that what is tried again is within what there is. The books still have
		// what could not be had: the engine adds that to what others use when it hears of
		// the completion, so that something is learnt however much the device says is free.
		if err := d.measure(c.Time, true); err != nil {
			return err
		}
	}
	if x := d.Engine.ops.at(c.Op); x != nil && c.Status != OK && c.Err != nil {
		if d.causes == nil {
			d.causes = map[ID]error{}
		}
		d.causes[x.c.id] = c.Err
	}
	return d.feed(&Input{Kind: InCompleted, Time: c.Time, Op: c.Op, Status: c.Status})
}

// Measure tells the engine how much of the budget others use, if the device knows.
func (d *Driver) Measure() error { return d.measure(d.Device.Now(), false) }

func (d *Driver) measure(at time.Duration, onlyMore bool) error {
	m, ok := d.Device.(Meter)
	if !ok {
		return nil
	}
	free, ok := m.Free()
	if !ok {
		return nil
	}
	known, left := d.Engine.Foreign()
	now := max(0, known+left-free)
	if now == known || onlyMore && now < known {
		return nil
	}
	return d.feed(&Input{Kind: InForeign, Time: at, Bytes: now})
}

func (d *Driver) feed(in *Input) error {
	d.inputs++
	for d.Before != nil {
		swap, ok := d.Before(d.inputs)
		if !ok {
			break
		}
		swap.Time = in.Time
		if err := d.step(&swap); err != nil {
			return err
		}
	}
	return d.step(in)
}

func (d *Driver) step(in *Input) error {
	out, err := d.Engine.Step(*in)
	if err != nil {
		return err
	}
	var discarded []Policy
	for i := range out.Actions {
		switch a := &out.Actions[i]; a.Kind {
		case ActCopyIn, ActCopyBack, ActRelease:
			d.Device.Submit(*a)
		case ActGrant, ActRefuse:
			d.answers = append(d.answers, *a)
		case ActDiscard:
			if d.Discard != nil {
				discarded = append(discarded, a.Policy)
			}
		}
	}
	if d.Journal != nil {
		if err := d.Journal(in, out); err != nil {
			return err
		}
	}
	if d.Observe != nil {
		for i := range out.Records {
			d.Observe(&out.Records[i])
		}
	}
	for _, p := range discarded {
		if err := d.Discard(p); err != nil {
			return err
		}
	}
	return nil
}

// ErrStuck is returned when a call is neither granted nor refused and nothing is in
// flight that could change it.
var ErrStuck = errors.New("the engine waits for something that cannot come")

// Call makes a call and waits until it is granted. A refusal is returned as its
// *Refusal or *DeviceError, this one with the device's own reason where it gave one.
func (d *Driver) Call(in Input) error {
	in.Kind = InCall
	if err := d.Step(in); err != nil {
		return err
	}
	for {
		for i := range d.answers {
			if a := &d.answers[i]; a.Call == in.Call {
				err := a.Err
				d.answers = append(d.answers[:i], d.answers[i+1:]...)
				return d.explain(in.Component, err)
			}
		}
		_, idle, err := d.next()
		if err != nil {
			return err
		}
		if idle {
			// The only client waits: what other calls hold will not come back.
			if lack := d.Engine.Lack(in.Call); lack != nil {
				return lack
			}
			return fmt.Errorf("call %d of %q: %w", in.Call, d.Engine.Name(in.Component), ErrStuck)
		}
	}
}

// explain adds to the answer to a call why the device failed it.
func (d *Driver) explain(c ID, answer error) error {
	cause := d.causes[c]
	delete(d.causes, c)
	var failed *DeviceError
	if cause == nil || !errors.As(answer, &failed) || errors.Is(answer, ErrLost) {
		return answer
	}
	return fmt.Errorf("%w: %w", answer, cause)
}

// Compute lets a granted call compute for at least a time, and delivers what
// completes meanwhile. The error says what was wrong with the weights that it used.
func (d *Driver) Compute(call CallID, c ID, least time.Duration) error {
	d.Device.Compute(call, c, least)
	for {
		done, idle, err := d.next()
		switch {
		case err != nil:
			return err
		case done.Call == call:
			if done.Err == nil {
				return nil
			}
			if errors.Is(done.Err, ErrLost) && !d.Engine.Lost() {
				if err := d.Step(Input{Kind: InLost}); err != nil {
					return err
				}
			}
			return fmt.Errorf("call %d of %q: %w", call, d.Engine.Name(c), done.Err)
		case idle:
			return fmt.Errorf("call %d of %q: %w", call, d.Engine.Name(c), ErrStuck)
		}
	}
}

// Restore takes a lost device into use again, when all that was in flight has been told.
func (d *Driver) Restore() error {
	r, ok := d.Device.(Restorer)
	if !ok {
		return ErrLost
	}
	if err := d.Drain(); err != nil {
		return err
	}
	if err := r.Restore(); err != nil {
		return fmt.Errorf("%w, and cannot be used again: %w", ErrLost, err)
	}
	return d.Step(Input{Kind: InRestored})
}

// Drain delivers what completes until nothing is in flight.
func (d *Driver) Drain() error {
	for {
		if _, idle, err := d.next(); idle || err != nil {
			return err
		}
	}
}

// next waits for the device or the engine's deadline, whichever comes first, and
// feeds it. An end of compute is returned. It is idle when there is nothing to wait for.
func (d *Driver) next() (ended Completion, idle bool, err error) {
	until := Forever
	if t, ok := d.Engine.Deadline(); ok {
		until = t
	}
	c, ok := d.Device.Wait(until)
	switch {
	case ok && c.Call != 0:
		return c, false, nil
	case ok:
		return Completion{}, false, d.complete(c)
	case until == Forever:
		return Completion{}, true, nil
	}
	return Completion{}, false, d.Step(Input{Kind: InTick})
}
