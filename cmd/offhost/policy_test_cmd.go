package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
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
	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// Flags of policy test that are none of run's.
const (
	traceFlag  = "trace"
	expectFlag = "expect"
	updateFlag = "update"
)

// Settings that every file of expected decisions has beside its trace, whether they were
// given or came from the trace: a decision depends on them.
const (
	budgetSetting = "budget"
	linkSetting   = "link"
	chunkSetting  = "chunk"
)

// testSettings are the flags of run that a test has, too, by the same names in its file.
var testSettings = []string{budgetSetting, linkSetting, chunkSetting, "granularity", "requests", "exclude", "keep",
	"ignore-workspace", "policy-config", "seed"}

func (a *app) policyTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [FOLDER|MODULE]",
		Short: "Compare a policy's decisions with those that are expected",
		Long: `Runs a trace with a policy on the simulated device and compares each decision with those in
a file. The first difference is shown with what is around it, and the exit code is 1.
--update writes the file anew instead, for a review to see what a change of the policy
changes.

FOLDER is a policy's project, by default this one; all tests in FOLDER/test are run, the
files that end in ` + scaffold.TestSuffix + `. MODULE is the path of a .wasm file or a built-in's name; it is
tested with the file of --expect.

A file begins with the settings of its run, so that it is complete: the trace (the name of
a shipped one, or a file in the same folder or below), and the flags of "offhost run" that
matter to decisions. Neither environment nor offhost.yaml changes them. With --update, flags
are written to the file; without it, they have to be what it says.

Each line after them is a decision:

  1.3     NEED      unet              evict     text_encoder        256MiB  1

In request 1, at its third call, the host asked for room for unet, and the policy evicted
256 MiB of text_encoder, for its reason 1. REJECTED in place of the event tells that the
host refused that decision, and why; FAULT, that an answer was void: what was wrong with it,
and what the policy had logged, is shown below.`,
		Example: `  offhost policy test my-policy
  offhost policy test my-policy --update
  offhost policy test --trace flux-bf16 --budget 24GiB --expect flux.expect --update my-policy/my-policy.wasm
  offhost policy test --expect flux.expect my-policy/my-policy.wasm`,
		Args: argCount(0, 1),
	}
	flags := cmd.Flags()
	flags.String(traceFlag, "", "`trace` to run: the name of a shipped one, or a file beside --expect's")
	expect := flags.String(expectFlag, "", "`file` of expected decisions (default: all in the project's folder test)")
	update := flags.Bool(updateFlag, false, "write the decisions to the file instead of comparing them")
	config.AddSomeFlags(flags, testSettings)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, files, err := a.underTest(cmd, append(args, ".")[0], *expect)
		if err != nil {
			return err
		}
		given := settingsOf(flags)
		if *expect == "" && len(given) > 0 {
			return usagef("--%s: each test has its own: want --%s FILE beside it", given[0].Key, expectFlag)
		}
		return a.testPolicy(cmd.Context(), m, files, given, *update)
	}
	return cmd
}

// underTest finds the module that a name means, and the files of its tests.
func (a *app) underTest(cmd *cobra.Command, name, expect string) (module, []string, error) {
	if !isFolder(name) {
		if expect == "" {
			return module{}, nil, usagef("%s is no folder of a policy: want --%s FILE beside a module", render.Name(name), expectFlag)
		}
		m, _, err := a.findModule(cmd, name)
		return m, []string{expect}, err
	}
	p, err := openProject(name)
	if err != nil {
		return module{}, nil, err
	}
	files := []string{expect}
	if expect == "" {
		if files, err = p.Tests(); err != nil {
			return module{}, nil, err
		}
		if len(files) == 0 {
			return module{}, nil, usagef("%s has no test, no %s: --%s, --%s FILE and --%s make one", render.Name(name),
				filepath.Join(scaffold.TestFolder, "*"+scaffold.TestSuffix), traceFlag, expectFlag, updateFlag)
		}
	}
	m, err := a.builtModule(p)
	return m, files, err
}

