package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/golden"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies/conformance"
	"github.com/offhost/offhost/runtime"
)

// checkSchema is that of the JSON form. Within it fields are only added.
const checkSchema = "offhost.policy.check/1"

func checkHelp() string {
	var checks strings.Builder
	for _, c := range conformance.Checks() {
		fmt.Fprintf(&checks, "  %-11s  %s\n", c.Name, c.Asks)
	}
	return `Loads a policy module as "offhost run" would and says what each step found: its
digest, its exports and their signatures, its imports, the counters that bound what
it may spend, compilation, start-up. A module that fails one is refused. The digest is
what policy.sha256 in offhost.yaml, or --policy-sha256, pins.

A module that loads is then put through the checks of the conformance kit, which is also
a Go package (policies/conformance):

` + checks.String() + `
They judge it by logs of events: golden ones, which hosts have told on shipped traces, and
generated ones, in which a host with a simulated device is told by the module itself what
to do (--seed chooses them). Each ends in

  pass     nothing is wrong
  warning  it is lawful, and something might be better
  skipped  the module fails before it comes to that
  FAIL     it does not keep to the ABI

and with what was found. Most modules are done in a second or two, those of several
megabytes or that spend most of their fuel take half a minute; --quick makes fewer and
shorter logs. An interrupt ends it at once, with exit code 1 as everywhere, and leaves no
log.

A check that fails leaves a log that shows the fault, as short as a few seconds find one:
the first in NAME.fault.jsonl in the working directory, or where --fault says, each other
beside it, as in NAME.fault.growth.jsonl. A file that is there is replaced. "offhost policy
check --events FILE MODULE" tells such a log to the module again, or to the next version of
it, shows what it answers to each event and what it logs, and judges that alone. The format
is described in policies/conformance/FORMAT.md, so that logs can be written by hand. What a
module has logged before it failed is shown with the fault.

The module is given the configuration, the fuel and the memory that "offhost run" would give
it: by flags, OFFHOST_* variables or offhost.yaml.

` + moduleHelp + `

--format json prints one object of schema ` + checkSchema + `:
  module     name, sha256, bytes, abi, engine; and what it is given: fuel (the most that an
             event may spend), refill (what each adds to what is left), memory_bytes
  steps      of loading: step, found, and error and said (lines that it logged) for the one
             that refused
  checks     check, result (pass, warning, skipped, fail), found (sentences), and of one
             that fails fault: class, event (its place in the log, from 1), function,
             said (lines that it logged), log (the file that has it)
  told       with --events: the events that were answered, were questions, or at which it
             said something: event, kind, component, decisions, said, fault
  conforms   whether all is well
  fault_log  null, or the first log's file

Exit codes: 0 all is well, warnings included; 1 the module was refused or fails a check;
2 it was asked for in a way that cannot be.`
}

const checkExamples = `  offhost policy check ./my.wasm
  offhost policy check sticky-loop --quick
  offhost policy check ./sets.wasm --policy-config 'set.all=flux.*|sdxl.*'
  offhost policy check ./my.wasm --policy-fuel 30000000 --policy-refill 3000000
  offhost policy check ./my.wasm --only growth,fuel --seed 7
  offhost policy check ./my.wasm --events my.fault.jsonl
  offhost policy check ./my.wasm --format json | jq .conforms`

// A moduleCheck is what is asked of offhost policy check, and what came of it.
type moduleCheck struct {
	name          string // as it was given
	quick         bool
	only          []string
	events, fault string
	named         bool   // fault was given, and a link there is meant to be followed
	again         string // flags that a log is to be told again with, each after a space

	module module
	log    *conformance.Log // to be told again; nil: the checks make their own
	names  golden.Recorder  // of the log's components
	told   int              // lines that were printed of what came of the log's events
	text   bool
	found  checkJSON
}

// maxTold is how many events of a log are shown with what came of them; maxToldText how many
// lines of text. Who wants more has the JSON form, or a shorter log.
const (
	maxTold     = 10_000
	maxToldText = 200
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check [MODULE]",
		Short:   "Load a policy module and check that it keeps to the ABI",
		Long:    checkHelp(),
		Example: checkExamples,
		Args:    moduleArg,
	}
	var c moduleCheck
	f := cmd.Flags()
	config.AddModuleFlags(f)
	config.AddSomeFlags(f, []string{"policy-sha256", "policy-cache-dir"})
	f.Lookup("seed").Usage = "`number` that generated logs, and the random bytes a policy may ask for, are made from"
	f.BoolVar(&c.quick, "quick", false, "make fewer and shorter logs")
	f.StringSliceVar(&c.only, "only", nil, "make these `checks` alone, comma-separated")
	f.StringVar(&c.events, "events", "", "tell the module the log in this `file`, and make no other")
	f.StringVar(&c.fault, "fault", "", "write the first log that shows a fault to this `file` (default: NAME.fault.jsonl)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := config.Load(f, a.dir, a.log)
		if err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		c.name, c.text, c.again = moduleOf(args), s.Format == config.FormatText, flagsAgain(f)
		return a.checkModule(cmd.Context(), c, s)
	}
	return cmd
}

