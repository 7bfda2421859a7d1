package host

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// queuedEvent is an event with its payload that waits to be told.
type queuedEvent struct {
	ev      abi.Event
	payload []byte
}

// ConfigLines builds CONFIG's payload: the user's keys and the host's own, sorted,
// one key=value a line. It refuses keys under "offhost." and line breaks.
func ConfigLines(user map[string]string, chunk units.Bytes, h2d, d2h units.BytesPerSecond) ([]byte, error) {
	lines := []string{
		"offhost.chunk_bytes=" + strconv.FormatInt(int64(chunk), 10),
		"offhost.d2h_bytes_per_second=" + strconv.FormatInt(int64(d2h), 10),
		"offhost.h2d_bytes_per_second=" + strconv.FormatInt(int64(h2d), 10),
	}
	for k, v := range user {
		switch {
		case strings.HasPrefix(k, "offhost."):
			return nil, fmt.Errorf("policy configuration: key %q: keys under \"offhost.\" are the host's own", k)
		case k == "" || strings.ContainsAny(k, "=\n\r\x00"):
			return nil, fmt.Errorf("policy configuration: key %q: want a name without '=' and line breaks", k)
		case strings.ContainsAny(v, "\n\r\x00"):
			return nil, fmt.Errorf("policy configuration: value of %q has a line break or NUL", k)
		}
		lines = append(lines, k+"="+v)
	}
	slices.Sort(lines)
	b := []byte(strings.Join(lines, "\n") + "\n")
	if len(b) > abi.MaxPayload {
		return nil, fmt.Errorf("policy configuration: %d bytes, at most %d", len(b), abi.MaxPayload)
	}
	return b, nil
}

// orderPayload writes a declared order as component ids, cut to what the smallest
// window holds.
func orderPayload(order []ID) (payload []byte, cut bool) {
	if len(order) > abi.MinPayload/4 {
		order, cut = order[:abi.MinPayload/4], true
	}
	for _, id := range order {
		payload = binary.LittleEndian.AppendUint32(payload, uint32(id))
	}
	return payload, cut
}

// plainEvent is about no component.
func plainEvent(kind abi.Kind) abi.Event {
	return abi.Event{Kind: kind, Component: abi.None, Parent: abi.None}
}

// componentEvent describes c as it is now.
func (e *Engine) componentEvent(kind abi.Kind, c *component) abi.Event {
	return abi.Event{
		Kind: kind, Flags: c.flags(), Component: uint32(c.id), Parent: uint32(c.Parent), Index: c.Index,
		NameHash: c.nameHash, Bytes: uint64(c.alloc), Resident: uint64(c.resident),
		LoadCost: uint64(e.loadCost(c)),
	}
}

// loadCost is how long loading all of a component takes. Reading a file and copying
// what was read overlap: the slower of the two counts.
func (e *Engine) loadCost(c *component) time.Duration {
	t := e.cfg.H2D.Time(c.Bytes) + time.Duration(len(c.chunks))*e.cfg.Latency
	if c.FileBytes > 0 && e.cfg.File > 0 {
		t += max(0, e.cfg.File.Time(c.FileBytes)-e.cfg.H2D.Time(c.FileBytes))
	}
	return t
}

// callEvent describes the call k of a component.
func (e *Engine) callEvent(kind abi.Kind, k *call) abi.Event {
	ev := e.componentEvent(kind, k.c)
	ev.Workspace = uint64(k.workspace)
	if k.r != nil {
		ev.Request, ev.Session, ev.Step, ev.Steps = k.r.id, k.r.session, k.step, k.r.steps
	}
	return ev
}

func (e *Engine) sayComponent(c *component) {
	e.say(e.componentEvent(abi.Component, c), []byte(c.Name))
}

// say numbers an event and queues it for whoever listens. It returns the number.
func (e *Engine) say(ev abi.Event, payload []byte) uint64 {
	e.seq++
	if e.active() != nil || e.trial != nil {
		e.stamp(&ev, e.seq, payload)
		e.events = append(e.events, queuedEvent{ev, payload})
	}
	return e.seq
}

