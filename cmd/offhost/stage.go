package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

// A stage is what a run takes place on: a device, and the weights that it copies.
type stage struct {
	device    host.Worker // nil for the simulated one
	place     replay.Place
	fileBytes []units.Bytes // of each component, not held in host memory
	close     func() error
}

func openStage(ctx context.Context, r *request, src *source, weights *stock) (*stage, error) {
	var s *stage
	var err error
	switch r.Device {
	case config.Shm:
		s, err = shmStage(ctx, r, weights, src.Header())
	case config.CUDA:
		s, err = cudaStage(ctx, r, weights, src.Header())
	default:
		s, err = simStage(r, src)
	}
	if err == nil && !r.Scale.IsOne() {
		s.place.Scale = r.Scale.String()
	}
	return s, err
}

// simStage is the simulated device: weights are sizes.
func simStage(r *request, src *source) (*stage, error) {
	s := &stage{fileBytes: src.fileBytes, close: func() error { return nil }}
	if r.HostBudget > 0 {
		sizes, readOnly := sizesOf(src.Header())
		var err error
		if s.fileBytes, err = weights.Plan(sizes, readOnly, r.HostBudget); err != nil {
			return nil, &config.UsageError{Err: err}
		}
	}
	return s, nil
}

func sizesOf(h *trace.Header) (sizes []units.Bytes, readOnly []bool) {
	for _, c := range h.Components {
		sizes, readOnly = append(sizes, c.Bytes), append(readOnly, c.ReadOnly)
	}
	return sizes, readOnly
}

// checkDevice says whether a device can be had on a system.
func checkDevice(device, system string) error {
	switch {
	case device != config.Sim && system != "linux":
		return usagef("--device %s needs Linux, for memory that can be mapped, moved and given back by descriptor, and this is %s: want --device %s", device, system, config.Sim)
	case device == config.CUDA && !cuda.Built:
		return &config.UsageError{Err: fmt.Errorf("--device %s: %w", device, cuda.ErrNotBuilt)}
	}
	return nil
}

// shmStage loads the weights and makes a device of real bytes. When the context ends,
// the device is closed, which ends the run that waits for it.
func shmStage(ctx context.Context, r *request, l *stock, h *trace.Header) (*stage, error) {
	memory := deviceMemory(r, h)
	store, budget, err := l.load(ctx, r, h, memory, weights.Config{PinBudget: r.PinBudget})
	if err != nil {
		return nil, err
	}
	cfg := shm.Config{Budget: memory, Chunk: r.Chunk, Granularity: r.Granularity, Verify: true, Populate: true, Logger: r.log}
	if r.Link.Paced {
		cfg.Pace = shm.Pace{H2D: r.Link.H2D, D2H: r.Link.D2H, Latency: r.latency()}
	}
	s := &stage{}
	for i, c := range store.Components() {
		cfg.Components = append(cfg.Components, shm.Component{Name: c.Name(), Bytes: c.Bytes(), ReadOnly: h.Components[i].ReadOnly, Source: c})
		s.fileBytes = append(s.fileBytes, c.FileBytes())
	}
	device, err := shm.New(cfg)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	closeDevice := sync.OnceValue(device.Close)
	stop := context.AfterFunc(ctx, func() { _ = closeDevice() })
	s.device = device
	s.close = func() error {
		stop()
		return errors.Join(closeDevice(), store.Close()) // in this order: the device copies from the store
	}
	held, file := store.Bytes()
	pinned, pinError := store.Pinned()
	s.place = replay.Place{
		Device:   config.Shm,
		Host:     &report.Host{HeldBytes: int64(held), FileBytes: int64(file), PinnedBytes: int64(pinned), BudgetBytes: int64(budget), Weights: l.name},
		Notes:    l.notes,
		Measured: func() *report.Measured { return measured(device.Stats()) },
	}
	if pinError != nil {
		s.place.Notes = append(s.place.Notes, fmt.Sprintf("%v of the weights are locked in memory: %v", pinned, pinError))
	}
	return s, nil
}

// deviceMemory is what a device of real bytes needs: its budget, or less when all
// weights take less. Workspaces are in the books only.
func deviceMemory(r *request, h *trace.Header) units.Bytes {
	var all units.Bytes
	for _, c := range h.Components {
		all += (c.Bytes + r.Granularity - 1) / r.Granularity * r.Granularity
	}
	return min(r.Budget, all)
}

func measured(s shm.Stats) *report.Measured {
	return &report.Measured{
		H2DBytesPerSecond: rate(s.H2D, s.BusyH2D), D2HBytesPerSecond: rate(s.D2H, s.BusyD2H),
		H2DBytes: int64(s.H2D), D2HBytes: int64(s.D2H), FileBytes: int64(s.File), VerifiedBytes: int64(s.Verified),
	}
}

func rate(n units.Bytes, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}

// system is where this program runs.
const system = goruntime.GOOS
