package cuda

import (
	"errors"
	"fmt"
	"time"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// Probe asks what driver and devices there are, in a worker that ends then. Of the
// configuration it reads GPU, Worker, StartTimeout and Logger. Without a device the list in
// Info is empty, unless one was named.
func Probe(cfg Config) (Info, error) {
	cfg.Components, cfg.Fault = nil, nil
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Info{}, fmt.Errorf("cuda: %w", err)
	}
	p, err := startProcess(cfg.Worker)
	if err != nil {
		return Info{}, fmt.Errorf("cuda: %w", err)
	}
	late := time.AfterFunc(cfg.StartTimeout, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	err = tell(p, &wire.ToWorker{Hello: &wire.Hello{Version: wire.Version, GPU: cfg.GPU}})
	if err != nil {
		return Info{}, fmt.Errorf("cuda: %w", errors.Join(err, p.kill()))
	}
	ready, err := answer(p)
	if err != nil {
		return Info{}, fmt.Errorf("cuda: %w", errors.Join(err, p.kill()))
	}
	if err := p.quit(); err != nil {
		return Info{}, fmt.Errorf("cuda: %w", err)
	}
	return infoOf(ready), nil
}

// HostMemory is how much host memory a device takes beside the weights, with chunks of a
// size: what passes through it, in the host and in its worker.
func HostMemory(chunk units.Bytes) units.Bytes { return 2 * slots * chunk }

func infoOf(r *wire.Ready) Info {
	i := Info{Library: r.Library, Driver: r.Driver, Missing: r.Missing, GPU: GPU(r.GPU), Granularity: r.Granularity, Free: r.Free,
		Pinned: r.Pinned, Unpinned: r.Unpinned}
	for _, g := range r.GPUs {
		i.GPUs = append(i.GPUs, GPU(g))
	}
	return i
}
