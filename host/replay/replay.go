// Package replay runs a trace through an engine: it turns records into inputs,
// lets the device's clock run while calls compute, and adds up what happened. The
// baselines that a report shows beside the policy read the same records in the
// same pass, so that a trace may come from a pipe.
//
// The command line calls it, and so do the benchmarks. It opens no file and loads
// no policy: it is given a source of records and something that decides.
package replay

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Names of baselines.
const (
	LRU        = "lru"
	Optimum    = baseline.OptimumName
	Accelerate = baseline.AccelerateName
)

// Baselines lists the baselines in the order in which reports show them.
var Baselines = []string{LRU, Optimum, Accelerate}

// Config says what to replay and under which circumstances.
type Config struct {
	Source trace.Records

	// Policy decides. Its lifetime is the caller's.
	Policy Module
	// State, if set, is where policies find what they learned in earlier runs, and
	// where the one that decides at the end leaves what it has learned.
	State StateStore
	// Swaps exchange it on the way.
	Swaps []Swap
	// HarmBound makes the fallback finish a request that moves far more than it would
	// have; see host.Config.
	HarmBound bool
	// PolicyConfig are the user's keys, sent to the policy.
	PolicyConfig map[string]string

	Budget      units.Bytes
	Chunk       units.Bytes // 0: host.DefaultChunk
	Granularity units.Bytes // 0: host.DefaultGranularity
	host.Constraints
	// IgnoreWorkspace takes every call's workspace as 0.
	IgnoreWorkspace bool

	// H2D and D2H are the link's bandwidth from and to pinned host memory; Pageable
	// is what the accelerate baseline's copies get, either way.
	H2D, D2H, Pageable units.BytesPerSecond
	Latency            time.Duration // of each copy; 0: sim.DefaultLatency

	// FileBytes is, for each component, how many of its lowest bytes host memory does
	// not hold; File is how fast they are read. Components beyond the list are held.
	FileBytes []units.Bytes
	File      units.BytesPerSecond

	// Device carries out the movements under the policy; its lifetime is the caller's.
	// Nil is the simulated device, on which the baselines run in any case.
	Device host.Worker
	// Journal, if set, is given each input of the engine under the policy, the module
	// when the input exchanges policies, and what followed.
	Journal func(in *host.Input, swap Module, out *host.Output) error

	// Baselines are replayed beside the policy.
	Baselines []string

	// Movement, if set, is told of each movement; its error ends the run.
	Movement func(Movement) error
}

// Inadmissible says that the budget cannot hold what the trace and the constraints
// ask for. It is the user's to mend.
type Inadmissible struct {
	Line    int64 // of the trace; 0 before the first call
	Request uint32
	Err     error // usually a *host.Refusal
}

func (i *Inadmissible) Error() string {
	if i.Line == 0 {
		return i.Err.Error()
	}
	return fmt.Sprintf("line %d, request %d: %v", i.Line, i.Request, i.Err)
}

func (i *Inadmissible) Unwrap() error { return i.Err }

// ExitCode is 2: a usage error.
func (i *Inadmissible) ExitCode() int { return 2 }

// Run replays the source to its end. The error is an *Inadmissible when the budget
// does not do, a *trace.Error when the trace is at fault.
func Run(ctx context.Context, cfg Config) (r *report.Report, err error) {
	h := cfg.Source.Header()
	cfg.Latency = cmp.Or(cfg.Latency, sim.DefaultLatency)
	if cfg.H2D <= 0 || cfg.D2H <= 0 || cfg.Pageable <= 0 {
		return nil, errors.New("bandwidths must be positive")
	}
	for _, b := range cfg.Baselines {
		if !slices.Contains(Baselines, b) {
			return nil, fmt.Errorf("baseline %q: want one of %v", b, Baselines)
		}
	}
	names := make([]string, len(h.Components))
	for i, c := range h.Components {
		names[i] = c.Name
	}
	if err := cfg.Constraints.Check(names); err != nil {
		return nil, &Inadmissible{Err: err}
	}
	policies := newTroupe(cfg.Policy, cfg.Swaps)
	policies.store = cfg.State
	device := cfg.Device
	if device == nil {
		device = simulated(&cfg)
	}
	var keep journal
	if cfg.Journal != nil {
		keep = func(in *host.Input, out *host.Output) error { return cfg.Journal(in, policies.swapped(in), out) }
	}
	main, err := newLane(&cfg, h, policies, device, keep)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, main.policies.close()) }()
	if cfg.Movement != nil {
		main.movement = &mover{policies: main.policies, engine: main.driver.Engine, tell: cfg.Movement}
	}
	if err := main.checkExcluded(&cfg, h); err != nil {
		return nil, err
	}
	side, err := newSide(&cfg, h)
	if err != nil {
		return nil, err
	}

	var rec trace.Record
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := cfg.Source.Next(&rec); err != nil {
			if err == io.EOF {
				break
			}
			return nil, err
		}
		if cfg.IgnoreWorkspace {
			rec.Workspace = 0
		}
		if err := main.add(&rec); err != nil {
			return nil, err
		}
		if err := side.add(&rec); err != nil {
			return nil, err
		}
	}
	if err := main.finish(); err != nil {
		return nil, err
	}

	policies.unfinished(main.driver.Inputs(), main.driver.Engine)
	if err := policies.save(); err != nil {
		return nil, err
	}

	r = summary(&main.tally, h, main.driver.Engine, main.policies)
	r.LinkBytesPerSecond, r.LinkD2HBytesPerSecond = int64(cfg.H2D), int64(cfg.D2H)
	r.BudgetBytes = int64(cfg.Budget)
	r.Inputs = main.driver.Inputs()
	for i, n := range cfg.FileBytes {
		r.PerComponent[i].FileBytes = int64(n)
	}
	r.Baselines, err = side.results()
	if err != nil {
		return nil, err
	}
	r.Notes = append(append(r.Notes, main.policies.allNotes()...), side.notes...)
	return r, nil
}

