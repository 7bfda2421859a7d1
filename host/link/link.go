// Package link measures how fast a device's link is, to it and back, by chunk size:
// what a policy should be told, and what the simulated device should be configured with.
//
// It gives a device the actions that an engine would, two copies in flight in each
// direction, so that any host.Device can be measured. It decides nothing, and does not
// know what a device is made of: the caller opens one for each chunk size. The command
// line calls it.
package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

const (
	// inFlight is how many copies the engine has in flight in a direction.
	inFlight = 2
	// answer is how long a device may take for a copy.
	answer = time.Minute
)

// Defaults of Config.
const (
	DefaultDuration = time.Second
	DefaultBytes    = 256 * units.MiB
)

// A Target is a device that is being measured. Its component 0 has Config.Bytes of
// weights, rounded down to whole chunks, is not read-only, and fits.
type Target interface {
	host.Device
	Close() error
}

// Config says what to measure.
type Config struct {
	// Sizes are the chunk sizes.
	Sizes []units.Bytes
	// Bytes is how much is copied between two looks at the clock, at least a chunk;
	// 0 stands for DefaultBytes.
	Bytes units.Bytes
	// Duration is how long each size is measured, at least three rounds; 0 stands for
	// DefaultDuration.
	Duration time.Duration
	// Open makes a device with this chunk size, which has one component of this size.
	Open func(chunk, weights units.Bytes) (Target, error)
}

// A Point is what was measured for one chunk size: medians.
type Point struct {
	Chunk    units.Bytes
	H2D, D2H units.BytesPerSecond
	Rounds   int // of which they are the medians
}

// ErrCopy is why a device could not be measured: a copy did not succeed.
var ErrCopy = errors.New("the device could not be measured")

// Measure measures each size in turn. It returns what it has when ctx ends, with its
// error.
func Measure(ctx context.Context, cfg Config) ([]Point, error) {
	if cfg.Bytes == 0 {
		cfg.Bytes = DefaultBytes
	}
	if cfg.Duration == 0 {
		cfg.Duration = DefaultDuration
	}
	if len(cfg.Sizes) == 0 || cfg.Bytes < 0 || cfg.Duration < 0 || cfg.Open == nil {
		return nil, fmt.Errorf("measuring a link: want sizes, a device to open, and no negative amounts: %d sizes, %d bytes, %v", len(cfg.Sizes), cfg.Bytes, cfg.Duration)
	}
	var points []Point
	for _, size := range cfg.Sizes {
		if size <= 0 || size > units.MaxBytes/2 {
			return points, fmt.Errorf("measuring a link: chunk size %d: want 1 to %d", size, units.MaxBytes/2)
		}
		p, err := measure(ctx, &cfg, size)
		if err != nil {
			return points, fmt.Errorf("measuring chunks of %v: %w", size, err)
		}
		points = append(points, p)
	}
	return points, nil
}

func measure(ctx context.Context, cfg *Config, size units.Bytes) (_ Point, err error) {
	chunks := int(max(cfg.Bytes/size, 1))
	target, err := cfg.Open(size, size*units.Bytes(chunks))
	if err != nil {
		return Point{}, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	m := &meter{Target: target, size: size, chunks: chunks}
	var in, back []time.Duration
	begun := target.Now()
	for round := 0; round <= 3 || target.Now()-begun < cfg.Duration; round++ {
		if err := ctx.Err(); err != nil {
			return Point{}, err
		}
		var took [3]time.Duration
		for i, kind := range []host.ActionKind{host.ActCopyIn, host.ActCopyBack, host.ActRelease} {
			if took[i], err = m.run(kind); err != nil {
				return Point{}, err
			}
		}
		if round > 0 { // the first one clears memory, and wakes a device up
			in, back = append(in, took[0]), append(back, took[1])
		}
	}
	return Point{Chunk: size, H2D: m.rate(in), D2H: m.rate(back), Rounds: len(in)}, nil
}

// meter gives a device its actions.
type meter struct {
	Target
	size   units.Bytes
	chunks int
	op     host.OpID
}

// run does one action with each chunk and returns how long that took.
func (m *meter) run(kind host.ActionKind) (time.Duration, error) {
	begun := m.Now()
	end := begun
	for next, done := 0, 0; done < m.chunks; {
		for ; next < m.chunks && next-done < inFlight; next++ {
			m.op++
			a := host.Action{Kind: kind, Op: m.op, Chunk: next, Alloc: m.size, Demand: true}
			if kind != host.ActRelease {
				a.Weights = m.size
			}
			m.Submit(a)
		}
		c, ok := m.Wait(m.Now() + answer)
		switch {
		case !ok:
			return 0, fmt.Errorf("%w: no answer to %v within %v", ErrCopy, kind, answer)
		case c.Status != host.OK && c.Err != nil:
			return 0, fmt.Errorf("%w: %v: %v: %w", ErrCopy, kind, c.Status, c.Err)
		case c.Status != host.OK:
			return 0, fmt.Errorf("%w: %v: %v", ErrCopy, kind, c.Status)
		}
		done++
		end = c.Time
	}
	return end - begun, nil
}

// rate is the median of what rounds took, as a bandwidth.
func (m *meter) rate(took []time.Duration) units.BytesPerSecond {
	slices.Sort(took)
	return units.BytesPerSecond(float64(m.size) * float64(m.chunks) / max(took[len(took)/2], 1).Seconds())
}
