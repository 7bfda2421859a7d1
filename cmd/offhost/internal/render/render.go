// Package render turns what a run found into what a person or a script reads:
// tables and sentences, lines about single movements, or one JSON object. It
// computes sums and ratios of figures that it is given, and decides nothing; names
// from files are escaped here, so that none reaches a terminal as it is. Only the
// command line uses it.
package render

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

// A Page is a report and how to show it.
type Page struct {
	Report *report.Report
	// Verbose shows children on their own and the policy's counters in any case.
	Verbose bool
}

// Text writes a page: who ran, what happened to each component, how it compares,
// one sentence of verdict, and the report's notes.
func Text(w io.Writer, p Page) error {
	r := p.Report
	out := &printer{w: w}
	out.line("%s   %s   %sbudget %v   %s   policy %s%s", Name(r.Trace), Count(r.Requests, "request"), scale(r),
		units.Bytes(r.BudgetBytes), link(r), Name(r.Policy.Name), digest(r.Policy.SHA256))
	out.line("")
	out.table(components(p))
	out.line("")
	out.table(comparison(r))
	out.line("")
	if r.EndedEarly != "" {
		out.line("The run ended early: %s", Sentence(r.EndedEarly))
	}
	out.line("%s", verdict(r))
	if r.Measured != nil {
		out.line("%s", checked(r))
	}
	if r.Host != nil {
		out.line("%s", kept(r.Host))
	}
	if p.Verbose || r.Rejected > 0 || r.Faults > 0 || r.FloorDecisions > 0 {
		out.line("%s", conduct(r))
	}
	for _, note := range r.Notes {
		out.line("%s", Sentence(note))
	}
	return out.err
}

// JSON writes the report as one object and nothing else.
func JSON(w io.Writer, r *report.Report) error {
	whole := *r // lists are empty, never null, for scripts that loop over them
	whole.PerRequest = orEmpty(r.PerRequest)
	whole.PerComponent = orEmpty(r.PerComponent)
	whole.Baselines = orEmpty(r.Baselines)
	whole.Notes = orEmpty(r.Notes)
	return Object(w, whole)
}

// Object writes v as one indented JSON object.
func Object(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// link says how fast copies are: as the simulated device takes it, or as they were.
func link(r *report.Report) string {
	if r.Measured != nil {
		return speed(r)
	}
	in, back := units.BytesPerSecond(r.LinkBytesPerSecond), units.BytesPerSecond(r.LinkD2HBytesPerSecond)
	if in == back {
		return fmt.Sprintf("link %v", in)
	}
	return fmt.Sprintf("link %v in, %v back", in, back)
}

// conduct says how the policy behaved.
func conduct(r *report.Report) string {
	return fmt.Sprintf("Policy: %s, %s, %d refused, %s; the fallback decided %s.",
		Count(r.PolicyEvents, "event"), Count(r.Decisions, "decision"), r.Rejected, Count(r.Faults, "fault"),
		Count(r.FloorDecisions, "time"))
}

// A printer remembers the first error, so that a page is written without a check
// per line.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) table(t *Table) {
	if p.err == nil {
		p.err = t.Write(p.w)
	}
}
