// Package abi is the binary contract between the host and a policy module: the
// layout of the window that both share, the kinds of events the host tells, and
// the decisions a policy may answer. SPEC.md beside this file says the same in
// prose, offhost.h in C, and testdata/vectors.json in bytes.
//
// It is for whoever stands at one end of the window: the engine (package host),
// which builds events and reads decisions, and the policy runtime (package
// runtime), which carries them into and out of a WebAssembly memory. It knows
// nothing of WebAssembly, devices or files, and imports nothing of this module.
package abi

import (
	"errors"
	"fmt"
	"hash/fnv"
)

// Version is the ABI's version. It is part of the export names, so that a module
// says which version it speaks before any of its code runs.
const Version = 1

// Names of the exports that a policy has or may have.
const (
	ExportMemory  = "memory"             // required: the linear memory
	ExportBuffer  = "offhost_v1_buffer"  // required: (size i32) -> (addr i32)
	ExportEvent   = "offhost_v1_event"   // required: (len i32) -> (n i32)
	ExportSave    = "offhost_v1_save"    // optional: () -> (len i32)
	ExportRestore = "offhost_v1_restore" // optional: (len i32) -> (ok i32)
	ExportInit    = "_initialize"        // optional: () -> (), runs first
	CustomSection = "offhost"            // optional: key=value lines about the module
)

// Layout of the window, in bytes. A window of W bytes holds the event at
// [0, EventArea), the payload at [EventArea, W-DecisionArea) and the answer at
// [W-DecisionArea, W).
const (
	EventSize    = 128 // bytes of an event that version 1 defines
	EventArea    = 256 // bytes reserved for the event
	DecisionSize = 16  // bytes of one decision
	MaxDecisions = 128 // decisions that one answer may hold

	DecisionArea = DecisionSize * MaxDecisions
	MinWindow    = 4096
	// MinPayload is what a window of MinWindow bytes leaves for a payload.
	MinPayload = MinWindow - EventArea - DecisionArea
	// MaxPayload bounds configuration, declared orders and saved state.
	MaxPayload = 64 << 10
	// MaxName is the longest component name, in bytes.
	MaxName = 255
	// MaxComponents is how many components a host registers at most; ids are
	// smaller than it.
	MaxComponents = 4096
	// WindowAlign is the alignment of the window's address.
	WindowAlign = 8
	// RejectedSize is the size of the payload of a Rejected event.
	RejectedSize = 24
)

// WindowSize returns the size of a window whose payload holds payload bytes, at
// least MinWindow and a multiple of WindowAlign.
func WindowSize(payload int) int {
	n := (EventArea + payload + DecisionArea + WindowAlign - 1) &^ (WindowAlign - 1)
	return max(n, MinWindow)
}

// None stands for "no component" in Event.Component and Event.Parent.
const None = ^uint32(0)

// A Kind says what an event tells.
type Kind uint16

// Kinds of events. Zero is never sent.
const (
	Config    Kind = iota + 1 // the configuration, first event after the window was lent
	Component                 // a component was registered, changed (flags) or removed
	Loaded                    // a transfer to the device finished or was cancelled
	Evicted                   // bytes of a component left the device
	Enqueued                  // a request waits to begin
	Begin                     // a request begins
	Call                      // a call of a component begins; before its Need
	Done                      // a call ended
	End                       // a request ended
	Need                      // free Amount bytes for Component: the question that is to be answered
	Idle                      // the copy queue ran empty
	Pressure                  // memory is short, or a component is reloaded again and again
	Rejected                  // one of this policy's decisions was refused
	kinds
)

var kindNames = [kinds]string{"?", "CONFIG", "COMPONENT", "LOADED", "EVICTED", "ENQUEUED", "BEGIN",
	"CALL", "DONE", "END", "NEED", "IDLE", "PRESSURE", "REJECTED"}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("KIND(%d)", uint16(k))
}

// Flags describe the component of an event, and the event itself.
type Flags uint16

