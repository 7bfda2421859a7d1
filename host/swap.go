package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/offhost/offhost/abi"
)

// trial is a policy that follows the events without deciding, before it takes over.
type trial struct {
	attachment
	left      int // events until it takes over
	handover  bool
	questions int64 // NEEDs that were put to both
	same      int64 // of them, answered alike
	err       error // why it is not to take over
}

// swap exchanges the policy, between two inputs: at once, or after a trial. One that
// fails anywhere leaves the present one as it is.
func (e *Engine) swap(in *Input) error {
	switch {
	case in.Policy == nil:
		return errors.New("no policy to swap to")
	case in.Trial < 0:
		return fmt.Errorf("trial of %d events: want 0 or more", in.Trial)
	case len(in.Blob) > abi.MaxPayload:
		return fmt.Errorf("saved state of %d bytes: at most %d", len(in.Blob), abi.MaxPayload)
	}
	if e.trial != nil {
		e.endTrial(errors.New("another policy was chosen during its trial"))
	}
	e.swaps++
	a := attachment{policy: in.Policy, number: e.swaps + 1, pause: firstPause, blob: in.Blob}
	if in.Trial == 0 {
		e.exchange(a, in.Handover, "")
		return nil
	}
	t := &trial{attachment: a, left: in.Trial, handover: in.Handover}
	blob := t.blob
	t.blob = nil // it takes over with it, or not at all
	if err := e.connect(&t.attachment, e.seq); err != nil {
		e.refuseSwap(&t.attachment, err)
		return nil
	}
	t.blob = blob
	e.trial = t
	return nil
}

// try tells an event to the policy on trial and compares what it would have
// answered.
func (e *Engine) try(ev *abi.Event, payload []byte, answer []abi.Decision) {
	t := e.trial
	if t == nil || t.err != nil {
		return
	}
	t.left--
	theirs, err := t.policy.Decide(ev, payload)
	if err == nil {
		_, err = validate(e, asked(ev), theirs, nil)
	}
	if err != nil {
		t.err = err
		return
	}
	if ev.Kind == abi.Need {
		t.questions++
		if slices.Equal(answer, theirs) {
			t.same++
		}
	}
}

// endTrial lets a policy go that was on trial.
func (e *Engine) endTrial(why error) {
	t := e.trial
	e.trial = nil
	e.refuseSwap(&t.attachment, why)
}

// concludeTrial exchanges policies when a trial is over. It is called between two
// inputs.
func (e *Engine) concludeTrial() {
	t := e.trial
	switch {
	case t == nil:
	case t.err != nil:
		e.endTrial(t.err)
	case t.left <= 0:
		e.trial = nil
		e.exchange(t.attachment, t.handover, fmt.Sprintf("; during its trial it answered %d of %d questions as the old one did", t.same, t.questions))
	}
}

// exchange makes a the chosen policy. The old one, if it was good, is kept in
// reserve for when the new one fails.
func (e *Engine) exchange(a attachment, handover bool, remark string) {
	if !a.attached {
		blob := a.blob
		a.blob = nil // once it has followed the present state
		if err := e.connect(&a, e.seq); err != nil {
			e.refuseSwap(&a, err)
			return
		}
		a.blob = blob
	}
	if handover && a.blob == nil && e.chosen.attached {
		a.blob = e.save(&e.chosen)
	}
	if e.restore(&a, e.seq); !a.attached {
		e.refuseSwap(&a, errors.New("it did not survive restoring its saved state"))
		return
	}
	old := e.chosen
	e.chosen = a
	e.standDown()
	e.forgetWishes()
	if old.policy != nil && !old.gone && e.now >= old.until {
		if e.previous != nil {
			e.discard(e.previous.policy)
		}
		old.suspend()
		e.previous = &old
	} else if old.policy != nil {
		e.discard(old.policy)
	}
	e.counters.Swaps++
	e.record(Record{Kind: RecSwap, Component: NoComponent, Cause: Cause{By: ByHost, Policy: a.number, Event: e.seq, For: NoComponent},
		Text: "the policy was exchanged" + remark})
}

// save asks a policy for its state. One that fails at it is about to go, and is not
// held to it.
func (e *Engine) save(a *attachment) []byte {
	keeper, ok := a.policy.(StateKeeper)
	if !ok {
		return nil
	}
	blob, err := keeper.Save()
	if err != nil {
		e.record(Record{Kind: RecState, Component: NoComponent, Err: err, Text: "the old policy could not save its state",
			Cause: Cause{By: ByPolicy, Policy: a.number, Event: e.seq, For: NoComponent}})
		return nil
	}
	return blob
}

func (e *Engine) refuseSwap(a *attachment, why error) {
	e.counters.SwapsRefused++
	e.record(Record{Kind: RecSwap, Component: NoComponent, Err: why, Text: "the policy was not exchanged, the old one stays",
		Cause: Cause{By: ByHost, Policy: a.number, Event: e.seq, For: NoComponent}})
	e.discard(a.policy)
}

// discard tells the caller that a policy is not needed any more.
func (e *Engine) discard(p Policy) {
	e.out.Actions = append(e.out.Actions, Action{Kind: ActDiscard, Policy: p, Component: NoComponent,
		Cause: Cause{By: ByHost, Event: e.seq, For: NoComponent}})
}
