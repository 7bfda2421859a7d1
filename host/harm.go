package host

import (
	"fmt"

	"github.com/offhost/offhost/host/units"
)

// HarmError says that a request under a policy moved far more than it would have
// under the floor alone.
type HarmError struct {
	Request      uint32
	Moved, Floor units.Bytes // device memory filled and copied back so far, and what the floor would have
}

func (h *HarmError) Error() string {
	return fmt.Sprintf("request %d has moved %s, the fallback would have moved %s: it finishes the request", h.Request, h.Moved.Decimal(), h.Floor.Decimal())
}

// Reason is the short name under which faults are counted.
func (h *HarmError) Reason() string { return "harm" }

// shadow is the floor run beside the policy, on books of its own: which bytes of
// each component would be resident, had it decided from the start. Times and
// transfers do not matter to how much it moves.
type shadow struct {
	resident []units.Bytes // by component
	dirty    []bool
}

// harm plays a call in the shadow and returns what the floor would have moved for
// it.
func (e *Engine) harm(k *call) units.Bytes {
	s := &e.shadow
	for len(s.resident) < len(e.components) {
		s.resident, s.dirty = append(s.resident, 0), append(s.dirty, false)
	}
	c := k.c
	var moved units.Bytes
	for _, x := range e.components {
		if x == c || x.pinned { // what is excluded is there before anybody calls it
			moved += x.alloc - s.resident[x.id]
			s.resident[x.id] = x.alloc
		}
	}
	s.dirty[c.id] = s.dirty[c.id] || !c.ReadOnly
	over := e.foreign + k.workspace - e.budget
	for _, x := range e.calls {
		if x != k && x.admitted {
			over += x.workspace
		}
	}
	for i := range s.resident {
		over += s.resident[i]
	}
	for over > 0 {
		v := e.shadowVictim(c)
		if v == nil {
			break
		}
		n := e.geo.fromTheTop(s.resident[v.id], over)
		s.resident[v.id] -= n
		over -= n
		if s.dirty[v.id] {
			moved += n
			s.dirty[v.id] = s.resident[v.id] > 0
		}
	}
	return moved
}

func (e *Engine) shadowVictim(but *component) *component {
	var best *component
	for _, c := range e.components {
		if c == but || e.shadow.resident[c.id] == 0 || c.pinned || c.kept > 0 || c.leases > 0 {
			continue
		}
		if best == nil || c.lastUse < best.lastUse {
			best = c
		}
	}
	return best
}

// boundHarm stops a policy under which a request has moved more than twice what the
// floor would have, plus one budget: the floor finishes the request. What the policy
// had queued is dropped.
func (e *Engine) boundHarm() {
	if !e.cfg.HarmBound {
		return
	}
	for _, r := range e.requests {
		if r.harmed || r.moved <= 2*r.floorMoved+e.budget {
			continue
		}
		a := e.active()
		if a == nil {
			continue // the floor's own doing
		}
		r.harmed = true
		e.forgetWishes()
		for i := len(e.ahead) - 1; i >= 0; i = min(i, len(e.ahead)) - 1 {
			e.cancel(e.ahead[i].c, e.ahead[i].claim)
		}
		if e.fault(a, e.seq, &HarmError{Request: r.id, Moved: r.moved, Floor: r.floorMoved}) {
			if err := e.connect(a, e.seq); err != nil {
				e.fault(a, e.seq, err)
			}
		}
	}
}

// forgetWishes lets every RETAIN expire: what a policy wished for does not bind the
// floor that takes over from it.
func (e *Engine) forgetWishes() {
	for _, c := range e.components {
		c.retainUntil = 0
	}
}

// harmed reports whether the floor is finishing a request, so that answers are not
// carried out.
func (e *Engine) harmed() bool {
	for _, r := range e.requests {
		if r.harmed {
			return true
		}
	}
	return false
}
