// Package sim is the simulated device: it moves nothing and takes the time that
// moving would take, on a clock of its own. A replay on it is a pure function of
// its configuration and its inputs.
//
// The model: one copy engine per direction, which serve their transfers one after
// the other and run beside each other and beside compute; a transfer takes a fixed
// latency and its bytes over the bandwidth; releasing memory takes a fixed time.
// Bandwidth is that of pinned or of pageable host memory, as the caller chooses.
// Not modelled: contention between copies and compute, fragmentation.
package sim

import (
	"container/heap"
	"math"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// Defaults of Config.
const (
	// DefaultLatency is what a copy costs beside its bytes: launching a
	// cudaMemcpyAsync and its completion take around 10 microseconds.
	DefaultLatency = 10 * time.Microsecond
	// DefaultRelease is what unmapping and releasing a chunk takes; the order of
	// magnitude of cuMemUnmap and cuMemRelease.
	DefaultRelease = 20 * time.Microsecond
)

// Config describes the simulated link.
type Config struct {
	H2D, D2H units.BytesPerSecond // must be positive
	Latency  time.Duration        // per transfer
	Release  time.Duration        // from a release to its completion
}

// Device implements host.Device in virtual time. Use New.
type Device struct {
	cfg    Config
	now    time.Duration
	inEnd  time.Duration // when the host-to-device engine is free
	outEnd time.Duration
	events events
	turn   uint64
}

var _ host.Device = (*Device)(nil)

// New returns a device at time 0.
func New(cfg Config) *Device { return &Device{cfg: cfg} }

// Submit implements host.Device.
func (d *Device) Submit(a host.Action) {
	at := d.now
	switch a.Kind {
	case host.ActCopyIn:
		at = later(max(d.inEnd, d.now), d.cfg.Latency, d.cfg.H2D.Time(a.Weights))
		d.inEnd = at
	case host.ActCopyBack:
		at = later(max(d.outEnd, d.now), d.cfg.Latency, d.cfg.D2H.Time(a.Weights))
		d.outEnd = at
	case host.ActRelease:
		at = later(at, d.cfg.Release)
	}
	d.turn++
	heap.Push(&d.events, event{at: at, turn: d.turn, op: a.Op})
}

// later adds times; what is longer than a Duration holds is endless: a terabyte at a
// byte a second takes 30,000 years, not a negative time.
func later(t time.Duration, more ...time.Duration) time.Duration {
	for _, m := range more {
		if t += m; t < 0 {
			return math.MaxInt64
		}
	}
	return t
}

// Wait implements host.Device.
func (d *Device) Wait(until time.Duration) (host.Input, bool) {
	if len(d.events) == 0 || d.events[0].at > until {
		if until != host.Forever {
			d.now = max(d.now, until)
		}
		return host.Input{}, false
	}
	e := heap.Pop(&d.events).(event)
	d.now = max(d.now, e.at)
	return host.Input{Kind: host.InCompleted, Time: d.now, Op: e.op}, true
}

// Now implements host.Device.
func (d *Device) Now() time.Duration { return d.now }

// event is a completion to come; those at one time come in the order in which they
// were submitted.
type event struct {
	at   time.Duration
	turn uint64
	op   host.OpID
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].turn < h[j].turn
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
