package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/report"
)

// hostile returns the absolute path of a module in testdata/policies.
func hostile(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "policies", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Where a policy always fails, the host does what it would have done without one:
// the default run completes, moves what its own rule moves, and says so.
func TestAPolicyThatFailsLeavesTheDecisionToTheHost(t *testing.T) {
	for _, c := range []struct {
		policy string
		fault  string // in the notes
		calm   bool   // no fault where nothing has to be evicted
	}{
		{policy: "loops", fault: "out of fuel"},
		{policy: "loops-on-need", fault: "out of fuel", calm: true},
		{policy: "traps", fault: "unreachable"},
		{policy: "gives-up", fault: "it returned -1"},
		{policy: "garbage", fault: "malformed answer"},
	} {
		t.Run(c.policy, func(t *testing.T) {
			for _, budget := range []string{"24GiB", "12GiB"} {
				r := shell{}.report(t, "--policy", hostile(t, c.policy), "--budget", budget, "--baselines", "lru")
				tight := budget == "12GiB"
				faults := int64(3) // within a minute: the policy is left alone for the rest of the run
				if c.calm && !tight {
					faults = 0
				}
				if r.Faults != faults {
					t.Errorf("%s: %d faults, want %d", budget, r.Faults, faults)
				}
				if (r.FloorDecisions > 0) != tight {
					t.Errorf("%s: %d decisions of the host's own, want some: %v", budget, r.FloorDecisions, tight)
				}
				if r.Requests != 4 || r.Decisions != 0 || r.H2DBytes != *r.Baselines[0].H2DBytes {
					t.Errorf("%s: %d requests, %d decisions and %d bytes moved, want 4, none and lru's %d",
						budget, r.Requests, r.Decisions, r.H2DBytes, *r.Baselines[0].H2DBytes)
				}
				if notes := strings.Join(r.Notes, "\n"); r.Faults > 0 && !strings.Contains(notes, c.fault) {
					t.Errorf("%s: the notes do not say %q:\n%s", budget, c.fault, notes)
				}
			}
		})
	}
}

// The run is long enough for a policy to be left alone and tried again a few times.
func TestEveryKindOfGarbageIsVoid(t *testing.T) {
	out := shell{}.succeeds(t, "run", "--policy", hostile(t, "garbage"), "--budget", "12GiB", "--requests", "40", "--baselines", "none", "--verbose")
	for _, want := range []string{
		"129 decisions, an answer holds 0 to 128",
		"operation 9 is unknown, want 1 (evict), 2 (retain) or 3 (prefetch)",
		"decisions 0 and 1 both evict component 0",
		"component 4000 is unknown, 4 are registered",
		"decisions 0 and 1 evict and prefetch component 1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no fault says %q", want)
		}
	}
}

func TestFaultsAreToldToPeople(t *testing.T) {
	out := shell{}.succeeds(t, "run", "--policy", hostile(t, "traps"), "--budget", "12GiB")
	for _, want := range []string{"fault", "fallback", "traps.wasm"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
}

// A policy may decide badly as long as it decides lawfully: it costs time, and the
// run is as complete and as repeatable as any.
func TestAPolicyThatEvictsEverythingOnlyCostsTime(t *testing.T) {
	run := func() report.Report {
		return shell{}.report(t, "--policy", hostile(t, "evicts-everything"), "--budget", "12GiB")
	}
	r := run()
	if r.Requests != 4 || r.Faults != 0 || r.Decisions == 0 {
		t.Errorf("%d requests, %d faults, %d decisions; want 4, none and some", r.Requests, r.Faults, r.Decisions)
	}
	if r.Rejected == 0 {
		t.Error("evicting what is in use was never refused")
	}
	for _, c := range r.PerComponent {
		if c.H2DBytes != c.Calls*c.Bytes {
			t.Errorf("%s: %d bytes moved in, want its %d for each of %d calls", c.Name, c.H2DBytes, c.Bytes, c.Calls)
		}
	}
	if r.D2HBytes != 0 {
		t.Errorf("%d bytes moved back, want none: nothing was changed", r.D2HBytes)
	}
	if r.Thrash == 0 {
		t.Error("a transformer that is loaded for each of its calls is not called thrash")
	}
	if d := cmp.Diff(r, run()); d != "" {
		t.Errorf("two runs differ (-first +second):\n%s", d)
	}
}

func TestAModuleThatIsNoPolicyIsRefused(t *testing.T) {
	for _, c := range []struct{ module, step, reason string }{
		{"wrong-signature", "exports", `"offhost_v1_event" is a function \(i64\) -> \(i32\), want a function \(i32\) -> \(i32\)`},
		{"missing-export", "exports", `"offhost_v1_event" is not exported, want a function \(i32\) -> \(i32\)`},
		{"forbidden-import", "imports", `"wasi_snapshot_preview1.path_open"`},
	} {
		path := hostile(t, c.module)
		shell{}.fails(t, 1, c.reason, "run", "--policy", path)
		shell{}.fails(t, 1, c.reason, "run", "--policy", path, "--format", "json")
		if r := (shell{}.run(t, "policy", "check", path)); r.code != 1 || !strings.HasSuffix(strings.TrimSpace(r.stdout), "refused") {
			t.Errorf("policy check %s: exit code %d, want 1; the last step, %s, has to be refused:\n%s", c.module, r.code, c.step, r.stdout)
		}
	}
	path := filepath.Join(t.TempDir(), "text.wasm")
	if err := os.WriteFile(path, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell{}.fails(t, 1, "refused at step module", "run", "--policy", path)
}

// needTool returns the path of a program that a test needs.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case requireTools:
		t.Fatalf("%s is not installed, and REQUIRE_TOOLS=1", name)
	default:
		t.Skipf("needs %s", name)
	}
	return path
}

func TestHostileModulesAreWhatTheirSourcesSay(t *testing.T) {
	wat2wasm := needTool(t, "wat2wasm")
	sources, err := filepath.Glob("testdata/policies/*.wat")
	modules, err2 := filepath.Glob("testdata/policies/*.wasm")
	if err != nil || err2 != nil || len(sources) != len(modules) || len(sources) == 0 {
		t.Fatalf("%d sources of %d modules (%v, %v)", len(sources), len(modules), err, err2)
	}
	for _, source := range sources {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if msg, err := exec.Command(wat2wasm, source, "-o", out).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", source, err, msg)
			continue
		}
		built, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		module := strings.TrimSuffix(source, ".wat") + ".wasm"
		kept, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, kept) {
			t.Errorf("%s is not what its source gives: wat2wasm %s -o %s", module, source, module)
		}
	}
}
