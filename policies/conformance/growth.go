package conformance

import (
	"math/rand/v2"
)

var growthCheck = &check{
	name:  "growth",
	asks:  "however long it lives, it takes no more memory and no more fuel an event, and goes on to answer well",
	run:   (*suite).runGrowth,
	judge: judgeGrowth,
}

// Events of a life. What keeps no more than it has components for has long come to rest
// in a short one; the long one is a day of a busy host.
const (
	longLife  = 1_000_000
	shortLife = 60_000
	leastLife = 10_000 // in which growing can be told from growing up
)

// drift is by how much the fuel of an event may differ between the second quarter of a
// life and the last, in percent: garbage collectors have their rhythm.
const drift = 10

// A long is what was measured in a long life.
type long struct {
	events     [4]int // by quarter
	fuel       [4]uint64
	memory     [4]int // the most
	begun      int    // memory at the first event
	firstFault *Finding
	last       reply
}

// live measures a log with a cycle.
func (b *bench) live(m manner, log *Log, progress func(float64)) (*long, error) {
	l := &long{}
	var follow follower
	err := b.follow(m, log, func(r *reply) bool {
		follow.step(r.step)
		if f := follow.judge(r); f != nil {
			if r.round > 0 {
				l.firstFault = f
			}
			return false
		}
		if l.begun == 0 {
			l.begun = r.memory
		}
		l.last = *r
		q := min(4*r.round/(log.Times+1), 3)
		l.events[q]++
		l.fuel[q] += r.fuel
		l.memory[q] = max(l.memory[q], r.memory)
		if progress != nil && r.index == len(log.Steps)-1 {
			progress(float64(r.round) / float64(log.Times+1))
		}
		return true
	})
	return l, err
}

// mean is the fuel of an event in a quarter.
func (l *long) mean(quarter int) uint64 { return l.fuel[quarter] / uint64(max(l.events[quarter], 1)) }

// ampler is how many times the memory is given to a module that has taken all of its own.
const ampler = 4

// full reports whether a module has come to take all memory that it may have: where it then
// does with what it has, nothing grows any more.
func (l *long) full() bool { return l.last.memory >= l.last.limit && l.begun < l.last.limit }

// lives judges a log with a cycle. Of a module that takes all the memory there is, that more
// of it makes no difference says that it would never have enough.
func (b *bench) lives(log *Log, progress func(float64)) (l *long, f *Finding, err error) {
	if l, err = b.live(manner{}, log, progress); err != nil {
		return nil, nil, err
	}
	if f = l.judge(); f != nil || !l.full() {
		return l, f, nil
	}
	ample, err := b.live(manner{roomy: true}, log, nil)
	if err != nil {
		return nil, nil, err
	}
	if ample.firstFault = nil; ample.full() || ample.judge() != nil {
		f = found(&l.last, "memory", "all the %d KiB of memory that it may have are taken, %d KiB at first; of %d KiB it takes %d KiB: it goes on growing",
			l.last.limit>>10, l.begun>>10, ample.last.limit>>10, ample.last.memory>>10)
	}
	return l, f, nil
}

// judge finds what still grows in the second half of a life.
func (l *long) judge() *Finding {
	for q := range l.memory {
		if l.memory[q] > 0 && q > 1 && l.memory[q] > l.memory[1] {
			return found(&l.last, "memory", "%d KiB of memory after half of %s, %d KiB after three quarters, %d KiB in the end: it goes on growing",
				l.memory[1]>>10, count(l.all(), "event"), l.memory[2]>>10, l.memory[3]>>10)
		}
	}
	if l.firstFault != nil {
		return l.firstFault
	}
	early, late := l.mean(1), l.mean(3)
	if late*100 > early*(100+drift) {
		return found(&l.last, "drift", "an event takes %d fuel in the second quarter of %s, %d in the last: it goes on growing", early, count(l.all(), "event"), late)
	}
	return nil
}

func (l *long) all() (n int) {
	for _, k := range l.events {
		n += k
	}
	return n
}

