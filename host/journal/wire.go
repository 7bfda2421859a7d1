package journal

import (
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// The lines of a journal, as JSON has them: the one place that names their members.
// FORMAT.md lists the same, which a test compares.

// headerLine is the first line.
type headerLine struct {
	Kind   string `json:"kind"`
	Schema string `json:"schema"`
	Header
}

// endLine is the last one. Its checksum, the last member, is over all of the file
// before its digits.
type endLine struct {
	Kind string `json:"kind"`
	End
	SHA256 string `json:"sha256"`
}

// Kinds of lines that are no inputs.
const (
	kindHeader = "journal"
	kindMore   = "more"
	kindEnd    = "close"
)

// An inputLine is an input of one kind.
type inputLine interface {
	// put fills the line in from an input.
	put(in *host.Input, swap *Identity)
	// get gives the input that the line stands for, but its kind and time.
	get(in *host.Input, swap *Identity) *Error
	top() *lineHead
	bottom() *lineTail
}

type lineHead struct {
	Kind string `json:"kind"`
	Time int64  `json:"time_ns"`
}

func (l *lineHead) top() *lineHead { return l }

type lineTail struct {
	Actions []actionLine `json:"actions,omitempty"`
	More    bool         `json:"more,omitzero"` // the next line has further actions
}

func (l *lineTail) bottom() *lineTail { return l }

// moreLine continues an input's actions.
type moreLine struct {
	Kind string `json:"kind"`
	lineTail
}

type registerLine struct {
	lineHead
	Name      string      `json:"name"`
	Bytes     units.Bytes `json:"bytes"`
	FileBytes units.Bytes `json:"file_bytes,omitzero"`
	ReadOnly  bool        `json:"read_only,omitzero"`
	Parent    *host.ID    `json:"parent,omitzero"`
	Index     uint32      `json:"index,omitzero"`
	lineTail
}

func (l *registerLine) put(in *host.Input, _ *Identity) {
	s := &in.Spec
	l.Name, l.Bytes, l.FileBytes, l.ReadOnly, l.Index = s.Name, s.Bytes, s.FileBytes, s.ReadOnly, s.Index
	l.Parent = known(&s.Parent)
}

func (l *registerLine) get(in *host.Input, _ *Identity) *Error {
	in.Spec = host.Spec{Name: l.Name, Bytes: l.Bytes, FileBytes: l.FileBytes, ReadOnly: l.ReadOnly, Parent: orNone(l.Parent), Index: l.Index}
	return nil
}

type enqueuedLine struct {
	lineHead
	Request   uint32 `json:"request"`
	Session   uint32 `json:"session,omitzero"`
	Signature uint64 `json:"signature,string"` // JSON's readers lose digits of large numbers
	lineTail
}

func (l *enqueuedLine) put(in *host.Input, _ *Identity) {
	l.Request, l.Session, l.Signature = in.Request, in.Session, in.Signature
}

func (l *enqueuedLine) get(in *host.Input, _ *Identity) *Error {
	in.Request, in.Session, in.Signature = l.Request, l.Session, l.Signature
	return nil
}

type beginLine struct {
	lineHead
	Request   uint32    `json:"request"`
	Session   uint32    `json:"session,omitzero"`
	Signature uint64    `json:"signature,string"`
	Steps     uint32    `json:"steps,omitzero"`
	Order     []host.ID `json:"order,omitempty"`
	lineTail
}

func (l *beginLine) put(in *host.Input, _ *Identity) {
	l.Request, l.Session, l.Signature, l.Steps, l.Order = in.Request, in.Session, in.Signature, in.Steps, in.Order
}

func (l *beginLine) get(in *host.Input, _ *Identity) *Error {
	in.Request, in.Session, in.Signature, in.Steps, in.Order = l.Request, l.Session, l.Signature, l.Steps, l.Order
	return nil
}

type callLine struct {
	lineHead
	Call      host.CallID `json:"call"`
	Request   uint32      `json:"request,omitzero"`
	Component host.ID     `json:"component"`
	Workspace units.Bytes `json:"workspace_bytes,omitzero"`
	lineTail
}

func (l *callLine) put(in *host.Input, _ *Identity) {
	l.Call, l.Request, l.Component, l.Workspace = in.Call, in.Request, in.Component, in.Workspace
}

func (l *callLine) get(in *host.Input, _ *Identity) *Error {
	in.Call, in.Request, in.Component, in.Workspace = l.Call, l.Request, l.Component, l.Workspace
	return nil
}

type doneLine struct {
	lineHead
	Call host.CallID `json:"call"`
	lineTail
}

func (l *doneLine) put(in *host.Input, _ *Identity)        { l.Call = in.Call }
func (l *doneLine) get(in *host.Input, _ *Identity) *Error { in.Call = l.Call; return nil }

type endRequestLine struct {
	lineHead
	Request uint32 `json:"request"`
	lineTail
}

func (l *endRequestLine) put(in *host.Input, _ *Identity)        { l.Request = in.Request }
func (l *endRequestLine) get(in *host.Input, _ *Identity) *Error { in.Request = l.Request; return nil }

// bytesLine is of budget and of foreign.
type bytesLine struct {
	lineHead
	Bytes units.Bytes `json:"bytes"`
	lineTail
}

func (l *bytesLine) put(in *host.Input, _ *Identity)        { l.Bytes = in.Bytes }
func (l *bytesLine) get(in *host.Input, _ *Identity) *Error { in.Bytes = l.Bytes; return nil }

type swapLine struct {
	lineHead
	Policy   Identity `json:"policy"`
	Trial    int      `json:"trial,omitzero"`
	Handover bool     `json:"handover,omitzero"`
	Blob     []byte   `json:"blob,omitzero"`
	lineTail
}

func (l *swapLine) put(in *host.Input, swap *Identity) {
	l.Policy, l.Trial, l.Handover, l.Blob = *swap, in.Trial, in.Handover, in.Blob
}

func (l *swapLine) get(in *host.Input, swap *Identity) *Error {
	*swap, in.Trial, in.Handover, in.Blob = l.Policy, l.Trial, l.Handover, l.Blob
	return nil
}

type completedLine struct {
	lineHead
	Op     host.OpID `json:"op"`
	Status string    `json:"status,omitzero"` // ok unless said
	lineTail
}

func (l *completedLine) put(in *host.Input, _ *Identity) {
	l.Op, l.Status = in.Op, ""
	if in.Status != host.OK {
		l.Status = in.Status.String()
	}
}

func (l *completedLine) get(in *host.Input, _ *Identity) *Error {
	in.Op = l.Op
	if l.Status == "" {
		return nil
	}
	for in.Status = host.OutOfMemory; in.Status <= host.Lost; in.Status++ {
		if in.Status.String() == l.Status {
			return nil
		}
	}
	return bad("status", "is %s: want %q, %q, %q, or none when all went well", clip(l.Status), host.OutOfMemory, host.Failed, host.Lost)
}

// bareLine is of the kinds that have nothing but a time.
type bareLine struct {
	lineHead
	lineTail
}

func (*bareLine) put(*host.Input, *Identity)        {}
func (*bareLine) get(*host.Input, *Identity) *Error { return nil }

// newLine returns a line for inputs of a kind, nil for a kind that there is not.
func newLine(k host.InputKind) inputLine {
	switch k {
	case host.InRegister:
		return new(registerLine)
	case host.InEnqueued:
		return new(enqueuedLine)
	case host.InBegin:
		return new(beginLine)
	case host.InCall:
		return new(callLine)
	case host.InDone:
		return new(doneLine)
	case host.InEnd:
		return new(endRequestLine)
	case host.InBudget, host.InForeign:
		return new(bytesLine)
	case host.InSwap:
		return new(swapLine)
	case host.InCompleted:
		return new(completedLine)
	case host.InLost, host.InRestored, host.InTick:
		return new(bareLine)
	}
	return nil
}

// kindOf is the kind of a name, 0 when there is none such.
func kindOf(name string) host.InputKind {
	for k := host.InRegister; k <= host.InTick; k++ {
		if k.String() == name {
			return k
		}
	}
	return 0
}

// actionLine is an action. What is not there is 0, or none of the components.
type actionLine struct {
	Do        string      `json:"do"`
	Op        host.OpID   `json:"op,omitzero"`
	Call      host.CallID `json:"call,omitzero"`
	Request   uint32      `json:"request,omitzero"`
	Component *host.ID    `json:"component,omitzero"`
	Chunk     int         `json:"chunk,omitzero"`
	Alloc     units.Bytes `json:"alloc,omitzero"`
	Weights   units.Bytes `json:"weights,omitzero"`
	File      units.Bytes `json:"file,omitzero"`
	Demand    bool        `json:"demand,omitzero"`
	Error     string      `json:"error,omitzero"`
	By        string      `json:"by,omitzero"` // the host unless said
	Policy    uint32      `json:"policy,omitzero"`
	Reason    uint16      `json:"reason,omitzero"`
	Event     uint64      `json:"event,omitzero"`
	For       *host.ID    `json:"for,omitzero"`
}

var deciders = [...]string{host.ByHost: "", host.ByPolicy: "policy", host.ByFloor: "floor"}

// put fills the line in from an action, which it keeps pointing into.
func (l *actionLine) put(a *Action) {
	*l = actionLine{Do: a.Kind.String(), Op: a.Op, Call: a.Call, Request: a.Request, Component: known(&a.Component), Chunk: a.Chunk,
		Alloc: a.Alloc, Weights: a.Weights, File: a.File, Demand: a.Demand, Error: a.Error,
		Policy: a.Cause.Policy, Reason: a.Cause.Reason, Event: a.Cause.Event, For: known(&a.Cause.For)}
	if int(a.Cause.By) < len(deciders) {
		l.By = deciders[a.Cause.By]
	}
}

func (l *actionLine) get(a *Action) *Error {
	*a = Action{Op: l.Op, Call: l.Call, Request: l.Request, Component: orNone(l.Component), Chunk: l.Chunk,
		Alloc: l.Alloc, Weights: l.Weights, File: l.File, Demand: l.Demand, Error: l.Error,
		Cause: host.Cause{Policy: l.Policy, Reason: l.Reason, Event: l.Event, For: orNone(l.For)}}
	for k := host.ActCopyIn; k <= host.ActDiscard; k++ {
		if k.String() == l.Do {
			a.Kind = k
		}
	}
	if a.Kind == 0 {
		return bad("do", "is %s: want what an engine does, such as %q", clip(l.Do), host.ActCopyIn)
	}
	for by, name := range deciders {
		if name == l.By {
			a.Cause.By = host.Decider(by)
			return nil
		}
	}
	return bad("by", "is %s: want \"policy\", \"floor\", or none for the host", clip(l.By))
}

// known is nil for no component.
func known(id *host.ID) *host.ID {
	if *id == host.NoComponent {
		return nil
	}
	return id
}

func orNone(id *host.ID) host.ID {
	if id == nil {
		return host.NoComponent
	}
	return *id
}

// inputOf gives the input that a line stands for.
func inputOf(l inputLine, k host.InputKind, in *host.Input, swap *Identity) *Error {
	*in, *swap = host.Input{Kind: k, Time: time.Duration(l.top().Time)}, Identity{}
	return l.get(in, swap)
}
