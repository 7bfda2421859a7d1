package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/offhost/offhost/abi"
)

var answersCheck = &check{
	name:  "answers",
	asks:  "every event is followed without a fault, and every answer is well formed",
	run:   (*suite).runAnswers,
	judge: judgeAnswers,
}

// A tally is what a policy made of a log's events.
type tally struct {
	logs, events       int
	answers, decisions int
	questions, silent  int // NEEDs, and those that were answered with no eviction
	refused            map[abi.RejectCode]int
	unlawful           *Finding // set if all decisions were refused, and there are some
}

func (t *tally) refusals() (n int) {
	for _, k := range t.refused {
		n += k
	}
	return n
}

func (t *tally) add(u *tally) {
	t.logs++
	t.events += u.events
	t.answers += u.answers
	t.decisions += u.decisions
	t.questions += u.questions
	t.silent += u.silent
	for code, n := range u.refused {
		if t.refused == nil {
			t.refused = map[abi.RejectCode]int{}
		}
		t.refused[code] += n
	}
}

// mostRefused is the part of its decisions, one in so many, beyond which a policy does not seem
// to follow what it is told. Some are refused to any, as when it begins amid calls.
const mostRefused = 10

// tallyOf counts a log, up to the first fault.
func (b *bench) tallyOf(log *Log) (t *tally, f *Finding, err error) {
	t = &tally{refused: map[abi.RejectCode]int{}}
	var follow follower
	var open refusals
	var last *Finding
	err = b.follow(manner{}, log, func(r *reply) bool {
		follow.step(r.step)
		if r.step.Act != Tell {
			return r.fault == nil // of state another check has to say
		}
		if f = follow.judge(r); f != nil {
			return false
		}
		t.events++
		if d, code, ok := open.event(r); ok {
			t.refused[code]++
			last = found(r, "unlawful", "each of its decisions is refused, %d so far; this one (%s): %v", t.refusals(), decisionText(d), code)
		}
		if !follow.read(r.step) {
			return true
		}
		if len(r.answer) > 0 {
			t.answers++
			t.decisions += len(r.answer)
		}
		if r.event.Kind == abi.Need {
			t.questions++
			if !slices.ContainsFunc(r.answer, func(d abi.Decision) bool { return d.Op == abi.Evict }) {
				t.silent++
			}
		}
		open.answer(r)
		return true
	})
	if last != nil && t.refusals() == t.decisions {
		last.told = true
		t.unlawful = last
	}
	return t, f, err
}

// malformed is the class of answers that are void, as the runtime calls those that it
// cannot even read.
const malformed = "answer"

// refusals match what the host refused with what it was answered.
type refusals struct{ given []abi.Decision }

// mostGiven is how many decisions can still be refused: a host acts upon 64 answers for one
// input of its own, and says at once which of them it refuses.
const mostGiven = 64 * abi.MaxDecisions

// answer takes in what the policy decided.
func (o *refusals) answer(r *reply) {
	o.given = append(o.given, r.answer...)
	if more := len(o.given) - mostGiven; more > 0 {
		o.given = slices.Delete(o.given, 0, more)
	}
}

// event looks whether an event refuses a decision that the policy has given. What a client
// does ends what can still be refused.
func (o *refusals) event(r *reply) (d abi.Decision, code abi.RejectCode, ok bool) {
	switch r.event.Kind {
	case abi.Enqueued, abi.Begin, abi.Call, abi.Done, abi.End:
		o.given = o.given[:0]
	case abi.Rejected:
		if len(r.step.Payload) < abi.RejectedSize {
			break
		}
		list, _ := abi.AppendDecisions(nil, r.step.Payload, 1) // one, and there are bytes for it
		if i := slices.Index(o.given, list[0]); i >= 0 {
			o.given = slices.Delete(o.given, i, i+1)
			return list[0], abi.RejectCode(le.Uint32(r.step.Payload[16:])), true
		}
	}
	return d, 0, false
}

func judgeAnswers(b *bench, log *Log) (*Finding, error) {
	t, f, err := b.tallyOf(log)
	if f == nil && err == nil {
		f = t.unlawful
	}
	return f, err
}

func (s *suite) runAnswers(o *outcome) error {
	var all tally
	var unlawful *Finding
	var most source
	for i, src := range s.logs {
		t, f, err := s.tallyOf(src.log)
		if err != nil {
			return err
		}
		if src.script == nil { // what is decided there was not decided for it
			*t = tally{events: t.events}
		}
		all.add(t)
		switch {
		case f == nil:
			s.sound = append(s.sound, src)
		case !o.failed():
			o.fail(f, src)
		}
		if t.unlawful != nil && unlawful == nil {
			unlawful, most = t.unlawful, src
		}
		s.progress(float64(i+1) / float64(len(s.logs)))
	}
	if !o.failed() && unlawful != nil && all.refusals() == all.decisions {
		o.fail(unlawful, most)
	}
	o.say("%s in %s, %s", count(all.events, "event"), count(all.logs, "log"), count(all.answers, "answer"))
	switch {
	case all.decisions == 0:
		o.warn("it decides nothing: whatever there is to decide, the host's fallback does")
		return nil
	case all.refusals() == 0:
		o.say("none of %s refused", count(all.decisions, "decision"))
	default:
		o.say("%d of %s refused (%s)", all.refusals(), count(all.decisions, "decision"), refusedText(all.refused))
		if all.refusals() > all.decisions/mostRefused {
			o.warn("that is more than one in %d: the events say what is resident, in use, kept and excluded, and how much is free", mostRefused)
		}
	}
	o.say("%s of %s left to the host", thousands(all.silent), count(all.questions, "question"))
	return nil
}

func refusedText(refused map[abi.RejectCode]int) string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(refused)) {
		list = append(list, fmt.Sprintf("%v %d", code, refused[code]))
	}
	return strings.Join(list, ", ")
}
