package trace

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"time"

	"github.com/offhost/offhost/host/units"
)

// A Reader reads a trace once, from its start to its end. It is not safe for
// concurrent use.
type Reader struct {
	lines   *bufio.Reader
	line    int64
	object  object
	builder *headerBuilder
	seq     *sequence
	pending bool // object holds the first line after the header
	err     error
}

// NewReader reads a trace's header from r. An error about the trace itself is an
// *Error.
func NewReader(r io.Reader) (*Reader, error) {
	t := &Reader{
		lines:   bufio.NewReaderSize(r, MaxLine+1), // a whole line with its end
		builder: newHeaderBuilder(&Header{}),
	}
	if err := t.header(); err != nil {
		return nil, err
	}
	t.seq = newSequence(t.builder.h)
	return t, nil
}

// Header returns what the trace says before its first request. It is complete
// and does not change.
func (t *Reader) Header() *Header { return t.builder.h }

// Next reads the next record. It returns io.EOF at a complete end; an error that
// wraps io.ErrUnexpectedEOF when the trace breaks off. After an error every call
// returns it again.
func (t *Reader) Next(r *Record) error {
	if t.err == nil {
		t.err = t.next(r)
	}
	return t.err
}

func (t *Reader) next(r *Record) error {
	if !t.pending {
		if err := t.readLine(); err != nil {
			if err == io.EOF {
				if open := t.seq.end(); open != nil {
					return t.at(open)
				}
			}
			return err
		}
	}
	t.pending = false
	if err := t.record(r); err != nil {
		return t.at(err)
	}
	return nil
}

// at puts the current line into an error.
func (t *Reader) at(err *Error) *Error {
	err.Line = t.line
	return err
}

// readLine takes the next line apart into t.object. It returns io.EOF when there
// is none.
func (t *Reader) readLine() error {
	line, err := t.lines.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		return io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		t.line++
		return t.at(bad("", "the line is longer than %d bytes", MaxLine))
	case err != nil && err != io.EOF:
		t.line++
		return t.at(bad("", "cannot be read: %w", err))
	}
	t.line++
	line = bytes.TrimSuffix(line, []byte("\n"))
	if len(line) > MaxLine {
		return t.at(bad("", "the line is longer than %d bytes", MaxLine))
	}
	if err := t.object.parse(line); err != nil {
		return t.at(err)
	}
	return nil
}

