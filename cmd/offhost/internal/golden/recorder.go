package golden

import (
	"encoding/binary"
	"strconv"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// A Recorder turns what a policy is told and answers into lines. The zero value is
// ready.
type Recorder struct {
	Lines []Line
	// Full says that there were more than MaxLines, and that the rest is not there.
	Full bool

	names         map[uint32]string // of components, by id
	request, call uint32
	last          uint64 // number of the event before
}

// See takes an event and its answer. Both are read before it returns.
func (r *Recorder) See(ev *abi.Event, payload []byte, answer []abi.Decision) {
	if r.names == nil {
		r.names = map[uint32]string{}
	}
	attaching := ev.Seq <= r.last // what is told then repeats the last number, and is no question
	r.last = ev.Seq
	if ev.Request != 0 {
		if ev.Request != r.request {
			r.request, r.call = ev.Request, 0
		}
		if ev.Step != 0 {
			r.call = ev.Step
		}
	}
	switch ev.Kind {
	case abi.Component:
		r.names[ev.Component] = string(payload)
	case abi.Rejected: // its own answer is ignored
		if d, code, ok := rejection(payload); ok {
			r.append(r.line(Rejected, code.String(), d))
		}
		return
	}
	if attaching {
		return
	}
	for _, d := range answer {
		r.append(r.Decision(ev, d))
	}
}

// Fault notes that an answer was void.
func (r *Recorder) Fault() { r.append(Line{Request: r.request, Call: r.call, Event: Fault}) }

// rejection reads the payload of REJECTED: SPEC.md, section 5.
func rejection(payload []byte) (abi.Decision, abi.RejectCode, bool) {
	if len(payload) < abi.RejectedSize {
		return abi.Decision{}, 0, false
	}
	list, err := abi.AppendDecisions(nil, payload, 1)
	return list[0], abi.RejectCode(binary.LittleEndian.Uint32(payload[abi.DecisionSize:])), err == nil
}

// Name returns a component's name, or its number if the policy speaks of one that is not
// there.
func (r *Recorder) Name(id uint32) string {
	if id == abi.None {
		return ""
	}
	if name, ok := r.names[id]; ok {
		return name
	}
	return "component(" + strconv.FormatUint(uint64(id), 10) + ")"
}

// Decision is the line of one decision of an answer to an event that was seen.
func (r *Recorder) Decision(ev *abi.Event, d abi.Decision) Line {
	return r.line(ev.Kind.String(), r.Name(ev.Component), d)
}

func (r *Recorder) line(event, about string, d abi.Decision) Line {
	amount := "all"
	switch {
	case d.Op == abi.Retain:
		amount = strconv.FormatUint(d.Arg, 10)
	case d.Arg > uint64(units.MaxBytes):
		amount = strconv.FormatUint(d.Arg, 10) + "B"
	case d.Arg > 0:
		amount = units.Bytes(d.Arg).Exact()
	}
	return Line{Request: r.request, Call: r.call, Event: event, About: about, Op: d.Op.String(), Component: r.Name(d.Component), Amount: amount, Reason: d.Reason}
}

func (r *Recorder) append(l Line) {
	if r.Full = r.Full || len(r.Lines) == MaxLines; !r.Full {
		r.Lines = append(r.Lines, l)
	}
}
