package conformance

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

var fuelCheck = &check{
	name:  "fuel",
	asks:  "however many components there are, no event spends more than it may, and answers stay well formed",
	run:   (*suite).runFuel,
	judge: judgeFuel,
}

// sizes are how many components there are. The first is about what a pipeline has that is
// divided into blocks; a module has to manage that many with the fuel that it is given. A
// lack among as many as the second is warned of. The last is what a host registers at most.
var sizes = []int{64, 1024, abi.MaxComponents}

func judgeFuel(b *bench, log *Log) (f *Finding, err error) {
	var follow follower
	err = b.follow(manner{}, log, func(r *reply) bool {
		follow.step(r.step)
		f = follow.judge(r)
		return f == nil
	})
	return f, err
}

// Where a module runs out of fuel, whether it would ever end is asked with so many times as
// much; a log may spend no more than maxSpent of it in all, which takes some seconds.
const (
	plentiful = 100
	maxSpent  = 1 << 33
)

// limits are those of the usual manner, with the defaults filled in.
func (b *bench) limits() (fuel, refill uint64) {
	return cmp.Or(b.cfg.Limits.Fuel, runtime.DefaultFuel), cmp.Or(b.cfg.Limits.Refill, runtime.DefaultRefill)
}

// part is which part of its fuel the module gets: 1 unless it is too complex to be
// compiled.
func (b *bench) part() uint64 {
	fuel, _ := b.limits()
	return max(fuel/max(b.loaded[manner{}].Info().Fuel, 1), 1)
}

// thirst finds out whether a module that ran out of fuel would have ended with more.
func (b *bench) thirst(log *Log, f *Finding) error {
	if f.Class != "fuel" {
		return nil
	}
	var at string
	var spent, all uint64
	ended, begun := false, b.effort
	err := b.follow(manner{plenty: true}, log, func(r *reply) bool {
		all += r.fuel
		if r.index == f.Step {
			at, spent, ended = where(r), r.fuel, r.fault == nil
		}
		return r.fault == nil && r.index < f.Step && all < maxSpent/b.part()
	})
	b.thirsty += b.effort - begun
	if err == nil && ended {
		f.dry = true
		f.Text = fmt.Sprintf("%s takes %s fuel", at, thousands(spent*b.part()))
	}
	return err
}

// crowd is a script in which n components are called in turn and all fit, and then make
// room for workspaces: for little, for half of them, for all.
func crowd(n int) *script {
	const size = 8 // MiB
	s := &script{name: fmt.Sprintf("%d components", n), budget: mebi(n * size * 2)}
	add := func(c ...cue) { s.cues = append(s.cues, c...) }
	for range n {
		add(cue{register, size - 1, plain, 0}) // and a byte or two: 8 MiB
	}
	round := func() {
		for i := range n {
			add(cue{forward, i, 0, 0})
		}
	}
	add(cue{begin, 0, n, 0})
	round()
	round()
	for _, percent := range []int{101, 150, 199, 199} { // of all components
		add(cue{forwardFat, n / 2, 0, n * size * percent / 100})
	}
	add(cue{end, 0, 0, 0}, cue{begin, 1, 0, 0})
	round()
	add(cue{forwardFat, 0, 0, n * size * 199 / 100}, cue{end, 0, 0, 0})
	return s
}

// A spending is what events of a log spend, and get.
type spending struct {
	fuel, gets uint64 // gets: beside Limits.Refill
	all        bool   // it gets all that an event may spend
	attach     bool   // what was saved before is gone
}

