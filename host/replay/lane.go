package replay

import (
	"errors"
	"fmt"
	"slices"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// A lane is one engine with its device, fed with the trace's records.
type lane struct {
	driver   host.Driver
	tally    tally
	policies *troupe
	movement *mover // nil when nobody wants to know
	open     []openRequest
	orders   [][]host.ID // declared order, by pipeline
	hashes   []uint64    // signature, by pipeline
	last     host.CallID
	moveErr  error
}

// openRequest is a request and the components that it has entered.
type openRequest struct {
	id      uint32
	entered []host.CallID
}

// journaler is told of each input that an engine takes; see host.Driver.
type journaler func(*host.Input, *host.Output) error

// newLane makes an engine and registers the trace's components. If tell is not nil, it is
// told of each movement.
func newLane(cfg *Config, h *trace.Header, conf host.Config, policies *troupe, device host.Worker, keep journaler, tell func(Movement) error) (*lane, error) {
	e, err := host.New(conf)
	if err != nil {
		return nil, err
	}
	l := &lane{driver: host.Driver{Engine: e, Device: device, Discard: policies.discard, Journal: keep}, policies: policies}
	if tell != nil { // a policy that takes over before the first request is heard of, too
		l.movement = &mover{policies: policies, engine: e, tell: tell}
	}
	// A call that loads gigabytes is some hundred inputs, and asking before each of them
	// is a quarter of a replay's time.
	if len(policies.swaps) > 0 {
		l.driver.Before = policies.due
	}
	l.driver.Observe = l.observe
	for i, c := range h.Components {
		s := host.Spec{Name: c.Name, Bytes: c.Bytes, ReadOnly: c.ReadOnly, Parent: host.NoComponent, Index: uint32(c.Index)}
		if c.Parent != trace.NoComponent {
			s.Parent = host.ID(c.Parent)
		}
		if i < len(cfg.FileBytes) {
			s.FileBytes = cfg.FileBytes[i]
		}
		if err := l.driver.Step(host.Input{Kind: host.InRegister, Spec: s}); err != nil {
			return nil, err
		}
	}
	for _, p := range h.Pipelines {
		var order []host.ID
		for _, i := range p.OffloadSeq {
			order = append(order, host.ID(i))
		}
		l.orders = append(l.orders, order)
		l.hashes = append(l.hashes, signature(p.Name))
	}
	return l, nil
}

// checkExcluded refuses a budget that could not even hold what never leaves.
func (l *lane) checkExcluded(cfg *Config, h *trace.Header) error {
	var sum units.Bytes
	for i := range h.Components {
		if l.driver.Engine.Excluded(host.ID(i)) {
			sum += l.driver.Engine.Allocated(host.ID(i))
		}
	}
	if sum > cfg.Budget {
		return &Inadmissible{Err: fmt.Errorf("the components excluded from offloading take %s, the budget is %s, %s short: raise --budget or shorten --exclude",
			sum.Decimal(), cfg.Budget.Decimal(), (sum - cfg.Budget).Decimal())}
	}
	return nil
}

func (l *lane) observe(r *host.Record) {
	l.tally.see(r)
	l.moveErr = errors.Join(l.moveErr, l.policies.see(r))
	if l.movement != nil && l.moveErr == nil {
		l.moveErr = l.movement.see(r)
	}
}

// add feeds one record. The trace's reader has checked that it makes sense.
func (l *lane) add(r *trace.Record) error {
	if err := l.feed(r); err != nil {
		var refusal *host.Refusal
		if errors.As(err, &refusal) {
			return &Inadmissible{Line: r.Line, Request: r.Request, Err: refusal}
		}
		return fmt.Errorf("line %d: %w", r.Line, err)
	}
	return l.moveErr
}

func (l *lane) feed(r *trace.Record) error {
	switch r.Kind {
	case trace.Begin:
		l.open = append(l.open, openRequest{id: r.Request})
		if err := l.driver.Measure(); err != nil {
			return err
		}
		return l.driver.Step(host.Input{Kind: host.InBegin, Request: r.Request, Signature: l.hashes[r.Pipeline],
			Steps: r.Steps, Order: l.orders[r.Pipeline]})
	case trace.Call, trace.Enter:
		id, err := l.call(r)
		if err != nil {
			return err
		}
		if r.Kind == trace.Enter {
			q := l.request(r.Request)
			q.entered = append(q.entered, id)
			return nil
		}
		return l.driver.Step(host.Input{Kind: host.InDone, Call: id})
	case trace.Exit:
		q := l.request(r.Request)
		id := q.entered[len(q.entered)-1]
		q.entered = q.entered[:len(q.entered)-1]
		return l.driver.Step(host.Input{Kind: host.InDone, Call: id})
	case trace.End:
		l.open = slices.DeleteFunc(l.open, func(q openRequest) bool { return q.id == r.Request })
		return l.driver.Step(host.Input{Kind: host.InEnd, Request: r.Request})
	}
	return fmt.Errorf("record kind %v", r.Kind)
}

// maxLosses is how often a device may be lost during one call: what happens every time is
// the call's doing, or the device's end.
const maxLosses = 3

// call makes a call and lets it compute; it is still open then. A device that is lost
// meanwhile is taken into use again, if that can be, and the call made anew.
func (l *lane) call(r *trace.Record) (host.CallID, error) {
	for losses := 0; ; losses++ {
		l.last++
		id := l.last
		err := l.driver.Call(host.Input{Call: id, Request: r.Request, Component: host.ID(r.Component), Workspace: r.Workspace})
		granted := err == nil
		if granted {
			err = l.driver.Compute(id, host.ID(r.Component), r.Compute)
		}
		if !errors.Is(err, host.ErrLost) || losses == maxLosses {
			return id, err
		}
		if granted {
			if err := l.driver.Step(host.Input{Kind: host.InDone, Call: id}); err != nil {
				return id, err
			}
		}
		if err := l.driver.Restore(); err != nil {
			return id, err
		}
	}
}

func (l *lane) request(id uint32) *openRequest {
	i := slices.IndexFunc(l.open, func(q openRequest) bool { return q.id == id })
	return &l.open[i]
}

// finish lets what is in flight arrive.
func (l *lane) finish() error {
	if err := l.driver.Drain(); err != nil {
		return err
	}
	return l.moveErr
}
