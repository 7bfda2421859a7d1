package replay_test

import (
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
)

// crowded is a simulated device that others use too: allocations fail when it is full.
type crowded struct {
	*sim.Device
	has, used, most units.Bytes
	passed          time.Duration // by itself, as on a real device
	allocs          map[host.OpID]host.Action
	full            map[host.OpID]bool
	refused         int
}

func (d *crowded) Submit(a host.Action) {
	d.allocs[a.Op] = a
	if a.Kind == host.ActCopyIn {
		if d.used+a.Alloc > d.has {
			d.full[a.Op] = true
			d.refused++
		} else {
			d.used += a.Alloc
			d.most = max(d.most, d.used)
		}
	}
	d.Device.Submit(a)
}

func (d *crowded) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := d.Device.Wait(until)
	c.Time += d.passed
	if ok && c.Op != 0 {
		switch a := d.allocs[c.Op]; {
		case d.full[c.Op]:
			c.Status = host.OutOfMemory
		case a.Kind == host.ActRelease:
			d.used -= a.Alloc
		}
	}
	return c, ok
}

func (d *crowded) Now() time.Duration {
	d.passed += time.Microsecond
	return d.Device.Now() + d.passed
}

func (d *crowded) Free() (units.Bytes, bool) {
	d.Now() // asking takes time
	return d.has - d.used, true
}

// What others use of the budget is found out at the beginning of a request, and the run
// keeps to what is left; what they take later, when there is no memory.
func TestWhatOthersUseIsMeasured(t *testing.T) {
	cfg := config(t, "flux-img2img-8bit", 3, 20*units.GiB)
	d := &crowded{Device: sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, Latency: cfg.Latency, Release: sim.DefaultRelease}),
		has: 14 * units.GiB, allocs: map[host.OpID]host.Action{}, full: map[host.OpID]bool{}}
	cfg.Device, cfg.Baselines, cfg.IgnoreWorkspace = d, nil, true
	r := run(t, cfg)
	if d.refused > 0 || d.most > d.has || d.most < 11*units.GiB {
		t.Errorf("%v used at most, %d allocations without memory: want none, and most of the %v that are free", d.most, d.refused, d.has)
	}
	if r.PeakResidentBytes > int64(d.has) {
		t.Errorf("at most %d bytes were resident by the books, of %d", r.PeakResidentBytes, d.has)
	}
	// From the 30th allocation on, others have 3 GiB more.
	cfg = config(t, "flux-img2img-8bit", 3, 20*units.GiB)
	late := &latecomer{crowded: &crowded{Device: sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, Latency: cfg.Latency, Release: sim.DefaultRelease}),
		has: 17 * units.GiB, allocs: map[host.OpID]host.Action{}, full: map[host.OpID]bool{}}, after: 30}
	cfg.Device, cfg.Baselines, cfg.IgnoreWorkspace = late, nil, true
	run(t, cfg)
	// One refusal tells: those in flight beside it are refused as well.
	if late.refused < 1 || late.refused > 2 {
		t.Errorf("%d allocations without memory: want one, or two that were in flight together", late.refused)
	}
}

type latecomer struct {
	*crowded
	n, after int
}

func (d *latecomer) Submit(a host.Action) {
	if d.n++; d.n == d.after {
		d.has -= 3 * units.GiB
	}
	d.crowded.Submit(a)
}
