package host

import (
	"errors"
	"fmt"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// A device can be lost as a whole: a sticky error of its context, a reset, its
// process killed. Nothing that was on it can be had any more. Until it is restored,
// empty, calls are refused and nothing is sent to it.

// lose books that the device is lost: no chunk is on it, and what is in flight will
// not arrive, whatever its completion says.
func (e *Engine) lose() error {
	if e.lost {
		return errors.New("the device is lost already")
	}
	e.lost = true
	e.epoch++
	var changed units.Bytes // by calls, and on the device only
	for _, b := range e.backlog {
		// Those that were copied back before have been, with none in flight to say so.
		if b.c.back.chunks--; b.c.back.chunks == 0 && b.c.back.alloc > 0 {
			e.recordBack(b.c)
		}
	}
	e.backlog = nil
	for _, c := range e.components {
		changed += e.loseComponent(c)
	}
	e.recordLoss(changed)
	for len(e.calls) > 0 {
		k := e.lastUngranted()
		if k == nil {
			break
		}
		e.refuse(k, errLost(k.c))
	}
	clear(e.shadow.resident)
	clear(e.shadow.dirty)
	return nil
}

// loseComponent takes a component off the device and returns how many bytes were
// there only.
func (e *Engine) loseComponent(c *component) (changed units.Bytes) {
	e.drop(c)
	var gone units.Bytes
	for i, st := range c.chunks {
		alloc := e.geo.chunkAlloc(c, i)
		switch st & stateMask {
		case resident:
			gone += alloc
			c.resident -= alloc
		case copyingBack:
			if e.ops.outstanding(c, i) {
				continue
			}
			c.leaving -= alloc
			e.leaving -= alloc
		case lost:
			c.late--
			e.ops.lostBytes -= alloc
		default:
			continue
		}
		if st&dirtyBit != 0 {
			changed += alloc
		}
		e.weights -= alloc
		c.chunks[i] = absent
	}
	c.low, c.top, c.dirty, c.stuck = 0, 0, 0, false
	if gone > 0 {
		ev := e.componentEvent(abi.Evicted, c)
		ev.Amount = uint64(gone)
		e.say(ev, nil)
	}
	return changed
}

func (e *Engine) recordLoss(changed units.Bytes) {
	what := "the device was lost"
	if changed > 0 {
		what += fmt.Sprintf(", and with it %s that calls had changed", changed.Decimal())
	}
	e.record(Record{Kind: RecFault, Component: NoComponent, Err: &DeviceError{What: what}, Cause: Cause{By: ByHost, Event: e.seq, For: NoComponent}})
}

// regain takes the device into use again. It is empty.
func (e *Engine) regain() error {
	if !e.lost {
		return errors.New("the device was not lost")
	}
	e.lost = false
	for _, c := range e.components {
		if c.pinned && c.missing() > 0 {
			e.startLoad(c, 0, Cause{By: ByHost, Event: e.seq, For: c.id})
		}
	}
	return nil
}

// lastUngranted is the youngest call that was not granted.
func (e *Engine) lastUngranted() *call {
	for i := len(e.calls) - 1; i >= 0; i-- {
		if !e.calls[i].granted {
			return e.calls[i]
		}
	}
	return nil
}

// ErrLost is in the error of a call that was refused, or whose compute ended, because the
// device is lost.
var ErrLost = errors.New("the device is lost")

func errLost(c *component) error { return &DeviceError{c.Name, ErrLost.Error(), ErrLost} }

// Lost reports whether the device is lost, as far as the engine was told.
func (e *Engine) Lost() bool { return e.lost }