// settingsOf are the settings that flags give, in the order in which files have them.
func settingsOf(flags *pflag.FlagSet) []golden.Setting {
	var list []golden.Setting
	for _, name := range slices.Concat([]string{traceFlag}, testSettings) {
		f := flags.Lookup(name)
		if !f.Changed {
			continue
		}
		values := []string{f.Value.String()}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, v := range values {
			list = append(list, golden.Setting{Key: name, Value: v})
		}
	}
	return list
}

// testPolicy runs the tests of some files, or writes them.
func (a *app) testPolicy(ctx context.Context, m module, files []string, given []golden.Setting, update bool) error {
	differ, faulty := 0, 0
	for _, path := range files {
		t := &policyTest{app: a, module: m, path: path}
		same, err := t.run(ctx, given, update)
		if err != nil {
			return err
		}
		if !same {
			differ++
		}
		if len(t.faults) > 0 && !same {
			faulty++
		}
	}
	switch {
	case faulty > 0:
		return fmt.Errorf("%d of %s: other decisions than expected, and the policy fails in %d of them: FAULT is an answer that was void",
			differ, render.Count(int64(len(files)), "test"), faulty)
	case differ > 0:
		return fmt.Errorf("%d of %s: other decisions than expected; if they are what you want, --%s writes them",
			differ, render.Count(int64(len(files)), "test"), updateFlag)
	}
	return nil
}

// A policyTest is one file of expected decisions, under one module.
type policyTest struct {
	*app
	module module
	path   string
	file   *golden.File // nil: not there yet

	faults []string            // what was wrong with answers that were void
	said   map[string][]string // what the policy logged before some of them
}

// maxFaults is how many faults are shown, each with what was said before it.
const maxFaults = 3

