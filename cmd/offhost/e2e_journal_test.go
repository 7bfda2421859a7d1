package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/report"
)

// recorded runs offhost run with --record and returns the journal's path and the report.
func recorded(t *testing.T, args ...string) (string, report.Report) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "run.journal")
	r := shell{}.report(t, append(args, "--record", path)...)
	left(t, dir, "run.journal")
	return path, r
}

// left says what files a directory has to have.
func left(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("files in the folder (-want +got):\n%s", d)
	}
}

// onDevices are the devices that a journal may be of, on this system.
func onDevices() []string {
	if runtime.GOOS != "linux" {
		return []string{"sim"}
	}
	return []string{"sim", "shm"}
}

func minimal(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../examples/policies/minimal/minimal.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A journal, fed back, gives the report of its run again: all of it on sim, all but the
// baselines' times, which are those of the calls as they were, on a device.
func TestAJournalIsFedBack(t *testing.T) {
	for _, device := range onDevices() {
		for name, c := range map[string]struct{ run, back []string }{
			"built in": {run: []string{"--budget", "12GiB"}},
			"nothing compared": {run: []string{"flux-bf16-blocks", "--requests", "1", "--budget", "20GB", "--baselines", "none", "--harm-bound",
				"--exclude", "vae", "--keep", "text_encoder", "--seed", "7", "--policy-config", "a=ü", "--policy-fuel", "900000"}},
			"of the user's own": {run: []string{"--budget", "12GiB", "--policy", minimal(t)}, back: []string{"--policy", minimal(t)}},
			"swaps": {run: []string{"--budget", "12GiB", "--swap", "600:lru", "--swap", "900:" + minimal(t), "--swap", "1200:" + hostile(t, "missing-export"), "--swap", "1300:sticky-loop", "--swap-trial", "20"},
				back: []string{"--policy", minimal(t)}},
			"faults": {run: []string{"--budget", "12GiB", "--policy", hostile(t, "traps")}, back: []string{"--policy", hostile(t, "traps")}},
		} {
			t.Run(device+", "+name, func(t *testing.T) {
				path, want := recorded(t, append(c.run, "--device", device, "--scale", "1/256")...)
				got := shell{}.report(t, append(c.back, path)...)
				if device != "sim" {
					for i := range want.Baselines {
						if *want.Baselines[i].H2DBytes != *got.Baselines[i].H2DBytes {
							t.Errorf("%s moved %d bytes beside the run, %d beside the journal", want.Baselines[i].Name, *want.Baselines[i].H2DBytes, *got.Baselines[i].H2DBytes)
						}
					}
					if n := len(got.Notes) - 1; len(got.Baselines) > 0 {
						if n < 0 || !strings.Contains(got.Notes[n], "as long as the recorded ones did") {
							t.Fatalf("no note says why the baselines' times are others: %q", got.Notes)
						}
						got.Notes = got.Notes[:n]
					}
					want.Baselines, got.Baselines = nil, nil
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("the report differs (-run +journal):\n%s", d)
				}
				if name == "swaps" && (want.Swaps == 0 || want.SwapsRefused == 0) {
					t.Errorf("%d swaps, %d refused; the test wants some of both", want.Swaps, want.SwapsRefused)
				}
			})
		}
	}
}

func TestAJournalMayComeThroughAPipe(t *testing.T) {
	path, want := recorded(t, "--budget", "12GiB", "--scale", "1/256")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, shell{stdin: bytes.NewReader(b)}.report(t, "-")); d != "" {
		t.Errorf("the report differs (-run +piped journal):\n%s", d)
	}
	out := shell{}.succeeds(t, "run", path, "--verbose")
	if !strings.Contains(out, "Fed back: ") || !strings.Contains(out, "sticky-loop: ") || strings.Contains(out, "--verbose shows") {
		t.Errorf("neither movements nor that it was fed back:\n%s", out)
	}
	cut := shell{stdin: bytes.NewReader(b[:len(b)-10])}
	cut.fails(t, 1, `journal -: line \d+: .*breaks off`, "run", "-")
	shell{}.fails(t, 2, `is the journal of a run, want a trace: "offhost run`, "trace", "show", path)
	shell{}.fails(t, 2, `is the journal of a run, want a trace`, "trace", "check", path)
}

