package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// maxPending bounds the records that wait for the end of an earlier call.
const maxPending = 1 << 20

// A Sequence makes a trace of a journal's entries: only what clients did. A call
// computes from its grant to its end, or to the first call inside it. What clients
// announced without beginning it, refused calls, and everything that the device and
// the budget did are left out. It is not safe for concurrent use.
type Sequence struct {
	header    trace.Header
	fileBytes []units.Bytes  // of each component
	pipelines map[uint64]int // by signature
	open      []openRequest
	pending   []pendingRecord
	first     int // of pending, not given out yet
	now       time.Duration
	rules     *trace.Writer // keeps a trace's rules
}

type openRequest struct {
	number uint32
	calls  []runningCall // each inside the one before
}

type runningCall struct {
	id      host.CallID
	record  int // its place in pending, as long as that waits; else -1
	c       int
	granted bool
	at      time.Duration // of the grant
	entered bool          // another call is or was inside it
	done    bool          // but those inside it are not
}

type pendingRecord struct {
	trace.Record
	waits   bool
	dropped bool
}

// NewSequence returns a sequence without records.
func NewSequence(h *Header) *Sequence {
	s := &Sequence{header: trace.Header{Name: cmp.Or(h.Trace, "journal")}, pipelines: map[uint64]int{}}
	s.header.Device = trace.Device{Name: cmp.Or(h.Device, "device"), Memory: h.Engine.Budget, H2D: h.Engine.H2D, D2H: h.Engine.D2H, Pageable: h.Pageable}
	for i, p := range h.Pipelines {
		s.header.Pipelines = append(s.header.Pipelines, trace.Pipeline(p))
		s.pipelines[signature(p.Name)] = i
	}
	return s
}

// Header returns the trace's header: components as far as they are registered, and
// the device that the journal's engine was told of. It is complete when the first
// request begins.
func (s *Sequence) Header() *trace.Header { return &s.header }

// FileBytes are, for each component of the header, its bytes that host memory did not
// hold.
func (s *Sequence) FileBytes() []units.Bytes { return s.fileBytes }

// Add takes an entry. The error is an *Error when a trace cannot have it.
func (s *Sequence) Add(x *Entry) error {
	s.now = x.Input.Time
	if err := s.add(x); err != nil {
		err.Line = x.Line
		return err
	}
	return nil
}

func (s *Sequence) add(x *Entry) *Error {
	in := &x.Input
	switch in.Kind {
	case host.InRegister:
		if err := s.register(&in.Spec); err != nil {
			return err
		}
	case host.InBegin:
		if err := s.begin(in, x.Line); err != nil {
			return err
		}
	case host.InCall:
		if err := s.call(in, x.Line); err != nil {
			return err
		}
	case host.InDone:
		if err := s.done(in.Call, x.Line); err != nil {
			return err
		}
	case host.InEnd:
		s.end(in.Request, x.Line)
	}
	for i := range x.Actions {
		switch a := &x.Actions[i]; a.Kind {
		case host.ActGrant:
			if _, k := s.find(a.Call); k != nil {
				k.granted, k.at = true, s.now
			}
		case host.ActRefuse:
			s.refuse(a.Call)
		}
	}
	return nil
}

func (s *Sequence) register(spec *host.Spec) *Error {
	if s.rules != nil {
		return bad("", "a component is registered after the first request began: a trace names all of them before")
	}
	c := trace.Component{Name: spec.Name, Bytes: spec.Bytes, ReadOnly: spec.ReadOnly, Parent: trace.NoComponent, Index: int(spec.Index)}
	if spec.Parent != host.NoComponent {
		c.Parent = int(spec.Parent)
	}
	s.header.Components = append(s.header.Components, c)
	s.fileBytes = append(s.fileBytes, spec.FileBytes)
	return nil
}

// start makes sure, when the first request begins, that the header is a trace's.
func (s *Sequence) start() *Error {
	for _, p := range s.header.Pipelines {
		for _, c := range slices.Concat(p.Components, p.OffloadSeq) {
			if c >= len(s.header.Components) {
				return bad("", "pipeline %s has component %d: %d are registered", clip(p.Name), c, len(s.header.Components))
			}
		}
	}
	var err error
	if s.rules, err = trace.NewWriter(io.Discard, &s.header); err != nil {
		return bad("", "what is registered here makes no trace: %w", err)
	}
	return nil
}

