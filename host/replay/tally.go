package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
)

// Limits on what a report lists; its sums count everything.
const (
	maxRequests = 1 << 17 // requests in PerRequest: 6 MB
	maxNotes    = 3       // of each kind
)

// tally adds up records.
type tally struct {
	requests, calls          int64
	h2d, d2h, avoided, ahead int64
	loads, evictions         int64
	stall, compute, span     time.Duration
	open                     int           // granted calls
	computing                time.Duration // since when they compute and none waits
	perComponent             []report.Component
	perRequest               []report.Request // in the order in which they began
	begun                    []begun          // of each
	faults, states           []string
	reasons                  map[string]int64
	faulty                   int
	thrashing                int
	thrash                   host.Record // the one whose cure is largest
}

// begun is a request's number in the trace, larger than those before, and when it
// began.
type begun struct {
	request uint32
	at      time.Duration
}

// component is a component's share so far.
func (t *tally) component(id host.ID) *report.Component {
	for int(id) >= len(t.perComponent) {
		t.perComponent = append(t.perComponent, report.Component{})
	}
	return &t.perComponent[id]
}

func (t *tally) begin(request uint32, now time.Duration) {
	t.requests++
	if len(t.perRequest) < maxRequests {
		t.perRequest = append(t.perRequest, report.Request{Request: t.requests})
		t.begun = append(t.begun, begun{request, now})
	}
}

func (t *tally) end(request uint32, now time.Duration) {
	t.span = now
	if i, ok := t.find(request); ok {
		t.perRequest[i].MakespanNS = int64(now - t.begun[i].at)
	}
}

// find returns a request's place in perRequest.
func (t *tally) find(request uint32) (int, bool) {
	return slices.BinarySearchFunc(t.begun, request, func(b begun, r uint32) int { return cmp.Compare(b.request, r) })
}

// see adds one record.
func (t *tally) see(r *host.Record) {
	switch r.Kind {
	case host.RecBegin:
		t.begin(r.Request, r.Time)
	case host.RecEnd:
		t.end(r.Request, r.Time)
	case host.RecCall:
		t.computed(r.Time - r.Stall) // those around it waited with it
		t.open++
		t.computing = r.Time
		t.calls++
		t.stall += r.Stall
		c := t.component(r.Component)
		c.Calls++
		c.StallNS += int64(r.Stall)
		if r.Stall > 0 {
			t.share(r, 0, 0, r.Stall)
		}
	case host.RecDone:
		t.computed(r.Time)
		t.open--
		t.computing = r.Time
	case host.RecLoad:
		t.loads++
		t.h2d += int64(r.Weights)
		t.ahead += int64(r.Ahead)
		c := t.component(r.Component)
		c.Loads++
		c.H2DBytes += int64(r.Weights)
		t.share(r, int64(r.Weights), 0, 0)
	case host.RecEvict:
		t.evictions++
		t.avoided += int64(r.Clean)
	case host.RecCopyBack:
		t.d2h += int64(r.Weights)
		t.component(r.Component).D2HBytes += int64(r.Weights)
		t.share(r, 0, int64(r.Weights), 0)
	case host.RecFault:
		t.faulty++
		if t.reasons == nil {
			t.reasons = map[string]int64{}
		}
		t.reasons[reason(r.Err)]++
		note(&t.faults, r.Err.Error())
	case host.RecState:
		note(&t.states, r.Text)
	case host.RecThrash:
		t.thrashing++
		if t.thrashing == 1 || r.Alloc > t.thrash.Alloc {
			t.thrash = *r
		}
	}
}

// computed books the time until now as compute, if a call was granted.
func (t *tally) computed(now time.Duration) {
	if t.open > 0 {
		t.compute += max(0, now-t.computing)
	}
}

// share books a movement on the request that it served, which may be over. What
// served none, such as loading an excluded component at the start, is in the totals
// only.
func (t *tally) share(r *host.Record, h2d, d2h int64, stall time.Duration) {
	i, ok := t.find(r.Request)
	if !ok {
		return
	}
	q := &t.perRequest[i]
	q.H2DBytes += h2d
	q.D2HBytes += d2h
	q.StallNS += int64(stall)
}

func note(list *[]string, s string) {
	if len(*list) < maxNotes {
		*list = append(*list, s)
	}
}

// reason is the short name under which a fault is counted.
func reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, abi.ErrAnswer):
		return "answer"
	}
	return "other"
}

// report returns what was added up.
func (t *tally) report(h *trace.Header) *report.Report {
	r := &report.Report{
		Requests: t.requests, Calls: t.calls,
		H2DBytes: t.h2d, D2HBytes: t.d2h, D2HAvoidedBytes: t.avoided,
		Loads: t.loads, Evictions: t.evictions, PrefetchedBytes: t.ahead,
		StallNS: int64(t.stall), ComputeNS: int64(t.compute), MakespanNS: int64(t.span),
		PerRequest: t.perRequest, PerComponent: []report.Component{},
		FaultReasons: t.reasons, Notes: []string{},
	}
	if r.FaultReasons == nil {
		r.FaultReasons = map[string]int64{}
	}
	if r.PerRequest == nil {
		r.PerRequest = []report.Request{}
	}
	if n := int64(len(r.PerRequest)); n < r.Requests {
		r.Notes = append(r.Notes, fmt.Sprintf("per_request lists the first %d of %d requests", n, r.Requests))
	}
	for i, c := range h.Components {
		r.PerComponent = append(r.PerComponent, *t.component(host.ID(i)))
		r.PerComponent[i].Name, r.PerComponent[i].Bytes = c.Name, int64(c.Bytes)
		if c.Parent != trace.NoComponent {
			r.PerComponent[i].Parent = h.Components[c.Parent].Name
		}
	}
	if t.thrashing > 0 {
		c := h.Components[t.thrash.Component]
		r.Notes = append(r.Notes, fmt.Sprintf("thrash: %d times a component was moved in several times over within one request (%s, %v, moved in %v in request %d); a budget of %s would hold what its loop calls",
			t.thrashing, c.Name, c.Bytes, t.thrash.Weights, t.thrash.Request, t.thrash.Alloc.AtLeast()))
	}
	for i, f := range t.faults {
		r.Notes = append(r.Notes, "fault "+strconv.Itoa(i+1)+": "+f)
	}
	if more := t.faulty - len(t.faults); more > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("and %d more faults", more))
	}
	r.Notes = append(r.Notes, t.states...)
	return r
}

// signature is how events name a pipeline.
func signature(pipeline string) uint64 { return abi.NameHash(pipeline) }
