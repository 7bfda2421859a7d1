package baseline

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// A rule is a baseline.
type rule interface {
	Add(*trace.Record)
	Result() Result
}

// replay feeds a whole trace to a rule.
func replay(t *testing.T, s *trace.Requests, to rule) Result {
	t.Helper()
	defer s.Close()
	for {
		var r trace.Record
		err := s.Next(&r)
		if err == io.EOF {
			return to.Result()
		}
		if err != nil {
			t.Fatal(err)
		}
		to.Add(&r)
	}
}

// shipped opens a shipped trace.
func shipped(t *testing.T, name string, requests int64) *trace.Requests {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.OpenRequests(open, requests)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// script makes a trace of one-letter components: "a:10" in the header gives a
// component's bytes, "a:10!" one that calls change, "a.b:5" a child of a. Every
// component is in pipeline 0, whose offload_seq is seq. In the calls, "a" is a
// call of 1 s, "a+3" a call with a workspace of 3, "(a" an enter, ")" an exit, "|"
// the end of a request. Calls are of the request before "|".
func script(t *testing.T, components, seq, calls string) *trace.Requests {
	t.Helper()
	h := &trace.Header{Name: "script"}
	at := map[string]int{}
	children := map[int]int{}
	var all []int
	for _, field := range strings.Fields(components) {
		var c trace.Component
		name, bytes, _ := strings.Cut(field, ":")
		c.ReadOnly = !strings.HasSuffix(bytes, "!")
		if _, err := fmt.Sscanf(strings.TrimSuffix(bytes, "!"), "%d", &c.Bytes); err != nil {
			t.Fatal(err)
		}
		c.Parent = trace.NoComponent
		if parent, child, nested := strings.Cut(name, "."); nested {
			name, c.Parent = child, at[parent]
			c.Index = children[c.Parent]
			children[c.Parent]++
		} else {
			all = append(all, len(h.Components))
		}
		c.Name = name
		at[name] = len(h.Components)
		h.Components = append(h.Components, c)
	}
	p := trace.Pipeline{Name: "p", Components: all}
	for _, name := range strings.Fields(seq) {
		p.OffloadSeq = append(p.OffloadSeq, at[name])
	}
	h.Pipelines = []trace.Pipeline{p}

	var text strings.Builder
	w, err := trace.NewWriter(&text, h)
	write := func(r trace.Record) {
		if err == nil {
			err = w.Write(&r)
		}
	}
	request, open := uint32(0), false
	var entered []int
	for _, field := range strings.Fields(calls) {
		if !open {
			request++
			open = true
			write(trace.Record{Kind: trace.Begin, Request: request})
		}
		if field == "|" {
			write(trace.Record{Kind: trace.End, Request: request})
			open = false
			continue
		}
		if field == ")" {
			last := len(entered) - 1
			write(trace.Record{Kind: trace.Exit, Request: request, Component: entered[last]})
			entered = entered[:last]
			continue
		}
		r := trace.Record{Kind: trace.Call, Request: request, Compute: time.Second}
		name, workspace, _ := strings.Cut(field, "+")
		fmt.Sscanf(workspace, "%d", &r.Workspace)
		if rest, enter := strings.CutPrefix(name, "("); enter {
			r.Kind, r.Compute, name = trace.Enter, 0, rest
			entered = append(entered, at[name])
		}
		r.Component = at[name]
		write(r)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.OpenRequests(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text.String())), nil }, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Figures that were not counted are null in a report, others are not.
func TestReport(t *testing.T) {
	counted := Result{Name: "x", Counted: true, Fits: true, Peak: 1, H2D: 2, D2H: 3, Stall: 4, Makespan: 5}
	b := counted.Report()
	got := []int64{*b.PeakResidentBytes, *b.H2DBytes, *b.D2HBytes, *b.StallNS, *b.MakespanNS}
	if d := cmp.Diff([]int64{1, 2, 3, 4, 5}, got); d != "" || !b.Fits || b.Name != "x" {
		t.Errorf("%+v: figures (-want +got):\n%s", b, d)
	}
	not := Result{Name: "x"}
	b = not.Report()
	if b.Fits || b.PeakResidentBytes != nil || b.H2DBytes != nil || b.D2HBytes != nil || b.StallNS != nil || b.MakespanNS != nil {
		t.Errorf("%+v: want nulls", b)
	}
}

// Sums of a hostile trace stop at the largest figure instead of turning negative.
func TestSumsSaturate(t *testing.T) {
	h := &trace.Header{
		Components: []trace.Component{{Name: "a", Bytes: units.MaxBytes - 1, Parent: trace.NoComponent}, {Name: "b", Bytes: 1, Parent: trace.NoComponent}},
		Pipelines:  []trace.Pipeline{{Name: "p", Components: []int{0, 1}, OffloadSeq: []int{0, 1}}},
	}
	config := Config{Budget: units.MaxBytes, H2D: 1, D2H: 1, Pageable: 1}
	for _, to := range []rule{NewAccelerate(h, config), NewOptimum(h, Config{Budget: units.MaxBytes - 1, H2D: 1, D2H: 1})} {
		for request := range uint32(3000) {
			to.Add(&trace.Record{Kind: trace.Begin, Request: request + 1})
			to.Add(&trace.Record{Kind: trace.Call, Request: request + 1, Component: 0, Compute: trace.MaxCompute})
			to.Add(&trace.Record{Kind: trace.Call, Request: request + 1, Component: 1, Compute: trace.MaxCompute})
			to.Add(&trace.Record{Kind: trace.End, Request: request + 1})
		}
		r := to.Result()
		if !r.Counted || r.H2D < units.MaxBytes || r.D2H < 0 || r.Stall <= 0 || r.Makespan <= 0 {
			t.Errorf("%+v", r)
		}
	}
}