// A journal has its own answer to everything that a run depends on.
func TestAJournalTakesNoOtherSettings(t *testing.T) {
	path, want := recorded(t, "--budget", "12GiB", "--scale", "1/256")
	for _, args := range [][]string{
		{"--budget", "12GiB"}, {"--gpu", "rtx3090"}, {"--link", "25GB/s"}, {"--pageable", "6GB/s"}, {"--host-memory", "pinned"}, {"--device", "sim"},
		{"--scale", "1/256"}, {"--weights", "."}, {"--host-budget", "1GB"}, {"--pin-budget", "1GB"}, {"--file-bandwidth", "1GB/s"},
		{"--requests", "4"}, {"--ignore-workspace"}, {"--chunk", "32MiB"}, {"--granularity", "2MiB"}, {"--seed", "0"}, {"--exclude", "vae"}, {"--keep", "vae"},
		{"--harm-bound"}, {"--swap", "500:lru"}, {"--swap-trial", "5"}, {"--record", "again"}, {"--policy-sha256", strings.Repeat("0", 64)},
		{"--policy-config", "a=1"}, {"--policy-fuel", "1000000"}, {"--policy-refill", "30000"}, {"--policy-start-fuel", "50000000"},
		{"--policy-memory", "16MiB"}, {"--policy-state-dir", "state"},
	} {
		says := args[0] + ": (a journal is fed back as it was recorded.*add --resimulate|device sim has no weights)"
		shell{}.fails(t, 2, says, append([]string{"run", path}, args...)...)
	}
	// What a configuration says is for runs; it does not get in the way.
	got := shell{file: "budget: 8GiB\nscale: 1/2\nrequests: 1\npolicy: {module: lru, config: {a: 1}}\n"}.report(t, path)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("a configuration changes the report of a journal (-run +journal):\n%s", d)
	}
	if r := (shell{}.report(t, path, "--baselines", "lru")); len(r.Baselines) != 1 {
		t.Errorf("baselines %v, want the one that was asked for", r.Baselines)
	}
	shell{}.fails(t, 2, "--resimulate: flux-bf16 is no journal", "run", "flux-bf16", "--resimulate")
}

// Only the very module that a run had is taken for a policy of its journal.
func TestAJournalsPolicyIsTheOneThatItHad(t *testing.T) {
	path, r := recorded(t, "--budget", "12GiB", "--scale", "1/256", "--policy", minimal(t))
	shell{}.fails(t, 2, r.Policy.SHA256+`: neither a built-in of this version, nor installed, nor given: .*--policy FILE`, "run", path)
	shell{}.fails(t, 2, r.Policy.SHA256+`: neither .*; given: lru, [0-9a-f]{64}`, "run", path, "--policy", "lru")
	shell{}.fails(t, 2, `--policy: lru, [0-9a-f]{64}: the journal names no such policy`, "run", path, "--policy", minimal(t)+",lru")
	shell{}.fails(t, 2, `none.wasm`, "run", path, "--policy", "none.wasm")
	if got := (shell{file: "policy: {module: " + minimal(t) + "}\n"}).report(t, path); got.DecisionsSHA256 != r.DecisionsSHA256 {
		t.Errorf("with the module from a configuration: decisions %s, want %s", got.DecisionsSHA256, r.DecisionsSHA256)
	}
	builtIn, _ := recorded(t, "--budget", "12GiB", "--scale", "1/256")
	shell{}.fails(t, 2, `--policy: lru, [0-9a-f]{64}: the journal names no such policy.*--resimulate`, "run", builtIn, "--policy", "lru")
}

// The calls of a journal are a trace: run on the simulated device they come to what
// they came to there, and under other settings to something else.
func TestAJournalsCallsAreRunAnew(t *testing.T) {
	path, want := recorded(t, "--budget", "12GiB", "--scale", "1/256", "--chunk", "16MiB")
	got := shell{}.report(t, path, "--resimulate")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the report differs (-run +calls run anew):\n%s", d)
	}
	other := shell{}.report(t, path, "--resimulate", "--policy", "lru", "--requests", "6", "--budget", "24GiB", "--chunk", "32MiB")
	if other.Policy.Name != "lru" || other.Requests != 6 || other.BudgetBytes != want.BudgetBytes*2 || other.ChunkBytes != want.ChunkBytes*2 || other.H2DBytes >= want.H2DBytes {
		t.Errorf("%d requests of %s at %d, chunks of %d, %d bytes moved", other.Requests, other.Policy.Name, other.BudgetBytes, other.ChunkBytes, other.H2DBytes)
	}
	again, _ := recorded(t, path, "--resimulate")
	if r := (shell{}.report(t, again)); r.DecisionsSHA256 != want.DecisionsSHA256 || r.Scale != "1/256" {
		t.Errorf("recorded anew: decisions %s at %s", r.DecisionsSHA256, r.Scale)
	}
	shell{}.fails(t, 2, "--scale 1/2: the journal's run was at 1/256 already", "run", path, "--resimulate", "--scale", "1/2")

	whole, full := recorded(t, "--budget", "12GiB")
	small := shell{}.report(t, whole, "--resimulate", "--scale", "1/64")
	if small.Loads != full.Loads || small.BudgetBytes != full.BudgetBytes/64 || small.ChunkBytes != full.ChunkBytes/64 {
		t.Errorf("a journal's calls at 1/64: %d loads in %d bytes, chunks of %d; the run: %d, %d, %d", small.Loads, small.BudgetBytes, small.ChunkBytes, full.Loads, full.BudgetBytes, full.ChunkBytes)
	}
}

