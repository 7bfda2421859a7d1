package cuda

import (
	"context"
	"fmt"

	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// Probe asks what driver and devices there are, in a worker that ends then. Of the
// configuration it reads GPU, Worker, StartTimeout and Logger. Without a device the list in
// Info is empty, unless one was named.
func Probe(ctx context.Context, cfg Config) (Info, error) {
	cfg.Components, cfg.Fault = nil, nil
	cfg, err := cfg.withDefaults()
	var p *process
	var ready *wire.Ready
	if err == nil {
		p, ready, err = begin(ctx, &cfg, func(p *process) error {
			return tell(p, &wire.ToWorker{Hello: &wire.Hello{Version: wire.Version, GPU: cfg.GPU}})
		})
	}
	if err == nil {
		err = p.quit()
	}
	if err != nil {
		return Info{}, fmt.Errorf("cuda: %w", err)
	}
	return infoOf(ready), nil
}

// HostMemory is how much host memory a device takes beside the weights, with chunks of a
// size, at most: the ring, and the worker's buffers for what is not pinned and for what is
// read back.
func HostMemory(chunk units.Bytes) units.Bytes {
	const staging, readBack = 8, 4
	return (slots + staging + readBack) * chunk
}

func infoOf(r *wire.Ready) Info {
	i := Info{Library: r.Library, Driver: r.Driver, Missing: r.Missing, GPU: GPU(r.GPU), Granularity: r.Granularity, Free: r.Free,
		Pinned: r.Pinned, Unpinned: r.Unpinned}
	for _, g := range r.GPUs {
		i.GPUs = append(i.GPUs, GPU(g))
	}
	return i
}
