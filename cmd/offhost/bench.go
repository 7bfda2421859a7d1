package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

// linkSchema is that of the JSON form. Within it fields are only added.
const linkSchema = "offhost.bench.link/1"

const linkHelp = `Measures how fast chunks are copied to a device and back, by their size: medians of
rounds in which two copies are in flight, as in a run. Nothing is verified meanwhile.

--write FILE puts the bandwidth of the chunk size that FILE sets (else of ` + "32 MiB" + `) into
that configuration, for the simulated device and for what policies are told; all else
in it stays as it is. The file is made when it is not there.

--format json prints one object of schema ` + linkSchema + `:
  device   which one was measured
  memory   pinned, or pageable: what was copied from and to, on cuda
  bytes    copied between two looks at the clock, at most
  points   chunk_bytes, h2d_bytes_per_second, d2h_bytes_per_second, rounds; in the
           order in which the sizes were given
  written  null, or path and chunk_bytes of what --write has put there`

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a device can do on this machine",
		Example: `  offhost bench link
  offhost bench link --write offhost.yaml`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.linkCommand())
	return cmd
}

// A linkBench is what is asked of offhost bench link.
type linkBench struct {
	device, id, memory, sizes, bytes, link, write, format string

	duration time.Duration
}

func (a *app) linkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Measure the bandwidth to a device and back, by chunk size",
		Long:  linkHelp,
		Example: `  offhost bench link
  offhost bench link --chunk-sizes 512KiB,2MiB,32MiB --write offhost.yaml
  offhost bench link --device cuda --host-memory pageable
  offhost bench link --device sim --link 25GB/s --format json`,
		Args: argCount(0, 0),
	}
	var b linkBench
	f := cmd.Flags()
	f.StringVar(&b.device, "device", config.Shm, "`device` to measure: shm, cuda[:UUID], or sim, which shows what its model makes of --link")
	f.StringVar(&b.memory, "host-memory", config.Pinned, "on cuda, the `kind` of memory that is copied from and to: pinned, or pageable")
	f.StringVar(&b.sizes, "chunk-sizes", "2MiB,4MiB,8MiB,16MiB,32MiB,64MiB", "`sizes` of chunks, comma-separated")
	f.StringVar(&b.bytes, "bytes", link.DefaultBytes.String(), "how much to copy between two looks at the clock, a `size`; at least a chunk is")
	f.DurationVar(&b.duration, "duration", link.DefaultDuration, "how long to measure each size, a `time` such as 500ms; at least three rounds are")
	f.StringVar(&b.link, "link", "", "`bandwidth` H2D[,D2H] of the link: sim needs it, shm keeps to it")
	f.StringVar(&b.write, "write", "", "put the result into this configuration `file`")
	f.StringVar(&b.format, "format", config.FormatText, "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.benchLink(cmd.Context(), b) }
	return cmd
}

// linkJSON is what was measured, as scripts read it.
type linkJSON struct {
	Schema  string       `json:"schema"`
	Device  string       `json:"device"`
	Memory  string       `json:"memory,omitempty"`
	Bytes   units.Bytes  `json:"bytes"`
	Points  []pointJSON  `json:"points"`
	Written *writtenJSON `json:"written"`
}

type pointJSON struct {
	Chunk  units.Bytes          `json:"chunk_bytes"`
	H2D    units.BytesPerSecond `json:"h2d_bytes_per_second"`
	D2H    units.BytesPerSecond `json:"d2h_bytes_per_second"`
	Rounds int                  `json:"rounds"`
}

type writtenJSON struct {
	Path  string      `json:"path"`
	Chunk units.Bytes `json:"chunk_bytes"`
}

func (a *app) benchLink(ctx context.Context, b linkBench) (err error) {
	cfg, err := b.config()
	if err != nil {
		return err
	}
	var file *config.File
	var chunk units.Bytes // that the file is written for
	if b.write != "" {
		if file, err = config.OpenFile(b.write); err != nil {
			return err
		}
		if chunk, err = file.Chunk(); err != nil {
			return err
		}
		if !slices.Contains(cfg.Sizes, chunk) {
			cfg.Sizes = append(cfg.Sizes, chunk)
		}
	}
	done := func() error { return nil }
	if b.device == config.CUDA {
		cfg.Open, done, err = gpuOpener(ctx, b.id, max(cfg.Bytes, slices.Max(cfg.Sizes)), b.memory == config.Pageable)
	} else {
		cfg.Open, err = b.opener(&cfg)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	points, err := link.Measure(ctx, cfg)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return err
	}
	found := linkJSON{Schema: linkSchema, Device: b.device, Bytes: cfg.Bytes, Points: []pointJSON{}}
	if b.device == config.CUDA {
		found.Memory = b.memory
	}
	for _, p := range points {
		found.Points = append(found.Points, pointJSON(p))
	}
	if file != nil {
		p := points[slices.IndexFunc(points, func(p link.Point) bool { return p.Chunk == chunk })]
		if err := file.WriteLink(p.H2D, p.D2H); err != nil {
			return err
		}
		found.Written = &writtenJSON{Path: b.write, Chunk: chunk}
	}
	if b.format == config.FormatJSON {
		return render.Object(a.stdout, found)
	}
	return a.showLink(found)
}

