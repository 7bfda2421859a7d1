// Package sweep measures a policy over every shipped trace and many budgets, beside
// least recent use and the clairvoyant optimum: the table that says whether a policy
// is good, rather than good at one point. Tests hold the built-in policy to it, and
// its command (in table/) prints it, for the examples, too. It is no part of what users
// run.
package sweep

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// Link is the bandwidth that sweeps assume; byte counts do not depend on it.
const Link units.BytesPerSecond = 25e9

// A Point is one trace at one budget under one policy.
type Point struct {
	Trace   string
	Budget  units.Bytes
	Percent int   // of the trace's weights; 0: the smallest admissible budget
	Policy  int64 // bytes to the device
	LRU     int64
	Optimum int64
}

// A Run is what one replay needs to know.
type Run struct {
	Trace           string
	Policy          string // as Named reads it
	Budget          units.Bytes
	Chunk           units.Bytes // 0: the default
	Requests        int64
	IgnoreWorkspace bool
	Baselines       []string
	host.Constraints
}

// Replay runs a shipped trace through a policy.
func Replay(ctx context.Context, r Run) (*report.Report, error) {
	p, err := load(ctx, r.Policy)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return r.through(ctx, p)
}

// Named reads what names a policy: a built-in's name, or the path of a module, which ends in
// .wasm; and after a question mark a key of its configuration, as in "sets.wasm?set.all=*".
func Named(policy string) (name string, config map[string]string) {
	name, line, ok := strings.Cut(policy, "?")
	if !ok {
		return name, nil
	}
	key, value, _ := strings.Cut(line, "=")
	return name, map[string]string{key: value}
}

// through runs a shipped trace through a fresh instance of a policy.
func (r *Run) through(ctx context.Context, p *runtime.Policy) (*report.Report, error) {
	open, err := library.Open(r.Trace)
	if err != nil {
		return nil, err
	}
	src, err := trace.OpenRequests(open, r.Requests)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	cfg := replay.Config{Source: src, Budget: r.Budget, Chunk: r.Chunk, H2D: Link, D2H: Link, Pageable: Link / 4,
		IgnoreWorkspace: r.IgnoreWorkspace, Constraints: r.Constraints, Baselines: r.Baselines}
	_, cfg.PolicyConfig = Named(r.Policy)
	p.Suspend()
	info := p.Info()
	cfg.Policy = replay.Module{Policy: p, Info: report.Policy{Name: info.Name, SHA256: info.SHA256, ABI: info.ABI}}
	return replay.Run(ctx, cfg)
}

func load(ctx context.Context, policy string) (*runtime.Policy, error) {
	policy, _ = Named(policy)
	b, ok := policies.Get(policy)
	switch {
	case strings.HasSuffix(policy, ".wasm"):
		var err error
		if b.Wasm, err = os.ReadFile(policy); err != nil {
			return nil, err
		}
	case !ok:
		return nil, fmt.Errorf("policy %q is not built in: a module's path ends in .wasm", policy)
	}
	return runtime.Load(ctx, b.Wasm, runtime.Config{Name: policy})
}

// Sweep replays requests of a trace at every 5 % of its weights, from the smallest
// budget that admits every call to 110 %.
func Sweep(ctx context.Context, name, policy string, requests int64, ignoreWorkspace bool) ([]Point, error) {
	low, total, err := Smallest(name, ignoreWorkspace)
	if err != nil {
		return nil, err
	}
	budgets := []Point{{Budget: low}}
	for p := 5; p <= 110; p += 5 {
		if b := total / 100 * units.Bytes(p); b > low {
			budgets = append(budgets, Point{Budget: b, Percent: p})
		}
	}
	loaded, err := load(ctx, policy)
	if err != nil {
		return nil, err
	}
	defer loaded.Close()
	for i := range budgets {
		p := &budgets[i]
		p.Trace = name
		run := Run{Trace: name, Policy: policy, Budget: p.Budget, Requests: requests,
			IgnoreWorkspace: ignoreWorkspace, Baselines: []string{replay.LRU, replay.Optimum}}
		r, err := run.through(ctx, loaded)
		if err != nil {
			return nil, err
		}
		p.Policy = r.H2DBytes
		for _, b := range r.Baselines {
			switch b.Name {
			case replay.LRU:
				p.LRU = *b.H2DBytes
			case replay.Optimum:
				p.Optimum = *b.H2DBytes
			}
		}
	}
	return budgets, nil
}

// Smallest returns the smallest budget that admits every call of a shipped trace,
// and the size of its weights.
func Smallest(name string, ignoreWorkspace bool) (low, total units.Bytes, err error) {
	open, err := library.Open(name)
	if err != nil {
		return 0, 0, err
	}
	f, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	r, err := trace.NewReader(f)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range r.Header().Components {
		total += c.Bytes
	}
	const unit = host.DefaultGranularity
	type frame struct {
		request uint32
		bytes   units.Bytes
	}
	var entered []frame
	var rec trace.Record
	for {
		if err := r.Next(&rec); err == io.EOF {
			return low, total, nil
		} else if err != nil {
			return 0, 0, err
		}
		switch rec.Kind {
		case trace.Call, trace.Enter:
			n := (r.Header().Components[rec.Component].Bytes + unit - 1) / unit * unit
			if !ignoreWorkspace {
				n += rec.Workspace
			}
			sum := n
			for _, f := range entered {
				sum += f.bytes
			}
			low = max(low, sum)
			if rec.Kind == trace.Enter {
				entered = append(entered, frame{rec.Request, n})
			}
		case trace.Exit:
			for i, f := range slices.Backward(entered) {
				if f.request == rec.Request {
					entered = slices.Delete(entered, i, i+1)
					break
				}
			}
		}
	}
}

// VsLRU is the policy's bytes in those of least recent use.
func (p Point) VsLRU() float64 { return float64(p.Policy) / float64(p.LRU) }

// VsOptimum is the policy's bytes in those of the optimum.
func (p Point) VsOptimum() float64 { return float64(p.Policy) / float64(p.Optimum) }

// A Summary is what matters of many points.
type Summary struct {
	WorstLRU, WorstOptimum Point
	MeanLRU, MeanOptimum   float64
}

// Summarise sums up at least one point.
func Summarise(ps []Point) Summary {
	s := Summary{WorstLRU: ps[0], WorstOptimum: ps[0]}
	for _, p := range ps {
		s.MeanLRU += p.VsLRU() / float64(len(ps))
		s.MeanOptimum += p.VsOptimum() / float64(len(ps))
		if p.VsLRU() > s.WorstLRU.VsLRU() {
			s.WorstLRU = p
		}
		if p.VsOptimum() > s.WorstOptimum.VsOptimum() {
			s.WorstOptimum = p
		}
	}
	return s
}
