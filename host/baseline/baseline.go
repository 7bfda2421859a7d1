// Package baseline computes what other rules would have moved on the same trace:
// the clairvoyant optimum, which moves the fewest bytes to the device, and the chain
// that accelerate and diffusers follow. A replay feeds them its records as it reads
// them and asks for their results at the end, so that a user sees what a policy is
// worth.
//
// It is for package replay, the command line and benchmarks. It knows nothing of
// policies, constraints, chunks or devices: nothing is excluded or kept, weights are
// divisible to the byte, nothing is prefetched, and a call starts when all of its
// weights are there. (The baseline lru is no part of it: that is the engine itself
// under another policy.)
package baseline

import (
	"math"
	"time"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Names of the baselines.
const (
	OptimumName    = "optimum"
	AccelerateName = "accelerate"
)

// Pageable is the bandwidth of copies to and from memory that is not pinned, where
// neither trace nor user says: the best of the published 2.6 to 6 GB/s
// (hao-ai-lab/FastVideo#1839).
const Pageable units.BytesPerSecond = 6_000_000_000

// Config is what a baseline takes from the replay beside it.
type Config struct {
	Budget          units.Bytes          // for weights and workspace
	H2D, D2H        units.BytesPerSecond // positive; of the optimum's copies
	Pageable        units.BytesPerSecond // either way, of accelerate's copies; 0 means the constant
	Latency         time.Duration        // of each transfer
	IgnoreWorkspace bool                 // calls need their weights only
}

// A Result is what a baseline would have done. Bytes are bytes of weights.
type Result struct {
	Name string
	// Counted says whether the figures below mean anything. The optimum's do not
	// when the budget is too small for one of the calls, or when the trace has more
	// different runs of calls than it keeps.
	Counted  bool
	Fits     bool        // whether Peak is within the budget
	Peak     units.Bytes // the most that weights and workspace took together
	H2D, D2H units.Bytes
	Stall    time.Duration // calls, and for accelerate ends of requests, waited for copies
	Makespan time.Duration // computing and stall
	Requests []Request     // the first MaxRequests, in the order in which they began
	Note     string        // a sentence for a person, when there is something to say
}

// A Request is one request's share.
type Request struct {
	H2D, D2H units.Bytes
	Stall    time.Duration
}

// MaxRequests is how many requests have their share kept.
const MaxRequests = 1 << 20

// Report is the result in the form of a report. Figures that were not counted are
// null. Accelerate's always are counted, because its chain asks for no budget;
// Fits then says whether they could have happened.
func (r *Result) Report() report.Baseline {
	b := report.Baseline{Name: r.Name, Fits: r.Fits}
	if !r.Counted {
		return b
	}
	figure := func(n int64) *int64 { return &n }
	b.PeakResidentBytes = figure(int64(r.Peak))
	b.H2DBytes, b.D2HBytes = figure(int64(r.H2D)), figure(int64(r.D2H))
	b.StallNS, b.MakespanNS = figure(int64(r.Stall)), figure(int64(r.Makespan))
	return b
}

// plus adds without overflow: a hostile trace may ask to move its largest
// component for ever.
func plus[T ~int64](a, b T) T {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// An account adds up copies by request.
type account struct {
	total    Request
	requests []Request
	compute  time.Duration
}

// begin opens a request's account and returns its position.
func (a *account) begin() uint32 {
	if len(a.requests) <= MaxRequests {
		a.requests = append(a.requests, Request{})
	}
	return uint32(len(a.requests) - 1)
}

// add books copies on the request at position q. Requests beyond MaxRequests
// share the last account, which result leaves out.
func (a *account) add(q uint32, h2d, d2h units.Bytes, stall time.Duration) {
	for _, r := range []*Request{&a.total, &a.requests[q]} {
		r.H2D, r.D2H, r.Stall = plus(r.H2D, h2d), plus(r.D2H, d2h), plus(r.Stall, stall)
	}
}

func (a *account) result(name string, peak, budget units.Bytes) Result {
	return Result{
		Name: name, Counted: true, Fits: peak <= budget, Peak: peak,
		H2D: a.total.H2D, D2H: a.total.D2H, Stall: a.total.Stall, Makespan: plus(a.compute, a.total.Stall),
		Requests: a.requests[:min(len(a.requests), MaxRequests)],
	}
}

// nesting remembers, for each open request, where its account is and what it has
// entered.
type nesting map[uint32]*open

type open struct {
	position uint32 // of its account
	entered  []frame
}

// A frame is an entered component.
type frame struct {
	component int
	workspace units.Bytes
}

// copyTime is how long a copy of n bytes takes; none takes none.
func copyTime(rate units.BytesPerSecond, latency time.Duration, n units.Bytes) time.Duration {
	if n == 0 {
		return 0
	}
	return plus(latency, rate.Time(n))
}

// workspace is what r needs beside weights under c.
func (c *Config) workspace(r *trace.Record) units.Bytes {
	if c.IgnoreWorkspace {
		return 0
	}
	return r.Workspace
}
