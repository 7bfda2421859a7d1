// This policy decides what leaves the device when there is no room for what is called: of
// all that may go, the component that ranks highest.
package main

import "github.com/offhost/offhost/abi/sdk/go/offhost"

const ranksHighest = 1

// What it remembers of a component. Time is counted in calls.
type seen struct {
	called uint64 // when it was called last
	away   uint64 // how long it had not been called then
}

type ranking struct {
	world offhost.World
	seen  [offhost.MaxComponents]seen // by id
	now   uint64
}

// The rule, and the line to change. As it is, what was called longest ago goes first. Others:
//
//	p.seen[id].called + p.seen[id].away - p.now  expected last, if it stays away as long again
//	p.world.Components[id].Bytes                 the largest
//	-p.world.Components[id].LoadCost             the quickest to load again
func (p *ranking) rank(id uint32) uint64 {
	return p.now - p.seen[id].called
}

// makeRoom answers Need: there are to be so many more bytes for the component that is called.
func (p *ranking) makeRoom(called uint32, bytes uint64, a *offhost.Answer) {
	first, highest := offhost.None, uint64(0)
	for id := uint32(0); id < p.world.End; id++ {
		if id == called || !p.world.Evictable(id) {
			continue
		}
		if r := p.rank(id); first == offhost.None || r > highest {
			first, highest = id, r
		}
	}
	if first != offhost.None {
		p.world.EvictPart(a, first, bytes, ranksHighest) // if it was too small, the host asks again
	}
}

func (p *ranking) Event(e *offhost.Event, a *offhost.Answer) {
	if !p.world.Follow(e) {
		return
	}
	switch e.Kind {
	case offhost.Registered:
		if e.Flags&offhost.Removed != 0 {
			p.seen[e.Component] = seen{}
		}
	case offhost.Call:
		p.now++
		p.seen[e.Component] = seen{called: p.now, away: p.now - p.seen[e.Component].called}
	case offhost.Need:
		p.makeRoom(e.Component, e.Amount, a)
	}
}

var policy ranking // static: what a garbage collection goes through costs fuel

func init() { offhost.Handle(&policy) }

func main() {}