func (s *Sequence) begin(in *host.Input, line int64) *Error {
	if s.rules == nil {
		if err := s.start(); err != nil {
			return err
		}
	}
	p, known := s.pipelines[in.Signature]
	if !known {
		return bad("signature", "is that of no pipeline in the header: the calls of request %d cannot be run again", in.Request)
	}
	s.open = append(s.open, openRequest{number: in.Request})
	return s.push(trace.Record{Kind: trace.Begin, Line: line, Request: in.Request, Pipeline: p, Component: trace.NoComponent, Steps: in.Steps}, false)
}

func (s *Sequence) call(in *host.Input, line int64) *Error {
	q := s.request(in.Request)
	if q == nil {
		return bad("request", "call %d belongs to none: a trace has no such calls", in.Call)
	}
	if n := len(q.calls); n > 0 {
		outer := &q.calls[n-1]
		if !outer.granted {
			return bad("", "calls %d and %d of one request wait at the same time: a trace has no such calls", outer.id, in.Call)
		}
		s.enter(outer)
	}
	q.calls = append(q.calls, runningCall{id: in.Call, c: int(in.Component), record: len(s.pending)})
	return s.push(trace.Record{Kind: trace.Call, Line: line, Request: in.Request, Component: int(in.Component), Workspace: in.Workspace}, true)
}

// enter makes a call one that has others inside it.
func (s *Sequence) enter(k *runningCall) {
	if k.entered {
		return
	}
	k.entered = true
	s.pending[k.record].Kind = trace.Enter
	s.computed(k)
}

// computed settles how long a call computed: until now.
func (s *Sequence) computed(k *runningCall) {
	r := &s.pending[k.record]
	r.Compute, r.waits = s.now-k.at, false
	k.record = -1
}

func (s *Sequence) done(id host.CallID, line int64) *Error {
	q, k := s.find(id)
	if k == nil {
		return nil
	}
	if !k.entered {
		s.computed(k)
	}
	k.done = true
	return s.leave(q, line)
}

// leave takes the calls that are over from the end of a request's: one that outlasts
// those around it holds them.
func (s *Sequence) leave(q *openRequest, line int64) *Error {
	for n := len(q.calls); n > 0 && q.calls[n-1].done; n-- {
		k := q.calls[n-1]
		q.calls = q.calls[:n-1]
		if !k.entered {
			continue
		}
		if err := s.push(trace.Record{Kind: trace.Exit, Line: line, Request: q.number, Component: k.c}, false); err != nil {
			return err
		}
	}
	return nil
}

// refuse drops a call that never ran.
func (s *Sequence) refuse(id host.CallID) {
	q, k := s.find(id)
	if k == nil || k.entered {
		return
	}
	s.pending[k.record].waits, s.pending[k.record].dropped = false, true
	q.calls = slices.DeleteFunc(q.calls, func(x runningCall) bool { return x.id == id })
}

func (s *Sequence) end(number uint32, line int64) {
	s.open = slices.DeleteFunc(s.open, func(q openRequest) bool { return q.number == number })
	s.pending = append(s.pending, pendingRecord{Record: trace.Record{Kind: trace.End, Line: line, Request: number, Component: trace.NoComponent}})
}

// Close ends what a journal that stops in the middle leaves open: calls that run end
// now, those that wait never were.
func (s *Sequence) Close(line int64) error {
	for _, q := range slices.Clone(s.open) {
		for i := len(q.calls) - 1; i >= 0; i-- {
			k := &q.calls[i]
			switch {
			case k.entered:
			case k.granted:
				s.computed(k)
			default:
				s.pending[k.record].waits, s.pending[k.record].dropped = false, true
			}
			k.done = true
		}
		if err := s.leave(&q, line); err != nil {
			err.Line = line
			return err
		}
		s.end(q.number, line)
	}
	return nil
}

