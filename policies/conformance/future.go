package conformance

import (
	"math/rand/v2"
	"slices"

	"github.com/offhost/offhost/abi"
)

var futureCheck = &check{
	name:  "future",
	asks:  "what a later revision may add is ignored: kinds of events, flags, longer events",
	run:   (*suite).runFuture,
	judge: judgeFuture,
}

// isFuture says what of a later revision is in a step; nothing for most.
func isFuture(s *Step) string {
	switch {
	case s.Act != Tell:
	case !known(s.Event.Kind):
		return "kind"
	case len(s.Beyond) > 0:
		return "longer"
	case s.Event.Flags&^knownFlags != 0:
		return "flags"
	}
	return ""
}

// present is a log without what a later revision has added.
func present(log *Log) *Log {
	var steps []Step
	for _, s := range log.Steps {
		if s.Act == Tell && !known(s.Event.Kind) {
			continue
		}
		s.Beyond = nil
		s.Event.Flags &= knownFlags
		steps = append(steps, s)
	}
	return repeated(log.with(steps), 0)
}

// judgeFuture compares what the module makes of a log with what it makes of the log
// without what is new in it.
func judgeFuture(b *bench, log *Log) (f *Finding, err error) {
	if !slices.ContainsFunc(log.Steps, func(s Step) bool { return isFuture(&s) != "" }) {
		return nil, nil
	}
	var plain []*reply
	if err := b.follow(manner{}, present(log), func(r *reply) bool { plain = append(plain, r.kept()); return true }); err != nil {
		return nil, err
	}
	n := 0
	err = b.follow(manner{}, repeated(log, 0), func(r *reply) bool {
		what := isFuture(r.step)
		if what == "kind" {
			switch {
			case r.fault != nil:
				f = foundFault(r)
			case len(r.answer) > 0:
				f = found(r, what, "an event of a kind that it cannot know is answered with %s, want nothing", answerText(r.answer))
			}
			return f == nil
		}
		if n == len(plain) {
			return false // it fails here in any case
		}
		switch {
		case r.fault != nil && plain[n].fault == nil:
			if f = foundFault(r); what != "" {
				f.Text += map[string]string{"longer": "; the event is longer than version 1 has it", "flags": "; the event has a flag that version 1 does not know"}[what]
			}
		case r.fault == nil && !slices.Equal(r.answer, plain[n].answer):
			f = found(r, "differs", "the answer is %s; without what is new in this log it is %s", answerText(r.answer), answerText(plain[n].answer))
			if what != "" {
				f.Class = what
			}
		}
		n++
		return f == nil
	})
	return f, err
}

// modern adds to a log what a later revision might.
func modern(seed uint64, share float64) func(*Log) *Log {
	return func(log *Log) *Log {
		r := rand.New(rand.NewPCG(seed, 7))
		var steps []Step
		for _, s := range log.Steps {
			if s.Act != Tell || r.Float64() > share {
				steps = append(steps, s)
				continue
			}
			switch r.IntN(4) {
			case 0:
				s.Event.Flags |= abi.Flags(r.IntN(1<<16)) &^ knownFlags
			case 1:
				s.Beyond = noise(r, []int{8, 64, abi.EventArea - abi.EventSize}[r.IntN(3)])
			default:
				steps = append(steps, s)
				ev := s.Event
				ev.Kind = []abi.Kind{abi.Rejected + 1, 99, 1 << 8, 1 << 15, 1<<16 - 1}[r.IntN(5)]
				if r.IntN(2) == 0 {
					ev.Component, ev.Parent, ev.Bytes, ev.Amount = r.Uint32(), r.Uint32(), r.Uint64(), r.Uint64()
				}
				s = Step{Event: ev}
				if r.IntN(2) == 0 {
					s.Payload = noise(r, r.IntN(200))
				}
			}
			steps = append(steps, s)
		}
		return log.with(steps)
	}
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (s *suite) runFuture(o *outcome) error {
	var sources []source
	for i, src := range some(s.sound, 8) {
		dress := modern(s.cfg.Seed+uint64(i), 0.3)
		sources = append(sources, source{log: dress(src.log), script: src.script, dress: dress})
	}
	added, events := 0, 0
	for _, src := range sources {
		events += len(src.log.Steps)
		for i := range src.log.Steps {
			if isFuture(&src.log.Steps[i]) != "" {
				added++
			}
		}
	}
	o.say("the same answers when %d of %s have a kind, a flag or a length that it cannot know", added, count(events, "event"))
	return s.first(sources, o)
}
