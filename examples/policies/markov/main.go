// First-order Markov prefetch: for each component the policy counts what was called next,
// loads what is called next as a rule while this one computes, and evicts last what the
// chain of likeliest successors leads to soonest. README.md says more.
package main

import (
	"github.com/offhost/offhost/abi/sdk/go/offhost"
	"github.com/offhost/offhost/abi/sdk/go/offhost/state"
)

// Reasons of decisions.
const (
	expectedNext = iota + 1
	notExpectedSoon
	expectedLast
)

const (
	// successors is how many are remembered of each component. A new one takes the place
	// of the rarest.
	successors = 4
	// halveAt keeps counts small, so that what has changed is learned again.
	halveAt = 64
	// steps is how far the chain is followed.
	steps = 128
	// victims is how many evictions an answer has at most. The host asks again while room
	// is lacking.
	victims = 16
	// defaultConfidence is the percentage of calls that a successor has to follow.
	defaultConfidence = 60
)

// A ref is an id, and above it the number of the id's removals: what had it before is
// another component.
type ref uint32

const refShift = 12 // MaxComponents

type successor struct {
	ref   ref
	count uint16
}

type row struct {
	next  [successors]successor
	total uint16
	// likeliest is what most often follows, plus 1, if it does so with confidence; 0: none.
	// Chains are followed more often than counts change.
	likeliest ref
}

// A link has the neighbours in the list of recency, as ids + 1; 0 at its ends.
type link struct {
	older, newer uint32
	listed       bool
}

var (
	world      offhost.World
	rows       [offhost.MaxComponents]row
	removals   [offhost.MaxComponents]uint32
	last       uint32 // component called last, plus 1
	confidence uint32 // percent

	links          [offhost.MaxComponents]link
	oldest, newest uint32

	// The latest walk along the chain: what it met, the nearest first, and its number at each
	// component that it met.
	met   [steps]uint32
	far   int
	walk  [offhost.MaxComponents]uint32
	walks uint32 = 1

	names [2 * offhost.MaxComponents]uint16 // id + 1, by name: an open hash table for Restore
	named int
)

type markov struct{}

func (*markov) Event(e *offhost.Event, a *offhost.Answer) {
	if e.Kind == offhost.Config {
		confidence = defaultConfidence
		if n, ok := e.ConfigNumber("confidence"); ok && n <= 100 {
			confidence = uint32(n)
		}
	}
	if !world.Follow(e) {
		return
	}
	id := e.Component
	switch e.Kind {
	case offhost.Registered:
		switch {
		case e.Flags&offhost.Removed != 0:
			forget(id)
		case !links[id].listed: // it is new: a change of KEPT is told like this, too
			touch(id)
			name(id)
		}
	case offhost.Call:
		if last != 0 {
			rows[last-1].count(refTo(id))
		}
		last = id + 1
		touch(id)
		if e.Flags&offhost.Resident != 0 {
			prefetch(id, a)
		}
	case offhost.Loaded: // of what was called: the link is free now
		if last == id+1 && e.Flags&offhost.Resident != 0 {
			prefetch(id, a)
		}
	case offhost.Done:
		touch(id)
	case offhost.Need:
		if id < offhost.MaxComponents {
			follow(id)
		}
		evict(id, e.Amount, victims, 1, a)
	}
}

func forget(id uint32) {
	unlist(id)
	rows[id] = row{}
	removals[id]++
	if last == id+1 {
		last = 0
	}
}

func unlist(id uint32) {
	l := &links[id]
	if !l.listed {
		return
	}
	if l.older != 0 {
		links[l.older-1].newer = l.newer
	} else {
		oldest = l.newer
	}
	if l.newer != 0 {
		links[l.newer-1].older = l.older
	} else {
		newest = l.older
	}
	l.listed = false
}

func touch(id uint32) {
	if newest == id+1 {
		return
	}
	unlist(id)
	links[id] = link{older: newest, listed: true}
	if newest != 0 {
		links[newest-1].newer = id + 1
	} else {
		oldest = id + 1
	}
	newest = id + 1
}

func refTo(id uint32) ref { return ref(removals[id]<<refShift | id) }

func (r ref) id() uint32 { return uint32(r) % (1 << refShift) }

// valid reports whether it is still the same component.
func (r ref) valid() bool { return r == refTo(r.id()) }

// count notes that a component was called next.
func (r *row) count(what ref) {
	rarest := 0
	for i := range r.next {
		s := &r.next[i]
		if s.count > 0 && s.ref == what {
			rarest = i
			break
		}
		if s.count < r.next[rarest].count {
			rarest = i
		}
	}
	s := &r.next[rarest]
	if s.ref != what {
		*s = successor{ref: what}
	}
	s.count++
	if r.total++; r.total >= halveAt {
		r.total = 0
		for i := range r.next {
			r.next[i].count /= 2
			r.total += r.next[i].count
		}
	}
	r.choose()
}

