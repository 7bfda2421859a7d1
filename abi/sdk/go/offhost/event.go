package offhost

import "github.com/offhost/offhost/abi/sdk/go/internal/window"

// A Kind says what an event tells. There may be more than are named here.
type Kind uint16

// Kinds: SPEC.md, section 4.
const (
	Config Kind = iota + 1
	Registered
	Loaded
	Evicted
	Enqueued
	Begin
	Call
	Done
	End
	Need
	Idle
	Pressure
	Rejected
)

// Flags are about the component of an event. There may be more than are named here.
type Flags uint16

// Bits of Flags: SPEC.md, section 3.
const (
	Resident Flags = 1 << iota
	Pinned
	InUse
	Dirty
	LoopHint
	Kept
	ReadOnly
	Removed
	Truncated
	Thrash
)

// None stands for "no component".
const None = ^uint32(0)

// An Event is the ABI's own record, in the window. Sizes are bytes of device memory,
// times nanoseconds; what an event does not use is 0.
type Event struct {
	Kind       Kind
	Flags      Flags
	Component  uint32 // id, 0 to MaxComponents-1, or None
	Parent     uint32 // id of the component's parent, or None
	Index      uint32 // position among the parent's children
	NameHash   uint64 // FNV-1a of its name; of the pipeline's for Begin and Enqueued
	Session    uint32
	Request    uint32 // 0 outside requests
	Step       uint32 // position of the call in its request, from 1
	Steps      uint32 // calls in the request, 0 when unknown
	Seq        uint64 // number of the event in the run, from 1
	Time       uint64 // since the run began; never decreases
	Bytes      uint64 // size of the component
	Resident   uint64 // of it, what is resident
	Free       uint64 // of the budget, what is neither used nor promised
	Budget     uint64
	Foreign    uint64 // of the budget, what others use
	Workspace  uint64 // what the call needs beside the weights
	LoadCost   uint64 // time to bring the whole component to the device
	Amount     uint64 // Need: bytes to free; Loaded, Evicted: bytes moved; Pressure: bytes short
	payloadLen uint32
	_          uint32
}

// Payload returns what comes with the event: a name, a declared order, configuration.
// It is the window's and lasts until the event is answered.
func (e *Event) Payload() []byte { return window.Payload(e.payloadLen) }

// Config returns the value of a key, nil if it is not set or the event is not Config.
func (e *Event) Config(key string) []byte {
	if e.Kind != Config {
		return nil
	}
	text := e.Payload()
	for len(text) > 0 {
		end := 0
		for end < len(text) && text[end] != '\n' {
			end++
		}
		line := text[:end]
		if len(line) > len(key) && line[len(key)] == '=' && string(line[:len(key)]) == key {
			return line[len(key)+1:]
		}
		text = text[min(end+1, len(text)):]
	}
	return nil
}

// ConfigNumber returns the value of a key as a decimal number. ok is false if it is
// none that fits.
func (e *Event) ConfigNumber(key string) (n uint64, ok bool) {
	text := e.Config(key)
	for _, c := range text {
		digit := uint64(c - '0')
		if digit > 9 || n > (1<<64-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, len(text) > 0
}

// NameHash is what Event.NameHash is of a component of this name: how one that configuration
// names is known again when events are about it.
func NameHash(name []byte) uint64 {
	hash := uint64(0xcbf29ce484222325)
	for _, b := range name {
		hash = (hash ^ uint64(b)) * 0x100000001b3
	}
	return hash
}

// Rejection returns the decision that was refused and why, with Rejected: SPEC.md,
// section 5. ok is false with other events.
func (e *Event) Rejection() (d Decision, code uint32, ok bool) {
	b := e.Payload()
	if e.Kind != Rejected || len(b) < 24 {
		return Decision{}, 0, false
	}
	u32 := func(at int) uint32 {
		return uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
	}
	op := u32(0)
	return Decision{Op(op), uint16(op >> 16), u32(4), uint64(u32(8)) | uint64(u32(12))<<32}, u32(16), true
}