// header reads up to the first record that does not belong to the header.
func (t *Reader) header() error {
	for {
		err := t.readLine()
		if err == io.EOF {
			if t.line == 0 {
				return t.at(bad("", "the trace is empty: want a trace record: %w", io.ErrUnexpectedEOF))
			}
			if err := t.builder.complete(); err != nil {
				return t.at(err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		more, bad := t.headerRecord()
		if bad != nil {
			return t.at(bad)
		}
		if !more {
			t.pending = true
			return nil
		}
	}
}

// headerRecord takes the current line into the header, or returns false when it
// is the first that follows it.
func (t *Reader) headerRecord() (more bool, err *Error) {
	o := &t.object
	kind, err := o.text("kind")
	if err != nil {
		return false, err
	}
	if t.line == 1 && string(kind) != "trace" {
		return false, bad("kind", "is %s: want the first line to be a trace record, {\"kind\":\"trace\",\"format\":%q,...}", clip(kind), Format)
	}
	switch string(kind) {
	case "trace":
		return true, t.traceRecord()
	case "device":
		return true, t.deviceRecord()
	case "component":
		return true, t.componentRecord()
	case "pipeline":
		return true, t.pipelineRecord()
	case "source":
		return true, t.sourceRecord()
	}
	o.taken = 0 // it is record's to take
	return false, t.builder.complete()
}

func (t *Reader) traceRecord() *Error {
	o := &t.object
	if t.line != 1 {
		return bad("kind", "a second trace record: want it on the first line only")
	}
	format, err := o.text("format")
	if err != nil {
		return err
	}
	if string(format) != Format {
		return bad("format", "is %s: want %q", clip(format), Format)
	}
	name, err := o.text("name")
	if err != nil {
		return err
	}
	description, err := t.optional("description")
	if err != nil {
		return err
	}
	return firstError(o.rest("kind, format, name, description"), t.builder.trace(string(name), description))
}

func (t *Reader) deviceRecord() *Error {
	o := &t.object
	name, err := o.text("name")
	if err != nil {
		return err
	}
	const most = int64(units.MaxBytes)
	memory, err1 := o.number("memory_bytes", 0, most, 0)
	h2d, err2 := o.number("h2d_bytes_per_second", 0, most, 0)
	d2h, err3 := o.number("d2h_bytes_per_second", 0, most, 0)
	pageable, err4 := o.number("pageable_bytes_per_second", 0, most, 0)
	if err := firstError(err1, err2, err3, err4,
		o.rest("kind, name, memory_bytes, h2d_bytes_per_second, d2h_bytes_per_second, pageable_bytes_per_second")); err != nil {
		return err
	}
	return t.builder.device(Device{Name: string(name), Memory: units.Bytes(memory), H2D: units.BytesPerSecond(h2d),
		D2H: units.BytesPerSecond(d2h), Pageable: units.BytesPerSecond(pageable)})
}

func (t *Reader) componentRecord() *Error {
	o := &t.object
	name, err := o.text("name")
	if err != nil {
		return err
	}
	size, err1 := o.number("bytes", 1, int64(units.MaxBytes), -1)
	workspace, err2 := o.number("workspace_bytes", 0, int64(units.MaxBytes), 0)
	readOnly, err3 := o.flag("read_only", true)
	if err := firstError(err1, err2, err3); err != nil {
		return err
	}
	c := Component{Name: string(name), Bytes: units.Bytes(size), Workspace: units.Bytes(workspace), ReadOnly: readOnly, Parent: NoComponent}
	if o.take("parent") != nil {
		parent, err := o.text("parent")
		if err != nil {
			return err
		}
		at, known := t.builder.components[string(parent)]
		if !known {
			return bad("parent", "%s is not an earlier component", clip(parent))
		}
		index, err := o.number("index", 0, MaxComponents-1, -1)
		if err != nil {
			return err
		}
		c.Parent, c.Index = at, int(index)
	} else if o.take("index") != nil {
		return bad("index", "is given without a parent: want both or neither")
	}
	return firstError(o.rest("kind, name, bytes, workspace_bytes, read_only, parent, index"), t.builder.component(c))
}

func (t *Reader) pipelineRecord() *Error {
	o := &t.object
	name, err := o.text("name")
	if err != nil {
		return err
	}
	p := Pipeline{Name: string(name)}
	for _, field := range []struct {
		name string
		into *[]int
	}{{"components", &p.Components}, {"offload_seq", &p.OffloadSeq}} {
		names, err := o.strings(field.name)
		if err != nil {
			return err
		}
		for _, n := range names {
			at, known := t.builder.components[n]
			if !known {
				return bad(field.name, "%s is not an earlier component", clip(n))
			}
			*field.into = append(*field.into, at)
		}
	}
	return firstError(o.rest("kind, name, components, offload_seq"), t.builder.pipeline(p))
}

func (t *Reader) sourceRecord() *Error {
	o := &t.object
	what, err1 := o.text("what")
	value, err2 := t.optional("value")
	from, err3 := o.text("source")
	trust, err4 := t.optional("trust")
	if err := firstError(err1, err2, err3, err4, o.rest("kind, what, value, source, trust")); err != nil {
		return err
	}
	if trust != "" && trust != "ok" && trust != "low" {
		return bad("trust", "is %s: want \"ok\" or \"low\"", clip(trust))
	}
	return t.builder.source(Source{What: string(what), Value: value, From: string(from), Low: trust == "low"})
}

// optional takes a string that may be missing.
func (t *Reader) optional(name string) (string, *Error) {
	if t.object.take(name) == nil {
		return "", nil
	}
	s, err := t.object.text(name)
	return string(s), err
}

// record makes the current line a record.
func (t *Reader) record(r *Record) *Error {
	o := &t.object
	kind, err := o.text("kind")
	if err != nil {
		return err
	}
	*r = Record{Line: t.line, Component: NoComponent}
	switch string(kind) {
	case "call":
		r.Kind = Call
	case "begin":
		r.Kind = Begin
	case "enter":
		r.Kind = Enter
	case "exit":
		r.Kind = Exit
	case "end":
		r.Kind = End
	default:
		return unknownKind(kind)
	}
	request, err := o.number("request", 1, MaxRequest, 0)
	if err != nil {
		return err
	}
	if r.Request = uint32(request); request == 0 {
		if r.Request, err = t.implied(r.Kind); err != nil {
			return err
		}
	}
	switch r.Kind {
	case Begin:
		err = t.beginFields(r)
	case End:
		err = o.rest("kind, request")
	default:
		err = t.callFields(r)
	}
	if err != nil {
		return err
	}
	return t.seq.apply(r)
}

// implied is the request of a record that does not name one.
func (t *Reader) implied(k Kind) (uint32, *Error) {
	if k == Begin || k == End {
		return 0, bad("request", "is missing: want a whole number from 1 to %d", uint32(MaxRequest))
	}
	number, ok := t.seq.only()
	if !ok {
		return 0, bad("request", "is missing while %d requests are open: want the number of one", len(t.seq.open))
	}
	return number, nil
}

func (t *Reader) beginFields(r *Record) *Error {
	o := &t.object
	name, err := o.text("pipeline")
	if err != nil {
		return err
	}
	steps, err := o.number("steps", 0, math.MaxUint32, 0)
	if err != nil {
		return err
	}
	at, known := t.builder.pipelines[string(name)]
	if !known {
		return bad("pipeline", "%s is not in the header", clip(name))
	}
	r.Pipeline, r.Steps = at, uint32(steps)
	return o.rest("kind, request, pipeline, steps")
}

func (t *Reader) callFields(r *Record) *Error {
	o := &t.object
	name, err := o.text("component")
	if err != nil {
		return err
	}
	at, known := t.builder.components[string(name)]
	if !known {
		return bad("component", "%s is not in the header", clip(name))
	}
	r.Component = at
	if r.Kind == Exit {
		return o.rest("kind, request, component")
	}
	needed := int64(-1)
	if r.Kind == Enter {
		needed = 0
	}
	compute, err := o.number("compute_ns", 0, int64(MaxCompute), needed)
	if err != nil {
		return err
	}
	workspace, err := o.number("workspace_bytes", 0, int64(units.MaxBytes), int64(t.builder.h.Components[at].Workspace))
	if err != nil {
		return err
	}
	r.Compute, r.Workspace = time.Duration(compute), units.Bytes(workspace)
	return o.rest("kind, request, component, compute_ns, workspace_bytes")
}

func unknownKind(kind []byte) *Error {
	switch string(kind) {
	case "trace", "device", "component", "pipeline", "source":
		return bad("kind", "a %s record after the first request: want it in the header", kind)
	case "journal", "input", "action", "fault":
		return bad("kind", "%q belongs to a journal, not to a trace: want begin, call, enter, exit or end", kind)
	}
	return bad("kind", "is %s: want begin, call, enter, exit or end (in the header trace, device, component, pipeline or source)", clip(kind))
}
