package host

import (
	"github.com/offhost/offhost/host/units"
)

// ActionKind says what an Action asks of the device or tells a client.
type ActionKind uint8

// Kinds of actions. The first three go to the device and complete with InCompleted;
// the others are answers to clients.
const (
	ActCopyIn   ActionKind = iota + 1 // allocate Chunk of Component, copy its weights in
	ActCopyBack                       // copy Chunk's weights back; a release follows
	ActRelease                        // unmap Chunk and free its memory
	ActGrant                          // Call may start: all bytes of its component are resident
	ActRefuse                         // Call cannot start: Err says why
	ActTrim                           // ask clients to give cached device memory back
	ActDiscard                        // Policy is not needed any more: its owner may close it
)

var actionNames = [...]string{"?", "copy in", "copy back", "release", "grant", "refuse", "trim", "discard"}

func (k ActionKind) String() string {
	if int(k) < len(actionNames) {
		return actionNames[k]
	}
	return "?"
}

// Decider says who decided something.
type Decider uint8

// Deciders.
const (
	ByHost   Decider = iota // a rule of the engine: a call needs it, a constraint names it
	ByPolicy                // a decision of the policy
	ByFloor                 // the floor policy, because the policy did not answer or answered too little
)

// A Cause says who decided an action and why.
type Cause struct {
	By     Decider
	Policy uint32 // number of the policy, when By is ByPolicy: 1 for the first, then one for each swap
	Reason uint16 // the policy's code, when By is ByPolicy
	Event  uint64 // number of the event that was answered, or that led here
	For    ID     // the component that needed it, or NoComponent
}

// An Action is one thing to do.
type Action struct {
	Kind      ActionKind
	Op        OpID // of device actions
	Component ID
	Chunk     int
	Alloc     units.Bytes // device memory that the chunk takes
	Weights   units.Bytes // bytes to copy
	File      units.Bytes // ActCopyIn: of them, the lowest, which come from a file
	Demand    bool        // a call waits for it; false for prefetches
	Call      CallID
	Request   uint32
	Err       error  // ActRefuse: a *Refusal or *DeviceError
	Policy    Policy // ActDiscard
	Cause     Cause
}