// summary is what a run's records, engine and policies come to.
func summary(t *tally, h *trace.Header, e *host.Engine, policies *troupe) *report.Report {
	r := t.report(h)
	r.Schema = report.Schema
	r.Trace = h.Name
	r.Policy = policies.modules[0].Info
	r.Device = "sim"
	r.ChunkBytes = int64(e.Chunk())
	c := e.Counters()
	r.PeakResidentBytes = int64(c.Peak)
	r.PolicyEvents, r.Decisions, r.Rejected = c.PolicyEvents, c.Decisions, c.Rejected
	r.Faults, r.FloorDecisions, r.Thrash = c.Faults, c.FloorDecisions, c.Thrash
	r.Swaps, r.SwapsRefused = c.Swaps, c.SwapsRefused+policies.refused
	r.Fuel = int64(min(policies.fuelSpent(), math.MaxInt64))
	sum := e.DecisionsSHA256()
	r.DecisionsSHA256 = hex.EncodeToString(sum[:])
	return r
}

// side is what runs beside the policy.
type side struct {
	order      []string
	lru        *lane
	optimum    *baseline.Optimum
	accelerate *baseline.Accelerate
	notes      []string
}

func newSide(cfg *Config, h *trace.Header) (*side, error) {
	s := &side{}
	for _, name := range Baselines {
		if !slices.Contains(cfg.Baselines, name) {
			continue
		}
		s.order = append(s.order, name)
		conf := baseline.Config{Budget: cfg.Budget, H2D: cfg.H2D, D2H: cfg.D2H, Pageable: cfg.Pageable, Latency: cfg.Latency}
		var err error
		switch name {
		case LRU:
			// The floor is the rule of least recent use.
			s.lru, err = newLane(cfg, h, newTroupe(Module{}, nil), simulated(cfg), nil)
		case Optimum:
			s.optimum = baseline.NewOptimum(h, conf)
		case Accelerate:
			s.accelerate = baseline.NewAccelerate(h, conf)
		}
		if err != nil {
			return nil, fmt.Errorf("baseline %s: %w", name, err)
		}
	}
	return s, nil
}

func (s *side) add(r *trace.Record) error {
	if s.lru != nil {
		if err := s.lru.add(r); err != nil {
			return fmt.Errorf("baseline lru: %w", err)
		}
	}
	if s.optimum != nil {
		s.optimum.Add(r)
	}
	if s.accelerate != nil {
		s.accelerate.Add(r)
	}
	return nil
}

func (s *side) results() ([]report.Baseline, error) {
	out := []report.Baseline{}
	for _, name := range s.order {
		switch name {
		case LRU:
			if err := s.lru.finish(); err != nil {
				return nil, fmt.Errorf("baseline lru: %w", err)
			}
			t := &s.lru.tally
			peak := int64(s.lru.driver.Engine.Counters().Peak)
			stall, span := int64(t.stall), int64(t.span)
			out = append(out, report.Baseline{Name: LRU, Fits: true, PeakResidentBytes: &peak,
				H2DBytes: &t.h2d, D2HBytes: &t.d2h, StallNS: &stall, MakespanNS: &span})
		case Optimum:
			out = append(out, s.show(s.optimum.Result()))
		case Accelerate:
			out = append(out, s.show(s.accelerate.Result()))
		}
	}
	return out, nil
}

func (s *side) show(r baseline.Result) report.Baseline {
	if !r.Counted { // figures speak for themselves
		s.notes = append(s.notes, r.Name+": "+r.Note)
	}
	return r.Report()
}

// simulated makes a simulated device.
func simulated(cfg *Config) host.Worker {
	return sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, File: cfg.File, Latency: cfg.Latency, Release: sim.DefaultRelease})
}
