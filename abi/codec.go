package abi

import (
	"encoding/binary"
	"fmt"
)

var le = binary.LittleEndian

// PutEvent writes e to the first EventSize bytes of b. It panics when b is
// shorter: the caller owns the window.
func PutEvent(b []byte, e *Event) {
	_ = b[EventSize-1]
	le.PutUint16(b[0:], uint16(e.Kind))
	le.PutUint16(b[2:], uint16(e.Flags))
	le.PutUint32(b[4:], e.Component)
	le.PutUint32(b[8:], e.Parent)
	le.PutUint32(b[12:], e.Index)
	le.PutUint64(b[16:], e.NameHash)
	le.PutUint32(b[24:], e.Session)
	le.PutUint32(b[28:], e.Request)
	le.PutUint32(b[32:], e.Step)
	le.PutUint32(b[36:], e.Steps)
	le.PutUint64(b[40:], e.Seq)
	le.PutUint64(b[48:], e.Time)
	le.PutUint64(b[56:], e.Bytes)
	le.PutUint64(b[64:], e.Resident)
	le.PutUint64(b[72:], e.Free)
	le.PutUint64(b[80:], e.Budget)
	le.PutUint64(b[88:], e.Foreign)
	le.PutUint64(b[96:], e.Workspace)
	le.PutUint64(b[104:], e.LoadCost)
	le.PutUint64(b[112:], e.Amount)
	le.PutUint32(b[120:], e.PayloadLen)
	le.PutUint32(b[124:], e.Reserved)
}

// GetEvent reads an event from the first EventSize bytes of b; ok is false when b
// is shorter. Bytes beyond EventSize belong to a later revision and are ignored.
func GetEvent(b []byte) (e Event, ok bool) {
	if len(b) < EventSize {
		return Event{}, false
	}
	return Event{
		Kind:       Kind(le.Uint16(b[0:])),
		Flags:      Flags(le.Uint16(b[2:])),
		Component:  le.Uint32(b[4:]),
		Parent:     le.Uint32(b[8:]),
		Index:      le.Uint32(b[12:]),
		NameHash:   le.Uint64(b[16:]),
		Session:    le.Uint32(b[24:]),
		Request:    le.Uint32(b[28:]),
		Step:       le.Uint32(b[32:]),
		Steps:      le.Uint32(b[36:]),
		Seq:        le.Uint64(b[40:]),
		Time:       le.Uint64(b[48:]),
		Bytes:      le.Uint64(b[56:]),
		Resident:   le.Uint64(b[64:]),
		Free:       le.Uint64(b[72:]),
		Budget:     le.Uint64(b[80:]),
		Foreign:    le.Uint64(b[88:]),
		Workspace:  le.Uint64(b[96:]),
		LoadCost:   le.Uint64(b[104:]),
		Amount:     le.Uint64(b[112:]),
		PayloadLen: le.Uint32(b[120:]),
		Reserved:   le.Uint32(b[124:]),
	}, true
}

// PutDecision writes d to the first DecisionSize bytes of b.
func PutDecision(b []byte, d Decision) {
	_ = b[DecisionSize-1]
	le.PutUint16(b[0:], uint16(d.Op))
	le.PutUint16(b[2:], d.Reason)
	le.PutUint32(b[4:], d.Component)
	le.PutUint64(b[8:], d.Arg)
}

// AppendDecisions reads the first n decisions of the answer area and appends them
// to dst, which keeps its capacity between calls. It checks the count only: what
// the decisions say is the host's to judge. The error wraps ErrAnswer.
func AppendDecisions(dst []Decision, area []byte, n int) ([]Decision, error) {
	if n < 0 || n > MaxDecisions {
		return dst, fmt.Errorf("%w: %d decisions, an answer holds 0 to %d", ErrAnswer, n, MaxDecisions)
	}
	if len(area) < n*DecisionSize {
		return dst, fmt.Errorf("%w: %d decisions do not fit in %d bytes", ErrAnswer, n, len(area))
	}
	for i := range n {
		b := area[i*DecisionSize:]
		dst = append(dst, Decision{
			Op:        Op(le.Uint16(b[0:])),
			Reason:    le.Uint16(b[2:]),
			Component: le.Uint32(b[4:]),
			Arg:       le.Uint64(b[8:]),
		})
	}
	return dst, nil
}

// PutRejected writes the payload of a Rejected event: the refused decision, the
// code, and 4 reserved bytes; RejectedSize bytes in all.
func PutRejected(b []byte, d Decision, code RejectCode) {
	_ = b[RejectedSize-1]
	PutDecision(b, d)
	le.PutUint32(b[16:], uint32(code))
	le.PutUint32(b[20:], 0)
}
