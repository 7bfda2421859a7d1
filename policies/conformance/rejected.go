package conformance

import "github.com/offhost/offhost/abi"

var rejectedCheck = &check{
	name:  "rejected",
	asks:  "a decision that was refused is not repeated for ever, though nothing has changed",
	run:   (*suite).runRejected,
	judge: judgeRejected,
}

// patience is how often a decision may be refused for the same reason, with nothing told
// in between that could change it.
const patience = 3

// A refusal is what the host has said of a decision; the argument is none of it.
type refusal struct {
	op        abi.Op
	component uint32
	code      abi.RejectCode
}

// judgeRejected looks for a decision that is given again and again. What could change the
// host's word depends on the reason that it gave: a component that is excluded always is;
// one that is in use is until an event about it says otherwise, DONE at the latest.
func judgeRejected(b *bench, log *Log) (f *Finding, err error) {
	times := map[refusal]int{}
	forget := func(about func(refusal) bool) {
		for k := range times {
			if about(k) {
				delete(times, k)
			}
		}
	}
	var follow follower
	var open refusals
	var free uint64
	err = b.follow(manner{}, log, func(r *reply) bool {
		follow.step(r.step)
		if r.step.Act == Attach {
			clear(times)
		}
		if r.fault != nil || r.step.Act != Tell {
			return r.fault == nil
		}
		ev := r.event
		d, code, ok := open.event(r)
		if onItsWay := code == abi.RejectAllResident && ev.Resident < ev.Bytes; ok && !onItsWay { // no event tells of that
			k := refusal{d.Op, d.Component, code}
			if times[k]++; times[k] > patience {
				f = found(r, "repeated", "%s was refused %d times (%v), and nothing was told that could change that", decisionText(d), times[k], code)
				f.told = true
				return false
			}
		}
		switch ev.Kind {
		case abi.Begin, abi.Call, abi.Done, abi.End:
			forget(func(k refusal) bool {
				return k.code == abi.RejectNoRoom || ev.Kind == abi.End && k.code == abi.RejectKept
			})
		}
		if ev.Kind == abi.Call || ev.Kind == abi.Need { // room is asked for something else
			forget(func(k refusal) bool { return k.code == abi.RejectAskedFor && k.component != ev.Component })
		}
		if ev.Kind != abi.Rejected {
			forget(func(k refusal) bool {
				return k.component == ev.Component && changed(k.code, ev) || k.code == abi.RejectNoRoom && ev.Free > free
			})
			free = ev.Free
		}
		if follow.read(r.step) {
			open.answer(r)
		}
		return true
	})
	return f, err
}

// changed reports whether an event about a component tells that the reason for which a
// decision about it was refused is gone.
func changed(code abi.RejectCode, ev *abi.Event) bool {
	switch code {
	case abi.RejectNotResident:
		return ev.Resident > 0
	case abi.RejectKept:
		return ev.Flags&abi.FlagKept == 0
	case abi.RejectInUse:
		return ev.Flags&abi.FlagInUse == 0
	case abi.RejectAllResident, abi.RejectTooSmall:
		return ev.Kind == abi.Evicted
	}
	return false
}

func (s *suite) runRejected(o *outcome) error {
	refused, logs := 0, 0
	var sources []source
	for _, src := range s.sound {
		if src.script == nil {
			continue // what it refuses was refused to somebody else
		}
		sources = append(sources, src)
		logs++
		for i := range src.log.Steps {
			if src.log.Steps[i].Event.Kind == abi.Rejected {
				refused++
			}
		}
	}
	if refused == 0 {
		o.say("nothing was refused in %s", count(logs, "log"))
		return nil
	}
	o.say("%s in %s, none repeated more than %d times though nothing had changed", count(refused, "refusal"), count(logs, "log"), patience)
	return s.first(sources, o)
}
