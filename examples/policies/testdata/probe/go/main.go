// Shows all that the SDK gives, for a test that knows what it has to show.
package main

import (
	"github.com/offhost/offhost/abi/sdk/go/offhost"
	"github.com/offhost/offhost/abi/sdk/go/offhost/state"
)

type probe struct {
	world     offhost.World
	threshold uint64
}

func (p *probe) Event(e *offhost.Event, a *offhost.Answer) {
	if d, code, ok := e.Rejection(); ok {
		a.Retain(d.Component, d.Arg, uint16(100*code)+d.Reason)
	}
	follows := p.world.Follow(e)
	switch e.Kind {
	case offhost.Config:
		p.threshold = 7
		if n, ok := e.ConfigNumber("threshold"); ok && follows {
			p.threshold = n
		}
		text := e.Config("greeting")
		if text != nil {
			offhost.Log(string(text))
		}
		offhost.LogNumbers("the hash is {}", offhost.NameHash(text))
		offhost.LogNumbers("the threshold is {}, {} and {} bytes: {}", p.threshold, uint64(len(text)), 1<<64-1)
	case offhost.Enqueued:
		for i, v := range [...]uint64{uint64(e.Kind), uint64(e.Flags), uint64(e.Component), uint64(e.Parent), uint64(e.Index),
			e.NameHash, uint64(e.Session), uint64(e.Request), uint64(e.Step), uint64(e.Steps), e.Seq, e.Time, e.Bytes,
			e.Resident, e.Free, e.Budget, e.Foreign, e.Workspace, e.LoadCost, e.Amount} {
			a.Retain(uint32(i), v, 0)
		}
	case offhost.Idle:
		for i := range uint32(200) {
			if !a.Evict(i, uint64(i), 1) && a.Room() == 0 {
				p.threshold++
			}
		}
	case offhost.Pressure:
		a.Retain(0, p.threshold, 0)
	case offhost.Need:
		for id := range p.world.End {
			a.Prefetch(id, p.world.Frees(id, e.Amount), one(p.world.Evictable(id))+2*one(p.world.Components[id].Known))
		}
		p.world.EvictPart(a, 0, e.Amount, 9)
		a.Retain(p.world.End, p.world.Free(), 0)
		a.Retain(p.world.End, p.world.Budget(), 0)
		c := &p.world.Components[1]
		a.Retain(1, c.Bytes, 0)
		a.Retain(1, c.LoadCost, 0)
		a.Retain(1, c.NameHash, 0)
	case 99:
		a.Retain(0, uint64(one(follows)), 0)
	}
}

func one(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}

func (p *probe) Save(to *state.Writer) { to.Uint64(p.threshold) }

func (p *probe) Restore(from *state.Reader) bool {
	kept := from.Uint64()
	if from.Short() {
		return false
	}
	p.threshold = kept
	return true
}

var policy probe

func init() {
	offhost.Handle(&policy)
	state.Keep(&policy)
}

func main() {}
