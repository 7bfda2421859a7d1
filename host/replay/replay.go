// Package replay runs a trace through an engine: it turns records into inputs,
// lets the device's clock run while calls compute, and adds up what happened. The
// baselines that a report shows beside the policy read the same records in the
// same pass, so that a trace may come from a pipe. A run may be recorded in a journal,
// which Feedback gives to a new engine again, to compare and to make the same report.
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
	// Release is how long the simulated device takes to free a chunk; 0:
	// sim.DefaultRelease.
	Release time.Duration

	// FileBytes is, for each component, how many of its lowest bytes host memory does
	// not hold; File is how fast they are read. Components beyond the list are held.
	FileBytes []units.Bytes
	File      units.BytesPerSecond

	// Device carries out the movements under the policy; its lifetime is the caller's.
	// Nil is the simulated device, on which the baselines run in any case.
	Device host.Worker
	Place  Place
	// Record, if set, takes the run's journal.
	Record *Recording

	// Baselines are replayed beside the policy.
	Baselines []string

	// Movement, if set, is told of each movement; its error ends the run.
	Movement func(Movement) error
}

// A Place is what a report and a journal say of where a run takes place. The zero
// value is the simulated device.
type Place struct {
	Device string       // its name; empty: "sim"
	Scale  string       // of sizes and times; empty: the trace's own
	Host   *report.Host // where weights are kept, if that is anywhere
	Notes  []string     // sentences for the report
	// Measured is asked what the device has done when the run is over.
	Measured func() *report.Measured
}

func (p *Place) device() string { return cmp.Or(p.Device, simName) }

func (p *Place) measured() *report.Measured {
	if p.Measured == nil {
		return nil
	}
	return p.Measured()
}

const simName = "sim"

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
// does not do, a *trace.Error when the trace is at fault, the context's cause when
// that has ended first; what was recorded until then is a whole journal in any case.
func Run(ctx context.Context, cfg Config) (r *report.Report, err error) {
	h := cfg.Source.Header()
	cfg.Latency, cfg.Release = cmp.Or(cfg.Latency, sim.DefaultLatency), cmp.Or(cfg.Release, sim.DefaultRelease)
	if err := cfg.check(h); err != nil {
		return nil, err
	}
	policies := newTroupe(cfg.Policy, cfg.Swaps)
	policies.store = cfg.State
	defer func() { err = errors.Join(err, policies.close()) }()
	engine, err := cfg.engine(policies)
	if err != nil {
		return nil, err
	}
	keep, err := cfg.Record.begin(&cfg, engine, policies)
	if err != nil {
		return nil, err
	}
	device := cfg.Device
	if device == nil {
		device = simulated(&cfg)
	}
	main, err := newLane(&cfg, h, engine, policies, device, keep, cfg.Movement)
	if err != nil {
		return nil, err
	}
	if err := main.checkExcluded(&cfg, h); err != nil {
		return nil, err
	}
	side, err := newSide(&cfg, h)
	if err != nil {
		return nil, err
	}

	err = feed(ctx, &cfg, main, side)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // what it has led to, such as a device that was closed, is not the reason
	}
	policies.unfinished(main.driver.Inputs(), main.driver.Engine)
	if err == nil {
		policies.save()
	}
	err = errors.Join(err, cfg.Record.end(&cfg.Place, main.driver.Engine, policies, err))
	if err != nil {
		return nil, err
	}

	r = summary(&main.tally, h, main.driver.Engine, policies)
	r.Device, r.Scale, r.Host, r.Measured = cfg.Place.device(), cfg.Place.Scale, cfg.Place.Host, cfg.Place.measured()
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
	r.Notes = slices.Concat(r.Notes, policies.allNotes(), cfg.Place.Notes, side.allNotes(r.Device))
	return r, nil
}

// check says what is wrong with a configuration, and what does not fit the trace.
func (cfg *Config) check(h *trace.Header) error {
	if cfg.H2D <= 0 || cfg.D2H <= 0 || cfg.Pageable <= 0 {
		return errors.New("bandwidths must be positive")
	}
	for _, b := range cfg.Baselines {
		if !slices.Contains(Baselines, b) {
			return fmt.Errorf("baseline %q: want one of %v", b, Baselines)
		}
	}
	names := make([]string, len(h.Components))
	for i, c := range h.Components {
		names[i] = c.Name
	}
	if err := cfg.Constraints.Check(names); err != nil {
		return &Inadmissible{Err: err}
	}
	return nil
}

// engine is the configuration of the engine under some policies.
func (cfg *Config) engine(policies *troupe) (host.Config, error) {
	conf, err := host.Config{Budget: cfg.Budget, Chunk: cfg.Chunk, Granularity: cfg.Granularity}.WithDefaults()
	if err != nil {
		return conf, err
	}
	conf.H2D, conf.D2H, conf.Latency, conf.File = cfg.H2D, cfg.D2H, cfg.Latency, cfg.File
	conf.Constraints, conf.Policy, conf.HarmBound = cfg.Constraints, policies.modules[0].Policy, cfg.HarmBound
	conf.Blob = policies.saved(policies.modules[0])
	conf.PolicyConfig, err = host.ConfigLines(cfg.PolicyConfig, conf.Chunk, cfg.H2D, cfg.D2H)
	return conf, err
}

// feed gives the records to the engine under the policy and to the baselines.
func feed(ctx context.Context, cfg *Config, main *lane, side *side) error {
	var rec trace.Record
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := cfg.Source.Next(&rec); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if cfg.IgnoreWorkspace {
			rec.Workspace = 0
		}
		if err := main.add(&rec); err != nil {
			return err
		}
		if err := side.add(&rec); err != nil {
			return err
		}
	}
	if err := main.finish(); err != nil {
		return err
	}
	return ctx.Err()
}

// summary is what a run's records, engine and policies come to.
func summary(t *tally, h *trace.Header, e *host.Engine, policies *troupe) *report.Report {
	r := t.report(h)
	r.Schema = report.Schema
	r.Trace = h.Name
	r.Policy, r.TookOver = policies.modules[0].Info, policies.tookOver
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

// simulated makes a simulated device.
func simulated(cfg *Config) host.Worker {
	return sim.New(sim.Config{H2D: cfg.H2D, D2H: cfg.D2H, File: cfg.File, Latency: cfg.Latency, Release: cfg.Release})
}