// showFaults says what the lines FAULT stand for.
func (t *policyTest) showFaults() error {
	for i, text := range t.faults {
		if i == maxFaults {
			_, err := fmt.Fprintf(t.stdout, "and %s more\n", render.Count(int64(len(t.faults)-i), "fault"))
			return err
		}
		if _, err := fmt.Fprintf(t.stdout, "FAULT: %s\n", render.Sentence(text)); err != nil {
			return err
		}
		for _, line := range t.said[text] {
			if _, err := fmt.Fprintf(t.stdout, "  it said: %s\n", render.Sentence(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// run reports whether the decisions are those expected; after an update they are.
func (t *policyTest) run(ctx context.Context, given []golden.Setting, update bool) (same bool, err error) {
	if err := t.read(); err != nil {
		return false, err
	}
	settings, err := t.settings(given, update)
	if err != nil {
		return false, err
	}
	got, err := t.decide(ctx, settings)
	if err != nil {
		return false, fmt.Errorf("%s: %w", render.Name(t.path), err)
	}
	name, count := render.Name(t.path), render.Count(int64(len(got.Lines)), "decision")
	switch {
	case update:
		return true, errors.Join(t.write(got, name, count), t.showFaults())
	case golden.Same(t.file.Lines, got.Lines):
		_, err = fmt.Fprintf(t.stdout, "%s   %s, as expected\n", name, count)
		return true, errors.Join(err, t.showFaults())
	}
	if _, err := fmt.Fprintf(t.stdout, "%s   %s (+), %d expected (-); where they part:\n", name, count, len(t.file.Lines)); err != nil {
		return false, err
	}
	return false, errors.Join(golden.Diff(t.stdout, t.file.Lines, got.Lines), t.showFaults())
}

// maxExpectFile is many times what the decisions on the largest of the shipped traces take.
const maxExpectFile = 64 << 20

// read reads the file, if it is there.
func (t *policyTest) read() error {
	info, err := os.Stat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return usagef("--%s: %s is no regular file", expectFlag, render.Name(t.path))
	case info.Size() > maxExpectFile:
		return fmt.Errorf("%s: larger than %v, want expected decisions", render.Name(t.path), units.Bytes(maxExpectFile))
	}
	f, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer f.Close()
	known := testFlags()
	t.file, err = golden.Parse(f, func(key string, again bool) error {
		flag := known.Lookup(key)
		if flag == nil {
			return fmt.Errorf("setting %.80q is unknown%s", key, config.DidYouMean(key, slices.Concat([]string{traceFlag}, testSettings)))
		}
		if _, many := flag.Value.(pflag.SliceValue); again && !many {
			return fmt.Errorf("setting %s is there twice", key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", render.Name(t.path), err)
	}
	return nil
}

// write puts what was decided in the place of what was expected.
func (t *policyTest) write(got *golden.File, name, count string) error {
	done := "written"
	if t.file != nil {
		got.Remarks = t.file.Remarks
		if golden.Same(t.file.Lines, got.Lines) && slices.Equal(t.file.Settings, got.Settings) {
			done = "as before"
		}
	}
	var text bytes.Buffer
	if err := got.Write(&text); err != nil {
		return usagef("%w", err)
	}
	if err := wholefile.Write(t.path, text.Bytes()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.stdout, "%s   %s, %s\n", name, count, done)
	return err
}

// testFlags are the settings that a file may have, as flags.
func testFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String(traceFlag, "", "")
	config.AddSomeFlags(flags, testSettings)
	return flags
}

// values are those of a key.
func values(settings []golden.Setting, key string) (list []string) {
	for _, s := range settings {
		if s.Key == key {
			list = append(list, s.Value)
		}
	}
	return list
}

// settings are the file's, with those that are given in their place.
func (t *policyTest) settings(given []golden.Setting, update bool) ([]golden.Setting, error) {
	given = slices.Clone(given)
	for i, s := range given {
		if s.Key == traceFlag {
			var err error
			if given[i].Value, err = t.nameTrace(s.Value); err != nil {
				return nil, err
			}
		}
	}
	var have []golden.Setting
	if t.file != nil {
		have = t.file.Settings
	} else if !update {
		return nil, usagef("--%s: %s is not there: --%s makes it", expectFlag, render.Name(t.path), updateFlag)
	}
	var all []golden.Setting
	for _, key := range slices.Concat([]string{traceFlag}, testSettings) {
		want, is := values(given, key), values(have, key)
		if want == nil {
			want = is
		} else if !update && !slices.Equal(want, is) {
			return nil, usagef("--%s is %s, and in %s %s: --%s would write it there", key, strings.Join(want, ", "), render.Name(t.path),
				cmp.Or(strings.Join(is, ", "), "is none"), updateFlag)
		}
		for _, v := range want {
			all = append(all, golden.Setting{Key: key, Value: v})
		}
	}
	if values(all, traceFlag) == nil {
		return nil, usagef("%s does not say which trace it is of: --%s says it, with --%s", render.Name(t.path), traceFlag, updateFlag)
	}
	return all, nil
}

// nameTrace is how the file names a trace: so that it finds it wherever the folder goes.
func (t *policyTest) nameTrace(name string) (string, error) {
	if slices.Contains(library.Names(), name) {
		return name, nil
	}
	rel, err := relative(filepath.Dir(t.path), name)
	if err != nil || !filepath.IsLocal(rel) {
		return "", usagef("--%s: %s: want a shipped trace (%s), or a file in the folder of %s or below, so that the test is complete",
			traceFlag, render.Name(name), strings.Join(library.Names(), ", "), render.Name(t.path))
	}
	return "./" + filepath.ToSlash(rel), nil
}

// relative is the path from a folder to a file, whichever way they are named.
func relative(dir, file string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	file, err = filepath.Abs(file)
	if err != nil {
		return "", err
	}
	return filepath.Rel(dir, file)
}

// openNamed opens the trace that the file names. One that is a file lies in its folder or
// below: what a test reads is its own.
func (t *policyTest) openNamed(name string) (trace.Opener, error) {
	if slices.Contains(library.Names(), name) {
		return library.Open(name)
	}
	path := filepath.FromSlash(name)
	if !filepath.IsLocal(path) {
		return nil, fmt.Errorf("trace %s: want a shipped one (%s), or a file in the same folder or below", render.Name(name), strings.Join(library.Names(), ", "))
	}
	open := func() (io.ReadCloser, error) {
		f, err := os.OpenInRoot(filepath.Dir(t.path), path)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(errors.New("not a regular file"), err, f.Close())
		}
		return f, nil
	}
	f, err := open()
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", render.Name(name), err)
	}
	defer f.Close()
	if piped(f).journal {
		return nil, fmt.Errorf("trace %s is the journal of a run, want a trace", render.Name(name))
	}
	return open, nil
}

// decide runs the trace and returns the file that the decisions make.
func (t *policyTest) decide(ctx context.Context, settings []golden.Setting) (*golden.File, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(flags)
	var name string
	for _, s := range settings {
		if s.Key == traceFlag {
			name = s.Value
			continue
		}
		if err := setFlag(flags.Lookup(s.Key), s.Value); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Key, err)
		}
	}
	s, err := config.FromFlags(flags)
	if err != nil {
		return nil, err
	}
	s.Trace, s.Baselines = name, nil
	open, err := t.openNamed(name)
	if err != nil {
		return nil, err
	}
	rec := &golden.Recorder{}
	t.faults, t.said = nil, map[string][]string{}
	r, err := t.replay(ctx, request{
		Settings: s, open: open, module: t.module,
		log:    slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: dropTime})),
		listen: func(p *runtime.Policy) host.Policy { return heard{p, rec, t.said} },
		movement: func(m replay.Movement) error {
			if m.What == replay.FaultMovement {
				rec.Fault()
				t.faults = append(t.faults, m.Why)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if rec.Full {
		return nil, fmt.Errorf("more than %d decisions: want a shorter trace", golden.MaxLines)
	}
	return &golden.File{Settings: settled(settings, r), Lines: rec.Lines}, nil
}

// setFlag sets a flag to a value as it is; a list gets one element more.
func setFlag(f *pflag.Flag, value string) error {
	f.Changed = true
	if many, ok := f.Value.(pflag.SliceValue); ok {
		return many.Append(value)
	}
	return f.Value.Set(value)
}

// settled are settings with those that the run took from its trace, or from defaults that
// may be others one day.
func settled(settings []golden.Setting, r *report.Report) []golden.Setting {
	bandwidth := func(n int64) string { return units.Bytes(n).Exact() + "/s" }
	link := bandwidth(r.LinkBytesPerSecond)
	if r.LinkD2HBytesPerSecond != r.LinkBytesPerSecond {
		link += "," + bandwidth(r.LinkD2HBytesPerSecond)
	}
	all := []golden.Setting{
		{Key: traceFlag, Value: values(settings, traceFlag)[0]},
		{Key: budgetSetting, Value: units.Bytes(r.BudgetBytes).Exact()},
		{Key: linkSetting, Value: link},
		{Key: chunkSetting, Value: units.Bytes(r.ChunkBytes).Exact()},
	}
	for _, s := range settings {
		if values(all[:4], s.Key) == nil {
			all = append(all, s)
		}
	}
	return all
}

// heard is a policy whose answers are noted, and what it logs before it fails, by the fault.
type heard struct {
	*runtime.Policy
	recorder *golden.Recorder
	said     map[string][]string
}

func (h heard) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	answer, err := h.Policy.Decide(ev, payload)
	var fault *runtime.Fault
	if errors.As(err, &fault) && len(h.said) < maxFaults {
		h.said[fault.Brief()] = fault.Said
	}
	h.recorder.See(ev, payload, answer)
	return answer, err
}
