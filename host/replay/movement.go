package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// A Movement is one thing that happened to a component, and why, in words.
type Movement struct {
	Time      time.Duration // since the run began
	What      string        // "load", "prefetch", "evict", "copy back", "refused", "rejected"
	Component string
	Bytes     units.Bytes
	Why       string
	Who       string // the policy's name, "fallback" or "host"
}

// FaultMovement is what a Movement is whose policy's answer was void.
const FaultMovement = "fault"

// mover turns records into movements.
type mover struct {
	policies *troupe
	engine   *host.Engine
	tell     func(Movement) error
}

func (m *mover) see(r *host.Record) error {
	mv := Movement{Time: r.Time, Component: m.engine.Name(r.Component), Bytes: r.Weights, Who: m.who(r.Cause)}
	switch r.Kind {
	case host.RecLoad:
		mv.What, mv.Why = "load", "called in request "+fmt.Sprint(r.Request)
		if !r.Demand {
			mv.What, mv.Why = "prefetch", m.why(r.Cause)
		} else if m.engine.Excluded(r.Component) && r.Request == 0 {
			mv.Why = "excluded from offloading: always on the device"
		}
	case host.RecEvict:
		mv.What, mv.Why = "evict", m.why(r.Cause)
	case host.RecCopyBack:
		mv.What, mv.Why = "copy back", "changed on the device"
	case host.RecRefuse:
		mv.What, mv.Why = "refused", r.Err.Error()
	case host.RecReject:
		mv.What = "rejected"
		mv.Why = fmt.Sprintf("%v %s: %v", r.Decision.Op, mv.Component, r.Code)
	case host.RecFault:
		mv.What, mv.Why = FaultMovement, brief(r.Err)
	case host.RecThrash:
		mv.What = "thrash"
		mv.Why = fmt.Sprintf("moved in %d times over in request %d: a budget of %s would hold what is called in between",
			r.Weights/max(1, m.engine.Allocated(r.Component)), r.Request, r.Alloc.AtLeast())
	case host.RecState:
		mv.What, mv.Why = "policy", r.Text
	default:
		return nil
	}
	return m.tell(mv)
}

// brief is what an error says to a reader who knows whose fault it is: such errors have a
// method for it.
func brief(err error) string {
	var fault interface{ Brief() string }
	if errors.As(err, &fault) {
		return fault.Brief()
	}
	return err.Error()
}

func (m *mover) who(c host.Cause) string {
	switch c.By {
	case host.ByPolicy:
		return m.policies.module(c.Policy).Info.Name
	case host.ByFloor:
		return "fallback"
	}
	return "host"
}

// why says why something was decided, and for whose sake.
func (m *mover) why(c host.Cause) string {
	var s string
	switch c.By {
	case host.ByPolicy:
		s = m.policies.module(c.Policy).Reasons[c.Reason]
		if s == "" {
			s = fmt.Sprintf("reason %d", c.Reason)
		}
	case host.ByFloor:
		s = "least recently used"
	default:
		s = "a rule of the host"
	}
	if c.For != host.NoComponent {
		s += ", for " + m.engine.Name(c.For)
	}
	return s
}
