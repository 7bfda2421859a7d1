// Package offhost is for policies that are written in Go.
//
//	var world offhost.World
//
//	type first struct{}
//
//	func (*first) Event(e *offhost.Event, a *offhost.Answer) {
//		if !world.Follow(e) || e.Kind != offhost.Need {
//			return
//		}
//		missing := e.Amount
//		for id := uint32(0); id < world.End && missing > 0; id++ {
//			if id != e.Component && world.Evictable(id) {
//				missing -= min(missing, world.EvictPart(a, id, missing, 1))
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
// of fuel, more than an event has. It does well to keep its state in package variables, as
// the world above: they have fixed addresses, where a pointer that was passed is loaded anew
// for each field.
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
// to the host. There is one window and one answer in it, which every Answer stands for.
type Answer struct{}

// What an Answer stands for is at fixed addresses.
var (
	answer   Answer
	area     = (*[MaxDecisions]record)(window.Answer())
	answered uint32
)

// A record is a Decision as it lies in the window: operation, reason and component in one
// word.
type record struct{ head, arg uint64 }

// Room returns how many decisions still fit.
func (*Answer) Room() int { return MaxDecisions - int(answered) }

// Add adds a decision. False: the answer is full, and nothing was added.
func (*Answer) Add(d Decision) bool { return add(d.Op, d.Reason, d.Component, d.Arg) }

// Evict evicts so many bytes of a component, 0 for all; whole chunks go.
func (*Answer) Evict(component uint32, bytes uint64, reason uint16) bool {
	return add(Evict, reason, component, bytes)
}

// Retain wishes that a component stay for so many calls, 1 to 65536.
func (*Answer) Retain(component uint32, calls uint64, reason uint16) bool {
	return add(Retain, reason, component, calls)
}

// Prefetch loads so many missing bytes of a component, 0 for all; whole chunks come.
func (*Answer) Prefetch(component uint32, bytes uint64, reason uint16) bool {
	return add(Prefetch, reason, component, bytes)
}

func add(op Op, reason uint16, component uint32, arg uint64) bool {
	n := answered
	if n >= MaxDecisions {
		return false
	}
	area[n] = record{uint64(op) | uint64(reason)<<16 | uint64(component)<<32, arg}
	answered = n + 1
	return true
}

//go:wasmexport offhost_v1_buffer
func lend(size uint32) unsafe.Pointer {
	at := window.Lend(size)
	if at != nil {
		area = (*[MaxDecisions]record)(window.Answer())
	}
	return at
}

//go:wasmexport offhost_v1_event
func event(size uint32) int32 {
	answered = 0
	if size < eventSize || policy == nil {
		return 0
	}
	policy.Event((*Event)(window.Event()), &answer)
	return int32(answered)
}

// Ask delivers an event to a policy as a host would, and returns the answer. It is for
// tests, which run natively; the payload is cut to what the smallest window holds.
func Ask(p Policy, e Event, payload []byte) []Decision {
	defer Handle(policy)
	Handle(p)
	lend(window.Min)
	e.payloadLen = uint32(copy(window.Payload(window.Max), payload))
	*(*Event)(window.Event()) = e
	var list []Decision
	for _, r := range area[:event(eventSize)] {
		list = append(list, Decision{Op(r.head), uint16(r.head >> 16), uint32(r.head >> 32), r.arg})
	}
	return list
}