// Bits of Flags.
const (
	FlagResident  Flags = 1 << iota // all of the component's bytes are resident
	FlagPinned                      // always on the device (configuration: exclude)
	FlagInUse                       // leased by a call in flight
	FlagDirty                       // the device copy differs: eviction copies it back
	FlagLoopHint                    // the client says that the call is in a loop
	FlagKept                        // not to be evicted during the current request (configuration: keep)
	FlagReadOnly                    // calls do not change it
	FlagRemoved                     // Component: it was removed; its id may be used again
	FlagTruncated                   // the payload did not fit and was cut
	FlagThrash                      // Pressure: Component is reloaded again and again within one request
)

// An Event is what the host tells a policy. Sizes are allocated bytes (rounded up
// to the device's granularity); times are nanoseconds of the run's own clock.
// A field that an event's kind does not use is 0 (None for components).
type Event struct {
	Kind       Kind
	Flags      Flags
	Component  uint32 // dense id below MaxComponents, or None
	Parent     uint32 // id of the component's parent, or None
	Index      uint32 // position among the parent's children
	NameHash   uint64 // NameHash of the component's name; Begin and Enqueued: the pipeline's signature
	Session    uint32
	Request    uint32 // 1, 2, ...; 0 outside requests
	Step       uint32 // position of the call in its request, from 1
	Steps      uint32 // calls in the request, 0 when unknown
	Seq        uint64 // 1, 2, ... over the run; attach repeats the current one
	Time       uint64 // ns
	Bytes      uint64 // size of the component
	Resident   uint64 // bytes of it that are resident (loads in flight do not count)
	Free       uint64 // bytes of the budget that are neither used nor promised; 0 when overdrawn
	Budget     uint64 // bytes
	Foreign    uint64 // bytes of the budget that others use
	Workspace  uint64 // bytes that the call needs beside the weights
	LoadCost   uint64 // ns to bring the whole component to the device
	Amount     uint64 // Need: bytes to free; Loaded, Evicted: bytes moved; Pressure: bytes short
	PayloadLen uint32 // bytes of payload in the window
	Reserved   uint32 // 0
}

// An Op is what a decision asks for.
type Op uint16

// Operations.
const (
	Evict    Op = iota + 1 // remove Arg bytes of Component from the device, 0 = all of them
	Retain                 // drop Component last, for the next Arg calls (1 to MaxRetain)
	Prefetch               // load Arg missing bytes of Component ahead of need, 0 = all of them
	ops
)

// MaxRetain is the largest number of calls for which a Retain holds; larger
// arguments are taken as this one.
const MaxRetain = 1 << 16

func (o Op) String() string {
	switch o {
	case Evict:
		return "evict"
	case Retain:
		return "retain"
	case Prefetch:
		return "prefetch"
	}
	return fmt.Sprintf("op(%d)", uint16(o))
}

// A Decision is one entry of a policy's answer.
type Decision struct {
	Op        Op
	Reason    uint16 // the policy's own code, shown beside the movement
	Component uint32
	Arg       uint64
}

// A RejectCode says why a decision was refused.
type RejectCode uint32

// Codes of Rejected events.
const (
	RejectNotResident RejectCode = iota + 1 // Evict: nothing of it is resident or queued
	RejectPinned                            // Evict: it is excluded from offloading
	RejectKept                              // Evict: it is kept during this request
	RejectInUse                             // Evict: a call in flight uses it
	RejectAskedFor                          // Evict, Prefetch: it is what the event asks room for
	RejectNoRoom                            // Prefetch: it does not fit after this answer's evictions
	RejectAllResident                       // Prefetch: nothing of it is missing
	RejectTooSmall                          // Prefetch: fewer bytes than a chunk were asked for
	RejectBadArgument                       // Retain: zero calls
	rejectCodes
)

var rejectNames = [rejectCodes]string{"?", "not resident", "excluded", "kept", "in use", "asked for",
	"no room", "already resident", "smaller than a chunk", "zero calls"}

func (c RejectCode) String() string {
	if c < rejectCodes {
		return rejectNames[c]
	}
	return fmt.Sprintf("code(%d)", uint32(c))
}

// NameHash is the 64-bit FNV-1a hash of a name: what events carry in place of
// text.
func NameHash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash.Hash never returns an error
	return h.Sum64()
}

// ErrAnswer is wrapped by every error about an answer that cannot be read.
var ErrAnswer = errors.New("malformed answer")
