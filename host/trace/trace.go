// Package trace reads and writes traces: the components of one or more pipelines
// and the order in which requests call them, as JSON Lines that stream through a
// pipe in one pass. FORMAT.md beside this file is the format's description.
//
// It is for whoever replays a trace (package replay, the baselines) or makes one
// (the generator of the shipped traces in package library, recorders). It knows
// nothing of devices, policies or residency: it says what was called, not what
// should be where. It trusts no input; every rule it enforces is a limit or a
// reference that consumers may then rely on.
package trace

import (
	"fmt"
	"time"

	"github.com/offhost/offhost/host/units"
)

// Format is the version that the first line of a trace names.
const Format = "offhost.trace/1"

// Limits that every trace keeps, so that reading an untrusted one takes bounded
// memory and its sums fit in the integers that carry them.
const (
	MaxLine       = 1 << 20                  // bytes of a line, its end not counted
	MaxComponents = 4096                     // components of a trace
	MaxPipelines  = 256                      // pipelines of a trace
	MaxSources    = 1024                     // source records of a trace
	MaxName       = 255                      // bytes of a name
	MaxText       = 4096                     // bytes of a description or a source's text
	MaxOpen       = 256                      // requests open at the same time
	MaxDepth      = 2                        // components entered at the same time in a request
	MaxRequest    = 1<<32 - 2                // largest request number
	MaxCompute    = 24 * time.Hour           // computing time of one call
	MaxTotal      = time.Duration(1<<53 - 1) // computing time of all calls together: 104 days
)

// A Header is what a trace says before its first request.
type Header struct {
	Name        string
	Description string
	Device      Device // what the times were taken on; the zero value when not said
	Components  []Component
	Pipelines   []Pipeline
	Sources     []Source
}

// A Device hints at the hardware that a trace is about. Fields are 0 when the
// trace does not say.
type Device struct {
	Name     string
	Memory   units.Bytes
	H2D      units.BytesPerSecond // from pinned host memory to the device
	D2H      units.BytesPerSecond // back
	Pageable units.BytesPerSecond // either way, when host memory is not pinned
}

// A Component is a named set of weights.
type Component struct {
	Name      string
	Bytes     units.Bytes // its own weights, its children's not counted; at least 1
	Workspace units.Bytes // activation memory that a call needs beside the weights
	ReadOnly  bool        // calls do not change the weights
	Parent    int         // position in Header.Components, NoComponent for none
	Index     int         // position among the parent's children
}

// NoComponent stands for "no component" in Component.Parent and Record.Component.
const NoComponent = -1

// A Pipeline names the components that its requests may call.
type Pipeline struct {
	Name       string
	Components []int // positions in Header.Components, no children: a parent stands for its own
	OffloadSeq []int // the order in which the pipeline says it uses them; some may be left out
}

// A Source says where a figure of the trace comes from.
type Source struct {
	What  string // the figure, such as "transformer bytes"
	Value string
	From  string // a public source, or how the figure was computed
	Low   bool   // weak: an estimate, or a place that cannot be checked
}

// A Kind says what a record tells.
type Kind uint8

// Kinds of records that follow the header.
const (
	Begin Kind = iota + 1 // a request begins
	Call                  // a component is called, computes and is done
	Enter                 // a component is called; other calls follow inside it
	Exit                  // an entered component is done
	End                   // a request ends
)

var kindNames = [...]string{Begin: "begin", Call: "call", Enter: "enter", Exit: "exit", End: "end"}

func (k Kind) String() string {
	if k >= Begin && k <= End {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A Record is one event of a trace.
type Record struct {
	Kind      Kind
	Line      int64         // where it was read, from 1; not written
	Request   uint32        // 1 to MaxRequest, larger than those of all requests begun before
	Pipeline  int           // the request's, a position in Header.Pipelines
	Component int           // Call, Enter, Exit: a position in Header.Components; else NoComponent
	Steps     uint32        // Begin: how many calls are announced; 0 when unknown
	Compute   time.Duration // Call: all of it; Enter: what the component computes itself
	Workspace units.Bytes   // Call, Enter: what this call needs, the component's unless it says otherwise
}

// Root returns the component that moves with i in tools that know no blocks: its
// parent, or i itself.
func (h *Header) Root(i int) int {
	if p := h.Components[i].Parent; p != NoComponent {
		return p
	}
	return i
}
