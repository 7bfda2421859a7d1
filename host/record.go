package host

import (
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// RecordKind says what a Record explains.
type RecordKind uint8

// Kinds of records.
const (
	RecBegin    RecordKind = iota + 1 // a request began
	RecEnd                            // a request ended
	RecCall                           // a call was granted after Stall
	RecDone                           // a call ended
	RecRefuse                         // a call was refused: Err
	RecLoad                           // a transfer to the device ended: Weights came, Ahead of them before a call wanted them
	RecEvict                          // Weights left the device, of which Clean needed no copy
	RecCopyBack                       // Weights that an eviction found dirty were copied back
	RecReject                         // a decision was refused: Decision, Code
	RecFault                          // an answer was void: Err
	RecFloor                          // the floor decided: Alloc bytes were still to be freed
	RecThrash                         // Component is loaded again and again in one request; Alloc would cure it
	RecState                          // the policy was quarantined, restored or given up: Text
	RecSwap                           // the policy was exchanged, or not: Err says why
	RecForget                         // the policy's saved state must not be used again: Text
)

// A Record explains something that the engine did. Logs, reports, timelines and
// metrics all read this one stream.
type Record struct {
	Kind      RecordKind
	Time      time.Duration
	Request   uint32
	Component ID
	Call      CallID
	Weights   units.Bytes
	Clean     units.Bytes
	Ahead     units.Bytes
	Alloc     units.Bytes
	Stall     time.Duration
	Demand    bool // RecLoad: a call came to want it
	Decision  abi.Decision
	Code      abi.RejectCode
	Err       error
	Text      string
	Cause     Cause
}
