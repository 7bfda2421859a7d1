package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/offhost/offhost/abi"
)

// Faults within strikeWindow of event time quarantine a policy; it is tried again
// at the first request after a pause that doubles each time.
const (
	maxStrikes   = 3
	strikeWindow = 60 * time.Second
	firstPause   = 60 * time.Second
	longestPause = time.Hour
)

// trustAfter is how many events a policy has to follow without a fault after its
// state was restored; a fault before is laid at the state's door.
const trustAfter = 100

// attachment is the engine's side of one policy: whether it is listening, and what
// it has done wrong.
type attachment struct {
	policy   Policy
	number   uint32 // 1 for the first, then one for each swap
	attached bool
	told     bool            // its instance was told something
	gone     bool            // cannot be used any more
	strikes  []time.Duration // of the last faults
	until    time.Duration   // quarantined before this time
	pause    time.Duration   // of the next quarantine
	blob     []byte          // to be restored when it is attached
	restored bool            // from a blob
	events   int64           // told since it was attached
}

// active is the policy that decides: the chosen one, or while that one is
// quarantined the previous good one; nil leaves it to the floor.
func (e *Engine) active() *attachment {
	if e.chosen.attached {
		return &e.chosen
	}
	if e.previous != nil && e.previous.attached {
		return e.previous
	}
	return nil
}

// attach makes a policy listen that does not and may: the chosen one, which then
// takes over from the previous one, or the previous one.
func (e *Engine) attach() {
	if e.chosen.attached || e.chosen.policy == nil {
		return
	}
	if e.revive(&e.chosen) {
		e.standDown()
		return
	}
	if e.previous != nil && !e.previous.attached {
		e.revive(e.previous)
	}
}

// standDown ends what the previous policy may be doing in the chosen one's stead. It is
// told the present state when it is needed again: what happens until then passes it by.
func (e *Engine) standDown() {
	if e.previous != nil && e.previous.attached {
		e.previous.suspend()
	}
}

// suspend leaves a policy without an instance.
func (a *attachment) suspend() {
	a.attached, a.told = false, false
	a.policy.Suspend()
}

// revive attaches a policy if it may be tried again.
func (e *Engine) revive(a *attachment) bool {
	if a.gone || e.now < a.until {
		return false
	}
	if err := e.connect(a, e.seq); err != nil {
		e.fault(a, e.seq, err)
		return false
	}
	return true
}

// connect tells a policy that knows nothing the present state: configuration,
// components, and what is resident, all under the number of the last event that was
// told. Answers are not read. An error leaves it detached.
func (e *Engine) connect(a *attachment, seq uint64) error {
	a.attached, a.events = false, 0
	if a.told { // before it was left alone: of what has happened since, it knows nothing
		a.suspend()
	}
	if _, err := a.policy.Revive(); err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	a.told = true
	introduce := func(ev abi.Event, payload []byte) error {
		e.counters.PolicyEvents++
		e.stamp(&ev, seq, payload)
		if _, err := a.policy.Decide(&ev, payload); err != nil {
			return fmt.Errorf("attaching: %w", err)
		}
		return nil
	}
	if err := introduce(plainEvent(abi.Config), e.cfg.PolicyConfig); err != nil {
		return err
	}
	for _, c := range e.components {
		if err := introduce(e.componentEvent(abi.Component, c), []byte(c.Name)); err != nil {
			return err
		}
		if c.resident > 0 {
			ev := e.componentEvent(abi.Loaded, c)
			ev.Amount = uint64(c.resident)
			if err := introduce(ev, nil); err != nil {
				return err
			}
		}
	}
	a.attached = true
	e.restore(a, seq)
	return nil
}

// restore hands a policy the state that it or another of its kind has saved. One
// that it does not take is forgotten, one that it stumbles over too.
func (e *Engine) restore(a *attachment, seq uint64) {
	blob := a.blob
	a.blob, a.restored = nil, false
	keeper, ok := a.policy.(StateKeeper)
	if !ok || blob == nil {
		return
	}
	cause := Cause{By: ByPolicy, Policy: a.number, Event: seq, For: NoComponent}
	accepted, err := keeper.Restore(blob)
	switch {
	case err != nil:
		e.record(Record{Kind: RecForget, Component: NoComponent, Cause: cause, Err: err, Text: "restoring the saved state failed: it is thrown away"})
		if e.fault(a, seq, err) {
			if err := e.connect(a, seq); err != nil {
				e.fault(a, seq, err)
			}
		}
	case accepted:
		a.restored = true
		e.record(Record{Kind: RecState, Component: NoComponent, Cause: cause, Text: fmt.Sprintf("%d bytes of saved state were restored", len(blob))})
	}
}

// void deals with an answer that cannot be acted upon.
func (e *Engine) void(a *attachment, ev *abi.Event, err error) {
	if e.fault(a, ev.Seq, err) {
		if err := e.connect(a, ev.Seq); err != nil {
			e.fault(a, ev.Seq, err)
		}
	}
}

// fault voids the answer to event seq: it is counted, the policy is revived, and
// after too many faults it is left alone for a while and the previous good one is
// tried. It reports whether the policy goes on as one that knows nothing.
func (e *Engine) fault(a *attachment, seq uint64, err error) (fresh bool) {
	e.counters.Faults++
	cause := Cause{By: ByPolicy, Policy: a.number, Event: seq, For: NoComponent}
	e.record(Record{Kind: RecFault, Component: NoComponent, Err: err, Cause: cause})
	if a.restored && a.events <= trustAfter {
		e.record(Record{Kind: RecForget, Component: NoComponent, Cause: cause, Text: fmt.Sprintf("a fault within %d events of restoring saved state: the state is thrown away", trustAfter)})
	}
	a.restored = false
	fresh, err = a.policy.Revive()
	a.told = a.told && !fresh
	if err != nil {
		a.attached, a.gone = false, true
		e.forgetWishes()
		e.record(Record{Kind: RecState, Component: NoComponent, Cause: cause, Err: err, Text: "the policy cannot be restarted: " + e.standIn(a) + " decides from here on"})
		return false
	}
	a.strikes = slices.DeleteFunc(a.strikes, func(t time.Duration) bool { return t+strikeWindow < e.now })
	a.strikes = append(a.strikes, e.now)
	if len(a.strikes) < maxStrikes {
		return fresh
	}
	a.attached = false
	e.forgetWishes()
	a.until = e.now + a.pause
	e.record(Record{Kind: RecState, Component: NoComponent, Cause: cause,
		Text: fmt.Sprintf("%d faults within %v: %s decides, the policy is tried again after %v", maxStrikes, strikeWindow, e.standIn(a), a.pause)})
	a.pause = min(2*a.pause, longestPause)
	a.strikes = a.strikes[:0]
	return false
}

// standIn names who decides while a does not: the previous policy takes over with
// the next request.
func (e *Engine) standIn(a *attachment) string {
	if e.previous != nil && a != e.previous && !e.previous.gone && e.now >= e.previous.until {
		return "from the next request on the previous policy"
	}
	return "the fallback"
}
