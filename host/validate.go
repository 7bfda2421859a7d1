package host

import (
	"fmt"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// view is what validation may know of the engine: enough to judge an answer, and
// nothing that it could change.
type view interface {
	// count is the number of registered components.
	count() int
	// standing tells how component id stands now.
	standing(id ID) standing
	// room is how many bytes a prefetch may take.
	room() units.Bytes
	// aheadRoom is how many bytes may be prefetched before a client acts again.
	aheadRoom() units.Bytes
	chunkSize() units.Bytes
}

// standing is a component's state as validation sees it.
type standing struct {
	evictable         units.Bytes // resident and queued by a prefetch
	missing           units.Bytes // not resident, loading or queued
	pinned, kept, use bool
	stuck             bool
}

// verdict is validation's word on one decision: lawful, or refused with a code.
type verdict struct {
	abi.Decision
	code  abi.RejectCode // 0: lawful
	bytes units.Bytes    // Evict, Prefetch: what the argument comes to
}

// validate judges an answer to an event about component asked (or NoComponent) and
// appends a verdict per decision to dst. An error voids the whole answer: it cannot
// have been meant. The function changes nothing.
//
// A decision is judged as if those before it had been carried out.
func validate(v view, asked ID, answer []abi.Decision, dst []verdict) ([]verdict, error) {
	if err := WellFormed(answer, v.count()); err != nil {
		return dst, err
	}
	room, ahead := v.room(), v.aheadRoom()
	for _, d := range answer {
		s := v.standing(ID(d.Component))
		j := verdict{Decision: d}
		switch d.Op {
		case abi.Evict:
			j.bytes = s.evictable
			if d.Arg != 0 && d.Arg < uint64(s.evictable) {
				j.bytes = units.Bytes(d.Arg)
			}
			switch {
			case s.pinned:
				j.code = abi.RejectPinned
			case s.kept:
				j.code = abi.RejectKept
			case s.use || s.stuck:
				j.code = abi.RejectInUse
			case ID(d.Component) == asked:
				j.code = abi.RejectAskedFor
			case s.evictable == 0:
				j.code = abi.RejectNotResident
			default:
				// Whole chunks go; those beyond the request are not counted on, since
				// the last one is shorter.
				room += j.bytes
			}
		case abi.Prefetch:
			j.bytes = s.missing
			if d.Arg != 0 && d.Arg < uint64(s.missing) {
				j.bytes = units.Bytes(d.Arg) / v.chunkSize() * v.chunkSize()
			}
			switch {
			case ID(d.Component) == asked:
				j.code = abi.RejectAskedFor
			case s.missing == 0:
				j.code = abi.RejectAllResident
			case j.bytes == 0:
				j.code = abi.RejectTooSmall
			case j.bytes > room, j.bytes > ahead:
				j.code = abi.RejectNoRoom
			default:
				room -= j.bytes
				ahead -= j.bytes
			}
		case abi.Retain:
			if d.Arg == 0 {
				j.code = abi.RejectBadArgument
			}
		}
		dst = append(dst, j)
	}
	return dst, nil
}

// WellFormed judges what an answer says by itself, whatever the state: its operations are
// known, its components are among those registered, and no two entries contradict or
// repeat each other. The error wraps abi.ErrAnswer; the whole answer is void then.
func WellFormed(answer []abi.Decision, registered int) error {
	for i, d := range answer {
		switch {
		case d.Op < abi.Evict || d.Op > abi.Prefetch:
			return fmt.Errorf("%w: decision %d: operation %d is unknown, want 1 (evict), 2 (retain) or 3 (prefetch)", abi.ErrAnswer, i, d.Op)
		case int64(d.Component) >= int64(registered):
			return fmt.Errorf("%w: decision %d: component %d is unknown, %d are registered", abi.ErrAnswer, i, d.Component, registered)
		}
		for j, other := range answer[:i] {
			if other.Component != d.Component {
				continue
			}
			if other.Op == d.Op {
				return fmt.Errorf("%w: decisions %d and %d both %v component %d", abi.ErrAnswer, j, i, d.Op, d.Component)
			}
			if other.Op != abi.Retain && d.Op != abi.Retain {
				return fmt.Errorf("%w: decisions %d and %d evict and prefetch component %d", abi.ErrAnswer, j, i, d.Component)
			}
		}
	}
	return nil
}

// The engine is its own view.

func (e *Engine) count() int { return len(e.components) }

func (e *Engine) standing(id ID) standing {
	c := e.components[id]
	s := standing{evictable: c.resident + c.queued(), pinned: c.pinned, kept: c.kept > 0, use: c.leases > 0, stuck: c.stuck}
	s.missing = c.missing()
	if c.load != nil {
		s.missing -= c.load.claim
	}
	if c.late > 0 {
		s.missing = 0 // the device has not answered for it: nothing can be loaded
	}
	return s
}

func (e *Engine) room() units.Bytes {
	if e.reserved != nil {
		return -e.shortfall(e.reserved)
	}
	return e.avail()
}

// aheadRoom keeps a policy that prefetches and evicts by turns from moving bytes for
// ever while nothing happens: between two inputs of clients, one budget is enough to
// have everything there.
func (e *Engine) aheadRoom() units.Bytes { return e.budget - e.aheadSince }

func (e *Engine) chunkSize() units.Bytes { return e.geo.chunk }
