package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

var errNoGPU = errors.New("the CUDA driver has no GPU: offhost doctor says more")

// fitGPU finds the GPU, and cuts chunks as it allocates.
func (r *request) fitGPU(ctx context.Context) error {
	info, err := cuda.Probe(ctx, cuda.Config{GPU: r.DeviceID, Logger: r.log})
	if err != nil {
		return err
	}
	r.readOnlyPin = info.GPU.ReadOnlyPin
	switch {
	case info.GPU.UUID == "":
		return errNoGPU
	case r.Granularity == 0:
		r.Granularity = info.Granularity
	case r.Granularity%info.Granularity != 0:
		return usagef("--granularity %v: %s allocates in multiples of %v", r.Granularity, info.GPU.Name, info.Granularity)
	}
	return nil
}

// cudaStage loads the weights and gives them to a worker that has the GPU. When the
// context ends, the device is closed, which ends the run that waits for it.
func cudaStage(ctx context.Context, r *request, l *stock, h *trace.Header) (*stage, error) {
	store, budget, err := l.load(ctx, r, h, cuda.HostMemory(r.Chunk), weights.Config{SealAtExport: !r.readOnlyPin})
	if err != nil {
		return nil, err
	}
	cfg := cuda.Config{GPU: r.DeviceID, Chunk: r.Chunk, Granularity: r.Granularity, Verify: true,
		Pageable: r.HostMemory == config.Pageable, Pin: r.PinBudget, Logger: r.log}
	if cfg.Pin == 0 {
		cfg.Pin = units.MaxBytes
	}
	s := &stage{}
	for i, c := range store.Components() {
		cfg.Components = append(cfg.Components, cuda.Component{Name: c.Name(), Bytes: c.Bytes(), FileBytes: c.FileBytes(),
			ReadOnly: h.Components[i].ReadOnly, Source: c})
		s.fileBytes = append(s.fileBytes, c.FileBytes())
	}
	device, err := cuda.New(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	closeDevice := sync.OnceValue(device.Close)
	stop := context.AfterFunc(ctx, func() { _ = closeDevice() })
	s.device = device
	s.close = func() error {
		stop()
		return errors.Join(closeDevice(), store.Close())
	}
	held, file := store.Bytes()
	info := device.Info()
	notes := append(l.notes, describeGPU(&info))
	if info.Unpinned != "" && !cfg.Pageable {
		notes = append(notes, fmt.Sprintf("%v of the weights are pinned, the rest passes through buffers that are: %s", info.Pinned, info.Unpinned))
	}
	s.place = replay.Place{
		Device:   config.CUDA,
		Notes:    notes,
		Host:     &report.Host{HeldBytes: int64(held), FileBytes: int64(file), PinnedBytes: int64(info.Pinned), BudgetBytes: int64(budget), Weights: l.name},
		Measured: func() *report.Measured { return measuredGPU(device.Stats()) },
	}
	return s, nil
}

func describeGPU(i *cuda.Info) string {
	return fmt.Sprintf("the GPU is %s (%s), %v, with CUDA driver %s", i.GPU.Name, i.GPU.UUID, i.GPU.Total, driverVersion(i.Driver))
}

func measuredGPU(s cuda.Stats) *report.Measured {
	return &report.Measured{
		H2DBytesPerSecond: rate(s.H2D, s.BusyH2D), D2HBytesPerSecond: rate(s.D2H, s.BusyD2H),
		H2DBytes: int64(s.H2D), D2HBytes: int64(s.D2H), FileBytes: int64(s.File), VerifiedBytes: int64(s.Verified),
	}
}

// gpuOpener makes devices of a GPU whose link is measured, with pinned memory or without.
func gpuOpener(ctx context.Context, id string, most units.Bytes, pageable bool) (open func(chunk, n units.Bytes) (link.Target, error), done func() error, err error) {
	info, err := cuda.Probe(ctx, cuda.Config{GPU: id})
	if err != nil {
		return nil, nil, err
	}
	if info.GPU.UUID == "" {
		return nil, nil, errNoGPU
	}
	source, err := weights.Synthetic(0, "link", most)
	if err != nil {
		return nil, nil, err
	}
	// What is copied back is written.
	store, err := weights.Load(ctx, []weights.Spec{{Name: "link", Source: source, Writable: true}}, weights.Config{})
	if err != nil {
		return nil, nil, err
	}
	return func(chunk, n units.Bytes) (link.Target, error) {
		if chunk%info.Granularity != 0 {
			return nil, fmt.Errorf("chunks of %v: %s allocates in multiples of %v", chunk, info.GPU.Name, info.Granularity)
		}
		d, err := cuda.New(ctx, cuda.Config{GPU: id, Chunk: chunk, Granularity: info.Granularity, Pageable: pageable, Pin: units.MaxBytes,
			Components: []cuda.Component{{Name: "link", Bytes: n, Source: store.Components()[0]}}})
		if err != nil {
			return nil, err
		}
		if why := d.Info().Unpinned; why != "" && !pageable {
			return nil, errors.Join(fmt.Errorf("memory cannot be pinned here, so that its copies cannot be measured (%s): give --host-memory %s", why, config.Pageable), d.Close())
		}
		return d, nil
	}, store.Close, nil
}

// tryGPU says what the driver and its GPUs say, by trying them in a process of their own.
func tryGPU(ctx context.Context) (*cuda.Info, error) {
	info, err := cuda.Probe(ctx, cuda.Config{StartTimeout: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	return &info, nil
}