// Next gives out the next record that is settled; false when there is none yet. The
// error is an *Error when a trace cannot have it.
func (s *Sequence) Next(r *trace.Record) (bool, error) {
	defer s.compact()
	for s.first < len(s.pending) && !s.pending[s.first].waits {
		p := &s.pending[s.first]
		s.first++
		if p.dropped {
			continue
		}
		*r = p.Record
		if err := s.rules.Write(r); err != nil {
			var why *trace.Error
			if errors.As(err, &why) {
				err = why.Err
			}
			return false, &Error{Line: r.Line, Err: fmt.Errorf("a trace cannot have this %v: %w", r.Kind, err)}
		}
		return true, nil
	}
	return false, nil
}

// compact forgets what was given out, when that is most of it.
func (s *Sequence) compact() {
	if s.first < 64 || s.first < len(s.pending)/2 {
		return
	}
	s.pending = s.pending[:copy(s.pending, s.pending[s.first:])]
	for i := range s.open {
		for j := range s.open[i].calls {
			if k := &s.open[i].calls[j]; k.record >= 0 {
				k.record -= s.first
			}
		}
	}
	s.first = 0
}

func (s *Sequence) push(r trace.Record, waits bool) *Error {
	if len(s.pending)-s.first == maxPending {
		return bad("", "a call runs while %d other things happen: more are not kept", maxPending)
	}
	s.pending = append(s.pending, pendingRecord{Record: r, waits: waits})
	return nil
}

func (s *Sequence) request(number uint32) *openRequest {
	for i := range s.open {
		if s.open[i].number == number {
			return &s.open[i]
		}
	}
	return nil
}

func (s *Sequence) find(id host.CallID) (*openRequest, *runningCall) {
	for i := range s.open {
		for j := range s.open[i].calls {
			if s.open[i].calls[j].id == id {
				return &s.open[i], &s.open[i].calls[j]
			}
		}
	}
	return nil, nil
}

// Calls reads the records of a journal's calls. It is not safe for concurrent use.
type Calls struct {
	file    io.Closer
	reader  *Reader
	seq     *Sequence
	entry   Entry
	pending bool // entry is the first that registers nothing
	ended   bool
	err     error
}

var _ trace.Records = (*Calls)(nil)

// Requests opens a journal to read its calls, as a trace that could have caused it.
// The caller closes the result.
func Requests(open func() (io.ReadCloser, error)) (*Calls, error) {
	file, err := open()
	if err != nil {
		return nil, err
	}
	c, err := newCalls(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return c, nil
}

func newCalls(file io.ReadCloser) (*Calls, error) {
	reader, err := NewReader(file)
	if err != nil {
		return nil, err
	}
	c := &Calls{file: file, reader: reader, seq: NewSequence(reader.Header())}
	for {
		switch err := reader.Next(&c.entry); {
		case err == io.EOF:
			return nil, errors.New("the journal has no requests to run again")
		case err != nil:
			return nil, err
		case c.entry.Input.Kind == host.InBegin || c.entry.Input.Kind == host.InCall:
			c.pending = true
			return c, nil
		}
		if err := c.seq.Add(&c.entry); err != nil {
			return nil, err
		}
	}
}

// Header returns the trace's header.
func (c *Calls) Header() *trace.Header { return c.seq.Header() }

// FileBytes are Sequence's.
func (c *Calls) FileBytes() []units.Bytes { return c.seq.FileBytes() }

// Journal returns the journal's own header.
func (c *Calls) Journal() *Header { return c.reader.Header() }

// Next reads the next record; io.EOF follows the last one. What a request that the
// journal leaves open did not do is left out.
func (c *Calls) Next(r *trace.Record) error {
	if c.err == nil {
		c.err = c.next(r)
	}
	return c.err
}

func (c *Calls) next(r *trace.Record) error {
	for {
		if found, err := c.seq.Next(r); found || err != nil {
			return err
		}
		if c.ended {
			return io.EOF
		}
		if !c.pending {
			switch err := c.reader.Next(&c.entry); {
			case err == io.EOF:
				c.ended = true
				if err := c.seq.Close(c.reader.line); err != nil {
					return err
				}
				continue
			case err != nil:
				return err
			}
		}
		c.pending = false
		if err := c.seq.Add(&c.entry); err != nil {
			return err
		}
	}
}

// Close closes what the opener opened.
func (c *Calls) Close() error { return c.file.Close() }
