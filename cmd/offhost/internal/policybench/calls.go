package policybench

import (
	"fmt"
	"io"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Components is how many there are.
const Components = 64

// budget is a third of the weights: most requests have to make room.
const budget = 24e9

// link is PCIe 4.0's, pinned.
const link units.BytesPerSecond = 25e9

// constraints make some components PINNED and KEPT.
var constraints = host.Constraints{Exclude: []string{"flux.text_encoder"}, Keep: []string{"sdxl.vae"}}

// calls are the calls of a server of three pipelines, made up of what the shipped traces
// have: models that are called again and again as a whole, models whose blocks are
// called in turn, a phase that another model takes over, a component that calls change,
// a request inside another one. They go on for ever, and are the same each time.
type calls struct {
	header  trace.Header
	more    func() bool // asked between requests
	queue   []trace.Record
	round   int
	request uint32

	flux, sdxl, wan, upscale                         int // pipelines
	text, t5, transformer, vae                       int
	clipL, clipG, controlNet, unet, refiner, sdxlVAE int
	umt5, high, low, wanVAE                          int
	upscaler, lora                                   int
}

var _ trace.Records = (*calls)(nil)

func newCalls(more func() bool) *calls {
	c := &calls{more: more}
	c.header.Name = "bench"
	c.text, c.t5 = c.add("flux.text_encoder", 0.25e9), c.add("flux.text_encoder_2", 9.8e9)
	c.transformer = c.blocks("flux.transformer", 0.9e9, 24, 0.92e9)
	c.vae = c.add("flux.vae", 0.17e9)
	c.clipL, c.clipG = c.add("sdxl.text_encoder", 0.25e9), c.add("sdxl.text_encoder_2", 1.4e9)
	c.controlNet, c.unet, c.refiner = c.add("sdxl.controlnet", 2.5e9), c.add("sdxl.unet", 5.1e9), c.add("sdxl.refiner", 4.5e9)
	c.sdxlVAE = c.add("sdxl.vae", 0.17e9)
	c.umt5 = c.add("wan.text_encoder", 6.7e9)
	c.high, c.low = c.blocks("wan.transformer", 0.6e9, 12, 0.7e9), c.blocks("wan.transformer_2", 0.6e9, 12, 0.7e9)
	c.wanVAE = c.add("wan.vae", 0.5e9)
	c.upscaler, c.lora = c.add("upscaler", 0.07e9), c.add("sdxl.lora", 0.4e9)
	c.header.Components[c.lora].ReadOnly = false
	c.flux = c.pipeline("flux", c.text, c.t5, c.transformer, c.vae)
	c.sdxl = c.pipeline("sdxl", c.clipL, c.clipG, c.controlNet, c.unet, c.lora, c.refiner, c.sdxlVAE)
	c.wan = c.pipeline("wan", c.umt5, c.high, c.low, c.wanVAE)
	c.upscale = c.pipeline("upscale", c.upscaler)
	return c
}

func (c *calls) add(name string, bytes units.Bytes) int {
	c.header.Components = append(c.header.Components, trace.Component{Name: name, Bytes: bytes, Workspace: bytes / 16, ReadOnly: true, Parent: trace.NoComponent})
	return len(c.header.Components) - 1
}

// blocks adds a component, and behind it its blocks.
func (c *calls) blocks(name string, own units.Bytes, count int, each units.Bytes) int {
	parent := c.add(name, own)
	for i := range count {
		c.header.Components = append(c.header.Components, trace.Component{Name: fmt.Sprintf("%s.%d", name, i), Bytes: each, ReadOnly: true, Parent: parent, Index: i})
	}
	return parent
}

func (c *calls) pipeline(name string, components ...int) int {
	c.header.Pipelines = append(c.header.Pipelines, trace.Pipeline{Name: name, Components: components, OffloadSeq: components})
	return len(c.header.Pipelines) - 1
}

// Header is the trace's.
func (c *calls) Header() *trace.Header { return &c.header }

// Next returns the next record, or io.EOF between two requests when there are to be no
// more.
func (c *calls) Next(r *trace.Record) error {
	if len(c.queue) == 0 {
		if !c.more() {
			return io.EOF
		}
		c.queue = c.queue[:0]
		c.generate()
		c.round++
	}
	*r = c.queue[0]
	c.queue = c.queue[1:]
	return nil
}

// generate queues the requests of one round.
func (c *calls) generate() {
	switch c.round % 5 {
	case 0, 3:
		c.within(c.flux, func(r uint32) {
			c.call(r, c.text, c.t5)
			for range 8 {
				c.forward(r, c.transformer)
			}
			c.call(r, c.vae)
		})
	case 1, 4:
		c.within(c.sdxl, func(r uint32) {
			c.call(r, c.clipL, c.clipG)
			for step := range 30 {
				c.call(r, c.controlNet, c.unet)
				if step == 15 {
					c.call(r, c.sdxlVAE) // a preview
				}
			}
			c.call(r, c.lora)
			for range 5 {
				c.call(r, c.refiner)
			}
			c.within(c.upscale, func(r uint32) { c.call(r, c.upscaler) })
			c.call(r, c.sdxlVAE)
		})
	case 2:
		c.within(c.wan, func(r uint32) {
			c.call(r, c.umt5)
			for range 5 {
				c.forward(r, c.high)
			}
			for range 5 {
				c.forward(r, c.low)
			}
			c.call(r, c.wanVAE)
		})
	}
}

func (c *calls) within(pipeline int, do func(request uint32)) {
	c.request++
	request := c.request
	c.queue = append(c.queue, trace.Record{Kind: trace.Begin, Request: request, Pipeline: pipeline, Component: trace.NoComponent})
	do(request)
	c.queue = append(c.queue, trace.Record{Kind: trace.End, Request: request, Component: trace.NoComponent})
}

func (c *calls) call(request uint32, components ...int) {
	for _, i := range components {
		c.record(trace.Call, request, i, 20*time.Millisecond)
	}
}

// forward calls a component with its blocks.
func (c *calls) forward(request uint32, parent int) {
	c.record(trace.Enter, request, parent, 0)
	for i := parent + 1; c.header.Components[i].Parent == parent; i++ {
		c.record(trace.Call, request, i, 2*time.Millisecond)
	}
	c.record(trace.Exit, request, parent, 0)
}

func (c *calls) record(kind trace.Kind, request uint32, component int, compute time.Duration) {
	r := trace.Record{Kind: kind, Request: request, Component: component, Compute: compute}
	if kind != trace.Exit {
		r.Workspace = c.header.Components[component].Workspace
	}
	c.queue = append(c.queue, r)
}
