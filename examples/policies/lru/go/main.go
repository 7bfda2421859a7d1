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

// What the policy keeps is in package variables: through a receiver, each field would cost
// two loads.
var (
	world          offhost.World
	links          [offhost.MaxComponents]link
	oldest, newest uint32
)

type lru struct{}

func (*lru) Event(e *offhost.Event, a *offhost.Answer) {
	if !world.Follow(e) {
		return
	}
	switch e.Kind {
	case offhost.Registered:
		if e.Flags&offhost.Removed != 0 {
			unlist(e.Component)
		}
	case offhost.Loaded, offhost.Evicted: // attached in the middle, it learns of what is there
		if e.Resident > 0 && !links[e.Component].listed {
			touch(e.Component)
		}
	case offhost.Call, offhost.Done:
		touch(e.Component)
	case offhost.Need:
		need(e.Component, e.Amount, a)
	}
}

func need(asking uint32, missing uint64, a *offhost.Answer) {
	for i := oldest; i != 0 && missing > 0 && a.Room() > 0; i = links[i-1].newer {
		if id := i - 1; id != asking && world.Evictable(id) {
			missing -= min(missing, world.EvictPart(a, id, missing, leastRecentlyUsed))
		}
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

func init() { offhost.Handle(&lru{}) }

func main() {}
