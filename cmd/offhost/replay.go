package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/state"
)

// A request is one replay: the settings, and what they name, opened.
type request struct {
	config.Settings
	open   trace.Opener
	module module
	swaps  []module // as in Settings.Swaps
	log    *slog.Logger
	// movement is told of each movement; nil when nobody wants to know. Its error
	// ends the run.
	movement func(replay.Movement) error
}

// A module is a policy's bytes and the name under which it is shown.
type module struct {
	name string
	wasm []byte
	err  error // why it could not be read, when the run goes on without it
}

// replayTrace fills in from the trace what the settings leave to it, loads the
// policy and runs.
func replayTrace(ctx context.Context, r request) (*report.Report, error) {
	source, err := trace.OpenRequests(r.open, r.Requests)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(r.Trace), err)
	}
	defer source.Close()
	header := source.Header()
	if err := takeHints(&r.Settings, header); err != nil {
		return nil, err
	}

	lines, err := host.ConfigLines(r.Policy.Config, r.Chunk, r.Link.H2D, r.Link.D2H)
	if err != nil {
		return nil, &config.UsageError{Err: err}
	}
	limits := runtime.Config{
		MaxPayload: len(lines),
		Limits:     runtime.Limits{Fuel: r.Policy.Fuel, Refill: r.Policy.Refill, StartFuel: r.Policy.StartFuel, MemoryPages: r.Policy.MemoryPages},
		Seed:       r.Seed,
		CacheDir:   r.Policy.CacheDir,
		Logger:     r.log,
	}
	pinned := limits
	pinned.SHA256 = r.Policy.SHA256 // of the first; the pin names one module
	policy, first, err := load(ctx, r.module, pinned)
	if err != nil {
		return nil, err
	}
	defer policy.Close()

	c := replay.Config{
		Source:          source,
		Policy:          first,
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
		Baselines:       r.Baselines,
		Movement:        r.movement,
	}
	if r.Policy.StateDir != "" {
		store, err := state.Open(r.Policy.StateDir, r.log)
		if err != nil {
			return nil, err
		}
		defer store.Close()
		c.State = stateStore{store}
	}
	for i, s := range r.Swaps {
		m := r.swaps[i]
		c.Swaps = append(c.Swaps, replay.Swap{At: s.At, Name: m.name, Trial: r.SwapTrial, Load: func() (replay.Module, error) {
			_, loaded, err := load(ctx, m, limits)
			return loaded, err
		}})
	}
	got, err := replay.Run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(header.Name), err)
	}
	return got, nil
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
		Info:    report.Policy{Name: info.Name, SHA256: info.SHA256, ABI: info.ABI},
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

// takeHints completes the settings from the device that the trace hints at.
func takeHints(s *config.Settings, h *trace.Header) error {
	s.Budget = cmp.Or(s.Budget, h.Device.Memory)
	s.Link.H2D = cmp.Or(s.Link.H2D, h.Device.H2D)
	s.Link.D2H = cmp.Or(s.Link.D2H, h.Device.D2H, s.Link.H2D)
	// Copies of pageable memory cross the same link, whoever says how fast they are.
	s.Link.Pageable = min(cmp.Or(s.Link.Pageable, h.Device.Pageable, baseline.Pageable), s.Link.H2D)
	if s.HostMemory == config.Pageable {
		s.Link.H2D, s.Link.D2H = s.Link.Pageable, min(s.Link.Pageable, s.Link.D2H)
	}
	switch {
	case s.Budget == 0:
		return usagef("trace %s does not say how much memory its device has: give --budget or --gpu", render.Name(h.Name))
	case s.Link.H2D == 0:
		return usagef("trace %s does not say how fast its link is: give --link or --gpu", render.Name(h.Name))
	}
	return nil
}
