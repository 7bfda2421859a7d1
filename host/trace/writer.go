package trace

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A Writer writes a trace in its canonical form, one spelling for each trace
// (FORMAT.md). It keeps a reader's rules, so that what it wrote can be read. It is
// not safe for concurrent use.
type Writer struct {
	to  *bufio.Writer
	seq *sequence
	buf []byte
	err error
}

// NewWriter writes a trace's header to w. The caller closes the Writer, and then w.
func NewWriter(w io.Writer, h *Header) (*Writer, error) {
	t := &Writer{to: bufio.NewWriter(w)}
	if err := t.header(h); err != nil {
		return nil, fmt.Errorf("trace header: %w", err)
	}
	t.seq = newSequence(h)
	return t, nil
}

// header checks h record by record, as a reader would, and writes it.
func (t *Writer) header(h *Header) error {
	b := newHeaderBuilder(&Header{})
	if err := b.trace(h.Name, h.Description); err != nil {
		return err
	}
	t.open("trace").text("format", Format).text("name", h.Name).filled("description", h.Description).close()
	if d := h.Device; d != (Device{}) {
		if err := b.device(d); err != nil {
			return err
		}
		t.open("device").text("name", d.Name).positive("memory_bytes", int64(d.Memory)).
			positive("h2d_bytes_per_second", int64(d.H2D)).positive("d2h_bytes_per_second", int64(d.D2H)).
			positive("pageable_bytes_per_second", int64(d.Pageable)).close()
	}
	for _, c := range h.Components {
		if err := b.component(c); err != nil {
			return err
		}
		t.open("component").text("name", c.Name).number("bytes", int64(c.Bytes)).
			positive("workspace_bytes", int64(c.Workspace)).flag("read_only", c.ReadOnly)
		if c.Parent != NoComponent {
			t.text("parent", h.Components[c.Parent].Name).number("index", int64(c.Index))
		}
		t.close()
	}
	for _, p := range h.Pipelines {
		if err := b.pipeline(p); err != nil {
			return err
		}
		t.open("pipeline").text("name", p.Name).names("components", h, p.Components)
		if len(p.OffloadSeq) > 0 {
			t.names("offload_seq", h, p.OffloadSeq)
		}
		t.close()
	}
	for _, s := range h.Sources {
		if err := b.source(s); err != nil {
			return err
		}
		trust := "ok"
		if s.Low {
			trust = "low"
		}
		t.open("source").text("what", s.What).filled("value", s.Value).text("source", s.From).text("trust", trust).close()
	}
	if err := b.complete(); err != nil {
		return err
	}
	return t.err
}

// Write writes one record. It sets r.Pipeline as a reader would.
func (t *Writer) Write(r *Record) error {
	if t.err != nil {
		return t.err
	}
	_, alone := t.seq.only()
	if err := t.seq.apply(r); err != nil {
		return err
	}
	t.open(r.Kind.String())
	if r.Kind == Begin || r.Kind == End || !alone {
		t.number("request", int64(r.Request))
	}
	switch r.Kind {
	case Begin:
		t.text("pipeline", t.seq.h.Pipelines[r.Pipeline].Name).positive("steps", int64(r.Steps))
	case Call, Enter, Exit:
		c := &t.seq.h.Components[r.Component]
		t.text("component", c.Name)
		if r.Kind == Call || r.Kind == Enter && r.Compute > 0 {
			t.number("compute_ns", int64(r.Compute))
		}
		if r.Kind != Exit && r.Workspace != c.Workspace {
			t.number("workspace_bytes", int64(r.Workspace))
		}
	}
	t.close()
	return t.err
}

// Close checks that every request has ended and writes what is buffered.
func (t *Writer) Close() error {
	if t.err != nil {
		return t.err
	}
	if err := t.seq.end(); err != nil {
		return err
	}
	return t.to.Flush()
}

func (t *Writer) open(kind string) *Writer {
	t.buf = append(t.buf[:0], '{')
	return t.text("kind", kind)
}

func (t *Writer) close() {
	t.buf = append(t.buf, '}', '\n')
	if len(t.buf) > MaxLine+1 {
		t.err = fmt.Errorf("a line of %d bytes: want at most %d", len(t.buf)-1, MaxLine)
		return
	}
	if _, err := t.to.Write(t.buf); err != nil {
		t.err = err
	}
}

func (t *Writer) member(name string) {
	if len(t.buf) > 1 {
		t.buf = append(t.buf, ',')
	}
	t.buf = append(append(append(t.buf, '"'), name...), '"', ':')
}

func (t *Writer) quote(s string) {
	t.buf, _ = jsontext.AppendQuote(t.buf, s) // fails on bytes that checkPrintable refuses
}

func (t *Writer) text(name, value string) *Writer {
	t.member(name)
	t.quote(value)
	return t
}

func (t *Writer) filled(name, value string) *Writer {
	if value == "" {
		return t
	}
	return t.text(name, value)
}

func (t *Writer) number(name string, n int64) *Writer {
	t.member(name)
	t.buf = strconv.AppendInt(t.buf, n, 10)
	return t
}

func (t *Writer) positive(name string, n int64) *Writer {
	if n == 0 {
		return t
	}
	return t.number(name, n)
}

func (t *Writer) flag(name string, on bool) *Writer {
	t.member(name)
	t.buf = strconv.AppendBool(t.buf, on)
	return t
}

func (t *Writer) names(name string, h *Header, of []int) *Writer {
	t.member(name)
	t.buf = append(t.buf, '[')
	for i, c := range of {
		if i > 0 {
			t.buf = append(t.buf, ',')
		}
		t.quote(h.Components[c].Name)
	}
	t.buf = append(t.buf, ']')
	return t
}
