package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// Config says how a module is checked. The zero value is usable.
type Config struct {
	// Name is the module's in errors and logs; see runtime.Config.
	Name string
	// SHA256, if set, pins the module.
	SHA256 string
	// PolicyConfig is what the module is given as its configuration, as users give it.
	PolicyConfig map[string]string
	// Limits are those that the module is to keep to; zero fields are the runtime's
	// defaults.
	Limits runtime.Limits
	// Seed chooses the logs that are generated, and the random bytes that the module may
	// ask for.
	Seed uint64
	// Quick makes fewer and shorter logs.
	Quick bool
	// Only names the checks that are made; empty: all.
	Only []string
	// CacheDir keeps compiled code; see runtime.Config.
	CacheDir string
	// Logger takes what the module logs. Nil discards it.
	Logger *slog.Logger

	// OnStep, if set, is told of the steps in which the module is loaded, OnVerdict of
	// each verdict, and OnProgress of how far a check is, from 0 to 1.
	OnStep     func(runtime.Step)
	OnVerdict  func(*Verdict)
	OnProgress func(check string, part float64)
	// OnTold, if set, is told by Replay of each event of the log and of what came of it,
	// before any verdict. Logger takes nothing then.
	OnTold func(*Told)
}

// A Result is how a check ended.
type Result uint8

// Results, the better ones first.
const (
	Passed  Result = iota
	Warned         // lawful, and not as good as it might be
	Skipped        // nothing to judge, since the module fails before it comes to that
	Failed         // the module does not keep to the ABI
)

var resultNames = [...]string{"pass", "warning", "skipped", "FAIL"}

func (r Result) String() string { return resultNames[r] }

// MarshalText implements encoding.TextMarshaler: pass, warning, skipped or fail.
func (r Result) MarshalText() ([]byte, error) { return []byte(strings.ToLower(r.String())), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Result) UnmarshalText(text []byte) error {
	for i, name := range resultNames {
		if strings.EqualFold(name, string(text)) {
			*r = Result(i)
			return nil
		}
	}
	return fmt.Errorf("result %s: want pass, warning, skipped or fail", clip(text))
}

// A Verdict is what a check says of a module.
type Verdict struct {
	Check  string
	Result Result
	// Found says in sentences what was found.
	Found []string
	// Finding is the fault of a module that fails, and Log a log that shows it: as short as
	// a few seconds find one.
	Finding *Finding
	Log     *Log
}

// A Report is what the checks say of a module.
type Report struct {
	Info     runtime.Info
	Verdicts []*Verdict
}

// Count returns how many checks have ended in a way.
func (r *Report) Count(how Result) (n int) {
	for _, v := range r.Verdicts {
		if v.Result == how {
			n++
		}
	}
	return n
}

// Passed reports whether no check failed.
func (r *Report) Passed() bool { return r.Count(Failed) == 0 && r.Count(Skipped) == 0 }

// A check is a property that a policy has to have: run judges a module by logs of its own
// making, judge a module by one log.
type check struct {
	name  string
	asks  string
	run   func(*suite, *outcome) error
	judge func(*bench, *Log) (*Finding, error)
	// large, if set, says which steps may be larger than an event's fuel is meant for:
	// that a module runs dry in them is no failure, if it comes to an end.
	large func(*Step) bool
	// anything is told, also what no host says: that a module does not survive that is no
	// failure.
	anything bool
}

// examine judges a module by one log.
func (c *check) examine(b *bench, log *Log) (*Finding, error) {
	f, err := c.judge(b, log)
	if err == nil && f != nil {
		err = c.weigh(b, log, f)
	}
	return f, err
}

// weigh finds out whether a finding is one that a module fails for: it would have come to an
// end with a step that may be large, or no host says such a thing.
func (c *check) weigh(b *bench, log *Log, f *Finding) error {
	if c.large != nil && c.large(&log.Steps[f.Step]) {
		if err := b.thirst(log, f); err != nil || f.dry {
			return err
		}
	}
	if c.anything {
		f.unsaid = unsaid(log.Steps[:f.Step+1])
	}
	return nil
}

