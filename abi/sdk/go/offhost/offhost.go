// Package offhost is for policies that are written in Go.
//
//	type first struct{ world offhost.World }
//
//	func (p *first) Event(e *offhost.Event, a *offhost.Answer) {
//		if !p.world.Follow(e) || e.Kind != offhost.Need {
//			return
//		}
//		missing := e.Amount
//		for id := uint32(0); id < p.world.End && missing > 0; id++ {
//			if id != e.Component && p.world.Evictable(id) {
//				missing -= min(missing, p.world.EvictPart(a, id, missing, 1))
//			}
//		}
//	}
//
//	func init() { offhost.Handle(&first{}) }
//	func main() {}
//
// It is built with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared. The package has
// no more of Go than TinyGo has, too. Importing package state beside it adds the exports
// for learned state.
//
// A policy should allocate nothing once it runs: a garbage collection costs some millions
// of fuel, more than an event has.
//
// It is no part of the host, which has the ABI in package abi.
package offhost

import (
	"unsafe"

	"github.com/offhost/offhost/abi/sdk/go/internal/window"
)

const (
	// MaxComponents is what component ids are below.
	MaxComponents = 4096
	// MaxDecisions is how many decisions an answer holds.
	MaxDecisions = 128

	eventSize = 128
)

// A Policy is told what happens and may answer.
type Policy interface {
	// Event is called for each event. e and a are the window's and are not to be kept.
	Event(e *Event, a *Answer)
}

var policy Policy

// Handle says which policy is the module's. It is to be called by an init function.
func Handle(p Policy) { policy = p }

// An Op is what a decision asks for.
type Op uint16

// Operations: SPEC.md, section 5.
const (
	Evict Op = iota + 1
	Retain
	Prefetch
)

// A Decision is the ABI's own record.
type Decision struct {
	Op        Op
	Reason    uint16 // the policy's own code
	Component uint32
	Arg       uint64 // Evict, Prefetch: bytes, 0 for all; Retain: calls to hold, 1 to 65536
}

// An Answer takes decisions, in the order of preference. An empty one leaves everything
// to the host.
type Answer struct {
	area *[MaxDecisions]Decision
	n    uint32
}

// Room returns how many decisions still fit.
func (a *Answer) Room() int { return MaxDecisions - int(a.n) }

// Add adds a decision. False: the answer is full, and nothing was added.
func (a *Answer) Add(d Decision) bool {
	if a.n >= MaxDecisions {
		return false
	}
	a.area[a.n] = d
	a.n++
	return true
}

// Evict evicts so many bytes of a component, 0 for all; whole chunks go.
func (a *Answer) Evict(component uint32, bytes uint64, reason uint16) bool {
	return a.Add(Decision{Evict, reason, component, bytes})
}

// Retain wishes that a component stay for so many calls, 1 to 65536.
func (a *Answer) Retain(component uint32, calls uint64, reason uint16) bool {
	return a.Add(Decision{Retain, reason, component, calls})
}

// Prefetch loads so many missing bytes of a component, 0 for all; whole chunks come.
func (a *Answer) Prefetch(component uint32, bytes uint64, reason uint16) bool {
	return a.Add(Decision{Prefetch, reason, component, bytes})
}

// answer is static, so that it never escapes to the heap.
var answer Answer

func lend(size uint32) unsafe.Pointer {
	at := window.Lend(size)
	if at != nil {
		answer.area = (*[MaxDecisions]Decision)(window.Answer())
	}
	return at
}

func event(size uint32) int32 {
	answer.n = 0
	if size < eventSize || answer.area == nil || policy == nil {
		return 0
	}
	policy.Event((*Event)(window.Event()), &answer)
	return int32(answer.n)
}

// Ask delivers an event to a policy as a host would, and returns the answer. It is for
// tests, which run natively; the payload is cut to what the smallest window holds.
func Ask(p Policy, e Event, payload []byte) []Decision {
	defer Handle(policy)
	Handle(p)
	lend(window.Min)
	e.payloadLen = uint32(copy(window.Payload(window.Max), payload))
	*(*Event)(window.Event()) = e
	n := event(eventSize)
	return append([]Decision(nil), answer.area[:n]...)
}
