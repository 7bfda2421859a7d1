package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/sweep"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
)

// The tests in the files e2e_*_test.go run the command as users do: a process with
// its own folder, standard input and exit code. The process is the test program
// itself, started with this variable set.
const asCommand = "RUN_AS_OFFHOST"

// requireTools turns a test that would be skipped for want of a tool into a failure.
var requireTools bool

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main() // exits
	}
	requireTools = os.Getenv("REQUIRE_TOOLS") == "1"
	// What the user has installed and pulled is not the tests'.
	home, err := os.MkdirTemp("", "offhost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
	os.Setenv("OFFHOST_REGISTRY_CACHE_DIR", filepath.Join(home, "cache")) // Go's own cache follows the XDG rule
	os.Setenv("DOCKER_CONFIG", filepath.Join(home, "docker"))
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

// A shell is where a command is run; the zero value is an empty folder without
// standard input.
type shell struct {
	stdin io.Reader
	file  string // content of offhost.yaml
	dir   string // where it is run, if that is not to be a new folder
}

// A result is what a command leaves behind.
type result struct {
	code           int
	stdout, stderr string
}

func (s shell) run(t testing.TB, args ...string) result {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	if cmd.Dir = s.dir; s.dir == "" {
		cmd.Dir = t.TempDir()
	}
	if s.file != "" {
		if err := os.WriteFile(filepath.Join(cmd.Dir, config.FileName), []byte(s.file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	// The race detector would have each of some hundred processes sleep for a second
	// when it ends.
	cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.stdin, &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// succeeds runs a command that has to exit with 0, and returns its standard output.
func (s shell) succeeds(t testing.TB, args ...string) string {
	t.Helper()
	r := s.run(t, args...)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// fails runs a command that has to exit with a code and to say something on standard
// error alone.
func (s shell) fails(t testing.TB, code int, says string, args ...string) {
	t.Helper()
	r := s.run(t, args...)
	if r.code != code || r.stdout != "" || !regexp.MustCompile(says).MatchString(r.stderr) {
		t.Errorf("%s: exit code %d, want %d\nstandard error, want it to match %q:\n%s\nstandard output, want none:\n%s",
			strings.Join(args, " "), r.code, code, says, r.stderr, r.stdout)
	}
}

// report runs offhost run and reads its report.
func (s shell) report(t testing.TB, args ...string) report.Report {
	t.Helper()
	return decode[report.Report](t, s.succeeds(t, append([]string{"run", "--format", "json"}, args...)...))
}

// decode reads text that has to be one JSON value and nothing else.
func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one value: %v in %s", err, text)
	}
	return v
}

func TestRunShowsTheCardAndHalfOfIt(t *testing.T) {
	out := shell{}.succeeds(t, "run")
	for _, want := range []string{
		"flux-img2img-8bit   4 requests   budget 24 GiB", "Everything fits: nothing moved after the first request.",
		"flux-img2img-8bit   4 requests   budget 12 GiB", "% less than lru", "does not fit",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

// fields are the names and types of an object's fields.
type fields map[string]any

// Types of fields that are not objects.
const (
	isInteger = "an integer"
	isText    = "text"
	isBool    = "true or false"
	orNull    = ", or null"
)

// A listOf has at least one element.
type listOf struct{ element any }

// check compares a decoded JSON value with a shape. Fields that the shape does not
// name may be there: the form is added to.
func check(t *testing.T, where string, shape, got any) {
	t.Helper()
	switch shape := shape.(type) {
	case fields:
		object, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: %v, want an object", where, got)
			return
		}
		for name, of := range shape {
			if _, ok := object[name]; !ok {
				t.Errorf("%s.%s is missing", where, name)
				continue
			}
			check(t, where+"."+name, of, object[name])
		}
	case listOf:
		list, ok := got.([]any)
		if !ok || len(list) == 0 {
			t.Errorf("%s: %v, want a list of at least one", where, got)
		}
		for i, e := range list {
			check(t, fmt.Sprintf("%s[%d]", where, i), shape.element, e)
		}
	case string:
		if !isA(shape, got) {
			t.Errorf("%s: %v, want %s", where, got, shape)
		}
	}
}

func isA(typ string, got any) bool {
	if base, ok := strings.CutSuffix(typ, orNull); ok {
		return got == nil || isA(base, got)
	}
	switch got := got.(type) {
	case string:
		return typ == isText
	case bool:
		return typ == isBool
	case json.Number:
		_, err := got.Int64()
		return typ == isInteger && err == nil
	}
	return false
}

func TestTheReportHasEveryField(t *testing.T) {
	got := decode[any](t, shell{}.succeeds(t, "run", "--format", "json"))
	check(t, "report", fields{
		"schema": isText, "trace": isText, "device": isText, "decisions_sha256": isText,
		"policy":       fields{"name": isText, "sha256": isText, "abi": isText},
		"budget_bytes": isInteger, "link_bytes_per_second": isInteger,
		"requests": isInteger, "calls": isInteger,
		"h2d_bytes": isInteger, "d2h_bytes": isInteger, "d2h_avoided_bytes": isInteger,
		"loads": isInteger, "evictions": isInteger, "prefetched_bytes": isInteger,
		"stall_ns": isInteger, "compute_ns": isInteger, "makespan_ns": isInteger, "peak_resident_bytes": isInteger,
		"policy_events": isInteger, "decisions": isInteger, "rejected": isInteger,
		"faults": isInteger, "floor_decisions": isInteger, "thrash": isInteger,
		"per_request": listOf{fields{
			"request": isInteger, "h2d_bytes": isInteger, "d2h_bytes": isInteger, "stall_ns": isInteger, "makespan_ns": isInteger}},
		"per_component": listOf{fields{
			"name": isText, "bytes": isInteger, "calls": isInteger, "loads": isInteger,
			"h2d_bytes": isInteger, "d2h_bytes": isInteger, "stall_ns": isInteger}},
		"baselines": listOf{fields{
			"name": isText, "fits": isBool, "peak_resident_bytes": isInteger + orNull, "h2d_bytes": isInteger + orNull,
			"d2h_bytes": isInteger + orNull, "stall_ns": isInteger + orNull, "makespan_ns": isInteger + orNull}},
	}, got)
}

func TestTheReportAddsUp(t *testing.T) {
	r := shell{}.report(t, "flux-controlnet", "--budget", "40GB")
	var requests, components report.Component
	for _, q := range r.PerRequest {
		requests.H2DBytes += q.H2DBytes
		requests.StallNS += q.StallNS
	}
	for _, c := range r.PerComponent {
		components.H2DBytes += c.H2DBytes
		components.StallNS += c.StallNS
		components.Calls += c.Calls
		components.Loads += c.Loads
	}
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"requests' bytes", requests.H2DBytes, r.H2DBytes},
		{"requests' stall", requests.StallNS, r.StallNS},
		{"components' bytes", components.H2DBytes, r.H2DBytes},
		{"components' stall", components.StallNS, r.StallNS},
		{"components' calls", components.Calls, r.Calls},
		{"components' loads", components.Loads, r.Loads},
		{"computing and waiting", r.ComputeNS + r.StallNS, r.MakespanNS},
	} {
		if c.got != c.want || c.got == 0 {
			t.Errorf("%s come to %d, the total is %d", c.what, c.got, c.want)
		}
	}
}

// A baseline's figures are there or they are not, all of them.
func TestBaselinesSayWhetherTheyFit(t *testing.T) {
	for _, b := range (shell{}.report(t, "--budget", "12GiB").Baselines) {
		if fits := b.Name != "accelerate"; b.Fits != fits {
			t.Errorf("%s fits 12 GiB: %v, want %v", b.Name, b.Fits, fits)
		}
		if b.PeakResidentBytes == nil || b.Fits == (*b.PeakResidentBytes > int64(12*units.GiB)) {
			t.Errorf("%s fits: %v, at a peak of %v bytes", b.Name, b.Fits, b.PeakResidentBytes)
		}
	}
	for _, name := range library.Names() {
		for _, b := range (shell{}.report(t, name).Baselines) {
			unknown := 0
			for _, figure := range []*int64{b.PeakResidentBytes, b.H2DBytes, b.D2HBytes, b.StallNS, b.MakespanNS} {
				if figure == nil {
					unknown++
				}
			}
			if unknown != 0 && (unknown != 5 || b.Fits) {
				t.Errorf("%s: baseline %s fits: %v, and %d of its 5 figures are null, want none, or all of one that does not fit", name, b.Name, b.Fits, unknown)
			}
		}
	}
	if b := (shell{}.report(t, "--baselines", "none").Baselines); len(b) != 0 {
		t.Errorf("none was asked for: %v", b)
	}
	b := shell{}.report(t, "--baselines", "accelerate,lru").Baselines
	if len(b) != 2 || b[0].Name != "lru" || b[1].Name != "accelerate" {
		t.Errorf("lru and accelerate were asked for: %v", b)
	}
}

func TestRequestsAreTakenAndRepeated(t *testing.T) {
	whole := shell{}.report(t, "--budget", "12GiB")
	for _, n := range []int64{2, 4, 6} {
		r := shell{}.report(t, "--budget", "12GiB", "--requests", fmt.Sprint(n))
		if r.Requests != n || int64(len(r.PerRequest)) != n || r.Calls != 9*n {
			t.Errorf("%d requests: the report is of %d, lists %d, and has %d calls, want 9 in each", n, r.Requests, len(r.PerRequest), r.Calls)
			continue
		}
		first := min(int(n), len(whole.PerRequest))
		if d := cmp.Diff(whole.PerRequest[:first], r.PerRequest[:first]); d != "" {
			t.Errorf("the first requests of %d differ from those of the whole trace (-whole +got):\n%s", n, d)
		}
		if last := r.PerRequest[n-1]; last.Request != n || last.MakespanNS == 0 {
			t.Errorf("the last of %d requests is %+v", n, last)
		}
	}
}

// text is a shipped trace, as a file would hold it.
func text(t testing.TB, name string) string {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The report lists a bounded number of requests. What it says must hold for the others
// too: here it is they that move.
func TestMoreRequestsThanTheReportLists(t *testing.T) {
	const quiet, busy = 140_000, 3
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, &trace.Header{
		Name: "long",
		Components: []trace.Component{
			{Name: "a", Bytes: 20 << 20, ReadOnly: true, Parent: trace.NoComponent},
			{Name: "b", Bytes: 20 << 20, ReadOnly: true, Parent: trace.NoComponent},
		},
		Pipelines: []trace.Pipeline{{Name: "pipe", Components: []int{0, 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(quiet + busy) {
		for _, r := range []trace.Record{
			{Kind: trace.Begin, Request: i + 1, Component: trace.NoComponent},
			{Kind: trace.Call, Request: i + 1, Component: 0},
			{Kind: trace.Call, Request: i + 1, Component: 1},
			{Kind: trace.End, Request: i + 1, Component: trace.NoComponent},
		} {
			if i < quiet && r.Component == 1 {
				continue
			}
			if err := w.Write(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := shell{stdin: &b}.succeeds(t, "run", "-", "--budget", "32MiB", "--link", "25GB/s", "--baselines", "none")
	if !strings.Contains(out, "sticky-loop moved") || !strings.Contains(out, "per_request lists the first 131072 of 140003 requests") {
		t.Errorf("neither what was moved nor that the list is cut:\n%s", out)
	}
}

func TestATraceMayComeThroughAPipe(t *testing.T) {
	trace := text(t, "flux-preview")
	piped := func() shell { return shell{stdin: io.MultiReader(strings.NewReader(trace))} }
	if d := cmp.Diff(shell{}.report(t, "flux-preview"), piped().report(t, "-")); d != "" {
		t.Errorf("the report differs (-by name +through a pipe):\n%s", d)
	}
	if r := piped().report(t, "-", "--requests", "2"); r.Requests != 2 {
		t.Errorf("%d requests, want 2", r.Requests)
	}
	piped().fails(t, 1, "once", "run", "-", "--requests", "1000")
	shell{stdin: strings.NewReader(trace[:len(trace)/2])}.fails(t, 1, `line \d+`, "run", "-")
}

func TestWhatCannotBeAskedForExitsWith2(t *testing.T) {
	for _, c := range []struct {
		name string
		file string
		args []string
		says string
	}{
		{name: "unknown flag", args: []string{"--bugdet", "1GiB"}, says: "unknown flag: --bugdet"},
		{name: "bad size", args: []string{"--budget", "12 gallons"}, says: `--budget: size "12 gallons"`},
		{name: "bad link", args: []string{"--link", "fast"}, says: `--link: .*"fast"`},
		{name: "unknown card", args: []string{"--gpu", "rtx309"}, says: `did you mean "rtx3090"\?`},
		{name: "unknown key", file: "bugdet: 1GiB\n", says: `"bugdet".*did you mean "budget"\?`},
		{name: "unknown nested key", file: "policy:\n  modul: lru\n", says: `"policy.modul".*did you mean "policy.module"\?`},
		{name: "unknown trace", args: []string{"flux-bf61"}, says: `did you mean "flux-bf16"\?`},
		{name: "unknown policy", args: []string{"--policy", "lur"}, says: `did you mean "lru"\?`},
		{name: "unknown baseline", args: []string{"--baselines", "best"}, says: `"best"`},
		{name: "a key of the host's", args: []string{"--policy-config", "offhost.chunk_bytes=1"}, says: `offhost\.`},
		{name: "budget below a component", args: []string{"--budget", "8GiB"},
			says: `"transformer" needs 11\.\d+ GB.*the budget is [0-9.]+ Gi?B, \d+\.\d+ GB short: raise --budget or split`},
		{name: "budget below a workspace", args: []string{"--budget", "4GiB"}, says: `workspace; the budget is [0-9.]+ Gi?B, .* short`},
	} {
		t.Run(c.name, func(t *testing.T) {
			shell{file: c.file}.fails(t, 2, c.says, append([]string{"run"}, c.args...)...)
		})
	}
}

// Two runs decide the same, and the hash is over something.
func TestTwoRunsDecideTheSame(t *testing.T) {
	for _, name := range library.Names() {
		low, total, err := sweep.Smallest(name, false)
		if err != nil {
			t.Fatal(err)
		}
		budget := fmt.Sprintf("%dB", low+(total-low)/3)
		for _, p := range policies.List() {
			args := []string{name, "--policy", p.Name, "--budget", budget, "--requests", "3", "--baselines", "none"}
			a, b := shell{}.report(t, args...), shell{}.report(t, args...)
			if d := cmp.Diff(a, b); d != "" {
				t.Errorf("%s under %s: two runs differ (-first +second):\n%s", name, p.Name, d)
			}
			if a.Decisions == 0 || a.Faults != 0 {
				t.Errorf("%s under %s: %d decisions, %d faults", name, p.Name, a.Decisions, a.Faults)
			}
		}
	}
}

func TestEveryShippedTraceIsListedShownAndSound(t *testing.T) {
	listed := shell{}.succeeds(t, "trace", "list")
	for _, name := range library.Names() {
		if !strings.Contains(listed, "\n"+name+" ") {
			t.Errorf("%s is not listed", name)
		}
		shown := decode[map[string]any](t, shell{}.succeeds(t, "trace", "show", name, "--format", "json"))
		check(t, name, fields{
			"requests": isInteger, "calls": isInteger,
			"components": listOf{fields{"name": isText, "bytes": isInteger, "workspace_bytes": isInteger,
				"parent": isText + orNull, "index": isInteger, "read_only": isBool}},
		}, shown)
		sound := shell{stdin: strings.NewReader(text(t, name))}.succeeds(t, "trace", "check", "-")
		if want := fmt.Sprintf("%v requests and %v calls", shown["requests"], shown["calls"]); !strings.Contains(sound, want) {
			t.Errorf("trace check: %q, trace show: %s", sound, want)
		}
	}
	broken := strings.Replace(text(t, "flux-fp8"), `"component":"vae","compute_ns":`, `"component":"vea","compute_ns":`, 1)
	shell{stdin: strings.NewReader(broken)}.fails(t, 1, `line \d+.*"vea"`, "trace", "check", "-")
}

func TestPoliciesAreListedWithWhatPinsThem(t *testing.T) {
	listed := shell{}.succeeds(t, "policy", "list")
	for _, p := range policies.List() {
		r := shell{}.report(t, "--policy", p.Name)
		if !regexp.MustCompile(`(?m)^` + p.Name + ` +` + r.Policy.SHA256[:8]).MatchString(listed) {
			t.Errorf("%s with sha256 %s is not in:\n%s", p.Name, r.Policy.SHA256, listed)
		}
		if checked := (shell{}.succeeds(t, "policy", "check", p.Name)); !strings.Contains(checked, r.Policy.SHA256) {
			t.Errorf("policy check does not print the digest that pins %s:\n%s", p.Name, checked)
		}
		pin := func(digest string) shell {
			return shell{file: fmt.Sprintf("policy:\n  module: %s\n  sha256: %q\n", p.Name, digest)}
		}
		if got := pin(r.Policy.SHA256).report(t).Policy; got != r.Policy {
			t.Errorf("pinned to itself, %v ran, want %v", got, r.Policy)
		}
		pin(strings.Repeat("0", 64)).fails(t, 1, "digest differs: the module is "+r.Policy.SHA256+", pinned is 0+", "run")
	}
}

// The README shows this policy; it has to be worth showing.
func TestTheExamplePolicyRunsWell(t *testing.T) {
	minimal, err := filepath.Abs("../../examples/policies/minimal/minimal.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		trace, budget string
		most          float64 // of lru's bytes
	}{
		{"flux-img2img-8bit", "12GiB", 1},
		{"flux-bf16-blocks", "20GB", 0.5},
		{"wan22-a14b", "64GB", 0.9},
	} {
		r := shell{}.report(t, c.trace, "--policy", minimal, "--budget", c.budget, "--requests", "6", "--ignore-workspace", "--baselines", "lru")
		if ratio := float64(r.H2DBytes) / float64(*r.Baselines[0].H2DBytes); ratio > c.most || r.Decisions == 0 {
			t.Errorf("%s at %s: %.2f times lru's bytes by %d decisions, want at most %.2f", c.trace, c.budget, ratio, r.Decisions, c.most)
		}
		if r.Faults != 0 || r.Rejected != 0 || r.FloorDecisions != 0 {
			t.Errorf("%s at %s: %d faults, %d decisions refused, %d left to the host; want none",
				c.trace, c.budget, r.Faults, r.Rejected, r.FloorDecisions)
		}
	}
}

func TestPageableHostMemoryIsSlower(t *testing.T) {
	pinned := shell{}.report(t, "flux-bf16", "--gpu", "rtx4090", "--baselines", "none")
	pageable := shell{}.report(t, "flux-bf16", "--gpu", "rtx4090", "--baselines", "none", "--host-memory", "pageable")
	if pageable.LinkBytesPerSecond >= pinned.LinkBytesPerSecond || pageable.StallNS <= 2*pinned.StallNS || pageable.H2DBytes != pinned.H2DBytes {
		t.Errorf("pageable: %d bytes a second, %d ns of stall, %d bytes; pinned: %d, %d, %d; want slower, more, as many",
			pageable.LinkBytesPerSecond, pageable.StallNS, pageable.H2DBytes, pinned.LinkBytesPerSecond, pinned.StallNS, pinned.H2DBytes)
	}
}
