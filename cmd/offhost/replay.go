package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/state"
)

// A request is one replay: the settings, and what they name, opened.
type request struct {
	config.Settings
	open   trace.Opener
	calls  bool // what open gives is a journal, whose calls are run
	module module
	swaps  []module // as in Settings.Swaps
	log    *slog.Logger
	// movement is told of each movement; nil when nobody wants to know. Its error
	// ends the run.
	movement func(replay.Movement) error
	// listen, if set, returns what takes the policy's place to hear what it is asked.
	listen   func(*runtime.Policy) host.Policy
	progress io.Writer // where a person watches; nil when nobody does
	// readOnlyPin says that the GPU can pin memory that must not be written.
	readOnlyPin bool
}

// latency is what each copy takes beside its bytes.
func (r *request) latency() time.Duration { return r.Scale.Time(sim.DefaultLatency) }

// A module is a policy's bytes and the name under which it is shown.
type module struct {
	name string
	wasm []byte
	// source is the reference of a module from a registry, with its digest; else empty.
	source string
	err    error // why it could not be read, when the run goes on without it
}

// replayTrace opens what a request names, fills in from the trace what the settings
// leave to it, loads the policy and runs.
func replayTrace(ctx context.Context, r request) (_ *report.Report, err error) {
	if r.Device == config.CUDA {
		if err := r.fitGPU(ctx); err != nil {
			return nil, err
		}
	}
	src, err := openSource(&r)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(r.Trace), err)
	}
	defer src.Close()
	var weights *stock
	if r.Device != config.Sim {
		if weights, err = openStock(r.Weights, r.Seed, src.Header()); err != nil {
			return nil, err
		}
		defer weights.Close()
		src.resize(weights.sizes())
	}
	header := src.Header()
	if err := takeHints(&r.Settings, header); err != nil {
		return nil, err
	}

	limits, err := r.limits()
	if err != nil {
		return nil, err
	}
	pinned := limits
	pinned.SHA256 = r.Policy.SHA256 // of the first; the pin names one module
	policy, first, err := load(ctx, r.module, pinned)
	if err != nil {
		return nil, err
	}
	defer policy.Close()
	if r.listen != nil {
		first.Policy = r.listen(policy)
	}

	c := r.config(src.records)
	c.Policy, c.Swaps = first, r.exchanges(ctx, limits)
	if r.Policy.StateDir != "" {
		store, err := state.Open(r.Policy.StateDir, r.log)
		if err != nil {
			return nil, err
		}
		defer store.Close()
		c.State = stateStore{store}
	}
	record, err := openRecording(&r, limits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, record.close(err != nil, r.log)) }()
	c.Record = record.recording()

	on, err := openStage(ctx, &r, src, weights)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.close()) }()
	c.Device, c.Place, c.FileBytes = on.device, on.place, on.fileBytes
	if slices.ContainsFunc(c.FileBytes, func(n units.Bytes) bool { return n > 0 }) {
		c.File = r.FileBandwidth
	}
	got, err := replay.Run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(header.Name), err)
	}
	return got, nil
}

// limits are those under which policies are loaded.
func (r *request) limits() (runtime.Config, error) {
	lines, err := host.ConfigLines(r.Policy.Config, r.Chunk, r.Link.H2D, r.Link.D2H)
	if err != nil {
		return runtime.Config{}, &config.UsageError{Err: err}
	}
	return runtime.Config{
		MaxPayload: len(lines),
		Limits:     policyLimits(r.Policy),
		Seed:       r.Seed,
		CacheDir:   r.Policy.CacheDir,
		Logger:     r.log,
	}, nil
}

// config is what the settings say of a replay.
func (r *request) config(records trace.Records) replay.Config {
	return replay.Config{
		Source:          records,
		HarmBound:       r.HarmBound,
		PolicyConfig:    r.Policy.Config,
		Budget:          r.Budget,
		Chunk:           r.Chunk,
		Granularity:     r.Granularity,
		Constraints:     host.Constraints{Exclude: r.Exclude, Keep: r.Keep},
		IgnoreWorkspace: r.IgnoreWorkspace,
		H2D:             r.Link.H2D,
		D2H:             r.Link.D2H,
		Pageable:        r.Link.Pageable,
		Latency:         r.latency(),
		Release:         r.Scale.Time(sim.DefaultRelease),
		Baselines:       r.Baselines,
		Movement:        r.movement,
	}
}

// exchanges are the swaps on the way, which load their policies when it is their turn.
func (r *request) exchanges(ctx context.Context, limits runtime.Config) []replay.Swap {
	var list []replay.Swap
	for i, s := range r.Swaps {
		m := r.swaps[i]
		list = append(list, replay.Swap{At: s.At, Name: m.name, Trial: r.SwapTrial, Load: func() (replay.Module, error) {
			_, loaded, err := load(ctx, m, limits)
			return loaded, err
		}})
	}
	return list
}

// load makes a running policy of a module.
func load(ctx context.Context, m module, cfg runtime.Config) (*runtime.Policy, replay.Module, error) {
	if m.err != nil {
		return nil, replay.Module{}, m.err
	}
	cfg.Name = m.name
	p, err := runtime.Load(ctx, m.wasm, cfg)
	if err != nil {
		return nil, replay.Module{}, err
	}
	info := p.Info()
	return p, replay.Module{
		Policy:  p,
		Info:    report.Policy{Name: info.Name, SHA256: info.SHA256, ABI: info.ABI, Source: m.source},
		Reasons: info.Reasons,
		Schema:  info.Schema,
	}, nil
}

// stateStore finds the blobs of a module under its key.
type stateStore struct{ *state.Store }

func stateKey(m replay.Module) state.Key { return state.KeyOf(m.Schema, m.Info.SHA256) }

func (s stateStore) Get(m replay.Module) ([]byte, error)    { return s.Store.Get(stateKey(m)) }
func (s stateStore) Put(m replay.Module, blob []byte) error { return s.Store.Put(stateKey(m), blob) }
func (s stateStore) Delete(m replay.Module) error           { return s.Store.Delete(stateKey(m)) }
