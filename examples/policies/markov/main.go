// First-order Markov prefetch: for each component the policy counts what was called next,
// loads what is called next as a rule while this one computes, and evicts last what the
// chain of likeliest successors leads to soonest. README.md says more.
package main

import (
	"encoding/binary"

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
	// victims is how many evictions an answer has at most.
	victims = 16
	// looks keeps an answer within the fuel of an event: each search for a victim looks at
	// all components. The host asks again while room is lacking.
	looks = offhost.MaxComponents
	// defaultConfidence is the percentage of calls that a successor has to follow.
	defaultConfidence = 60
)

type successor struct {
	id    uint32
	count uint16
}

type row struct {
	next  [successors]successor
	total uint16
}

type markov struct {
	world      offhost.World
	rows       [offhost.MaxComponents]row
	used       [offhost.MaxComponents]uint32 // number of the last use
	uses       uint32
	last       uint32 // component called last, plus 1
	confidence uint32 // percent

	// distance[id] is how many calls ahead the chain has a component, where walk[id] is the
	// number of the latest walk.
	distance, walk [offhost.MaxComponents]uint32
	walks          uint32
	taken          [offhost.MaxComponents]uint32 // of that walk: not, or not again, a victim

	names [2 * offhost.MaxComponents]uint16 // id + 1, by name: an open hash table for Restore
	named int
}

func (p *markov) Event(e *offhost.Event, a *offhost.Answer) {
	if e.Kind == offhost.Config {
		p.confidence = defaultConfidence
		if n, ok := e.ConfigNumber("confidence"); ok && n <= 100 {
			p.confidence = uint32(n)
		}
	}
	if !p.world.Follow(e) {
		return
	}
	switch e.Kind {
	case offhost.Registered:
		if e.Flags&offhost.Removed != 0 {
			p.forget(e.Component)
		} else {
			p.name(e.Component)
		}
	case offhost.Call:
		if p.last != 0 {
			p.rows[p.last-1].count(e.Component)
		}
		p.last = e.Component + 1
		p.use(e.Component)
		if e.Flags&offhost.Resident != 0 {
			p.prefetch(e.Component, a)
		}
	case offhost.Loaded: // of what was called: the link is free now
		if p.last == e.Component+1 && e.Flags&offhost.Resident != 0 {
			p.prefetch(e.Component, a)
		}
	case offhost.Done:
		p.use(e.Component)
	case offhost.Need:
		p.need(e.Component, e.Amount, a)
	}
}

func (p *markov) use(id uint32) {
	p.uses++
	p.used[id] = p.uses
}

func (r *row) count(id uint32) {
	rarest := 0
	for i := range r.next {
		s := &r.next[i]
		if s.count > 0 && s.id == id {
			rarest = i
			break
		}
		if s.count < r.next[rarest].count {
			rarest = i
		}
	}
	s := &r.next[rarest]
	if s.id != id {
		*s = successor{id: id}
	}
	s.count++
	if r.total++; r.total >= halveAt {
		r.total = 0
		for i := range r.next {
			r.next[i].count /= 2
			r.total += r.next[i].count
		}
	}
}

// likeliest is what most often follows, if it does so with confidence, or offhost.None.
func (p *markov) likeliest(id uint32) uint32 {
	r := &p.rows[id]
	best := r.next[0]
	for _, s := range r.next[1:] {
		if s.count > best.count {
			best = s
		}
	}
	if best.count == 0 || uint32(best.count)*100 < uint32(r.total)*p.confidence {
		return offhost.None
	}
	return best.id
}

// ahead notes how soon the chain from a component has which others.
func (p *markov) ahead(id uint32) {
	p.walks++
	for step := uint32(1); step <= steps; step++ {
		id = p.likeliest(id)
		if id == offhost.None || p.walk[id] == p.walks {
			return
		}
		p.walk[id], p.distance[id] = p.walks, step
	}
}

// soon is the distance of a component in the latest walk, a large one if it is not in it.
func (p *markov) soon(id uint32) uint32 {
	if p.walk[id] != p.walks {
		return steps + 1
	}
	return p.distance[id]
}

// victim is the evictable component that the chain has last, among equals the one that was
// used longest ago; offhost.None if all are nearer than so many steps.
func (p *markov) victim(nearest uint32) uint32 {
	best, far, used := offhost.None, nearest, uint32(0)
	for id := range p.world.End {
		if p.world.Components[id].Resident == 0 || p.taken[id] == p.walks {
			continue
		}
		d, u := p.soon(id), p.used[id]
		if (d > far || d == far && (best == offhost.None || u < used)) && p.world.Evictable(id) {
			best, far, used = id, d, u
		}
	}
	return best
}

