package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
)

// perishable is a simulated device that is lost at some of its actions.
type perishable struct {
	*sim.Device
	at       map[int]bool // actions, from 1
	n        int
	lost     bool
	restored int
	broken   error // of the next Restore
}

func (d *perishable) Submit(a host.Action) {
	d.n++
	d.lost = d.lost || d.at[d.n]
	d.Device.Submit(a)
}

func (d *perishable) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := d.Device.Wait(until)
	if ok && d.lost {
		if c.Call != 0 {
			c.Err = host.ErrLost
		} else {
			c.Status = host.Lost
		}
	}
	return c, ok
}

func (d *perishable) Restore() error {
	d.restored++
	d.lost = false
	return d.broken
}

func perish(t *testing.T, at ...int) (*perishable, replay.Config) {
	cfg := config(t, "flux-img2img-8bit", 4, 12*units.GiB)
	d := &perishable{Device: sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, Latency: cfg.Latency, Release: sim.DefaultRelease}), at: map[int]bool{}}
	for _, n := range at {
		d.at[n] = true
	}
	cfg.Device, cfg.Baselines = d, nil
	return d, cfg
}

// A run goes on when its device is lost and can be had again: what was on it is loaded
// once more, and no call of the trace is missing.
func TestALostDeviceIsTakenIntoUseAgain(t *testing.T) {
	whole := func() (loads, moved int64) {
		_, cfg := perish(t)
		r := run(t, cfg)
		for _, c := range r.PerComponent {
			loads += c.Loads
		}
		return loads, r.H2DBytes
	}
	_, moved := whole()
	for _, n := range []int{1, 2, 50, 400, 401, 700} {
		d, cfg := perish(t, n)
		r := run(t, cfg)
		if d.restored != 1 || r.FaultReasons["device"] != 1 {
			t.Errorf("lost at action %d: restored %d times, faults %v: want one of each", n, d.restored, r.FaultReasons)
		}
		if n > 2 && r.H2DBytes <= moved {
			t.Errorf("lost at action %d: %d bytes moved in, %d when nothing is lost: want more", n, r.H2DBytes, moved)
		}
		for _, c := range r.PerComponent {
			if c.Calls < 4 {
				t.Errorf("lost at action %d: %d calls of %s", n, c.Calls, c.Name)
			}
		}
	}
}

// What happens again and again, and what cannot be mended, ends the run with a reason.
func TestADeviceThatIsLostForGood(t *testing.T) {
	every := make([]int, 10000)
	for i := range every {
		every[i] = i + 1
	}
	d, cfg := perish(t, every...)
	if _, err := replay.Run(context.Background(), cfg); !errors.Is(err, host.ErrLost) || d.restored > 5 {
		t.Errorf("lost at each action, restored %d times: %v", d.restored, err)
	}
	d, cfg = perish(t, 30)
	d.broken = errors.New("no GPU any more")
	if _, err := replay.Run(context.Background(), cfg); !errors.Is(err, host.ErrLost) || !errors.Is(err, d.broken) {
		t.Errorf("it cannot be restored: %v", err)
	}
}

// stale is a simulated device that cannot read one component's weights.
type stale struct {
	*sim.Device
	component host.ID
	bad       map[host.OpID]bool
	why       error
}

func (d *stale) Submit(a host.Action) {
	d.bad[a.Op] = a.Kind == host.ActCopyIn && a.Component == d.component
	d.Device.Submit(a)
}

func (d *stale) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := d.Device.Wait(until)
	if ok && c.Call == 0 && d.bad[c.Op] {
		c.Status, c.Err = host.Failed, d.why
	}
	return c, ok
}

// The error that ends a run has the device's reason.
func TestAFailedCopySaysWhy(t *testing.T) {
	cfg := config(t, "flux-img2img-8bit", 1, 24*units.GiB)
	why := errors.New("the weights have changed since they were loaded")
	cfg.Device = &stale{sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, Latency: cfg.Latency, Release: sim.DefaultRelease}), 1, map[host.OpID]bool{}, why}
	_, err := replay.Run(context.Background(), cfg)
	var failed *host.DeviceError
	if !errors.Is(err, why) || !errors.As(err, &failed) || !strings.Contains(err.Error(), "to the device: failed: the weights have changed") {
		t.Errorf("%v; want the device's reason after the engine's", err)
	}
}
