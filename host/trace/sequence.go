package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/offhost/offhost/host/units"
)

// A sequence checks the order of a trace's records: requests begin and end, calls
// belong to an open request and to its pipeline, what is entered is exited.
type sequence struct {
	h       *Header
	members [][]bool // by pipeline and component: may be called
	open    []openRequest
	last    uint32 // number of the request that began last
	compute time.Duration
}

type openRequest struct {
	number   uint32
	pipeline int
	line     int64 // where it began
	entered  [MaxDepth]int
	depth    int
}

func newSequence(h *Header) *sequence {
	s := &sequence{h: h, members: make([][]bool, len(h.Pipelines))}
	for i, p := range h.Pipelines {
		s.members[i] = make([]bool, len(h.Components))
		for _, c := range p.Components {
			s.members[i][c] = true
		}
		for c := range h.Components {
			s.members[i][c] = s.members[i][h.Root(c)]
		}
	}
	return s
}

// only returns the number of the open request when there is exactly one: calls
// need not name it.
func (s *sequence) only() (number uint32, ok bool) {
	if len(s.open) != 1 {
		return 0, false
	}
	return s.open[0].number, true
}

// apply checks r against the records before it and takes it over. It fills in
// r.Pipeline for all kinds but Begin. Component, Compute and Workspace are in
// range for the reader, which has looked them up; a writer's caller may pass
// anything.
func (s *sequence) apply(r *Record) *Error {
	if r.Request == 0 || r.Request > MaxRequest {
		return bad("request", "is %d: want 1 to %d", r.Request, uint32(MaxRequest))
	}
	if r.Kind == Begin {
		return s.begin(r)
	}
	at := -1
	for i := range s.open {
		if s.open[i].number == r.Request {
			at = i
		}
	}
	if at < 0 {
		return bad("request", "%d is not open: want a request that has begun and not ended", r.Request)
	}
	q := &s.open[at]
	r.Pipeline = q.pipeline
	if r.Kind == End {
		if q.depth > 0 {
			return bad("", "request %d ends inside %s: want an exit first", r.Request, s.name(q.entered[q.depth-1]))
		}
		s.open = append(s.open[:at], s.open[at+1:]...)
		return nil
	}
	return s.use(q, r)
}

func (s *sequence) begin(r *Record) *Error {
	switch {
	case r.Request <= s.last:
		return bad("request", "is %d, and request %d has begun before: want a larger number", r.Request, s.last)
	case r.Pipeline < 0 || r.Pipeline >= len(s.h.Pipelines):
		return bad("pipeline", "want one that the header declares")
	case len(s.open) == MaxOpen:
		return bad("", "more than %d requests are open", MaxOpen)
	}
	s.last = r.Request
	s.open = append(s.open, openRequest{number: r.Request, pipeline: r.Pipeline, line: r.Line})
	return nil
}

func (s *sequence) use(q *openRequest, r *Record) *Error {
	c := r.Component
	if c < 0 || c >= len(s.h.Components) {
		return bad("component", "want one that the header declares")
	}
	if r.Kind == Exit {
		if q.depth == 0 || q.entered[q.depth-1] != c {
			return bad("component", "%s is not what request %d entered last: want %s", s.name(c), r.Request, s.innermost(q))
		}
		q.depth--
		return nil
	}
	if !s.members[q.pipeline][c] {
		return bad("component", "%s is not in pipeline %s: want one of its components or their children", s.name(c), clip(s.h.Pipelines[q.pipeline].Name))
	}
	for _, e := range q.entered[:q.depth] {
		if e == c {
			return bad("component", "%s is entered already in request %d: want its exit first", s.name(c), r.Request)
		}
	}
	if r.Compute < 0 || r.Compute > MaxCompute {
		return bad("compute_ns", "is %d: want 0 to %d", r.Compute, MaxCompute)
	}
	if r.Compute > MaxTotal-s.compute {
		return bad("compute_ns", "brings the sum over all calls above %d", MaxTotal)
	}
	if r.Workspace < 0 || r.Workspace > units.MaxBytes {
		return bad("workspace_bytes", "is %d: want 0 to %d", r.Workspace, units.MaxBytes)
	}
	switch r.Kind {
	case Call:
	case Enter:
		if q.depth == MaxDepth {
			return bad("", "request %d has entered %d components: want calls only", r.Request, MaxDepth)
		}
		q.entered[q.depth] = c
		q.depth++
	default:
		return bad("kind", "%v is not a kind of record", r.Kind)
	}
	s.compute += r.Compute
	return nil
}

// end says whether the trace may end here.
func (s *sequence) end() *Error {
	if len(s.open) == 0 {
		return nil
	}
	q := &s.open[0]
	from := ""
	if q.line > 0 {
		from = fmt.Sprintf(" (begun at line %d)", q.line)
	}
	return bad("", "the trace ends while request %d%s is open: want its end: %w", q.number, from, io.ErrUnexpectedEOF)
}

func (s *sequence) name(c int) string { return clip(s.h.Components[c].Name) }

func (s *sequence) innermost(q *openRequest) string {
	if q.depth == 0 {
		return "an enter first"
	}
	return s.name(q.entered[q.depth-1])
}