// prefetch loads what is expected after a component, into what is free and what is not
// expected before it.
func (p *markov) prefetch(id uint32, a *offhost.Answer) {
	next := p.likeliest(id)
	if next == offhost.None || next == id {
		return
	}
	c := &p.world.Components[next]
	missing := c.Bytes - c.Resident
	if !c.Known || missing == 0 {
		return
	}
	free := p.world.Free()
	if free < missing {
		p.ahead(id)
		p.taken[id], p.taken[next] = p.walks, p.walks
		if v := p.victim(2); v != offhost.None {
			free += p.world.EvictPart(a, v, missing-free, p.reason(v))
		}
	}
	if missing > free {
		missing = free / p.world.Chunk() * p.world.Chunk()
	}
	if missing > 0 {
		a.Prefetch(next, missing, expectedNext)
	}
}

func (p *markov) reason(id uint32) uint16 {
	if p.soon(id) > steps {
		return notExpectedSoon
	}
	return expectedLast
}

func (p *markov) need(asking uint32, missing uint64, a *offhost.Answer) {
	if asking < offhost.MaxComponents {
		p.ahead(asking)
		p.taken[asking] = p.walks
	}
	for range min(victims, looks/max(p.world.End, 1)) {
		id := p.victim(0)
		if id == offhost.None || missing == 0 {
			return
		}
		missing -= min(missing, p.world.EvictPart(a, id, missing, p.reason(id)))
		p.taken[id] = p.walks
	}
}

func (p *markov) forget(id uint32) {
	p.rows[id] = row{}
	if p.last == id+1 {
		p.last = 0
	}
	for i := range p.world.End {
		for k := range p.rows[i].next {
			if s := &p.rows[i].next[k]; s.id == id {
				p.rows[i].total -= s.count
				*s = successor{}
			}
		}
	}
}

const (
	// records is how many successors are saved at most. Saving and restoring have no more
	// fuel than an event.
	records = 512
	// recordBytes is what each takes: two names and a count.
	recordBytes = 8 + 8 + 4
)

var le = binary.LittleEndian

// Save writes what follows what by name: ids are given anew in each run.
func (p *markov) Save(to *state.Writer) {
	left := records
	for id := range p.world.End {
		for _, s := range p.rows[id].next {
			if s.count > 0 && p.world.Components[id].Known {
				b := to.Bytes(recordBytes)
				if b == nil {
					return
				}
				le.PutUint64(b, p.world.Components[id].NameHash)
				le.PutUint64(b[8:], p.world.Components[s.id].NameHash)
				le.PutUint32(b[16:], uint32(s.count))
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

// Restore takes what Save wrote, of the components that there are.
func (p *markov) Restore(from *state.Reader) bool {
	for from.Len() > 0 {
		b := from.Bytes(recordBytes)
		if b == nil {
			return false
		}
		id, next, count := p.names[p.slot(le.Uint64(b))], p.names[p.slot(le.Uint64(b[8:]))], le.Uint32(b[16:])
		if id == 0 || next == 0 || count >= halveAt || !p.world.Components[id-1].Known || !p.world.Components[next-1].Known {
			continue
		}
		r := &p.rows[id-1]
		for k := range r.next {
			if r.next[k].count == 0 && uint32(r.total)+count < halveAt {
				r.next[k] = successor{uint32(next) - 1, uint16(count)}
				r.total += uint16(count)
				break
			}
		}
	}
	return true
}

// name enters a component in the table. What was removed stays there, and is not found since
// its id has another name or none; a table that is full of such takes no more.
func (p *markov) name(id uint32) {
	slot := p.slot(p.world.Components[id].NameHash)
	if p.names[slot] == 0 && p.named < len(p.names)*3/4 {
		p.names[slot] = uint16(id) + 1
		p.named++
	}
}

// slot is where a name is in the table, or would be.
func (p *markov) slot(nameHash uint64) uint32 {
	const last = uint32(len(p.names) - 1)
	i := uint32(nameHash>>32) & last
	for p.names[i] != 0 && p.world.Components[p.names[i]-1].NameHash != nameHash {
		i = (i + 1) & last
	}
	return i
}

var policy markov

func init() {
	offhost.Handle(&policy)
	state.Keep(&policy)
}

func main() {}