// A run that fails leaves a journal, whole, up to where it failed; one that cannot begin
// leaves nothing.
func TestAJournalOfARunThatFails(t *testing.T) {
	trace := text(t, "flux-preview")
	for _, device := range onDevices() {
		for _, c := range []struct {
			name  string
			shell shell
			code  int
			says  string
			args  []string
		}{
			{"a trace that breaks off", shell{stdin: strings.NewReader(trace[:len(trace)/2])}, 1, `line \d+`, []string{"-"}},
			{"a budget that does not do", shell{}, 2, `12\.88 GB|short`, []string{"flux-fp8", "--budget", "8GiB"}},
		} {
			t.Run(device+", "+c.name, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "journal")
				c.shell.fails(t, c.code, c.says, append([]string{"run", "--record", path, "--device", device, "--scale", "1/256"}, c.args...)...)
				left(t, dir, "journal")
				r := shell{}.report(t, path)
				if r.Loads == 0 || r.EndedEarly == "" {
					t.Errorf("%d loads, ended by %q; want what was done, and why it ended", r.Loads, r.EndedEarly)
				}
				if c.name == "a trace that breaks off" { // its calls are a trace as far as they went
					if again := (shell{}.report(t, path, "--resimulate")); again.Calls != r.Calls {
						t.Errorf("%d calls anew, %d in the journal", again.Calls, r.Calls)
					}
				}
			})
		}
	}
	dir := t.TempDir()
	for _, args := range [][]string{{"--keep", "nothing"}, {"--exclude", "*", "--budget", "8GiB"}, {"--policy", hostile(t, "missing-export")}} {
		if r := (shell{}).run(t, append([]string{"run", "--record", filepath.Join(dir, "journal")}, args...)...); r.code == 0 {
			t.Errorf("%q succeeded", args)
		}
		left(t, dir)
	}
}

// A journal with one byte changed never passes.
func TestNoChangedJournalPasses(t *testing.T) {
	device := onDevices()[len(onDevices())-1]
	path, _ := recorded(t, "--budget", "12GiB", "--scale", "1/256", "--device", device, "--requests", "1")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	feed := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		a := newApp(nil, &out, &errs)
		a.dir = t.TempDir()
		return a.main(context.Background(), append([]string{"run", path, "--format", "json"}, args...)), errs.String()
	}
	if code, errs := feed(); code != 0 {
		t.Fatalf("unchanged: exit code %d: %s", code, errs)
	}
	for i := range 200 {
		at := random.IntN(len(file))
		if i < 20 {
			at = i * 17 // in the header, and in what tells a journal
		}
		changed := bytes.Clone(file)
		changed[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, errs := feed(); code == 0 || errs == "" {
			t.Errorf("byte %d: %q became %q: exit code %d, %q", at, file[at], changed[at], code, errs)
		}
	}
}

// A journal takes the place of another one, and of nothing else.
func TestAJournalReplacesJournalsOnly(t *testing.T) {
	path, _ := recorded(t, "--budget", "12GiB", "--scale", "1/256")
	again := []string{"run", "--budget", "24GiB", "--scale", "1/256", "--record", path}
	shell{}.succeeds(t, again...)
	if got := (shell{}).report(t, path); got.BudgetBytes != 24<<30/256 {
		t.Errorf("the journal is of a run with %d bytes: want the later one", got.BudgetBytes)
	}
	const mine = "not to be lost"
	for _, text := range []string{mine, ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			shell{}.succeeds(t, again...)
			continue
		}
		shell{}.fails(t, 2, "--record: .*run.journal is there and no journal", again...)
		if b, err := os.ReadFile(path); err != nil || string(b) != mine {
			t.Errorf("the file has %q, %v", b, err)
		}
	}
	left(t, filepath.Dir(path), "run.journal")
}
