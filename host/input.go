package host

import (
	"time"

	"github.com/offhost/offhost/host/units"
)

// InputKind says what an Input tells the engine.
type InputKind uint8

// Kinds of inputs. From Completed on they come from devices and timers, before it
// from clients.
const (
	InRegister  InputKind = iota + 1 // Spec: a new component; its ID is the number of those before it
	InEnqueued                       // Request, Signature: a request waits to begin
	InBegin                          // Request, Session, Signature, Steps, Order
	InCall                           // Call, Request, Component, Workspace: a call wants to start
	InDone                           // Call: a granted call ended
	InEnd                            // Request
	InBudget                         // Bytes: the budget is now this large
	InForeign                        // Bytes: others use this much of the budget
	InSwap                           // Policy, Trial, Handover, Blob: another policy is to decide
	InCompleted                      // Op, Status: the device finished an action
	InLost                           // the device is lost, with all that was on it
	InRestored                       // the device is there again, empty
	InTick                           // nothing but time: the engine's Deadline has come
)

var inputNames = [...]string{"?", "register", "enqueued", "begin", "call", "done", "end", "budget",
	"foreign", "swap", "completed", "lost", "restored", "tick"}

func (k InputKind) String() string {
	if int(k) < len(inputNames) {
		return inputNames[k]
	}
	return "?"
}

// CallID names a call; the client chooses it, increasing over the run.
type CallID uint64

// OpID names a device action; each completes exactly once.
type OpID uint64

// Status is how a device action ended.
type Status uint8

// Statuses of InCompleted.
const (
	OK          Status = iota
	OutOfMemory        // the device could not allocate the chunk: nothing was copied
	Failed             // the copy failed: the chunk's memory is free again
	Lost               // the whole device is lost, as InLost says
)

func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case OutOfMemory:
		return "out of memory"
	case Lost:
		return "device lost"
	}
	return "failed"
}

// An Input is one thing that happened, at a time that never decreases. Only the
// fields that its Kind names are read.
type Input struct {
	Kind InputKind
	Time time.Duration // since the run began

	Spec      Spec
	Session   uint32
	Request   uint32 // from 1; on InCall 0 stands for "outside requests"
	Signature uint64 // abi.NameHash of the pipeline's name
	Steps     uint32 // calls in the request, 0 when unknown
	Order     []ID   // the pipeline's declared order, if it has one
	Call      CallID
	Component ID
	Workspace units.Bytes // what the call needs beside the weights
	Bytes     units.Bytes
	Op        OpID
	Status    Status

	Policy   Policy // InSwap: loaded, and the engine's from now on until ActDiscard
	Trial    int    // InSwap: events that it follows without deciding before it takes over
	Handover bool   // InSwap: it understands the old policy's saved state
	Blob     []byte // InSwap: saved state to restore; before Handover
}