// flagsAgain are those flags under which a module may fail by a log and otherwise not, or
// that it takes to find it.
func flagsAgain(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "quick", "only", "fault", "format": // of how logs are made, and what is told of it
		case "policy-config", "policy-sha256", "policy-cache-dir": // the log has what was configured
		default:
			fmt.Fprintf(&b, " --%s=%s", f.Name, render.Name(f.Value.String()))
		}
	})
	return b.String()
}

// check refuses what does not go together, and names that are not known.
func (c *moduleCheck) check() error {
	if c.events != "" && (c.quick || len(c.only) > 0 || c.fault != "") {
		return usagef("--events tells one log and writes none: want it without --quick, --only and --fault")
	}
	var names []string
	for _, known := range conformance.Checks() {
		names = append(names, known.Name)
	}
	for _, name := range c.only {
		if !slices.Contains(names, name) {
			return usagef("--only: unknown check %q%s (known: %s)", name, config.DidYouMean(name, names), strings.Join(names, ", "))
		}
	}
	return nil
}

// checkJSON is what was found, as scripts read it.
type checkJSON struct {
	Schema   string        `json:"schema"`
	Module   moduleJSON    `json:"module"`
	Steps    []stepJSON    `json:"steps"`
	Told     []toldJSON    `json:"told,omitempty"`
	Checks   []verdictJSON `json:"checks"`
	Conforms bool          `json:"conforms"`
	FaultLog *string       `json:"fault_log"`
}

type moduleJSON struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256,omitempty"`
	Bytes  int    `json:"bytes"`
	ABI    string `json:"abi,omitempty"`
	Engine string `json:"engine,omitempty"`
	// What it is given: the most that an event may spend, what each adds, and memory.
	Fuel   uint64 `json:"fuel,omitempty"`
	Refill uint64 `json:"refill,omitempty"`
	Memory int64  `json:"memory_bytes,omitempty"`
}

type stepJSON struct {
	Step  string   `json:"step"`
	Found string   `json:"found,omitempty"`
	Error string   `json:"error,omitempty"`
	Said  []string `json:"said,omitempty"`
}

type verdictJSON struct {
	Check  string             `json:"check"`
	Result conformance.Result `json:"result"`
	Found  []string           `json:"found"`
	Fault  *faultJSON         `json:"fault,omitempty"`
}

type faultJSON struct {
	Class    string   `json:"class"`
	Event    int      `json:"event"`
	Function string   `json:"function,omitempty"`
	Said     []string `json:"said,omitempty"`
	Log      string   `json:"log,omitempty"`
}

type toldJSON struct {
	Event     int            `json:"event"`
	Kind      string         `json:"kind"`
	Component string         `json:"component,omitempty"`
	Decisions []decisionJSON `json:"decisions"`
	Said      []string       `json:"said,omitempty"`
	Fault     string         `json:"fault,omitempty"`
}

type decisionJSON struct {
	Op        string `json:"op"`
	Component string `json:"component"`
	Argument  uint64 `json:"argument"`
	Reason    uint16 `json:"reason"`
}

