package host

import (
	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// thrashTimes is how many times over a component must have been moved in within
// one request to count as thrashing: once is the load itself, twice may be a phase
// that ended.
const thrashTimes = 3

// thrashState is what is remembered of a component to notice that it is loaded
// again and again.
type thrashState struct {
	request uint32      // the request that the rest is about
	moved   units.Bytes // promised to be moved in during it
	since   uint64      // number of the call that last had to load it
	told    bool
}

// watchThrash is called as k is admitted. When its component has been moved in
// several times over within the request, that is recorded once, with the budget
// that would have held everything called since the last time.
func (e *Engine) watchThrash(k *call) {
	if k.r == nil || k.c.alloc == 0 {
		return
	}
	missing := k.c.missing()
	if missing == 0 {
		return
	}
	t := &k.c.thrash
	if t.request != k.r.id {
		*t = thrashState{request: k.r.id}
	}
	t.moved += missing
	since := t.since
	t.since = k.seq
	if t.told || t.moved < thrashTimes*k.c.alloc {
		return
	}
	t.told = true
	cure := k.r.maxWork + e.foreign
	for _, c := range e.components {
		if c.pinned || c.kept > 0 || c.leases > 0 || c.lastUse >= since {
			cure += c.alloc
		}
	}
	e.counters.Thrash++
	e.record(Record{Kind: RecThrash, Request: k.r.id, Component: k.c.id, Alloc: cure, Weights: t.moved, Cause: k.cause()})
	ev := e.callEvent(abi.Pressure, k)
	ev.Flags |= abi.FlagThrash
	ev.Amount = uint64(max(0, cure-e.budget))
	e.say(ev, nil)
}
