package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
)

// smallTrace has a component with two blocks, and one request of three calls.
func smallTrace(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, &trace.Header{
		Name:        "small",
		Description: "a trace for tests",
		Device:      trace.Device{Name: "card", Memory: 24 * units.GiB, H2D: 25e9, D2H: 20e9, Pageable: 6e9},
		Components: []trace.Component{
			{Name: "transformer", Bytes: 100, Workspace: 7, ReadOnly: true, Parent: trace.NoComponent},
			{Name: "transformer.0", Bytes: 1_000_000, ReadOnly: true, Parent: 0, Index: 0},
			{Name: "transformer.1", Bytes: 2_000_000, Parent: 0, Index: 1},
		},
		Pipelines: []trace.Pipeline{{Name: "pipe", Components: []int{0}, OffloadSeq: []int{0}}},
		Sources:   []trace.Source{{What: "transformer bytes", Value: "100", From: "invented", Low: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []trace.Record{
		{Kind: trace.Begin, Request: 1, Component: trace.NoComponent},
		{Kind: trace.Enter, Request: 1, Component: 0, Compute: 1},
		{Kind: trace.Call, Request: 1, Component: 1, Compute: 1},
		{Kind: trace.Call, Request: 1, Component: 2, Compute: 1},
		{Kind: trace.Exit, Request: 1, Component: 0},
		{Kind: trace.End, Request: 1, Component: trace.NoComponent},
	} {
		if err := w.Write(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A bench is an app with a stand-in for the replay, so that each command line is tested
// alone: a replay notes what was requested of it.
type bench struct {
	*app
	out, errs bytes.Buffer
	requests  []request
	fail      func(request) error
}

func newBench(t *testing.T, stdin string) *bench {
	b := &bench{fail: func(request) error { return nil }}
	b.app = newApp(strings.NewReader(stdin), &b.out, &b.errs)
	b.dir = t.TempDir()
	b.replay = func(_ context.Context, r request) (*report.Report, error) {
		b.requests = append(b.requests, r)
		if err := b.fail(r); err != nil {
			return nil, err
		}
		if r.movement != nil {
			if err := r.movement(replay.Movement{What: "load", Component: "vae", Why: "a call needs it", Who: "fallback"}); err != nil {
				return nil, err
			}
		}
		budget := r.Budget
		if budget == 0 {
			budget = 24 * units.GiB
		}
		return &report.Report{
			Schema: report.Schema, Trace: r.Trace, BudgetBytes: int64(budget),
			Policy: report.Policy{Name: r.module.name}, LinkBytesPerSecond: 25e9, LinkD2HBytesPerSecond: 25e9,
		}, nil
	}
	return b
}

func (b *bench) run(args ...string) int { return b.main(context.Background(), args) }

// refusal is an error that brings its exit code, as an inadmissible budget does.
type refusal struct{}

func (refusal) Error() string { return "budget 8 GiB is smaller than component \"transformer\"" }
func (refusal) ExitCode() int { return 2 }

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		fail   error
		code   int
		stderr string
	}{
		{name: "no arguments show help", args: nil, code: 0},
		{name: "help", args: []string{"run", "--help"}, code: 0},
		{name: "version", args: []string{"version"}, code: 0},
		{name: "run", args: []string{"run"}, code: 0},
		{name: "a group alone shows help", args: []string{"policy"}, code: 0},
		{name: "unknown command", args: []string{"rnu"}, code: 2, stderr: `unknown command "rnu" for "offhost"; did you mean "run"?`},
		{name: "help about an unknown command", args: []string{"help", "trace", "lst"}, code: 2, stderr: `unknown command "lst" for "offhost trace"; did you mean "list"?`},
		{name: "completion for an unknown shell", args: []string{"completion", "bsh"}, code: 2, stderr: `unknown command "bsh" for "offhost completion"; did you mean "bash"?`},
		{name: "completion with an argument", args: []string{"completion", "bash", "x"}, code: 2, stderr: "1 argument, want it as in: offhost completion bash"},
		{name: "unknown command in a group", args: []string{"trace", "lst"}, code: 2, stderr: `unknown command "lst" for "offhost trace"; did you mean "list"?`},
		{name: "unknown flag", args: []string{"run", "--bugdet", "1GiB"}, code: 2, stderr: `unknown flag: --bugdet; did you mean "--budget"?`},
		{name: "flag without its value", args: []string{"run", "--budget"}, code: 2, stderr: "--budget"},
		{name: "unlike any flag", args: []string{"run", "--zzzzzzzzzzzz"}, code: 2, stderr: "unknown flag: --zzzzzzzzzzzz\n"},
		{name: "no number", args: []string{"policy", "bench", "lru", "--events", "1e6"}, code: 2, stderr: `--events: "1e6": want a whole number`},
		{name: "unlike any policy", args: []string{"policy", "check", "-"}, code: 2, stderr: "oci://REGISTRY/NAME@sha256:...\n"},
		{name: "wrong value", args: []string{"run", "--budget", "much"}, code: 2, stderr: `--budget: size "much"`},
		{name: "too many arguments", args: []string{"run", "a", "b"}, code: 2, stderr: "2 arguments"},
		{name: "missing argument", args: []string{"trace", "show"}, code: 2, stderr: "offhost trace show TRACE"},
		{name: "unknown trace", args: []string{"run", "flux-bf61"}, code: 2, stderr: `did you mean "flux-bf16"?`},
		{name: "missing file", args: []string{"run", "./none.jsonl"}, code: 2, stderr: "none.jsonl"},
		{name: "unknown policy", args: []string{"run", "--policy", "lur"}, code: 2, stderr: `policy "lur": want one that is built in or installed (sticky-loop, lru)`},
		{name: "missing module", args: []string{"run", "--policy", "none.wasm"}, code: 2, stderr: "none.wasm"},
		{name: "inadmissible budget", args: []string{"run"}, fail: fmt.Errorf("replay: %w", refusal{}), code: 2, stderr: "smaller than component"},
		{name: "failed run", args: []string{"run"}, fail: errors.New("device lost\x1b[0m"), code: 1, stderr: `device lost\x1b[0m`},
		{name: "unknown format of show", args: []string{"trace", "show", "flux-bf16", "--format", "xml"}, code: 2, stderr: "text or json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "")
			b.fail = func(request) error { return c.fail }
			if code := b.run(c.args...); code != c.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, c.code, &b.errs)
			}
			if !strings.Contains(b.errs.String(), c.stderr) {
				t.Errorf("stderr %q does not say %q", b.errs.String(), c.stderr)
			}
			if c.code != 0 && b.out.Len() > 0 {
				t.Errorf("a failed command wrote to standard output: %s", &b.out)
			}
			if c.code == 0 && b.out.Len() == 0 {
				t.Error("nothing on standard output")
			}
		})
	}
}

func TestTheDefaultTraceRunsTwiceInText(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    []string
		file    string
		budgets []units.Bytes
	}{
		{name: "nothing given", budgets: []units.Bytes{0, 12 * units.GiB}},
		{name: "named", args: []string{library.Default}, budgets: []units.Bytes{0, 12 * units.GiB}},
		{name: "JSON", args: []string{"--format", "json"}, budgets: []units.Bytes{0}},
		{name: "a budget", args: []string{"--budget", "16GiB"}, budgets: []units.Bytes{16 * units.GiB}},
		{name: "a card", args: []string{"--gpu", "rtx3090"}, budgets: []units.Bytes{24 * units.GiB}},
		{name: "a budget in the file", file: "budget: 16GiB\n", budgets: []units.Bytes{16 * units.GiB}},
		{name: "another trace", args: []string{"flux-bf16"}, budgets: []units.Bytes{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "")
			if err := os.WriteFile(filepath.Join(b.dir, config.FileName), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if code := b.run(append([]string{"run"}, c.args...)...); code != 0 {
				t.Fatalf("exit code %d: %s", code, &b.errs)
			}
			var budgets []units.Bytes
			for _, r := range b.requests {
				budgets = append(budgets, r.Budget)
			}
			if !slices.Equal(budgets, c.budgets) {
				t.Errorf("ran at %v, want %v", budgets, c.budgets)
			}
		})
	}
}