// stamp fills in what every event carries.
func (e *Engine) stamp(ev *abi.Event, seq uint64, payload []byte) {
	ev.Seq = seq
	ev.Time = uint64(e.now)
	ev.Free = uint64(max(0, e.avail()))
	ev.Budget = uint64(e.budget)
	ev.Foreign = uint64(e.foreign)
	ev.PayloadLen = uint32(len(payload))
}

// flush tells the policy the queued events and carries out its answers, which may
// queue more.
func (e *Engine) flush() {
	for i := 0; i < len(e.events); i++ {
		q := &e.events[i]
		e.deliver(q.ev, q.payload)
	}
	e.events = e.events[:0]
}

// ask puts a question to the policy, with nothing queued before it, and reports
// whether it was answered.
func (e *Engine) ask(ev abi.Event) bool {
	e.seq++
	e.stamp(&ev, e.seq, nil)
	return e.deliver(ev, nil)
}

// deliver hands one event to the policy and carries out the answer. It reports
// whether there was one.
func (e *Engine) deliver(told abi.Event, payload []byte) bool {
	e.told = told
	ev := &e.told
	a := e.active()
	if a == nil {
		e.try(ev, payload, nil)
		return false
	}
	e.counters.PolicyEvents++
	a.events++
	answer, err := a.policy.Decide(ev, payload)
	e.try(ev, payload, answer)
	if err != nil {
		e.void(a, ev, err)
		return false
	}
	if len(answer) == 0 || ev.Kind == abi.Rejected || e.answers >= maxAnswers || e.harmed() {
		return false
	}
	e.answers++
	e.verdicts, err = validate(e, asked(ev), answer, e.verdicts[:0])
	if err != nil {
		e.void(a, ev, fmt.Errorf("event %d %v: %w", ev.Seq, ev.Kind, err))
		return false
	}
	for _, v := range e.verdicts {
		e.carryOut(a, v, ev)
	}
	return true
}

// asked is the component that an event asks room for, if it does.
func asked(ev *abi.Event) ID {
	if ev.Kind == abi.Need || ev.Kind == abi.Call {
		return ID(ev.Component)
	}
	return NoComponent
}

// carryOut does what one judged decision asks for.
func (e *Engine) carryOut(a *attachment, v verdict, ev *abi.Event) {
	c := e.components[v.Component]
	cause := Cause{By: ByPolicy, Policy: a.number, Reason: v.Reason, Event: ev.Seq, For: asked(ev)}
	if v.code != 0 {
		e.counters.Rejected++
		e.record(Record{Kind: RecReject, Component: c.id, Decision: v.Decision, Code: v.code, Request: e.served(ev.Request), Cause: cause})
		payload := make([]byte, abi.RejectedSize)
		abi.PutRejected(payload, v.Decision, v.code)
		e.say(e.componentEvent(abi.Rejected, c), payload)
		return
	}
	e.counters.Decisions++
	e.hashDecision(ev.Seq, v.Decision, c)
	switch v.Op {
	case abi.Evict:
		e.evict(c, v.bytes, e.served(ev.Request), cause)
	case abi.Prefetch:
		e.aheadSince += v.bytes
		e.prefetch(c, e.chunksFor(c, v.bytes), e.served(ev.Request), cause)
	case abi.Retain:
		c.retainUntil = e.callSeq + min(v.Arg, abi.MaxRetain)
	}
}

// chunksFor is how many of c's missing chunks that are not queued come to at most
// bytes; all of them when bytes is all of them.
func (e *Engine) chunksFor(c *component, bytes units.Bytes) int {
	queued := 0
	missing := c.missing()
	if c.load != nil {
		queued, missing = c.load.chunks, missing-c.load.claim
	}
	if bytes >= missing {
		return e.geo.missingChunks(c) - queued
	}
	return int(bytes / e.geo.chunk)
}

func (e *Engine) hashDecision(seq uint64, d abi.Decision, c *component) {
	var b [26]byte
	binary.LittleEndian.PutUint64(b[0:], seq)
	binary.LittleEndian.PutUint16(b[8:], uint16(d.Op))
	binary.LittleEndian.PutUint64(b[10:], c.nameHash)
	binary.LittleEndian.PutUint64(b[18:], d.Arg)
	e.decided.Write(b[:]) // a hash.Hash never returns an error
}