// spendings tells a log to an instance that has plenty of fuel.
func (b *bench) spendings(log *Log) (list []spending, most map[abi.Kind]uint64, f *Finding, err error) {
	most = map[abi.Kind]uint64{}
	var follow follower
	var all uint64
	err = b.follow(manner{plenty: true}, log, func(r *reply) bool {
		follow.step(r.step)
		all += r.fuel
		if f = follow.judge(r); f != nil {
			return false
		}
		if all > maxSpent/b.part() {
			f = found(r, "fuel", "the events up to here have spent %s fuel", thousands(all*b.part()))
			return false
		}
		switch r.step.Act {
		case Attach:
			list = append(list, spending{attach: true})
		case Tell:
			most[r.event.Kind] = max(most[r.event.Kind], r.fuel)
			list = append(list, spending{
				fuel: r.fuel, all: r.event.Kind == abi.Config,
				gets: runtime.RefillPerComponent*uint64(follow.registered) + runtime.RefillPerByte*uint64(len(r.step.Payload)),
			})
		}
		return true
	})
	return list, most, f, err
}

// enough reports whether limits are enough, by the rule of SPEC.md: an event gets what
// those before it left and what it adds, up to what one may spend. part divides all of it.
func enough(list []spending, fuel, refill, part uint64) bool {
	var saved uint64
	for _, s := range list {
		given := min(saved+(refill/part)+s.gets/part, fuel/part)
		if s.all {
			given = fuel / part
		}
		if s.attach {
			given = 0
		}
		if s.fuel > given {
			return false
		}
		saved = given - s.fuel
	}
	return true
}

// needs is what limits would be enough, in round numbers.
func needs(list []spending, fuel, refill, part uint64) (uint64, uint64) {
	var most uint64
	for _, s := range list {
		most = max(most, s.fuel)
	}
	if most*part > fuel {
		fuel = roundUp(most * part)
	}
	for refill < fuel && !enough(list, fuel, refill, part) {
		refill = roundUp(refill + refill/4 + 1)
	}
	return fuel, min(refill, fuel)
}

// roundUp leaves two digits.
func roundUp(n uint64) uint64 {
	unit := uint64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit - 1) / unit * unit
}

func (s *suite) runFuel(o *outcome) error {
	fuel, refill := s.limits()
	part := s.part()
	for i, n := range sizes {
		sc := crowd(n)
		log, err := s.act(manner{plenty: true}, sc)
		if err != nil {
			return err
		}
		list, most, f, err := s.spendings(log)
		if err != nil {
			return err
		}
		if f != nil && n > sizes[0] {
			if f.Class != "fuel" {
				g, err := judgeFuel(s.bench, log)
				if err != nil {
					return err
				}
				if f.same(g) {
					o.fail(g, source{log: log, script: sc})
					return nil
				}
				f.Text += ", if it has the fuel to come so far"
			}
			o.warn("with %d components %s", n, f.Text)
			continue
		}
		o.say("with %d components at most %s", n, mostText(most))
		if n == sizes[0] {
			if log, err = s.act(manner{}, sc); err != nil {
				return err
			}
			f, err := judgeFuel(s.bench, log)
			if err != nil {
				return err
			}
			if f != nil {
				o.fail(f, source{log: log, script: sc})
				return nil
			}
		}
		if !enough(list, fuel, refill, part) {
			// As many as there can be are many times those of any pipeline known; who has them
			// finds the figures here.
			remark, many := o.warn, ""
			if n == abi.MaxComponents {
				remark, many = o.say, ", the most that there can be,"
			}
			more, faster := needs(list, fuel, refill, part)
			remark("with %d%s some events find too little fuel left by those before, and the host decides in the policy's place; --policy-fuel %d --policy-refill %d would be enough", n, many, more, faster)
		}
		s.progress(float64(i+1) / float64(len(sizes)))
	}
	return nil
}

// mostText names the dearest kinds of events.
func mostText(most map[abi.Kind]uint64) string {
	var text []string
	for range 3 {
		best := abi.Kind(0)
		for kind := abi.Component; kind <= abi.Rejected; kind++ {
			if most[kind] > 0 && (best == 0 || most[kind] > most[best]) {
				best = kind
			}
		}
		if best == 0 {
			break
		}
		text = append(text, fmt.Sprintf("%s (%v)", thousands(most[best]), best))
		delete(most, best)
	}
	return strings.Join(text, ", ")
}