func TestTheFirstRunStandsWhenTheSecondCannotBe(t *testing.T) {
	b := newBench(t, "")
	b.fail = func(r request) error {
		if r.Budget == secondBudget {
			return refusal{}
		}
		return nil
	}
	if code := b.run("run", "--exclude", "*"); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if want := "At 12 GiB: budget 8 GiB is smaller"; !strings.Contains(b.out.String(), want) {
		t.Errorf("output does not say %q:\n%s", want, &b.out)
	}
}

func TestJSONIsAloneOnStandardOutput(t *testing.T) {
	b := newBench(t, "")
	if err := os.WriteFile(filepath.Join(b.dir, config.FileName), []byte("verbose: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := b.run("run", "--format", "json"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	d := json.NewDecoder(&b.out)
	var r report.Report
	if err := d.Decode(&r); err != nil || r.Schema != report.Schema {
		t.Errorf("schema %q, %v; want one report", r.Schema, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("something follows the object: %v", err)
	}
	for _, want := range []string{"using offhost.yaml", "fallback: a call needs it"} {
		if !strings.Contains(b.errs.String(), want) {
			t.Errorf("standard error %q does not have %q", &b.errs, want)
		}
	}
}

func TestMovementsPrecedeTheReport(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("run", "flux-bf16", "--verbose"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	if !strings.HasPrefix(b.out.String(), "    0.000000 s  load       vae ") {
		t.Errorf("the first line is no movement:\n%s", &b.out)
	}
	b = newBench(t, "")
	b.run("run", "flux-bf16")
	if b.requests[0].movement != nil || !strings.Contains(b.out.String(), "(--verbose shows each movement and why)") {
		t.Errorf("without --verbose, movements are asked for or the hint is missing:\n%s", &b.out)
	}
}

func builtin(t *testing.T, name string) module {
	t.Helper()
	p, ok := policies.Get(name)
	if !ok {
		t.Fatalf("%s is not built in", name)
	}
	return module{name: p.Name, wasm: p.Wasm}
}

func TestWhatIsRunIsWhatWasNamed(t *testing.T) {
	small := smallTrace(t)
	dir := t.TempDir()
	file, wasm := filepath.Join(dir, "mine.jsonl"), filepath.Join(dir, "mine.wasm")
	for path, data := range map[string]string{file: small, wasm: "three"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		args     []string
		trace    string
		module   module
		canTwice bool // the trace can be opened again
	}{
		{"shipped and built-in", []string{"run", "flux-bf16"}, "flux-bf16", builtin(t, "sticky-loop"), true},
		{"files", []string{"run", file, "--policy", wasm}, "small", module{name: "mine.wasm", wasm: []byte("three")}, true},
		{"standard input", []string{"run", "-", "--policy", "lru"}, "small", builtin(t, "lru"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, small)
			if code := b.run(c.args...); code != 0 {
				t.Fatalf("exit code %d: %s", code, &b.errs)
			}
			r := b.requests[0]
			if diff := cmp.Diff(c.module, r.module, cmp.AllowUnexported(module{})); diff != "" {
				t.Errorf("module (-want +got):\n%s", diff)
			}
			s, err := readAll(t.Context(), r.open)
			if err != nil || s.Name != c.trace {
				t.Errorf("opened %+v, %v; want %s", s, err, c.trace)
			}
			if _, err := readAll(t.Context(), r.open); (err == nil) != c.canTwice {
				t.Errorf("opening it again: %v; want it possible: %v", err, c.canTwice)
			}
		})
	}
}

func TestPolicyList(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("policy", "list"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	lines := strings.Split(strings.TrimSpace(b.out.String()), "\n")[1:]
	for i, p := range policies.List() {
		digest := fmt.Sprintf("%x", sha256.Sum256(p.Wasm))[:8]
		if i >= len(lines) || !strings.HasPrefix(lines[i], p.Name+" ") || !strings.Contains(lines[i], digest) || !strings.HasSuffix(lines[i], p.Summary) {
			t.Errorf("no line for %s, %s:\n%s", p.Name, digest, &b.out)
		}
	}
}

func TestTraceList(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("trace", "list"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	lines := strings.Split(strings.TrimSpace(b.out.String()), "\n")[1:]
	for i, name := range library.Names() {
		var components, requests, calls int64
		var size, unit string
		var n int
		if i < len(lines) {
			rest, _ := strings.CutPrefix(lines[i], name+" ")
			n, _ = fmt.Sscan(rest, &components, &size, &unit, &requests, &calls)
		}
		if n != 5 || components == 0 || requests < 2 || calls == 0 {
			t.Errorf("no line for %s in its place:\n%s", name, &b.out)
		}
	}
}

func TestTraceShow(t *testing.T) {
	b := newBench(t, smallTrace(t))
	if code := b.run("trace", "show", "-"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	want := `small   1 request   3 calls
a trace for tests
Device: card, 24 GiB, 25.00 GB/s in, 20.00 GB/s back, pageable 6.00 GB/s

component        size  workspace
transformer     100 B        7 B
transformer.0  1.0 MB          -  block 0 of transformer
transformer.1  2.0 MB          -  block 1 of transformer, calls change it

pipeline  components
pipe      transformer

sources
transformer bytes 100: invented (weak)
`
	if diff := cmp.Diff(want, b.out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTraceShowAsJSON(t *testing.T) {
	b := newBench(t, smallTrace(t))
	if code := b.run("trace", "show", "-", "--format", "json"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	var got, want any
	if err := json.Unmarshal(b.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{
		"name": "small", "description": "a trace for tests",
		"device": {"name": "card", "memory_bytes": 25769803776, "h2d_bytes_per_second": 25000000000,
			"d2h_bytes_per_second": 20000000000, "pageable_bytes_per_second": 6000000000},
		"components": [
			{"name": "transformer", "bytes": 100, "workspace_bytes": 7, "parent": null, "index": 0, "read_only": true},
			{"name": "transformer.0", "bytes": 1000000, "workspace_bytes": 0, "parent": "transformer", "index": 0, "read_only": true},
			{"name": "transformer.1", "bytes": 2000000, "workspace_bytes": 0, "parent": "transformer", "index": 1, "read_only": false}],
		"pipelines": [{"name": "pipe", "components": ["transformer"], "offload_seq": ["transformer"]}],
		"sources": [{"what": "transformer bytes", "value": "100", "source": "invented", "low": true}],
		"requests": 1, "calls": 3}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTraceCheck(t *testing.T) {
	b := newBench(t, smallTrace(t))
	if code := b.run("trace", "check", "-"); code != 0 {
		t.Errorf("exit code %d: %s", code, &b.errs)
	}
	if want := "small is a trace of 3 components (3.0 MB), 1 request and 3 calls.\n"; b.out.String() != want {
		t.Errorf("output %q, want %q", &b.out, want)
	}
	b = newBench(t, "{\"kind\":\"nonsense\"}\n")
	if code := b.run("trace", "check", "-"); code != 1 {
		t.Errorf("a wrong trace: exit code %d, want 1", code)
	}
	if !strings.Contains(b.errs.String(), "trace -: line 1") {
		t.Errorf("standard error %q does not say where", &b.errs)
	}
}

// What a column means, and what the fallback is, must be found where the user looks.
func TestHelpExplainsEveryColumn(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("run", "--help"); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, word := range []string{"size ", "calls ", "loads ", "moved in", "moved back", "stall ", "total ", "vs optimum",
		"lru ", "optimum ", "accelerate ", "fallback", "--gpu", "rtx3090", "Exit codes",
		"in files", "sim ", "shm ", "--scale", "--weights", "--host-budget", "--record", "--resimulate", "journal"} {
		if !strings.Contains(b.out.String(), word) {
			t.Errorf("help does not explain %q", word)
		}
	}
	if strings.Contains(b.out.String(), "floor") {
		t.Error("help says floor, users read fallback")
	}
}

// A device that nothing more is known of is not said to have nothing.
func TestTraceShowLeavesOutWhatIsNotKnown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.jsonl")
	text := `{"kind":"trace","format":"offhost.trace/1","name":"x"}
{"kind":"device","name":"CPU"}
{"kind":"component","name":"a","bytes":1000,"read_only":true}
{"kind":"pipeline","name":"p","components":["a"]}
{"kind":"begin","request":1,"pipeline":"p"}
{"kind":"call","component":"a","compute_ns":5}
{"kind":"end","request":1}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := (shell{}).succeeds(t, "trace", "show", path); !strings.Contains(out, "\nDevice: CPU\n") {
		t.Error(out)
	}
}
