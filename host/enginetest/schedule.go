package enginetest

import (
	"fmt"
	"math/rand/v2"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// Sizes in a schedule are small numbers; a Bench says how many bytes stand for one.
const (
	granularity = 2
	chunkSize   = 8
)

// A Schedule is a world and what happens in it. Numbers that name one of several things
// are taken modulo how many there are when their turn comes.
type Schedule struct {
	Parts     []Part
	Budget    int // beside the least
	HarmBound bool
	Policy    wildPolicy
	Steps     []Step

	// Faulty devices fail copies, budgets change and others take memory; Silent ones do
	// not answer always; those that Loses says are lost and restored.
	Faulty, Silent, Loses bool
	// Faults are what goes wrong with one device action after the other, again and again.
	Faults []uint8
}

// A Part is a component.
type Part struct {
	Bytes, File int
	ReadOnly    bool
	Child       bool // of the first, if that is no child
	Constraint  uint8
}

// A Step is something that happens after some milliseconds.
type Step struct {
	Wait    uint8
	What    uint8
	A, B, C int
}

// Constraints of a Part; any other value is none.
const (
	excluded = iota
	kept
	constraints = 10
)

// chance is a source of evenly distributed numbers. Those that rapid draws itself are
// mostly small, and worlds of small numbers are dull; it shrinks the seed.
func chance(t *rapid.T, label string) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label), 1))
}

func schedules() *rapid.Generator[Schedule] {
	return rapid.Custom(func(t *rapid.T) Schedule {
		var s Schedule
		total := 0
		for range rapid.IntRange(1, 7).Draw(t, "parts") {
			r := chance(t, "part")
			p := Part{Bytes: r.IntN(61), ReadOnly: r.IntN(4) > 0, Child: r.IntN(5) == 0, Constraint: uint8(r.IntN(constraints))}
			if p.ReadOnly && r.IntN(3) == 0 {
				p.File = r.IntN(p.Bytes + 1)
			}
			total += p.Bytes
			s.Parts = append(s.Parts, p)
		}
		r := chance(t, "world")
		s.Budget = leastBudget + r.IntN(total+41-leastBudget)
		s.HarmBound = r.IntN(2) == 0
		s.Policy = randomPolicy(r, len(s.Parts))
		switch rapid.IntRange(0, 4).Draw(t, "faults") {
		case 0, 1:
		case 2:
			s.Faulty = true
		case 3:
			s.Faulty, s.Silent = true, true
		case 4:
			s.Faulty, s.Silent, s.Loses = true, r.IntN(2) == 0, true
		}
		if s.Faulty {
			s.Faults = make([]uint8, 1+r.IntN(40))
			for i := range s.Faults {
				s.Faults[i] = uint8(r.IntN(faults))
			}
		}
		step := rapid.Custom(func(t *rapid.T) Step {
			r := chance(t, "step")
			return Step{Wait: uint8(r.IntN(100)), What: uint8(r.IntN(whats)), A: r.IntN(1 << 16), B: r.IntN(1 << 16), C: r.IntN(1 << 16)}
		})
		least := rapid.SampledFrom([]int{1, 20, 60, 150}).Draw(t, "least steps")
		s.Steps = rapid.SliceOfN(step, least, least+20).Draw(t, "steps")
		return s
	})
}

const leastBudget = 8

// total is the size of all parts.
func (s *Schedule) total() int {
	n := 0
	for _, p := range s.Parts {
		n += p.Bytes
	}
	return n
}

// specs are the components of a schedule.
func (s *Schedule) specs(scale units.Bytes) (specs []host.Spec, c host.Constraints) {
	for i, p := range s.Parts {
		spec := host.Spec{Name: fmt.Sprintf("c%d", i), Bytes: units.Bytes(p.Bytes) * scale, FileBytes: units.Bytes(p.File) * scale,
			ReadOnly: p.ReadOnly, Parent: host.NoComponent}
		if i > 0 && p.Child {
			spec.Parent = 0
		}
		specs = append(specs, spec)
		switch p.Constraint {
		case excluded:
			c.Exclude = append(c.Exclude, spec.Name)
		case kept:
			c.Keep = append(c.Keep, spec.Name)
		}
	}
	return specs, c
}

// Values of Faults; any other is none.
const (
	noMemory = iota
	failed
	slow
	silent
	faults = 16
)
