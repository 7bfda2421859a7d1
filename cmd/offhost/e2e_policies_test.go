package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/policies"
)

const minimalModule = "../../examples/policies/minimal/minimal.wasm"

// file returns the absolute path of a file of the repository and what is in it.
func repositoryFile(t testing.TB, name string) (string, []byte) {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// ownDirs gives the commands of a test a policy directory and a cache of their own.
func ownDirs(t *testing.T) (policyDir, cache string) {
	t.Helper()
	home := t.TempDir()
	policyDir, cache = filepath.Join(home, "policies"), filepath.Join(home, "cache")
	t.Setenv("OFFHOST_POLICY_DIR", policyDir)
	t.Setenv("OFFHOST_REGISTRY_CACHE_DIR", cache)
	return policyDir, cache
}

// installedFiles lists what is below the policy directory.
func filesBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(found, hidden...)
}

func TestAnInstalledPolicyIsRunByItsName(t *testing.T) {
	dir, _ := ownDirs(t)
	path, wasm := repositoryFile(t, minimalModule)
	digest := fmt.Sprintf("%x", sha256.Sum256(wasm))
	args := []string{"flux-bf16", "--requests", "2", "--baselines", "none"}
	want := shell{}.report(t, append(args, "--policy", path)...)

	out := shell{}.succeeds(t, "policy", "install", path)
	if !strings.Contains(out, "Installed minimal (sha256 "+digest+")") {
		t.Errorf("install says %s", out)
	}
	for name, s := range map[string]shell{"by flag": {}, "by configuration": {file: "policy: {module: minimal}\n"}} {
		run := args
		if s.file == "" {
			run = append(run, "--policy", "minimal")
		}
		got := s.report(t, run...)
		if got.Policy.Name != "minimal" || got.Policy.SHA256 != digest || got.DecisionsSHA256 != want.DecisionsSHA256 {
			t.Errorf("%s: policy %+v, decisions %s; want minimal, %s, with decisions %s", name, got.Policy, got.DecisionsSHA256, digest, want.DecisionsSHA256)
		}
	}
	for _, args := range [][]string{{"policy", "check", "minimal"}, {"policy", "inspect", "minimal"}} {
		if out := (shell{}).succeeds(t, args...); !strings.Contains(out, digest) {
			t.Errorf("%s does not show the module: %s", strings.Join(args, " "), out)
		}
	}
	if got := (shell{}).report(t, "flux-bf16", "--swap", "50:minimal", "--baselines", "none"); got.Swaps != 1 || got.SwapsRefused != 0 || len(got.TookOver) != 1 || got.TookOver[0].Name != "minimal" {
		t.Errorf("%d swaps, %d refused; want one to minimal", got.Swaps, got.SwapsRefused)
	}

	// A journal's policy is found by its digest, given or not.
	journal := filepath.Join(t.TempDir(), "journal")
	shell{}.succeeds(t, append([]string{"run", "--policy", "minimal", "--record", journal}, args...)...)
	if out := (shell{}).succeeds(t, "run", journal); !strings.Contains(out, "every decision as recorded") {
		t.Errorf("fed back: %s", out)
	}

	list := decode[listJSON](t, shell{}.succeeds(t, "policy", "list", "--format", "json"))
	if n := len(list.Policies); n != len(policies.List())+1 || list.Directory != dir {
		t.Fatalf("listed: %+v, want the built-in ones and one more, in %s", list, dir)
	}
	last := list.Policies[len(list.Policies)-1]
	if last.Name != "minimal" || last.SHA256 != digest || last.Bytes != len(wasm) || last.ABI != "offhost/1" || last.Source != path || last.Problem != "" || last.BuiltIn {
		t.Errorf("listed as %+v", last)
	}

	file := filepath.Join(dir, "minimal", digest+".wasm")
	if err := os.WriteFile(file, append(wasm, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := `installed policy minimal: changed since it was installed: the SHA-256 of .*` + digest + `.wasm is [0-9a-f]{64} now`
	shell{}.fails(t, 1, changed, append([]string{"run", "--policy", "minimal"}, args...)...)
	if out := (shell{}).succeeds(t, "policy", "list"); !strings.Contains(out, "changed since it was installed") {
		t.Errorf("the list does not say that it was changed: %s", out)
	}

	if out := (shell{}).succeeds(t, "policy", "remove", "minimal"); out != "Removed minimal.\n" {
		t.Errorf("remove says %q", out)
	}
	if left := filesBelow(t, dir); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
	shell{}.fails(t, 2, `policy "minimal": want one that is built in or installed \(sticky-loop, lru\)`, append([]string{"run", "--policy", "minimal"}, args...)...)
	shell{}.fails(t, 2, `policy "minimal": not installed in `, "policy", "remove", "minimal")
}

func TestWhatCannotBeInstalled(t *testing.T) {
	dir, _ := ownDirs(t)
	path, wasm := repositoryFile(t, minimalModule)
	bad := filepath.Join(t.TempDir(), "bad.wasm")
	if err := os.WriteFile(bad, wasm[:len(wasm)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	_, greedy := repositoryFile(t, "../../examples/policies/greedy-dual/greedy_dual.wasm")
	other := filepath.Join(t.TempDir(), "My Policy.wasm")
	if err := os.WriteFile(other, greedy, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{1, `policy "bad.wasm" .* refused at step module`, []string{bad}},
		{2, `none.wasm: no such file`, []string{"none.wasm"}},
		{2, `"lru" is the name of a built-in policy: give this one another with --name`, []string{path, "--name", "lru"}},
		{2, `"lru" is the name of a built-in policy`, []string{"lru"}},
		{2, `"My Policy" is no name for a policy: want .*; give it one with --name`, []string{other}},
		{2, `--name: "../x" is no name`, []string{path, "--name", "../x"}},
		{2, `--name: ".x" is no name`, []string{path, "--name", ".x"}},
		{2, `0 arguments`, nil},
	} {
		shell{}.fails(t, c.code, c.says, append([]string{"policy", "install"}, c.args...)...)
	}
	if left := filesBelow(t, dir); len(left) != 0 {
		t.Errorf("%q are there of what was refused", left)
	}
	shell{}.succeeds(t, "policy", "install", path, "--name", "my")
	shell{}.succeeds(t, "policy", "install", path, "--name", "my") // the same
	shell{}.fails(t, 2, "my: installed already, with the SHA-256 [0-9a-f]{64} from .*minimal.wasm: give this one another name, or replace that one", "policy", "install", other, "--name", "my")
	shell{}.succeeds(t, "policy", "install", other, "--name", "my", "--replace")
	if got := (shell{}).report(t, "--requests", "1", "--baselines", "none", "--policy", "my").Policy.SHA256; got != fmt.Sprintf("%x", sha256.Sum256(greedy)) {
		t.Errorf("after it was replaced, %s ran", got)
	}
	shell{}.fails(t, 2, `policy "lru" is built in: only installed ones can be removed`, "policy", "remove", "lru")
	shell{}.fails(t, 2, `did you mean "my"`, "policy", "remove", "mi")
	shell{}.fails(t, 2, `did you mean "my"`, "run", "--policy", "mi")
}

// A project's folder stands for what building it has made, wherever a module is named.
func TestAProjectsFolderIsAModule(t *testing.T) {
	ownDirs(t)
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "zig", "mine")
	sh.fails(t, 1, "offhost policy build", "run", "--policy", "./mine")
	b, err := os.ReadFile(minimal(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sh.dir, "mine", "mine.wasm"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sh.report(t, "--policy", "./mine", "--baselines", "none"); got.Policy.Name != "mine" {
		t.Errorf("the folder is run as %q", got.Policy.Name)
	}
	if got := sh.report(t, "--policy", "mine", "--baselines", "none"); got.Policy.Name != "mine" {
		t.Errorf("by its name alone the folder is run as %q", got.Policy.Name)
	}
	sh.fails(t, 2, "no policy.yaml", "run", "--policy", ".")
	sh.succeeds(t, "policy", "inspect", "./mine")
	sh.succeeds(t, "policy", "check", "mine", "--only", "answers", "--quick")
	sh.fails(t, 2, "0 arguments", "policy", "inspect")
	inside := shell{dir: filepath.Join(sh.dir, "mine")}
	inside.succeeds(t, "policy", "inspect")
	inside.succeeds(t, "policy", "bench", "--events", "10")

	// A source that is newer than the module is told of, wherever the module is named.
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(sh.dir, "mine", "policy.zig"), later, later); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", "./mine", "mine/mine.wasm"} {
		if r := sh.run(t, "policy", "inspect", name); r.code != 0 || !strings.Contains(r.stderr, "the source is newer than the module") {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}

	// It is installed under the name that it has, whatever the folder's.
	if err := os.Rename(filepath.Join(sh.dir, "mine"), filepath.Join(sh.dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	shell{dir: filepath.Join(sh.dir, "elsewhere")}.succeeds(t, "policy", "install")
	sh.succeeds(t, "policy", "inspect", "mine")
	sh.succeeds(t, "policy", "install", "elsewhere")
}

// What a project's folder has in the place of a module is a file or nothing: a link back to
// the folder is not followed round and round.
func TestAProjectsModuleIsAFile(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "zig", "mine")
	if err := os.Symlink(".", filepath.Join(sh.dir, "mine", "mine.wasm")); err != nil {
		t.Skip(err) // where links take a privilege
	}
	sh.fails(t, 1, `read mine.mine\.wasm: `, "policy", "inspect", "./mine")
}

// Who has installed a policy and builds it again is told which of the two is taken.
func TestAnInstalledPolicyAndItsProject(t *testing.T) {
	ownDirs(t)
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	made := filepath.Join(sh.dir, "mine", "mine.wasm")
	const warning = "the installed policy is taken"
	for i, from := range []string{minimal(t), "../../examples/policies/lru/c/lru.wasm"} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(made, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			sh.succeeds(t, "policy", "install", "./mine")
		}
		if r := sh.run(t, "policy", "check", "mine", "--quick", "--only", "answers"); r.code != 0 || strings.Contains(r.stderr, warning) != (i == 1) {
			t.Errorf("with module %d in the folder: exit code %d, %s", i, r.code, r.stderr)
		}
		if r := sh.run(t, "policy", "check", "./mine", "--quick", "--only", "answers"); r.code != 0 || strings.Contains(r.stderr, warning) {
			t.Errorf("./mine: exit code %d, %s", r.code, r.stderr)
		}
	}
}

// A module that has the name of a built-in one, however it got there, is not run by it.
func TestABuiltInPolicyCannotBeShadowed(t *testing.T) {
	dir, _ := ownDirs(t)
	path, _ := repositoryFile(t, minimalModule)
	shell{}.succeeds(t, "policy", "install", path, "--name", "my")
	if err := os.Rename(filepath.Join(dir, "my"), filepath.Join(dir, "lru")); err != nil {
		t.Fatal(err)
	}
	lru, _ := policies.Get("lru")
	if got := (shell{}).report(t, "--requests", "1", "--baselines", "none", "--policy", "lru").Policy.SHA256; got != fmt.Sprintf("%x", sha256.Sum256(lru.Wasm)) {
		t.Errorf("lru is %s", got)
	}
	if out := (shell{}).succeeds(t, "policy", "list"); !strings.Contains(out, "a built-in policy has the name") {
		t.Errorf("the list does not say so: %s", out)
	}
}

func TestInspect(t *testing.T) {
	path, wasm := repositoryFile(t, minimalModule)
	out := shell{}.succeeds(t, "policy", "inspect", path)
	for _, want := range []string{
		fmt.Sprintf("minimal.wasm   %d B   sha256 %x\n", len(wasm), sha256.Sum256(wasm)),
		"\noffhost_v1_event   function  (i32) -> (i32)\n", "\nno imports\n", "\ncode ", "memory: ", " at first, no maximum\n", "1 data segment", "The host would run it.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}

	shown := decode[map[string]any](t, shell{}.succeeds(t, "policy", "inspect", "sticky-loop", "--format", "json"))
	check(t, "inspect", fields{
		"schema": isText, "name": isText, "source": isText, "sha256": isText, "bytes": isInteger, "abi": isText,
		"metadata":       fields{"name": isText, "version": isText, "schema": isText, "description": isText, "reasons": fields{"1": isText}},
		"function_names": isInteger + orNull, "exports": listOf{fields{"name": isText, "kind": isText, "signature": isText}},
		"memory":    fields{"initial_pages": isInteger, "max_pages": isInteger + orNull, "imported": isBool},
		"functions": isInteger, "tables": isInteger, "globals": isInteger, "element_segments": isInteger, "data_segments": isInteger,
		"start_function": isBool, "sections": listOf{fields{"name": isText, "bytes": isInteger}}, "problem": isText, "refused": isText,
	}, shown)
	for _, list := range []string{"producers", "imports"} { // it has none
		if all, ok := shown[list].([]any); !ok || len(all) != 0 {
			t.Errorf("%s: %v, want an empty list", list, shown[list])
		}
	}
}

// What the host refuses is shown all the same, and why.
func TestInspectShowsWhatIsRefused(t *testing.T) {
	_, wasm := repositoryFile(t, minimalModule)
	dir := t.TempDir()
	header := []byte("\x00asm\x01\x00\x00\x00")
	memory := append(bytes.Clone(header), 2, 8, 1, 1, 'e', 1, 'm', 2, 0, 1) // imported
	for _, c := range []struct {
		name    string
		wasm    []byte
		code    int
		refused string
		says    []string
	}{
		{"without anything", header, 0, `"memory" is not exported`, nil},
		{"without exports", append(bytes.Clone(header), 1, 1, 0), 0, `"memory" is not exported`, []string{"no exports", "no imports", "memory: none"}},
		{"an imported memory", memory, 0, "import of a memory", []string{"e.m     memory", "memory: 64 KiB at first, no maximum, imported"}},
		{"cut off", wasm[:len(wasm)-1], 0, "malformed module", []string{"offhost_v1_event", "Not all of it could be read"}},
		{"large", append(bytes.Clone(wasm), append([]byte{0, 0x81, 0x80, 0x80, 0x03, 0}, make([]byte, 6<<20)...)...), 0, "module too large", []string{"custom    6.3 MB"}},
		{"a name that does not print", append(bytes.Clone(header), 0, 4, 3, '\x1b', '[', 'm'), 0, "", []string{`custom "\x1b[m"`}},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), 1, "a component", nil},
		{"a script", []byte("#!/bin/sh\n"), 1, "it begins with 23 21 2f 62", nil},
		{"nothing", nil, 1, "8 bytes wanted, 0 are left", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "x.wasm")
			if err := os.WriteFile(path, c.wasm, 0o600); err != nil {
				t.Fatal(err)
			}
			text := shell{}.run(t, "policy", "inspect", path)
			for _, want := range append(c.says, fmt.Sprintf("%x", sha256.Sum256(c.wasm))) {
				if !strings.Contains(text.stdout, want) {
					t.Errorf("no %q in:\n%s", want, text.stdout)
				}
			}
			if strings.Contains(text.stdout, "\x1b") || text.code != c.code || !strings.Contains(text.stdout+text.stderr, c.refused) {
				t.Errorf("exit code %d, want %d, and %q in:\n%s%s", text.code, c.code, c.refused, text.stdout, text.stderr)
			}
			out := shell{}.run(t, "policy", "inspect", path, "--format", "json")
			var i inspection
			if err := json.Unmarshal([]byte(out.stdout), &i); err != nil {
				t.Fatal(err)
			}
			if out.code != c.code || i.Refused == "" || !strings.Contains(i.Refused, c.refused) || int(i.Bytes) != len(c.wasm) {
				t.Errorf("exit code %d, want %d; refused %q, want %q; %d bytes", out.code, c.code, i.Refused, c.refused, i.Bytes)
			}
		})
	}
	shell{}.fails(t, 1, "not a directory", "policy", "list", "--policy-dir", filepath.Join(dir, "x.wasm"))
	shell{}.fails(t, 2, "--format", "policy", "inspect", "lru", "--format", "xml")
	shell{}.fails(t, 2, "--format", "policy", "list", "--format", "xml")
}

// Whatever a file is, it is shown without a crash, and nothing of it reaches the terminal
// that does not print.
func FuzzInspect(f *testing.F) {
	for _, name := range []string{minimalModule, "../../runtime/testdata/wasi.wasm"} {
		_, wasm := repositoryFile(f, name)
		f.Add(wasm)
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x1c\x09producers\x01\x08language\x01\x04\x1b[2J\x01x"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x0f\x07offhostname=\x1b[2J"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		found := inspect(t.Context(), module{name: "x.wasm", wasm: wasm}, config.Policy{Fuel: 1000, Refill: 1000, StartFuel: 100_000, MemoryPages: 16})
		var text, object strings.Builder
		if err := errors.Join(found.write(&text), render.Object(&object, found)); err != nil {
			t.Error(err)
		}
		for _, r := range text.String() {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Fatalf("%q is written to the terminal:\n%q", r, &text)
			}
		}
		var again inspection
		if err := json.Unmarshal([]byte(object.String()), &again); err != nil {
			t.Errorf("%v in %s", err, &object)
		}
	})
}

