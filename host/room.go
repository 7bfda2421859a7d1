package host

import (
	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// makeRoom frees what k lacks. The policy is asked first, again and again while it
// answers and is short, since an answer holds a limited number of decisions; the
// floor completes it. The caller has checked that enough can be taken.
func (e *Engine) makeRoom(k *call) {
	e.reserved = k
	defer func() { e.reserved = nil }()
	e.flush()
	for e.answers < maxAnswers && e.shortfall(k) > 0 && e.active() != nil {
		short := e.shortfall(k)
		ev := e.callEvent(abi.Need, k)
		ev.Amount = uint64(short)
		if !e.ask(ev) {
			break
		}
		e.flush()
		if e.shortfall(k) >= short {
			break // nothing came of it: asking again would hear the same
		}
	}
	if short := e.shortfall(k); short > 0 {
		e.floor(short, k.c, k.request(), Cause{By: ByFloor, Event: e.seq, For: k.c.id})
		e.flush()
	}
}

// rebalance brings overdrawn books back: after a budget cut, when others take
// memory, when the device had less than was thought. Prefetches and evictable
// bytes go first, then calls that were admitted and not granted, the youngest
// first. What is in use stays; nothing is allocated until the books are even.
func (e *Engine) rebalance() {
	if e.avail() >= 0 {
		e.pressed = false
		return
	}
	if !e.pressed {
		e.pressed = true
		ev := plainEvent(abi.Pressure)
		ev.Amount = uint64(-e.avail())
		e.say(ev, nil)
		e.flush()
	}
	for e.avail() < 0 {
		if e.evictable(nil) > 0 {
			e.floor(-e.avail(), nil, e.served(0), Cause{By: ByFloor, Event: e.seq, For: NoComponent})
			e.flush()
			continue
		}
		// Chunks of prefetches in flight can be taken once they have arrived.
		var soon units.Bytes
		for _, c := range e.components {
			if !c.held() {
				soon += c.loading - c.lateIn
			}
		}
		if e.avail()+soon >= 0 {
			return
		}
		var last *call
		for _, k := range e.calls {
			if k.admitted && !k.granted {
				last = k
			}
		}
		if last == nil {
			return
		}
		e.refuse(last, e.bookings(last, func(*call) bool { return false }, func(*request) bool { return false }))
	}
}