func (a *app) showLink(found linkJSON) error {
	t := render.Table{Header: []string{"chunk", "in", "back", "rounds"}}
	for _, p := range found.Points {
		t.Rows = append(t.Rows, []string{p.Chunk.String(), p.H2D.String(), p.D2H.String(), fmt.Sprint(p.Rounds)})
	}
	if err := t.Write(a.stdout); err != nil || found.Written == nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s has the bandwidth of %v chunks now.\n", render.Name(found.Written.Path), found.Written.Chunk)
	return err
}

// config reads what was asked for.
func (b *linkBench) config() (cfg link.Config, err error) {
	cfg = link.Config{Duration: b.duration}
	if b.format != config.FormatText && b.format != config.FormatJSON {
		return cfg, usagef("--format: %q: want text or json", b.format)
	}
	if b.device, b.id, err = config.ParseDevice(b.device); err != nil {
		return cfg, usagef("--device: %w", err)
	}
	if b.memory != config.Pinned && b.memory != config.Pageable {
		return cfg, usagef("--host-memory: %q: want %s or %s", b.memory, config.Pinned, config.Pageable)
	}
	if b.memory == config.Pageable && b.device != config.CUDA {
		return cfg, usagef("--host-memory: only on device %s memory is pinned or not", config.CUDA)
	}
	if b.device == config.CUDA && b.link != "" {
		return cfg, usagef("--link: device %s has the link that it has", config.CUDA)
	}
	if b.device == config.Sim && b.write != "" {
		return cfg, usagef("--write: device %s has the link that it is told: want another one's", config.Sim)
	}
	if err := checkDevice(b.device, system); err != nil {
		return cfg, err
	}
	if b.duration <= 0 || b.duration > time.Hour {
		return cfg, usagef("--duration: %v: want more than 0 and at most an hour", b.duration)
	}
	if cfg.Bytes, err = units.ParseBytes(b.bytes); err != nil || cfg.Bytes == 0 {
		return cfg, usagef("--bytes: %q: want a size above 0, such as 256MiB", b.bytes)
	}
	for text := range strings.SplitSeq(b.sizes, ",") {
		size, err := units.ParseBytes(text)
		if err != nil {
			return cfg, usagef("--chunk-sizes: %w", err)
		}
		if size == 0 || size > maxChunk {
			return cfg, usagef("--chunk-sizes: %q: want more than 0 and at most %v", text, maxChunk)
		}
		cfg.Sizes = append(cfg.Sizes, size)
	}
	return cfg, nil
}

// maxChunk bounds what is measured: larger chunks are as fast.
const maxChunk = 4 * units.GiB

// opener makes the devices that are measured.
func (b *linkBench) opener(cfg *link.Config) (func(chunk, n units.Bytes) (link.Target, error), error) {
	var h2d, d2h units.BytesPerSecond
	if b.link != "" {
		var err error
		if h2d, d2h, err = config.ParseLink(b.link); err != nil {
			return nil, usagef("--link: %w", err)
		}
	}
	if b.device == config.Sim {
		if h2d == 0 {
			return nil, usagef("device %s has the link that it is told: give --link", config.Sim)
		}
		return func(units.Bytes, units.Bytes) (link.Target, error) {
			return simTarget{sim.New(sim.Config{H2D: h2d, D2H: d2h, Latency: sim.DefaultLatency, Release: sim.DefaultRelease})}, nil
		}, nil
	}
	most := max(cfg.Bytes, slices.Max(cfg.Sizes))
	if room, of, known := machine.Read().Room(); known && 2*most > room {
		return nil, usagef("copying %v takes twice as much memory, and %s is all that %s: lower --bytes or --chunk-sizes", most, room.Decimal(), of)
	}
	source, err := weights.Synthetic(0, "link", most)
	if err != nil {
		return nil, err
	}
	memory := make(shm.Memory, most) // of pages that are all there: an untouched one is faster
	if _, err := source.ReadAt(memory, 0); err != nil {
		return nil, err
	}
	return func(chunk, n units.Bytes) (link.Target, error) {
		return shm.New(shm.Config{
			Budget: n, Chunk: chunk, Granularity: chunk, Populate: true, Pace: shm.Pace{H2D: h2d, D2H: d2h},
			Components: []shm.Component{{Name: "link", Bytes: n, Source: memory[:n]}},
		})
	}, nil
}

// simTarget is a simulated device, which has nothing to close.
type simTarget struct{ *sim.Device }

func (simTarget) Close() error { return nil }