func judgeGrowth(b *bench, log *Log) (*Finding, error) {
	if log.Times < 4 {
		return nil, nil
	}
	_, f, err := b.lives(log, nil)
	return f, err
}

// years is a script with a cycle that begins and ends with nothing on the device.
func years(r *rand.Rand, budget *int) []cue {
	const n = 7
	cues, total := parts(r, n, 40, 500, plain, plain, dirty)
	*budget = max(total*6/10, 600)
	for i := range 3 {
		cues = append(cues, pipeline(r, i%2, n)...)
	}
	cues = append(append(cues, empty...), cue{mark, 0, 0, 0})
	for i := range 6 {
		cues = append(cues, pipeline(r, i%3, n)...)
	}
	return append(cues, empty...)
}

// empty takes all from the device that is there.
var empty = []cue{{foreign, 1 << 20, 0, 0}, {wait, 1000, 0, 0}, {foreign, 0, 0, 0}}

// guests is such a script in which requests wait before they begin, and a component is kept
// while they are there. Told afresh, it has what comes without end where a host serves many
// people.
func guests(r *rand.Rand, budget *int) []cue {
	const n = 5
	cues, total := parts(r, n, 40, 500, plain, plain, dirty)
	cues = append(cues, cue{register, between(r, 10, 40), kept, 0})
	*budget = max(total*6/10, 600) + 40
	cues = append(cues, pipeline(r, 0, n+1)...)
	cues = append(append(cues, empty...), cue{mark, 0, 0, 0})
	for i := range 3 {
		cues = append(append(cues, cue{enqueue, i, 0, 0}), pipeline(r, i, n+1)...)
	}
	return append(cues, empty...)
}

// longLives are those that a module has to live.
var longLives = []struct {
	shape
	dress func(*Log) *Log
}{
	{shape{"years", years}, func(log *Log) *Log { return log }},
	{shape{"guests", guests}, func(log *Log) *Log {
		c := *log
		c.Fresh = true
		return &c
	}},
}

func (s *suite) runGrowth(o *outcome) error {
	for i, life := range longLives {
		sc := s.script(life.shape, 6000+uint64(i))
		log, err := s.act(manner{}, sc)
		if err != nil {
			return err
		}
		log = life.dress(log)
		if log.Cycle == 0 {
			o.result = Skipped
			o.say("the module fails before this comes to it: see %s", answersCheck.name)
			return nil
		}
		events, err := s.lifetime(log)
		if err != nil {
			return err
		}
		log = repeatedFor(log, events)
		l, f, err := s.lives(log, func(part float64) { s.progress((float64(i) + part) / 2) })
		if err != nil {
			return err
		}
		if f != nil {
			o.fail(f, source{log: log, script: sc, dress: life.dress})
			return nil
		}
		of := ""
		if log.Fresh {
			of = " of sessions and pipelines that are new each time"
		}
		o.say("%s%s; %d KiB of memory, none of it taken in the second half; %d fuel an event in the second quarter, %d in the last",
			count(l.all(), "event"), of, l.memory[1]>>10, l.mean(1), l.mean(3))
		if l.full() {
			o.warn("that is all the memory that it may have: with more components, or names, it may have too little")
		}
	}
	return nil
}

// lifetime is how many events a life has: fewer where they take much fuel.
func (s *suite) lifetime(log *Log) (int, error) {
	events := longLife
	if s.cfg.Quick {
		events = shortLife
	}
	begun := s.effort
	if err := s.follow(manner{}, log, func(r *reply) bool { return r.fault == nil }); err != nil {
		return 0, err
	}
	each := (s.effort - begun) / uint64(len(log.Steps))
	return min(events, int(max(leastLife, maxSpent/each))), nil
}

// repeatedFor is a log whose cycle, if it has one, is told until there were so many events.
func repeatedFor(log *Log, events int) *Log {
	return repeated(log, max((events-len(log.Steps))/max(log.Cycle, 1), 8))
}
