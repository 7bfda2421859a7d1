package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
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
megabytes take half a minute; --quick makes fewer and shorter logs.

The first check that fails leaves a minimal log that shows the fault in a file,
NAME.fault.jsonl in the working directory or where --fault says; a file that is there is
replaced. "offhost policy check --events FILE MODULE" tells it to the module again, or to
the next version of it, and judges that alone. The format is described in
policies/conformance/FORMAT.md, so that logs can be written by hand.

The module is given the configuration, the fuel and the memory that "offhost run" would give
it: by flags, OFFHOST_* variables or offhost.yaml.

` + moduleHelp + `

--format json prints one object of schema ` + checkSchema + `:
  module     name, sha256, bytes, abi, engine
  steps      of loading: step, found, and error for the one that refused
  checks     check, result (pass, warning, skipped, fail), found (sentences), and of one
             that fails fault: class, event (its place in the log, from 1), function
  conforms   whether all is well
  fault_log  null, or the file that was written

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

// A moduleCheck is what is asked of offhost policy check.
type moduleCheck struct {
	quick         bool
	only          []string
	events, fault string
}

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check MODULE",
		Short:   "Load a policy module and check that it keeps to the ABI",
		Long:    checkHelp(),
		Example: checkExamples,
		Args:    argCount(1, 1),
	}
	var c moduleCheck
	f := cmd.Flags()
	config.AddModuleFlags(f)
	f.Lookup("seed").Usage = "`number` that generated logs, and the random bytes a policy may ask for, are made from"
	f.BoolVar(&c.quick, "quick", false, "make fewer and shorter logs")
	f.StringSliceVar(&c.only, "only", nil, "make these `checks` alone, comma-separated")
	f.StringVar(&c.events, "events", "", "tell the module the log in this `file`, and make no other")
	f.StringVar(&c.fault, "fault", "", "write the log that shows a fault to this `file` (default: NAME.fault.jsonl)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := config.Load(f, a.dir, a.log)
		if err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		return a.checkModule(cmd.Context(), args[0], c, s)
	}
	return cmd
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
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
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
}

type stepJSON struct {
	Step  string `json:"step"`
	Found string `json:"found,omitempty"`
	Error string `json:"error,omitempty"`
}

type verdictJSON struct {
	Check  string             `json:"check"`
	Result conformance.Result `json:"result"`
	Found  []string           `json:"found"`
	Fault  *faultJSON         `json:"fault,omitempty"`
}

type faultJSON struct {
	Class    string `json:"class"`
	Event    int    `json:"event"`
	Function string `json:"function,omitempty"`
}

