package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// A FeedbackConfig says which journal to feed back, and who is to decide.
type FeedbackConfig struct {
	Journal *journal.Reader
	// Load is asked for the policies that the journal names, in their order. They are
	// closed when they are not needed any more, if they are io.Closers.
	Load func(journal.Identity) (Module, error)
	// Baselines are computed from the calls that the journal has.
	Baselines []string
	// Movement, if set, is told of each movement; its error ends the run.
	Movement func(Movement) error
}

// Feedback feeds a journal to a new engine, without a device, compares all that the
// engine does with what the journal says, and makes the report of the run that was
// recorded. The first difference is a *journal.Difference, a journal that was changed
// or breaks off a *journal.Error.
//
// A run that ended early is reported as far as it went, and why. Baselines compute for
// as long as the recorded calls did, which on a real device is not what the trace says.
func Feedback(ctx context.Context, cfg FeedbackConfig) (r *report.Report, err error) {
	j := cfg.Journal.Header()
	f := &feedback{policies: newTroupe(Module{}, nil), calls: besides(j, cfg.Baselines)}
	f.named = j.Policy == journal.Identity{}
	f.mover.policies, f.mover.tell = f.policies, cfg.Movement
	defer func() { err = errors.Join(err, f.policies.closeAll()) }()
	load := func(id journal.Identity) (host.Policy, error) {
		m, err := cfg.Load(id)
		if err != nil {
			return nil, err
		}
		f.take(m)
		return m.Policy, nil
	}
	engine, err := journal.Replay(ctx, cfg.Journal, load, f.see)
	if err != nil {
		return nil, err
	}
	f.calls.finish()
	f.policies.unfinished(cfg.Journal.End().Inputs, engine)
	return f.report(engine, j, cfg.Journal.End()), nil
}

// feedback adds up what a journal's engine does.
type feedback struct {
	policies *troupe
	named    bool // the first policy is known, or there is none
	mover    mover
	tally    tally
	header   trace.Header // its components alone
	files    []int64      // bytes of each component that host memory does not hold
	calls    *beside
}

// take puts a policy at its number.
func (f *feedback) take(m Module) {
	if !f.named {
		f.named = true
		f.policies.modules[0] = m
		return
	}
	f.policies.modules = append(f.policies.modules, m)
}

func (f *feedback) see(e *host.Engine, x *journal.Entry, out *host.Output) error {
	if x.Input.Kind == host.InRegister {
		f.register(&x.Input.Spec)
	}
	f.mover.engine = e
	for i := range out.Records {
		r := &out.Records[i]
		f.tally.see(r)
		if err := f.policies.see(r); err != nil {
			return err
		}
		if f.mover.tell != nil {
			if err := f.mover.see(r); err != nil {
				return err
			}
		}
	}
	f.calls.add(x)
	for i := range out.Actions {
		if a := &out.Actions[i]; a.Kind == host.ActDiscard {
			if err := f.policies.discard(a.Policy); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *feedback) register(s *host.Spec) {
	c := trace.Component{Name: s.Name, Bytes: s.Bytes, ReadOnly: s.ReadOnly, Parent: trace.NoComponent}
	if s.Parent != host.NoComponent {
		c.Parent = int(s.Parent)
	}
	f.header.Components = append(f.header.Components, c)
	f.files = append(f.files, int64(s.FileBytes))
}

func (f *feedback) report(e *host.Engine, j *journal.Header, end *journal.End) *report.Report {
	f.header.Name = j.Trace
	place := Place{Device: j.Device}
	r := summary(&f.tally, &f.header, e, f.policies)
	r.Device, r.Scale, r.Host, r.Measured = place.device(), j.Scale, j.Host, end.Measured
	r.LinkBytesPerSecond, r.LinkD2HBytesPerSecond = int64(j.Engine.H2D), int64(j.Engine.D2H)
	r.BudgetBytes = int64(j.Engine.Budget)
	r.Inputs = end.Inputs
	r.SwapsRefused += end.SwapsRefused
	for i, n := range f.files {
		r.PerComponent[i].FileBytes = n
	}
	var notes []string
	r.Baselines, notes = f.calls.results(r.Device)
	r.Notes = slices.Concat(r.Notes, f.policies.allNotes(), end.Notes, notes)
	r.EndedEarly = end.Error
	return r
}

// beside runs the baselines on the calls of a journal. What cannot be had of one is a
// note: the journal is fed back all the same.
type beside struct {
	cfg  Config
	seq  *journal.Sequence
	side *side
	line int64
	err  error
}

func besides(j *journal.Header, baselines []string) *beside {
	e := j.Engine.Config()
	var scale units.Scale
	if s, err := units.ParseScale(j.Scale); err == nil {
		scale = s
	}
	return &beside{seq: journal.NewSequence(j), cfg: Config{
		Budget: e.Budget, Chunk: e.Chunk, Granularity: e.Granularity, Constraints: e.Constraints,
		H2D: e.H2D, D2H: e.D2H, Pageable: j.Pageable, Latency: e.Latency, Release: scale.Time(sim.DefaultRelease), File: e.File, Baselines: baselines,
	}}
}

func (b *beside) add(x *journal.Entry) {
	if b.err != nil || len(b.cfg.Baselines) == 0 {
		return
	}
	b.line = x.Line
	if b.err = b.seq.Add(x); b.err == nil {
		b.err = b.take()
	}
}

// take gives the records that are settled to the baselines.
func (b *beside) take() error {
	for {
		var r trace.Record
		if found, err := b.seq.Next(&r); err != nil || !found {
			return err
		}
		if b.side == nil {
			b.cfg.FileBytes = b.seq.FileBytes()
			if err := b.cfg.check(b.seq.Header()); err != nil {
				return err
			}
			var err error
			if b.side, err = newSide(&b.cfg, b.seq.Header()); err != nil {
				return err
			}
		}
		if err := b.side.add(&r); err != nil {
			return err
		}
	}
}

func (b *beside) finish() {
	if b.err != nil || len(b.cfg.Baselines) == 0 {
		return
	}
	if b.err = b.seq.Close(b.line); b.err == nil {
		b.err = b.take()
	}
}

func (b *beside) results(device string) ([]report.Baseline, []string) {
	if b.err == nil && b.side != nil {
		list, err := b.side.results()
		if err == nil {
			return list, b.allNotes(device)
		}
		b.err = err
	}
	if b.err != nil {
		return []report.Baseline{}, []string{fmt.Sprintf("the baselines cannot be computed from the journal's calls: %v", b.err)}
	}
	return []report.Baseline{}, nil
}

// allNotes say, too, why times are others than those beside the run were.
func (b *beside) allNotes(device string) []string {
	notes := b.side.allNotes(device)
	if device != simName {
		notes = append(notes, "baselines: their calls compute as long as the recorded ones did, not as long as the trace says: other times than beside the run itself")
	}
	return notes
}