func (a *app) checkModule(ctx context.Context, c moduleCheck, s config.Settings) (err error) {
	if c.module, err = a.loadModule(ctx, s.Sources, c.name); err != nil {
		return err
	}
	if c.events != "" {
		if c.log, err = readEvents(c.events); err != nil {
			return err
		}
	}
	if err := c.placeFault(a.dir); err != nil { // before the time is spent
		return err
	}
	a.warnUnread(c.module, s.Policy.Config)
	if _, err := host.ConfigLines(s.Policy.Config, host.DefaultChunk, 1, 1); err != nil {
		return &config.UsageError{Err: err}
	}

	c.found = checkJSON{Schema: checkSchema, Module: moduleJSON{Name: c.module.name, Bytes: len(c.module.wasm)}, Checks: []verdictJSON{}}
	if c.text {
		fmt.Fprintf(a.stdout, "%s   %v\n", render.Name(c.module.name), units.Bytes(len(c.module.wasm)).Decimal())
	}
	progress := newProgress(terminal(a.stderr))
	cfg := conformance.Config{
		Name: c.module.name, SHA256: s.Policy.SHA256, PolicyConfig: s.Policy.Config, Seed: s.Seed, Quick: c.quick, Only: c.only, CacheDir: s.Policy.CacheDir,
		Limits: policyLimits(s.Policy),
		OnStep: func(step runtime.Step) { a.tellStep(&c, step) },
		OnVerdict: func(v *conformance.Verdict) {
			progress.clear()
			a.tellVerdict(&c, v)
		},
		OnTold: func(t *conformance.Told) { a.tellEvent(&c, t) },
		OnProgress: func(check string, part float64) {
			if progress.due() {
				progress.line("%s: %.0f %%", check, 100*part)
			}
		},
	}
	var r *conformance.Report
	if c.log != nil {
		r, err = conformance.Replay(ctx, c.module.wasm, c.log, cfg)
	} else {
		r, err = conformance.Run(ctx, c.module.wasm, cfg)
	}
	progress.clear()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var refused *runtime.LoadError
		if errors.As(err, &refused) && c.text {
			for _, line := range refused.Said {
				fmt.Fprintf(a.stdout, "%-8s  it said: %s\n", "", render.Sentence(line))
			}
		} else if refused != nil {
			c.found.Module.SHA256 = refused.SHA256
			c.found.Steps[len(c.found.Steps)-1].Said = refused.Said
			err = errors.Join(err, render.Object(a.stdout, c.found))
		}
		return err
	}
	c.found.Module.SHA256, c.found.Module.ABI, c.found.Module.Engine = r.Info.SHA256, r.Info.ABI, r.Info.Engine
	c.found.Module.Fuel, c.found.Module.Refill, c.found.Module.Memory = r.Info.Fuel, r.Info.Refill, int64(s.Policy.MemoryPages)<<16
	return a.concludeCheck(&c, r)
}

// placeFault settles which file a log of a fault goes to. A link that nobody has named is not
// followed: the folder may be somebody else's work.
func (c *moduleCheck) placeFault(dir string) error {
	switch {
	case c.log != nil:
		return nil
	case c.fault != "":
		c.named = true
		if err := wholefile.Check(c.fault); err != nil {
			return usagef("--fault: %w", err)
		}
		return nil
	}
	c.fault = filepath.Join(dir, strings.TrimSuffix(filepath.Base(c.module.name), ".wasm")+".fault.jsonl")
	if info, err := os.Lstat(c.fault); err == nil && !info.Mode().IsRegular() {
		return usagef("%s is no regular file, and the log of a fault would go there: want another one with --fault", render.Name(c.fault))
	}
	return nil
}

// tellStep prints a step of loading.
func (a *app) tellStep(c *moduleCheck, step runtime.Step) {
	j, found := stepJSON{Step: step.Name, Found: step.Found}, step.Found
	if step.Err != nil {
		j.Error, found = step.Err.Error(), "refused"
	}
	c.found.Steps = append(c.found.Steps, j)
	if c.text {
		fmt.Fprintf(a.stdout, "%-8s  %s\n", step.Name, render.Sentence(found))
	}
}

// tellVerdict prints a check's line, and what else it has found below.
func (a *app) tellVerdict(c *moduleCheck, v *conformance.Verdict) {
	j := verdictJSON{Check: v.Check, Result: v.Result, Found: v.Found}
	if v.Finding != nil {
		j.Fault = &faultJSON{Class: v.Finding.Class, Event: v.Finding.Step + 1}
		if v.Finding.Fault != nil {
			j.Fault.Function, j.Fault.Said = v.Finding.Fault.Func, v.Finding.Fault.Said
		}
	}
	c.found.Checks = append(c.found.Checks, j)
	if !c.text {
		return
	}
	head := fmt.Sprintf("%-11s  %-7v", v.Check, v.Result)
	for _, found := range v.Found {
		fmt.Fprintf(a.stdout, "%s  %s\n", head, render.Sentence(found))
		head = strings.Repeat(" ", len(head))
	}
	if j.Fault != nil && c.log == nil { // beside its event otherwise
		for _, line := range j.Fault.Said {
			fmt.Fprintf(a.stdout, "%s  it said: %s\n", head, render.Sentence(line))
		}
	}
}

