// This policy decides what leaves the device when there is no room for what is called: of
// all that may go, the component that ranks highest.
package main

import "github.com/offhost/offhost/abi/sdk/go/offhost"

const ranksHighest = 1

// What it remembers of a component. Time is counted in calls.
type memory struct {
	called uint64 // when it was called last
	away   uint64 // how long it had not been called then
}

// What a policy keeps is in package variables: through a receiver each field would cost two
// loads, and what is allocated would be for a garbage collection to go through.
var (
	world    offhost.World
	seen     [offhost.MaxComponents]memory // by id
	now      uint64
	smallest uint64 // components of fewer bytes stay: --policy-config smallest_mib=64
)

// The rule, and the line to change. As it is, what was called longest ago goes first. Others:
//
//	seen[id].called + seen[id].away - now  expected last, if it stays away as long again
//	world.Components[id].Bytes             the largest
//	-world.Components[id].LoadCost         the quickest to load again
func rank(id uint32) uint64 {
	return now - seen[id].called
}

// makeRoom answers Need: there are to be so many more bytes for the component that is called.
func makeRoom(called uint32, bytes uint64, a *offhost.Answer) {
	first, highest := offhost.None, uint64(0)
	for id := uint32(0); id < world.End; id++ {
		if id == called || !world.Evictable(id) || world.Components[id].Bytes < smallest {
			continue
		}
		if r := rank(id); first == offhost.None || r > highest {
			first, highest = id, r
		}
	}
	if first != offhost.None {
		world.EvictPart(a, first, bytes, ranksHighest) // if it was too small, the host asks again
	}
}

type policy struct{}

func (policy) Event(e *offhost.Event, a *offhost.Answer) {
	if !world.Follow(e) {
		return
	}
	switch e.Kind {
	case offhost.Config:
		mib, _ := e.ConfigNumber("smallest_mib")
		if smallest = mib << 20; smallest > 0 {
			offhost.Log("small components stay")
		}
	case offhost.Registered:
		if e.Flags&offhost.Removed != 0 {
			seen[e.Component] = memory{}
		}
	case offhost.Call:
		now++
		c := &seen[e.Component]
		c.away = now - c.called
		c.called = now
	case offhost.Need:
		makeRoom(e.Component, e.Amount, a)
	}
}

func init() { offhost.Handle(policy{}) }

func main() {}
