package baseline

import (
	"fmt"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Accelerate follows the rule of accelerate 1.10 and later under diffusers'
// enable_model_cpu_offload:
//
//   - A pipeline declares an order of its models. Before a model runs, its
//     predecessor in that order, and no other, is copied back to host memory if it
//     is on the device; then the model is copied to the device if it is not there.
//   - Models outside the order have no predecessor: they are loaded when first
//     called, and stay.
//   - When a request ends, all models of its pipeline are copied back.
//
// Copies are whole models (a parent with its blocks), from and to memory that is
// not pinned, and the pipeline waits for them; weights are copied back though
// nothing has changed them. What is free is never asked, so the figures do not
// depend on the budget: Fits says whether they could have happened.
//
// (accelerate src/accelerate/hooks.py CpuOffload.pre_forward; diffusers
// src/diffusers/pipelines/pipeline_utils.py enable_model_cpu_offload and
// maybe_free_model_hooks.)
type Accelerate struct {
	header *trace.Header
	config Config

	size        []units.Bytes // of a model with its blocks; by component, parents only
	predecessor [][]int       // by pipeline and component; trace.NoComponent for none
	resident    []bool

	account   account
	nesting   nesting
	used      units.Bytes // by models on the device
	held      units.Bytes // by the workspace of entered components
	peak      units.Bytes
	peakCall  int         // the component called at the peak
	peakSpace units.Bytes // of it: workspace
}

// NewAccelerate begins with all models in host memory. It keeps h.
func NewAccelerate(h *trace.Header, c Config) *Accelerate {
	if c.Pageable <= 0 {
		c.Pageable = Pageable
	}
	a := &Accelerate{
		header: h, config: c,
		size:        make([]units.Bytes, len(h.Components)),
		predecessor: make([][]int, len(h.Pipelines)),
		resident:    make([]bool, len(h.Components)),
		nesting:     nesting{},
	}
	for i, component := range h.Components {
		a.size[h.Root(i)] += component.Bytes
	}
	for p, pipeline := range h.Pipelines {
		a.predecessor[p] = make([]int, len(h.Components))
		for i := range a.predecessor[p] {
			a.predecessor[p][i] = trace.NoComponent
		}
		for i, c := range pipeline.OffloadSeq {
			if i > 0 {
				a.predecessor[p][c] = pipeline.OffloadSeq[i-1]
			}
		}
	}
	return a
}

// Add takes the trace's next record. The records must be a trace's, in order.
func (a *Accelerate) Add(r *trace.Record) {
	if r.Kind == trace.Begin {
		a.nesting[r.Request] = &open{position: a.account.begin()}
		return
	}
	q := a.nesting[r.Request]
	switch r.Kind {
	case trace.Call, trace.Enter:
		a.forward(q, r)
	case trace.Exit:
		last := len(q.entered) - 1
		a.held -= q.entered[last].workspace
		q.entered = q.entered[:last]
	case trace.End:
		for _, c := range a.header.Pipelines[r.Pipeline].Components {
			a.offload(q, c)
		}
		delete(a.nesting, r.Request)
	}
}

func (a *Accelerate) forward(q *open, r *trace.Record) {
	model := a.header.Root(r.Component)
	inside := false // the hook is the whole model's: its blocks have none
	for _, f := range q.entered {
		inside = inside || f.component == model
	}
	if !inside {
		if p := a.predecessor[r.Pipeline][model]; p != trace.NoComponent {
			a.offload(q, p)
		}
	}
	a.load(q, model)
	workspace := a.config.workspace(r)
	if need := a.used + a.held + workspace; need > a.peak {
		a.peak, a.peakCall, a.peakSpace = need, r.Component, a.held+workspace
	}
	if r.Kind == trace.Enter {
		a.held += workspace
		q.entered = append(q.entered, frame{model, workspace})
	}
	a.account.compute = plus(a.account.compute, r.Compute)
}

func (a *Accelerate) load(q *open, model int) {
	if a.resident[model] {
		return
	}
	n := a.size[model]
	a.resident[model] = true
	a.used += n
	a.account.add(q.position, n, 0, copyTime(a.config.Pageable, a.config.Latency, n))
}

func (a *Accelerate) offload(q *open, model int) {
	if !a.resident[model] {
		return
	}
	n := a.size[model]
	a.resident[model] = false
	a.used -= n
	a.account.add(q.position, 0, n, copyTime(a.config.Pageable, a.config.Latency, n))
}

// Result returns what the records so far come to.
func (a *Accelerate) Result() Result {
	result := a.account.result(AccelerateName, a.peak, a.config.Budget)
	if !result.Fits {
		result.Note = fmt.Sprintf("accelerate's chain does not fit: it needs %s of the device, %s of it workspace, when %q is called",
			a.peak.Decimal(), a.peakSpace.Decimal(), a.header.Components[a.peakCall].Name)
	}
	return result
}
