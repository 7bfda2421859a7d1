package link_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
)

// target is a simulated device that has to be closed.
type target struct {
	*sim.Device
	closed *int
	fail   host.Status
	err    error
	silent bool
}

func (t target) Close() error { *t.closed++; return nil }

func (t target) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := t.Device.Wait(until)
	if t.silent {
		return host.Completion{}, false
	}
	c.Status, c.Err = t.fail, t.err
	return c, ok
}

func TestItMeasuresWhatTheLinkIs(t *testing.T) {
	const latency = 10 * time.Microsecond
	closed := 0
	points, err := link.Measure(t.Context(), link.Config{Sizes: []units.Bytes{64 * units.KiB, 32 * units.MiB}, Duration: 10 * time.Second,
		Open: func(units.Bytes, units.Bytes) (link.Target, error) {
			return target{Device: sim.New(sim.Config{H2D: 25e9, D2H: 12e9, Latency: latency}), closed: &closed}, nil
		}})
	if err != nil || len(points) != 2 || closed != 2 {
		t.Fatalf("%v, %v, %d devices closed", points, err, closed)
	}
	for _, p := range points {
		for _, c := range []struct{ got, link units.BytesPerSecond }{{p.H2D, 25e9}, {p.D2H, 12e9}} {
			want := float64(p.Chunk) / (c.link.Time(p.Chunk) + latency).Seconds()
			if math.Abs(float64(c.got)/want-1) > 1e-3 || p.Rounds < 3 {
				t.Errorf("chunks of %v: %v in %d rounds, want %.3g B/s", p.Chunk, c.got, p.Rounds, want)
			}
		}
	}
}

func TestWhatCannotBeMeasuredIsAnError(t *testing.T) {
	broken := errors.New("it is broken")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		target target
		open   error
		cfg    link.Config
		want   error
	}{
		"a failed copy":       {target: target{fail: host.Failed, err: broken}, want: broken},
		"one without a cause": {target: target{fail: host.OutOfMemory}, want: link.ErrCopy},
		"no answer":           {target: target{silent: true}, want: link.ErrCopy},
		"no device":           {open: broken, want: broken},
		"no time":             {ctx: ended, want: context.Canceled},
		"size 0":              {cfg: link.Config{Sizes: []units.Bytes{0}}},
		"no sizes":            {cfg: link.Config{Sizes: []units.Bytes{}}},
	} {
		closed := 0
		c.target.Device, c.target.closed = sim.New(sim.Config{H2D: 1e9, D2H: 1e9}), &closed
		c.cfg.Open = func(units.Bytes, units.Bytes) (link.Target, error) { return c.target, c.open }
		if c.cfg.Sizes == nil {
			c.cfg.Sizes = []units.Bytes{units.MiB}
		}
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		points, err := link.Measure(c.ctx, c.cfg)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || len(points) > 0 {
			t.Errorf("%s: %v, %v", name, points, err)
		}
		if c.want != nil && c.open == nil && closed != 1 {
			t.Errorf("%s: %d devices closed", name, closed)
		}
	}
}
