package main

import (
	"fmt"
	"io"
	"time"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// A builder collects a trace: its header with the source of every figure, then
// its records.
type builder struct {
	header  trace.Header
	records []trace.Record
	request uint32
	sourced map[string]bool
}

func newBuilder(name, description string, on card) *builder {
	b := &builder{sourced: map[string]bool{}}
	b.header.Name, b.header.Description = name, description
	b.header.Device = trace.Device{Name: on.name, Memory: on.memory, H2D: on.link, D2H: on.link, Pageable: pageable}
	b.source("device bandwidth", on.link.String(), fromLink, true)
	b.source("device pageable bandwidth", units.BytesPerSecond(pageable).String(), fromPageable, false)
	return b
}

// source records where a figure comes from, once.
func (b *builder) source(what, value, from string, low bool) {
	if b.sourced[what] {
		return
	}
	b.sourced[what] = true
	b.header.Sources = append(b.header.Sources, trace.Source{What: what, Value: value, From: from, Low: low})
}

func (b *builder) component(name string, weights, workspace size) int {
	b.source(name+" bytes", fmt.Sprint(int64(weights.value)), weights.from, weights.low)
	b.source(name+" workspace_bytes", fmt.Sprint(int64(workspace.value)), workspace.from, workspace.low)
	return b.add(trace.Component{Name: name, Bytes: weights.value, Workspace: workspace.value, Parent: trace.NoComponent})
}

func (b *builder) add(c trace.Component) int {
	c.ReadOnly = true
	b.header.Components = append(b.header.Components, c)
	return len(b.header.Components) - 1
}

// A blockKind is a run of equal blocks of a model.
type blockKind struct {
	name  string // of the list that holds them
	count int
	bytes units.Bytes
	share int64 // of one block in the model's time
}

// A blocked is a component whose blocks are components too.
type blocked struct {
	parent int
	kinds  []blockKind
}

// blocks splits a component: what the blocks hold is taken from whole.
func (b *builder) blocks(name string, whole, workspace size, kinds ...blockKind) blocked {
	own := whole.value
	for _, k := range kinds {
		own -= units.Bytes(k.count) * k.bytes
	}
	b.source(name+" bytes", fmt.Sprint(int64(whole.value)), "with its blocks: "+whole.from, whole.low)
	b.source(name+" workspace_bytes", fmt.Sprint(int64(workspace.value)), workspace.from, workspace.low)
	t := blocked{kinds: kinds}
	t.parent = b.add(trace.Component{Name: name, Bytes: own, Workspace: workspace.value, Parent: trace.NoComponent})
	index := 0
	for _, k := range kinds {
		for i := range k.count {
			b.add(trace.Component{Name: fmt.Sprintf("%s.%s.%d", name, k.name, i), Bytes: k.bytes, Parent: t.parent, Index: index})
			index++
		}
		b.source(name+"."+k.name+" bytes", fmt.Sprint(int64(k.bytes)), "the matrices of one block; its vectors are counted with "+name, false)
		b.source(name+"."+k.name+" time", "", "the forward's time, shared among blocks by their multiply-adds", true)
	}
	return t
}

func (b *builder) pipeline(name string, seq []int, others ...int) int {
	b.header.Pipelines = append(b.header.Pipelines, trace.Pipeline{Name: name, Components: append(append([]int{}, seq...), others...), OffloadSeq: seq})
	return len(b.header.Pipelines) - 1
}

// generation is one request of a pipeline.
func (b *builder) generation(pipeline int, calls func()) {
	b.request++
	b.records = append(b.records, trace.Record{Kind: trace.Begin, Request: b.request, Pipeline: pipeline, Component: trace.NoComponent})
	calls()
	b.records = append(b.records, trace.Record{Kind: trace.End, Request: b.request, Component: trace.NoComponent})
}

func (b *builder) call(c int, compute duration) {
	component := &b.header.Components[c]
	b.source(component.Name+" time", compute.value.String(), compute.from, compute.low)
	b.record(trace.Call, c, compute.value, component.Workspace)
}

// callFor is a call that needs another workspace than its component says.
func (b *builder) callFor(c int, compute duration, what string, workspace size) {
	b.source(what+" workspace_bytes", fmt.Sprint(int64(workspace.value)), workspace.from, workspace.low)
	b.source(what+" time", compute.value.String(), compute.from, compute.low)
	b.record(trace.Call, c, compute.value, workspace.value)
}

func (b *builder) record(k trace.Kind, c int, compute time.Duration, workspace units.Bytes) {
	b.records = append(b.records, trace.Record{Kind: k, Request: b.request, Component: c, Compute: compute, Workspace: workspace})
}

// forward is one call of a blocked component, block after block.
func (b *builder) forward(t blocked, compute duration) {
	b.source(b.header.Components[t.parent].Name+" time", compute.value.String(), compute.from, compute.low)
	var shares int64
	for _, k := range t.kinds {
		shares += int64(k.count) * k.share
	}
	b.record(trace.Enter, t.parent, 0, b.header.Components[t.parent].Workspace)
	child := t.parent
	for _, k := range t.kinds {
		for range k.count {
			child++
			b.record(trace.Call, child, compute.value*time.Duration(k.share)/time.Duration(shares), 0)
		}
	}
	b.record(trace.Exit, t.parent, 0, 0)
}

func (b *builder) write(w io.Writer) error {
	t, err := trace.NewWriter(w, &b.header)
	if err != nil {
		return err
	}
	for i := range b.records {
		if err := t.Write(&b.records[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return t.Close()
}
