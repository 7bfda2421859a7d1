package policies

import (
	"fmt"
	"strings"

	"github.com/offhost/offhost/abi"
)

// host is the smallest host that keeps the ABI's promises: it tells a policy what
// happens, checks each answer, and moves bytes at once. A component's resident bytes
// are its first chunks.
type host struct {
	t          tb
	policy     *guest
	chunk      uint64
	budget     uint64
	used       uint64
	components []*component
	request    int
	moved      []uint64 // bytes loaded by request, from 1
	log        strings.Builder
}

type component struct {
	id              uint32
	name            string
	bytes, resident uint64
	flags           abi.Flags
	calls           int
	lastUse         int // by the host's count of calls' beginnings and ends
}

func newHost(t tb, policy string, chunk, budget uint64) *host {
	h := &host{t: t, policy: newGuest(t, policy), chunk: chunk, budget: budget, moved: []uint64{0}}
	h.tell(&abi.Event{Kind: abi.Config}, fmt.Appendf(nil, "depth=2\noffhost.chunk_bytes=%d\noffhost.h2d_bytes_per_second=25000000000\n", chunk))
	return h
}

// tell delivers news, which these policies never answer.
func (h *host) tell(ev *abi.Event, payload []byte) {
	ev.Budget = h.budget
	ev.Free = h.budget - h.used
	if answer := h.policy.tell(h.t, ev, payload); len(answer) != 0 && ev.Kind != abi.Need {
		h.t.Fatalf("%v was answered with %v, want no answer", ev.Kind, answer)
	}
}

func (h *host) event(kind abi.Kind, c *component) *abi.Event {
	ev := &abi.Event{Kind: kind, Component: c.id, Parent: abi.None, Bytes: c.bytes, Resident: c.resident,
		NameHash: abi.NameHash(c.name), Flags: c.flags, Request: uint32(h.request)}
	if c.calls > 0 {
		ev.Flags |= abi.FlagInUse
	}
	return ev
}

func (h *host) add(name string, bytes uint64, flags abi.Flags) *component {
	c := &component{id: uint32(len(h.components)), name: name, bytes: bytes, flags: flags | abi.FlagReadOnly}
	h.components = append(h.components, c)
	h.tell(h.event(abi.Component, c), []byte(name))
	return c
}

func (h *host) begin(pipeline string) {
	h.request++
	h.moved = append(h.moved, 0)
	h.tell(&abi.Event{Kind: abi.Begin, Component: abi.None, Request: uint32(h.request), NameHash: abi.NameHash(pipeline)}, nil)
}

func (h *host) end() {
	h.tell(&abi.Event{Kind: abi.End, Component: abi.None, Request: uint32(h.request)}, nil)
}

func (h *host) call(c *component) {
	h.tell(h.event(abi.Call, c), nil)
	missing := c.bytes - c.resident
	var evictions []string
	for h.used+missing > h.budget {
		short := h.used + missing - h.budget
		freed, said := h.need(c, short)
		if freed == 0 {
			h.t.Fatalf("call of %s: %d bytes are short and the policy frees nothing (resident: %v)", c.name, short, h.resident())
		}
		evictions = append(evictions, said...)
	}
	c.calls++ // it is admitted
	if missing > 0 {
		h.used += missing
		h.moved[len(h.moved)-1] += missing
		c.resident = c.bytes
		h.tell(h.event(abi.Loaded, c), nil)
		fmt.Fprintf(&h.log, "%s +%d", c.name, missing)
		if len(evictions) > 0 {
			fmt.Fprintf(&h.log, "   %s", strings.Join(evictions, ", "))
		}
		h.log.WriteByte('\n')
	}
}

func (h *host) done(c *component) {
	c.calls--
	h.tell(h.event(abi.Done, c), nil)
}

// need asks for short bytes and carries out the answer, every decision of which
// must be lawful and necessary.
func (h *host) need(asking *component, short uint64) (freed uint64, said []string) {
	ev := h.event(abi.Need, asking)
	ev.Amount = short
	ev.Budget, ev.Free = h.budget, h.budget-h.used
	answer := append([]abi.Decision(nil), h.policy.tell(h.t, ev, nil)...)
	for i, d := range answer {
		if d.Op != abi.Evict || int(d.Component) >= len(h.components) {
			h.t.Fatalf("NEED was answered with %+v, want evictions of known components", d)
		}
		c := h.components[d.Component]
		switch {
		case c == asking || c.calls > 0 || c.flags&(abi.FlagPinned|abi.FlagKept) != 0:
			h.t.Fatalf("decision %d evicts %s, which is in use, pinned, kept or asked for", i, c.name)
		case c.resident == 0 || d.Arg > c.resident:
			h.t.Fatalf("decision %d evicts %d bytes of %s, which has %d", i, d.Arg, c.name, c.resident)
		case freed >= short:
			h.t.Fatalf("decision %d evicts %s although %d of %d bytes are freed", i, c.name, freed, short)
		}
		got := h.evict(c, d.Arg)
		freed += got
		said = append(said, fmt.Sprintf("%s -%d (%s)", c.name, got, h.policy.reasons[fmt.Sprintf("reason.%d", d.Reason)]))
	}
	return freed, said
}

func (h *host) evict(c *component, bytes uint64) uint64 {
	if bytes == 0 {
		bytes = c.resident
	}
	stays := (c.resident - bytes) / h.chunk * h.chunk
	freed := c.resident - stays
	c.resident = stays
	h.used -= freed
	h.tell(h.event(abi.Evicted, c), nil)
	return freed
}

func (h *host) resident() string {
	var s []string
	for _, c := range h.components {
		if c.resident > 0 {
			s = append(s, fmt.Sprintf("%s %d", c.name, c.resident))
		}
	}
	return strings.Join(s, ", ")
}

// A step of a program: a request's beginning or end, a call's beginning or end.
type step struct {
	kind abi.Kind
	name string
}

// play runs steps; the components must exist.
func (h *host) play(program []step) {
	byName := map[string]*component{}
	for _, c := range h.components {
		byName[c.name] = c
	}
	for _, s := range program {
		c := byName[s.name]
		if c == nil && (s.kind == abi.Call || s.kind == abi.Done) {
			h.t.Fatalf("no component %q", s.name)
		}
		switch s.kind {
		case abi.Begin:
			h.begin(s.name)
		case abi.End:
			h.end()
		case abi.Call:
			h.call(c)
		case abi.Done:
			h.done(c)
		}
	}
}
