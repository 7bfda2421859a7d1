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
	File     units.BytesPerSecond // of weights that host memory does not hold; 0: as fast as H2D
	Latency  time.Duration        // per transfer
	Release  time.Duration        // from a release to its completion
}

// Device implements host.Device in virtual time. Use New.
type Device struct {
	cfg  Config
	now  time.Duration
	turn uint64
	// Each kind of work is done in the order in which it was submitted, so that the
	// next completion of all is the first of one of them.
	in, out, releases, computes queue
}

var _ host.Worker = (*Device)(nil)

// New returns a device at time 0.
func New(cfg Config) *Device { return &Device{cfg: cfg} }

// Submit implements host.Device.
func (d *Device) Submit(a host.Action) {
	d.turn++
	switch a.Kind {
	case host.ActCopyIn:
		d.in.push(completion{at: later(max(d.in.end, d.now), d.cfg.Latency, d.copyIn(a)), turn: d.turn, op: a.Op})
	case host.ActCopyBack:
		d.out.push(completion{at: later(max(d.out.end, d.now), d.cfg.Latency, d.cfg.D2H.Time(a.Weights)), turn: d.turn, op: a.Op})
	case host.ActRelease:
		d.releases.push(completion{at: later(d.now, d.cfg.Release), turn: d.turn, op: a.Op})
	}
}

// copyIn is how long a chunk's bytes take. What comes from a file is copied while more
// of it is read: the slower of the two counts.
func (d *Device) copyIn(a host.Action) time.Duration {
	t := d.cfg.H2D.Time(a.Weights)
	if a.File > 0 && d.cfg.File > 0 {
		t = later(t, max(0, d.cfg.File.Time(a.File)-d.cfg.H2D.Time(a.File)))
	}
	return t
}

// Compute implements host.Worker: it takes just as long as it is said to. Calls
// compute one at a time.
func (d *Device) Compute(call host.CallID, _ host.ID, least time.Duration) {
	d.turn++
	d.computes.push(completion{at: later(d.now, least), turn: d.turn, call: call})
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
func (d *Device) Wait(until time.Duration) (host.Completion, bool) {
	q := earliest(earliest(&d.in, &d.out), &d.releases)
	if c := &d.computes; !c.empty() && (q.empty() || c.first().at < q.first().at) {
		q = c
	}
	if q.empty() || q.first().at > until {
		if until != host.Forever {
			d.now = max(d.now, until)
		}
		return host.Completion{}, false
	}
	c := q.pop()
	d.now = max(d.now, c.at)
	return host.Completion{Time: d.now, Op: c.op, Call: c.call}, true
}

// Now implements host.Device.
func (d *Device) Now() time.Duration { return d.now }

// completion is one to come; those at one time come in the order in which they were
// submitted.
type completion struct {
	at   time.Duration
	turn uint64
	op   host.OpID
	call host.CallID
}

// queue holds completions in the order in which they come.
type queue struct {
	list []completion
	done int           // of list, taken out already
	end  time.Duration // when the last one comes
}

func (q *queue) empty() bool        { return q.done == len(q.list) }
func (q *queue) first() *completion { return &q.list[q.done] }

func (q *queue) push(c completion) {
	if q.done > 1<<10 && q.done > len(q.list)/2 { // it never ran empty
		q.list = q.list[:copy(q.list, q.list[q.done:])]
		q.done = 0
	}
	q.list = append(q.list, c)
	q.end = c.at
}

func (q *queue) pop() completion {
	c := q.list[q.done]
	q.done++
	if q.empty() {
		q.list, q.done = q.list[:0], 0
	}
	return c
}

// earliest is the queue whose first completion comes first.
func earliest(a, b *queue) *queue {
	switch {
	case a.empty():
		return b
	case b.empty():
		return a
	}
	x, y := a.first(), b.first()
	if y.at < x.at || y.at == x.at && y.turn < x.turn {
		return b
	}
	return a
}