// choose finds the likeliest.
func (r *row) choose() {
	best, most := 0, r.next[0].count
	for i := 1; i < successors; i++ {
		if n := r.next[i].count; n > most {
			best, most = i, n
		}
	}
	r.likeliest = 0
	if most > 0 && uint32(most)*100 >= uint32(r.total)*confidence {
		r.likeliest = r.next[best].ref + 1
	}
}

// drop forgets a successor that is not there any more.
func (r *row) drop(gone ref) {
	for i := range r.next {
		if s := &r.next[i]; s.ref == gone {
			r.total -= s.count
			*s = successor{}
		}
	}
	r.choose()
}

// likeliest is what most often follows a component, if it does so with confidence, or
// offhost.None.
func likeliest(id uint32) uint32 {
	for rows[id].likeliest != 0 {
		next := rows[id].likeliest - 1
		if next.valid() {
			return next.id()
		}
		rows[id].drop(next)
	}
	return offhost.None
}

// follow walks along the chain from a component.
func follow(id uint32) {
	walks++
	for far = 0; far < steps; far++ {
		id = likeliest(id)
		if id == offhost.None || walk[id] == walks {
			return
		}
		walk[id] = walks
		met[far] = id
	}
}

// prefetch loads what is expected after a component, into what is free and what is not
// expected before it.
func prefetch(id uint32, a *offhost.Answer) {
	next := likeliest(id)
	if next == offhost.None || next == id {
		return
	}
	c := &world.Components[next]
	missing := c.Bytes - c.Resident
	if !c.Known || missing == 0 {
		return
	}
	free := world.Free()
	if free < missing {
		follow(id)
		free += evict(id, missing-free, 1, 2, a)
	}
	if missing > free {
		missing = free / world.Chunk() * world.Chunk()
	}
	if missing > 0 {
		a.Prefetch(next, missing, expectedNext)
	}
}

// evict frees so many bytes and returns what that frees, by so many victims at most: first
// what the latest walk has not met, least recently used first, then what it has met, the
// farthest first, down to those that are so many steps away. Both orders are at hand, so that
// it takes no look at all components to find the next.
func evict(but uint32, missing uint64, most, nearest int, a *offhost.Answer) (freed uint64) {
	for i := oldest; i != 0; i = links[i-1].newer {
		id := i - 1
		if !world.Evictable(id) || walk[id] == walks || id == but {
			continue
		}
		freed += world.EvictPart(a, id, missing-freed, notExpectedSoon)
		if most--; most == 0 || freed >= missing {
			return freed
		}
	}
	for step := far; step >= nearest; step-- {
		id := met[step-1]
		if !world.Evictable(id) || id == but {
			continue
		}
		freed += world.EvictPart(a, id, missing-freed, expectedLast)
		if most--; most == 0 || freed >= missing {
			return freed
		}
	}
	return freed
}

// records is how many successors are saved at most: saving has no more fuel than an event.
const records = 512

// Save writes what follows what by name: ids are given anew in each run.
func (*markov) Save(to *state.Writer) {
	left := records
	for id := range world.End {
		if !world.Components[id].Known {
			continue
		}
		for i := range successors {
			s := &rows[id].next[i]
			if s.count == 0 || !s.ref.valid() {
				continue
			}
			to.Uint64(world.Components[id].NameHash)
			to.Uint64(world.Components[s.ref.id()].NameHash)
			to.Uint32(uint32(s.count))
			if left--; left == 0 {
				return
			}
		}
	}
}

// Restore takes what Save wrote, of the components that there are.
func (*markov) Restore(from *state.Reader) bool {
	for from.Len() > 0 {
		id, next, count := names[slot(from.Uint64())], names[slot(from.Uint64())], from.Uint32()
		if from.Short() {
			return false
		}
		if id == 0 || next == 0 || count >= halveAt || !world.Components[id-1].Known || !world.Components[next-1].Known {
			continue
		}
		r := &rows[id-1]
		for k := range r.next {
			if r.next[k].count == 0 && uint32(r.total)+count < halveAt {
				r.next[k] = successor{refTo(uint32(next) - 1), uint16(count)}
				r.total += uint16(count)
				break
			}
		}
		r.choose()
	}
	return true
}

// name enters a component in the table. What was removed stays there, and is not found since
// its id has another name or none; a table that is full of such takes no more.
func name(id uint32) {
	at := slot(world.Components[id].NameHash)
	if names[at] == 0 && named < len(names)*3/4 {
		names[at] = uint16(id) + 1
		named++
	}
}

// slot is where a name is in the table, or would be.
func slot(nameHash uint64) uint32 {
	const last = uint32(len(names) - 1)
	i := uint32(nameHash>>32) & last
	for names[i] != 0 && world.Components[names[i]-1].NameHash != nameHash {
		i = (i + 1) & last
	}
	return i
}

func init() {
	offhost.Handle(&markov{})
	state.Keep(&markov{})
}

func main() {}