// What a command needs to know of configuration, it says where the value is set.
func TestPolicyCommandsReadConfiguration(t *testing.T) {
	ownDirs(t)
	path, _ := repositoryFile(t, minimalModule)
	own := filepath.Join(t.TempDir(), "elsewhere")
	named := filepath.Join(t.TempDir(), config.FileName)
	if err := os.WriteFile(named, fmt.Appendf(nil, "policy: {dir: %q}\nbudget: not a size, and of no concern\n", own), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OFFHOST_POLICY_DIR", "")
	shell{}.succeeds(t, "policy", "install", path, "--config", named)
	if n := len(filesBelow(t, own)); n != 2 {
		t.Errorf("%d files in the directory of the configuration, want 2", n)
	}
	if out := (shell{}).succeeds(t, "policy", "list", "--policy-dir", own); !strings.Contains(out, "minimal ") {
		t.Errorf("not listed: %s", out)
	}
	checked := shell{}.run(t, "policy", "check", path, "--policy-memory", "64KiB")
	if checked.code != 1 || !strings.Contains(checked.stderr, "the limit is 64 KiB") {
		t.Errorf("check: exit code %d: %s", checked.code, checked.stderr)
	}
	shell{}.fails(t, 1, "refused at step meter: .* the limit is 64 KiB", "policy", "install", path, "--policy-dir", own, "--name", "small", "--policy-memory", "64KiB")
}

// A key of configuration that a module does not read is told of, if it says what it reads.
func TestConfigurationThatNobodyReads(t *testing.T) {
	ownDirs(t)
	const greedyDual, cRules = "../../examples/policies/greedy-dual/greedy_dual.wasm", "../../examples/policies/lru/c/lru.wasm"
	for _, command := range [][]string{{"run", "flux-bf16", "--baselines", "none", "--policy"}, {"policy", "check", "--quick", "--only", "answers"}, {"policy", "bench", "--events", "10"}} {
		for _, c := range []struct {
			module, key string
			told        bool
		}{{greedyDual, "cost", false}, {greedyDual, "cots", true}, {cRules, "cots", false}} {
			path, _ := repositoryFile(t, c.module)
			r := shell{}.run(t, append(slices.Clone(command), path, "--policy-config", c.key+"=count")...)
			if r.code != 0 || strings.Contains(r.stderr, `did you mean \"cost\"`) != c.told {
				t.Errorf("%v %s with %s: exit code %d, and it is to be told: %v: %s", command, c.module, c.key, r.code, c.told, r.stderr)
			}
		}
	}
}
