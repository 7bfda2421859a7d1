package conformance

import (
	"slices"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
)

// A Log is what an instance of a policy is told, one step after the other. Since a policy
// is a function of what it is told, a log is all that it takes to see a fault again. See
// FORMAT.md for how it is written to a file.
type Log struct {
	// Name says where the log comes from.
	Name string
	// Check is the check that judges the log; empty: each that can.
	Check string
	// Fault and Found say what the check found in it: a word and a sentence. SHA256 is the
	// digest of the module in which it did, in hexadecimal. They are for readers.
	Fault, Found, SHA256 string

	Steps []Step
	// The last Cycle steps, which are events, are told Times more times. Numbers of events
	// and requests and the time go on as if a host had gone on. With Fresh, requests are of
	// other sessions and other pipelines each time, too.
	Cycle, Times int
	Fresh        bool
}

// An Act is what a step does.
type Act uint8

// Acts. The first step of a log finds a fresh instance.
const (
	Tell    Act = iota // the event is told
	Attach             // a fresh instance takes the place of the one before
	Save               // the instance is asked for its state
	Restore            // the instance is offered state
)

// A Step is one thing that happens to an instance.
type Step struct {
	Act Act

	// Event is what Tell tells, with a payload and with bytes beyond those that this
	// version of the ABI defines, at most abi.EventArea - abi.EventSize. Its PayloadLen is
	// the payload's in any case.
	Event           abi.Event
	Payload, Beyond []byte

	// Blob is what Restore offers; nil: what was saved last.
	Blob []byte

	// Answer is what the module answered when the log was written. It is for readers.
	Answer []abi.Decision
}

// largestPayload is the room that the window needs for the log.
func (l *Log) largestPayload() (n int) {
	for i := range l.Steps {
		n = max(n, len(l.Steps[i].Payload), len(l.Steps[i].Blob))
	}
	return n
}

// with returns a log of other steps.
func (l *Log) with(steps []Step) *Log {
	c := *l
	c.Steps = steps
	return &c
}

// clone copies the list of steps, not what they hold.
func (l *Log) clone() *Log { return l.with(slices.Clone(l.Steps)) }

// events is how many events are told in all.
func (l *Log) events() int { return len(l.Steps) + l.Cycle*l.Times }

// known reports whether this version of the ABI has a kind of events.
func known(k abi.Kind) bool { return k >= abi.Config && k <= abi.Rejected }

// knownFlags are those that this version of the ABI has.
const knownFlags = abi.FlagThrash<<1 - 1

// A follower keeps the place in the life of an instance that a log's events have.
type follower struct {
	registered int    // components that it was told of, by their highest id
	began      bool   // CONFIG was told
	since      uint64 // number of the event under which it was attached
	attaching  bool   // events belong to the introduction
}

// step follows a step. It is to be called before the event's answer is judged.
func (f *follower) step(s *Step) {
	switch {
	case s.Act == Attach:
		*f = follower{}
		return
	case s.Act != Tell:
		return
	}
	ev := &s.Event
	switch {
	case ev.Kind == abi.Config:
		f.began, f.attaching, f.since = true, true, ev.Seq
	case ev.Seq != f.since || ev.Kind != abi.Component && ev.Kind != abi.Loaded:
		f.attaching = false
	}
	if ev.Kind == abi.Component && ev.Component < abi.MaxComponents {
		f.registered = max(f.registered, int(ev.Component)+1)
	}
}

// read reports whether a host reads the answer to the step's event.
func (f *follower) read(s *Step) bool {
	return s.Act == Tell && !f.attaching && s.Event.Kind != abi.Rejected
}

// judge finds what voids the reply to the step that was followed last: a fault, or an answer
// that a host reads and cannot act upon. Nil if nothing does.
func (f *follower) judge(r *reply) *Finding {
	if r.fault != nil {
		return foundFault(r)
	}
	if !f.read(r.step) {
		return nil
	}
	if err := host.WellFormed(r.answer, f.registered); err != nil {
		return found(r, malformed, "%v", err)
	}
	return nil
}

// coherent leaves out the steps that no host would deliver after those that it leaves in:
// CONFIG comes first; a component is registered, after its parent, before anything is said
// about it; calls and requests begin before they end, if only in the life of an instance
// before. Components get new ids where some are missing, so that there are no gaps. It does
// not look into sizes, and what a later version may bring is not for it to judge.
func coherent(steps []Step) []Step {
	var kept []Step
	h := hearing{calls: map[uint32]int{}, requests: map[uint32]bool{}}
	for _, s := range steps {
		if h.take(&s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// A hearing is what was told so far.
type hearing struct {
	ids      map[uint32]uint32 // of components, in the log and as they are to be; nil before CONFIG
	calls    map[uint32]int    // that are open, by the component's id in the log
	requests map[uint32]bool   // that are open
	saved    bool
}

// take takes in a step, and gives its ids as they are to be; false if it cannot come now.
func (h *hearing) take(s *Step) bool {
	switch {
	case s.Act == Attach:
		h.ids = nil
		return true
	case s.Act == Tell && s.Event.Kind == abi.Config:
		h.ids = map[uint32]uint32{}
		return true
	case h.ids == nil:
		return false
	case s.Act == Tell && !known(s.Event.Kind):
		return true
	case s.Act == Save:
		h.saved = true
		return true
	case s.Act == Restore:
		return h.saved || s.Blob != nil
	}
	return h.event(s)
}

func (h *hearing) event(s *Step) bool {
	ev := &s.Event
	parent, ok := h.ids[ev.Parent]
	if !ok && ev.Parent != abi.None {
		return false
	}
	if ok {
		ev.Parent = parent
	}
	called := ev.Component
	id, ok := h.ids[ev.Component]
	switch {
	case ev.Component == abi.None:
	case ok:
		ev.Component = id
	case ev.Kind == abi.Component:
		ev.Component = uint32(len(h.ids))
		h.ids[called] = ev.Component
	default:
		return false
	}
	switch ev.Kind {
	case abi.Begin:
		h.requests[ev.Request] = true
		s.Payload = h.order(s.Payload)
	case abi.End:
		if !h.requests[ev.Request] {
			return false
		}
		delete(h.requests, ev.Request)
	case abi.Call:
		h.calls[called]++
	case abi.Done:
		if h.calls[called] == 0 {
			return false
		}
		h.calls[called]--
	case abi.Need:
		return h.calls[called] > 0
	case abi.Rejected:
		if len(s.Payload) >= abi.RejectedSize {
			s.Payload = slices.Clone(s.Payload)
			le.PutUint32(s.Payload[4:], ev.Component)
		}
	}
	return true
}

// order is a declared order of the components that there are.
func (h *hearing) order(payload []byte) (kept []byte) {
	for ; len(payload) >= 4; payload = payload[4:] {
		if id, ok := h.ids[le.Uint32(payload)]; ok {
			kept = le.AppendUint32(kept, id)
		}
	}
	return kept
}