// tellEvent prints what a module answered to an event and what it said, if it did, and that
// it left a question to the host.
func (a *app) tellEvent(c *moduleCheck, t *conformance.Told) {
	c.names.See(&t.Event, t.Payload, nil)
	question := t.Event.Kind == abi.Need
	if !question && len(t.Answer) == 0 && len(t.Said) == 0 && t.Fault == nil {
		return
	}
	j := toldJSON{Event: t.Step + 1, Kind: t.Event.Kind.String(), Component: c.names.Name(t.Event.Component), Decisions: []decisionJSON{}, Said: t.Said}
	var lines []string
	for _, text := range t.Said {
		lines = append(lines, fmt.Sprintf("%-8s  says: %s", j.Kind, text))
	}
	for _, d := range t.Answer {
		j.Decisions = append(j.Decisions, decisionJSON{d.Op.String(), c.names.Name(d.Component), d.Arg, d.Reason})
		line := c.names.Decision(&t.Event, d)
		lines = append(lines, line.Words())
	}
	switch {
	case t.Fault != nil:
		j.Fault = t.Fault.Err.Error()
		lines = append(lines, fmt.Sprintf("%-8s  fault: %s", j.Kind, j.Fault))
	case question && len(t.Answer) == 0:
		lines = append(lines, fmt.Sprintf("%-8s  %-16s  nothing: the host decides", j.Kind, render.Name(j.Component)))
	}
	if len(c.found.Told) < maxTold {
		c.found.Told = append(c.found.Told, j)
	}
	for _, line := range lines {
		switch c.told++; {
		case !c.text || c.told > maxToldText+1:
		case c.told > maxToldText:
			fmt.Fprintf(a.stdout, "...       and more: --format json has the first %d\n", maxTold)
		default:
			fmt.Fprintf(a.stdout, "event %-5d %s\n", j.Event, strings.TrimRight(render.Sentence(line), " "))
		}
	}
}

// concludeCheck writes the logs of the faults and says how it ended.
func (a *app) concludeCheck(c *moduleCheck, r *conformance.Report) error {
	var failed []string
	var first *conformance.Verdict
	for _, v := range r.Verdicts {
		if v.Result == conformance.Failed {
			failed = append(failed, v.Check)
			first = cmp.Or(first, v)
		}
	}
	c.found.Conforms = r.Passed()
	var unwritten error
	if c.log == nil {
		unwritten = c.leaveLogs(r)
	}
	switch {
	case !c.text:
		if err := render.Object(a.stdout, c.found); err != nil {
			return err
		}
	case r.Passed():
		end := "The module keeps to the ABI"
		if c.log != nil || len(c.only) > 0 {
			end = "Nothing is wrong, as far as was looked"
		}
		if n := r.Count(conformance.Warned); n > 0 {
			end += ", with " + render.Count(int64(n), "warning")
		}
		if _, err := fmt.Fprintln(a.stdout, end+"."); err != nil {
			return err
		}
	default:
		for i, v := range r.Verdicts {
			if fault := c.found.Checks[i].Fault; fault != nil && fault.Log != "" {
				fmt.Fprintf(a.stdout, "A log of %s in which %s fails is in %s; again:\n  offhost policy check %s --events %s%s\n",
					render.Count(int64(len(v.Log.Steps)), "event"), v.Check, render.Name(fault.Log), render.Name(c.name), render.Name(fault.Log), c.again)
			}
		}
	}
	switch {
	case first != nil:
		err := fmt.Errorf("%s fails %s: %s", render.Name(c.module.name), strings.Join(failed, ", "), first.Found[0])
		if unwritten != nil {
			err = fmt.Errorf("%w; and the log that shows it cannot be written: %w: want a place for it with --fault FILE", err, unwritten)
		}
		return err
	case !r.Passed():
		return fmt.Errorf("%s could not be judged: it fails before it comes to that", render.Name(c.module.name))
	}
	return nil
}

// leaveLogs writes the log of each check that fails: the first where it belongs, the others
// beside it.
func (c *moduleCheck) leaveLogs(r *conformance.Report) error {
	for i, v := range r.Verdicts {
		if v.Result != conformance.Failed {
			continue
		}
		path, create := c.fault, wholefile.CreateNoFollow
		switch {
		case c.found.FaultLog != nil:
			kind := filepath.Ext(path)
			path = strings.TrimSuffix(path, kind) + "." + v.Check + kind
		case c.named:
			create = wholefile.Create
		}
		if err := writeEvents(create, path, v.Log); err != nil {
			return err
		}
		c.found.Checks[i].Fault.Log = path
		if c.found.FaultLog == nil {
			c.found.FaultLog = &path
		}
	}
	return nil
}

func writeEvents(create func(string) (*wholefile.File, error), path string, log *conformance.Log) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	if _, err := log.WriteTo(f); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit()
}

func readEvents(path string) (*conformance.Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("--events: %w", err)
	}
	defer f.Close()
	log, err := conformance.ReadLog(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return log, nil
}
