package conformance

import (
	"slices"

	"github.com/offhost/offhost/abi"
)

// minimise leaves out of a list what it can without fails becoming false, in ever smaller
// pieces, the last of which are single items. It goes on while more says so.
func minimise[T any](items []T, more func() bool, fails func([]T) bool) []T {
	for size := (len(items) + 1) / 2; size > 0; {
		shorter := false
		for at := 0; at < len(items); {
			if !more() {
				return items
			}
			rest := slices.Concat(items[:at], items[min(at+size, len(items)):])
			if fails(rest) {
				items, shorter = rest, true
			} else {
				at += size
			}
		}
		switch {
		case size > 1:
			size = min(size/2, max(len(items), 1))
		case !shorter:
			return items
		}
		if len(items) == 0 {
			return items
		}
	}
	return items
}

// Bounds of a minimisation: candidates that are tried, and the effort that goes into them,
// which is a few seconds.
const (
	maxTries  = 600
	maxEffort = 1 << 34
)

// A source is where a log comes from, so that less of it can be had.
type source struct {
	log    *Log
	script *script // whose log it is; nil: it is given
	// dress, if set, is what was done to the script's log.
	dress func(*Log) *Log
}

// minimal looks for a short log in which a check finds the same as in a source: of
// the script first, since what is left of that is a log that a host has told; then of the
// log itself, as far as a host could have told it, unless it means something only whole.
func (s *suite) minimal(c *check, src source, f *Finding) (*Log, *Finding, error) {
	limit := s.effort + maxEffort
	tries := 0
	var failed error
	more := func() bool {
		tries++
		return failed == nil && s.effort <= limit && tries <= maxTries
	}
	log := src.log
	// fails judges a candidate, and keeps it if it shows the fault.
	fails := func(candidate *Log) bool {
		if failed != nil {
			return false
		}
		s.effort += stepEffort * uint64(len(candidate.Steps))
		g, err := c.judge(s.bench, candidate)
		if failed = err; err != nil || !f.same(g) {
			return false
		}
		// Told less, a module has saved less: where it runs dry now it may have ended. And what
		// is left has to be what a host may say.
		if failed = c.weigh(s.bench, candidate, g); failed != nil || g.dry || g.unsaid != "" {
			return false
		}
		log, f = candidate, g
		return true
	}
	fewer := func() {
		for log.Times > 0 && log.events() > 2*leastLife && more() && fails(repeated(log, log.Times/2)) {
		}
	}
	fewer()
	// A shorter cycle is told as often, or more often: what grows does so by the round or by the
	// event.
	failsAgain := func(candidate *Log) bool {
		if log.Times == 0 {
			return fails(candidate)
		}
		events := log.events()
		as := repeated(candidate, log.Times)
		return as.events() >= leastLife && fails(as) || fails(repeatedFor(candidate, events))
	}
	if src.script != nil {
		limit -= maxEffort / 2 // the rest is for what follows
		minimise(src.script.cues, more, func(cues []cue) bool {
			shorter := *src.script
			shorter.cues = cues
			told, err := s.act(manner{}, &shorter)
			if failed = err; err != nil {
				return false
			}
			if src.dress != nil {
				told = src.dress(told)
			}
			return failsAgain(told)
		})
	}
	limit, tries = max(limit, s.effort+maxEffort/2), 0
	if log.Times == 0 && f.Step+1 < len(log.Steps) {
		fails(log.with(log.Steps[:f.Step+1]))
	}
	if f.told {
		return log, f, failed
	}
	free := src.script == nil && len(coherent(log.Steps)) < len(log.Steps) // it is not coherent, and need not be
	// What shows in the long run is about one kind of events, as a rule.
	for kind := abi.Component; log.Times > 0 && kind <= abi.Rejected && more(); kind++ {
		is := func(m marked) bool { return m.cycle && m.Event.Kind == kind }
		if list := marks(log); slices.ContainsFunc(list, is) {
			failsAgain(unmarked(log, slices.DeleteFunc(list, is), free))
		}
	}
	fewer()
	minimise(marks(log), more, func(list []marked) bool {
		return failsAgain(unmarked(log, list, free))
	})
	for i := range log.Steps {
		if s := &log.Steps[i]; (s.Beyond != nil || s.Event.Flags&^knownFlags != 0) && more() {
			plain := log.clone()
			s := &plain.Steps[i]
			s.Beyond, s.Event.Flags = nil, s.Event.Flags&knownFlags
			fails(plain)
		}
	}
	return log, f, failed
}

// repeated is a log whose cycle, if it has one, is told so many more times.
func repeated(log *Log, times int) *Log {
	c := *log
	c.Times = times
	if c.Cycle == 0 {
		c.Times = 0
	}
	return &c
}

// marked is a step that knows whether it is of the cycle.
type marked struct {
	Step
	cycle bool
}

func marks(log *Log) (list []marked) {
	for i, s := range log.Steps {
		list = append(list, marked{s, i >= len(log.Steps)-log.Cycle})
	}
	return list
}

func unmarked(log *Log, list []marked, free bool) *Log {
	c := *log
	c.Steps, c.Cycle = nil, 0
	var cycle []Step
	for _, m := range list {
		if m.cycle {
			cycle = append(cycle, m.Step)
		} else {
			c.Steps = append(c.Steps, m.Step)
		}
	}
	all := slices.Concat(c.Steps, cycle)
	if free {
		c.Steps, c.Cycle = all, len(cycle)
	} else {
		before := len(coherent(c.Steps))
		c.Steps = coherent(all)
		c.Cycle = len(c.Steps) - before
	}
	return &c
}