func (a *app) checkModule(ctx context.Context, name string, c moduleCheck, s config.Settings) error {
	m, err := a.loadModule(ctx, s.Sources, name)
	if err != nil {
		return err
	}
	var log *conformance.Log
	if c.events != "" {
		if log, err = readEvents(c.events); err != nil {
			return err
		}
	}
	path := cmp.Or(c.fault, filepath.Join(a.dir, strings.TrimSuffix(filepath.Base(m.name), ".wasm")+".fault.jsonl"))
	if c.fault != "" { // before the time is spent
		if err := wholefile.Check(path); err != nil {
			return usagef("--fault: %w", err)
		}
	}
	if _, err := host.ConfigLines(s.Policy.Config, host.DefaultChunk, 1, 1); err != nil {
		return &config.UsageError{Err: err}
	}

	progress := newProgress(terminal(a.stderr))
	text := s.Format == config.FormatText
	out := checkJSON{Schema: checkSchema, Module: moduleJSON{Name: m.name, Bytes: len(m.wasm)}, Checks: []verdictJSON{}}
	cfg := conformance.Config{
		Name: m.name, SHA256: s.Policy.SHA256, PolicyConfig: s.Policy.Config, Seed: s.Seed, Quick: c.quick, Only: c.only, CacheDir: s.Policy.CacheDir,
		Limits: policyLimits(s.Policy),
		OnStep: func(step runtime.Step) {
			j := stepJSON{Step: step.Name, Found: step.Found}
			found := step.Found
			if step.Err != nil {
				j.Error, found = step.Err.Error(), "refused"
			}
			out.Steps = append(out.Steps, j)
			if text {
				fmt.Fprintf(a.stdout, "%-8s  %s\n", step.Name, render.Sentence(found))
			}
		},
		OnVerdict: func(v *conformance.Verdict) {
			progress.clear()
			if text {
				a.printVerdict(v)
			}
		},
		OnProgress: func(check string, part float64) {
			if progress.due() {
				progress.line("%s: %.0f %%", check, 100*part)
			}
		},
	}
	if text {
		fmt.Fprintf(a.stdout, "%s   %v\n", render.Name(m.name), units.Bytes(len(m.wasm)).Decimal())
	}
	var r *conformance.Report
	if log != nil {
		r, err = conformance.Replay(ctx, m.wasm, log, cfg)
	} else {
		r, err = conformance.Run(ctx, m.wasm, cfg)
	}
	progress.clear()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var refused *runtime.LoadError
		if !text && errors.As(err, &refused) {
			out.Module.SHA256 = refused.SHA256
			err = errors.Join(err, render.Object(a.stdout, out))
		}
		return err
	}
	out.Module.SHA256, out.Module.ABI, out.Module.Engine = r.Info.SHA256, r.Info.ABI, r.Info.Engine
	return a.concludeCheck(name, m, r, out, path, log != nil, text)
}

// printVerdict prints a check's line, and what else it has found below.
func (a *app) printVerdict(v *conformance.Verdict) {
	head := fmt.Sprintf("%-11s  %-7v", v.Check, v.Result)
	for _, found := range v.Found {
		fmt.Fprintf(a.stdout, "%s  %s\n", head, render.Sentence(found))
		head = strings.Repeat(" ", len(head))
	}
}

// concludeCheck writes the log of the first fault and says how it ended.
func (a *app) concludeCheck(given string, m module, r *conformance.Report, out checkJSON, path string, replayed, text bool) error {
	var failed []string
	var first *conformance.Verdict
	for _, v := range r.Verdicts {
		j := verdictJSON{Check: v.Check, Result: v.Result, Found: v.Found}
		if v.Finding != nil {
			j.Fault = &faultJSON{Class: v.Finding.Class, Event: v.Finding.Step + 1}
			if v.Finding.Fault != nil {
				j.Fault.Function = v.Finding.Fault.Func
			}
		}
		out.Checks = append(out.Checks, j)
		if v.Result == conformance.Failed {
			failed = append(failed, v.Check)
			if first == nil {
				first = v
			}
		}
	}
	out.Conforms = r.Passed()
	if first != nil && !replayed {
		if err := writeEvents(path, first.Log); err != nil {
			return fmt.Errorf("writing the log of the fault: %w", err)
		}
		out.FaultLog = &path
	}
	if !text {
		if err := render.Object(a.stdout, out); err != nil {
			return err
		}
	} else if first == nil {
		end := "The module keeps to the ABI."
		if n := r.Count(conformance.Warned); n > 0 {
			end = fmt.Sprintf("The module keeps to the ABI, with %s.", render.Count(int64(n), "warning"))
		}
		_, err := fmt.Fprintln(a.stdout, end)
		return err
	} else if !replayed {
		fmt.Fprintf(a.stdout, "A log of %s in which %s fails is in %s; again:\n  offhost policy check %s --events %s\n",
			render.Count(int64(len(first.Log.Steps)), "event"), first.Check, render.Name(path), render.Name(given), render.Name(path))
		if len(failed) > 1 {
			fmt.Fprintf(a.stdout, "Those of the others come with --only %s.\n", strings.Join(failed[1:], " or --only "))
		}
	}
	if first != nil {
		return fmt.Errorf("%s fails %s: %s", render.Name(m.name), strings.Join(failed, ", "), first.Found[0])
	}
	return nil
}

func writeEvents(path string, log *conformance.Log) error {
	f, err := wholefile.Create(path)
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
