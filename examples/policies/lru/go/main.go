// Least recently used, sized: when memory is needed, the component whose last use (the
// beginning or the end of a call) lies furthest back goes first, no more of it than is
// lacking.
package main

import "github.com/offhost/offhost/abi/sdk/go/offhost"

const leastRecentlyUsed = 1

// A link has the neighbours in the list of recency, as ids + 1; 0 at its ends.
type link struct {
	older, newer uint32
	listed       bool
}

type lru struct {
	world          offhost.World
	links          [offhost.MaxComponents]link
	oldest, newest uint32
}

func (p *lru) Event(e *offhost.Event, a *offhost.Answer) {
	if !p.world.Follow(e) {
		return
	}
	switch e.Kind {
	case offhost.Registered:
		if e.Flags&offhost.Removed != 0 {
			p.unlist(e.Component)
		}
	case offhost.Loaded, offhost.Evicted: // attached in the middle, it learns of what is there
		if e.Resident > 0 && !p.links[e.Component].listed {
			p.touch(e.Component)
		}
	case offhost.Call, offhost.Done:
		p.touch(e.Component)
	case offhost.Need:
		p.need(e.Component, e.Amount, a)
	}
}

func (p *lru) need(asking uint32, missing uint64, a *offhost.Answer) {
	for i := p.oldest; i != 0 && missing > 0 && a.Room() > 0; i = p.links[i-1].newer {
		if id := i - 1; id != asking && p.world.Evictable(id) {
			missing -= min(missing, p.world.EvictPart(a, id, missing, leastRecentlyUsed))
		}
	}
}

func (p *lru) unlist(id uint32) {
	l := &p.links[id]
	if !l.listed {
		return
	}
	if l.older != 0 {
		p.links[l.older-1].newer = l.newer
	} else {
		p.oldest = l.newer
	}
	if l.newer != 0 {
		p.links[l.newer-1].older = l.older
	} else {
		p.newest = l.older
	}
	l.listed = false
}

func (p *lru) touch(id uint32) {
	if p.newest == id+1 {
		return
	}
	p.unlist(id)
	p.links[id] = link{older: p.newest, listed: true}
	if p.newest != 0 {
		p.links[p.newest-1].newer = id + 1
	} else {
		p.oldest = id + 1
	}
	p.newest = id + 1
}

var policy lru

func init() { offhost.Handle(&policy) }

func main() {}