// checks are in the order in which they are made: what is wrong with a module shows first
// where it is easiest to understand.
var checks []*check

func init() {
	checks = []*check{answersCheck, determinismCheck, stateCheck, rejectedCheck, futureCheck, hostileCheck, fuelCheck, growthCheck}
}

// Checks returns the names of the checks and what they ask, in the order in which they are
// made.
func Checks() (list []struct{ Name, Asks string }) {
	for _, c := range checks {
		list = append(list, struct{ Name, Asks string }{c.name, c.asks})
	}
	return list
}

func lookup(name string) *check {
	i := slices.IndexFunc(checks, func(c *check) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return checks[i]
}

// An outcome is what becomes a verdict.
type outcome struct {
	result Result
	found  []string
	f      *Finding
	src    source
}

// say adds to what was found.
func (o *outcome) say(format string, args ...any) {
	o.found = append(o.found, fmt.Sprintf(format, args...))
}

// warn does, of something that might be better.
func (o *outcome) warn(format string, args ...any) {
	o.result = max(o.result, Warned)
	o.say(format, args...)
}

// fail ends a check with a finding.
func (o *outcome) fail(f *Finding, src source) { o.result, o.f, o.src = Failed, f, src }

func (o *outcome) failed() bool { return o.f != nil }

// A suite is one pass of checks over a module.
type suite struct {
	*bench
	check *check // that is made now
	// logs are what most checks judge a module by: those that the module's own decisions
	// have led to, and those of the package. sound are those of them that it follows
	// without a fault.
	logs, sound []source
	failed      failures
}

// Run checks a module. The error is a *runtime.LoadError if the module is refused, and
// otherwise none of the module's: a configuration that cannot be, a context that ended.
func Run(ctx context.Context, wasm []byte, cfg Config) (_ *Report, err error) {
	for _, name := range cfg.Only {
		if lookup(name) == nil {
			return nil, fmt.Errorf("check %q: want one of %s", name, checkNames())
		}
	}
	b, r, err := open(ctx, wasm, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	s := &suite{bench: b}
	if err := s.collect(); err != nil {
		return nil, err
	}
	for _, c := range checks {
		if c != answersCheck && len(cfg.Only) > 0 && !slices.Contains(cfg.Only, c.name) {
			continue
		}
		v, err := s.verdict(c)
		if err != nil {
			return nil, err
		}
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, c.name) {
			continue // it was made for what the others need of it
		}
		r.Verdicts = append(r.Verdicts, v)
		if cfg.OnVerdict != nil {
			cfg.OnVerdict(v)
		}
	}
	return r, nil
}

// open loads a module and begins its report.
func open(ctx context.Context, wasm []byte, cfg Config) (*bench, *Report, error) {
	b, err := newBench(ctx, wasm, cfg)
	if err != nil {
		return nil, nil, err
	}
	p, err := b.load(manner{}, cfg.OnStep)
	if err != nil {
		return nil, nil, err
	}
	return b, &Report{Info: p.Info()}, nil
}

func checkNames() string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// verdict makes a check.
func (s *suite) verdict(c *check) (*Verdict, error) {
	if c != answersCheck && len(s.sound) == 0 {
		return &Verdict{Check: c.name, Result: Skipped, Found: []string{"the module follows no log without a fault: see " + answersCheck.name}}, nil
	}
	s.check = c
	s.progress(0)
	var o outcome
	if err := c.run(s, &o); err != nil {
		return nil, err
	}
	v := &Verdict{Check: c.name, Result: o.result, Found: o.found}
	if !o.failed() {
		return v, nil
	}
	if s.failed.again(v, o.f) {
		return v, nil
	}
	log, f, err := s.minimal(c, o.src, o.f)
	if err != nil {
		return nil, err
	}
	v.Finding, v.Found = f, []string{f.Text}
	s.failed = append(s.failed, v)
	v.Log, err = s.finish(c, log, f)
	return v, err
}

// failures are the checks that failed so far.
type failures []*Verdict

// again makes of a verdict that an earlier check came to the same fault, if one did: it is
// mended once.
func (fs failures) again(v *Verdict, f *Finding) bool {
	for _, earlier := range fs {
		if earlier.Finding.same(f) {
			v.Result, v.Found = Skipped, []string{"it comes to the fault that " + earlier.Check + " has found"}
			return true
		}
	}
	return false
}

// finish completes a log for its readers.
func (s *suite) finish(c *check, log *Log, f *Finding) (*Log, error) {
	log = log.clone()
	log.Check, log.Fault, log.Found = c.name, f.Class, f.Text
	log.SHA256 = s.loaded[manner{}].Info().SHA256
	for i := range log.Steps {
		log.Steps[i].Answer = nil
	}
	err := s.follow(manner{}, log, func(r *reply) bool {
		if r.round == 0 {
			log.Steps[r.index].Answer = append([]abi.Decision(nil), r.answer...)
		}
		return r.round == 0
	})
	return log, err
}

func (s *suite) progress(part float64) {
	if s.cfg.OnProgress != nil {
		s.cfg.OnProgress(s.check.name, part)
	}
}

// first looks for the first of some sources in which the check finds something.
func (s *suite) first(sources []source, o *outcome) error {
	var thirsty, unsaid []string
	for i, src := range sources {
		if s.thirsty > maxSpent {
			o.say("%d of them were not told: to find out whether it would come to an end has taken too long", len(sources)-i)
			break
		}
		f, err := s.check.examine(s.bench, src.log)
		if err != nil {
			return err
		}
		switch {
		case f == nil:
		case f.unsaid != "":
			unsaid = append(unsaid, src.log.Name+": "+f.Text+"; "+f.unsaid)
		case f.dry:
			thirsty = append(thirsty, src.log.Name+": "+f.Text)
		default:
			o.fail(f, src)
			return nil
		}
		s.progress(float64(i+1) / float64(len(sources)))
	}
	if len(thirsty) > 0 {
		o.say("%d of them take more fuel than an event has, as %s", len(thirsty), thirsty[0])
	}
	if len(unsaid) > 0 {
		o.warn("%d of them it does not survive, since they have what no host says, as %s", len(unsaid), unsaid[0])
	}
	return nil
}

// some are at most n of a list, evenly spread.
func some[T any](list []T, n int) (few []T) {
	if len(list) <= n {
		return list
	}
	for i := range n {
		few = append(few, list[i*len(list)/n])
	}
	return few
}

// Replay judges a module by one log: by the check that the log names, or by each that can.
func Replay(ctx context.Context, wasm []byte, log *Log, cfg Config) (_ *Report, err error) {
	judges := checks
	if log.Check != "" {
		c := lookup(log.Check)
		if c == nil {
			return nil, fmt.Errorf("the log is for the check %s, which is not known: want one of %s", clip(log.Check), checkNames())
		}
		judges = []*check{c}
	}
	heard := &listener{}
	if cfg.OnTold != nil {
		cfg.Logger = slog.New(heard)
	}
	b, r, err := open(ctx, wasm, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if cfg.OnTold != nil {
		if err := b.tellAll(log, heard, cfg.OnTold); err != nil {
			return nil, err
		}
	}
	var failed failures
	for _, c := range judges {
		f, err := c.examine(b, log)
		if err != nil {
			return nil, err
		}
		v := &Verdict{Check: c.name, Found: []string{count(log.events(), "event") + ", nothing found"}}
		switch {
		case f != nil && f.unsaid != "":
			v.Result, v.Found = Warned, []string{f.Text + "; " + f.unsaid + ", which no host says"}
		case f != nil && f.dry:
			v.Result, v.Found = Warned, []string{f.Text}
		case f != nil && !failed.again(v, f):
			v.Result, v.Found, v.Finding, v.Log = Failed, []string{f.Text}, f, log
			failed = append(failed, v)
		}
		r.Verdicts = append(r.Verdicts, v)
		if cfg.OnVerdict != nil {
			cfg.OnVerdict(v)
		}
	}
	return r, nil
}
