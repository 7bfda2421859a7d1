package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// builds runs offhost policy build. Where the toolchain is missing the test is skipped, or
// fails when REQUIRE_TOOLS=1 says that it has to be there.
func (s shell) builds(t *testing.T, folder string) result {
	t.Helper()
	r := s.run(t, "policy", "build", folder)
	switch missing := strings.Contains(r.stderr, "this installs what is missing"); {
	case missing && requireTools:
		t.Fatalf("REQUIRE_TOOLS=1, and %s", r.stderr)
	case missing:
		t.Skip(r.stderr)
	}
	return r
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, text string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What compiles and would be refused by the host does not take the place of what ran.
func TestABuildThatTheHostRefuses(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	if r := sh.builds(t, "mine"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if err := os.Remove(filepath.Join(sh.dir, "mine", "mine.wasm")); err != nil {
		t.Fatal(err)
	}
	source := string(readFile(t, sh.dir, "mine/policy.c"))
	writeFile(t, strings.Replace(source, "uint64_t now;", `uint64_t now;
__attribute__((import_module("env"), import_name("clock"))) uint64_t clock(void);`, 1)+"\nuint64_t f(void);\nuint64_t f(void) { return clock(); }\n", sh.dir, "mine/policy.c")
	writeFile(t, string(readFile(t, sh.dir, "mine/compile_flags.txt"))+"-Wl,--export=f\n", sh.dir, "mine/compile_flags.txt")
	sh.fails(t, 1, `env.*clock[^\n]*; nothing was written`, "policy", "build", "mine")
	left(t, filepath.Join(sh.dir, "mine"), ".gitignore", "Makefile", "README.md", "build", "compile_flags.txt", "policy.c", "policy.yaml", "sdk", "test")

	writeFile(t, "of another day", sh.dir, "mine/mine.wasm")
	sh.fails(t, 1, `env.*clock[^\n]*; mine/mine.wasm is as it was`, "policy", "build", "mine")
	if got := string(readFile(t, sh.dir, "mine/mine.wasm")); got != "of another day" {
		t.Errorf("the module is now %.40q", got)
	}
}

// A module is loaded within the limits that a run would have.
func TestABuildKeepsToTheSettings(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	source := string(readFile(t, sh.dir, "mine/policy.c"))
	source = strings.Replace(source, "uint64_t now;", "uint64_t now;\nvolatile char large[20 << 20];", 1)
	writeFile(t, strings.Replace(source, "  now++;", "  now++, large[now] = 1;", 1), sh.dir, "mine/policy.c")
	if r := sh.builds(t, "mine"); r.code != 1 || !strings.Contains(r.stderr, "KiB of memory at the start, the limit is 16384 KiB; nothing was written") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	sh.succeeds(t, "policy", "build", "mine", "--policy-memory", "32MiB")
	writeFile(t, "policy:\n  memory: 32MiB\n", sh.dir, "offhost.yaml")
	sh.succeeds(t, "policy", "build", "mine")
}

// A compiler that ends well and writes nothing has failed all the same.
func TestABuildThatLeavesNothing(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	writeFile(t, string(readFile(t, sh.dir, "mine/compile_flags.txt"))+"-fsyntax-only\n", sh.dir, "mine/compile_flags.txt")
	if r := sh.builds(t, "mine"); r.code != 1 || !strings.Contains(r.stderr, "has succeeded and left no module") {
		t.Errorf("exit code %d, want 1: %s", r.code, r.stderr)
	}
}

// Without a compiler it is said what to install.
func TestABuildWithoutACompiler(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	t.Setenv("PATH", t.TempDir())
	r := sh.run(t, "policy", "build", "mine")
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "offhost: no compiler for C was found") || !strings.Contains(r.stderr, "installs what is missing:\n    ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	left(t, filepath.Join(sh.dir, "mine"), ".gitignore", "Makefile", "README.md", "compile_flags.txt", "policy.c", "policy.yaml", "sdk", "test")
}

func TestPolicyNewRefuses(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"--lang is missing: want c, rust, zig, go, assemblyscript", []string{"mine"}},
		{`--lang: language "rsut": want c, .*; did you mean "rust"`, []string{"--lang", "rsut", "mine"}},
		{"0 arguments, want it as in: offhost policy new --lang LANGUAGE NAME", []string{"--lang", "c"}},
		{"2 arguments", []string{"--lang", "c", "a", "b"}},
		{`name "../mine": want lower-case letters`, []string{"--lang", "c", "../mine"}},
		{`name "/tmp/mine": want`, []string{"--lang", "c", "/tmp/mine"}},
		{`name "a\\nb": want`, []string{"--lang", "c", "a\nb"}},
		{`name "\$\(touch x\)": want`, []string{"--lang", "c", "$(touch x)"}},
		{`name "": want`, []string{"--lang", "c", ""}},
		{`name "lru" is a built-in policy's`, []string{"--lang", "c", "lru"}},
	} {
		sh.fails(t, 2, c.says, append([]string{"policy", "new"}, c.args...)...)
	}
	left(t, sh.dir)

	sh.succeeds(t, "policy", "new", "--lang", "zig", "mine")
	sh.fails(t, 1, "the folder mine is there already, and not empty: want another name, or remove it", "policy", "new", "--lang", "c", "mine")
	left(t, sh.dir, "mine")
	sh.fails(t, 2, "nowhere is not there: want the folder of a policy", "policy", "build", "nowhere")
	sh.fails(t, 2, "mine/policy.zig is no folder: want that of a policy", "policy", "build", "mine/policy.zig")
	sh.fails(t, 2, `\. has no policy.yaml`, "policy", "build")
}

// The tests of a module without a project, in every way that a test can go.
func TestPolicyTest(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	test := func(args ...string) []string { return append([]string{"policy", "test"}, args...) }
	sh.fails(t, 2, "want --expect FILE beside a module", test("lru")...)
	sh.fails(t, 2, "x.expect is not there: --update makes it", test("--expect", "x.expect", "lru")...)
	sh.fails(t, 2, "does not say which trace it is of: --trace says it", test("--expect", "x.expect", "--update", "lru")...)
	sh.fails(t, 2, "want a shipped trace .*, or a file in the folder of x.expect or below", test("--expect", "x.expect", "--update", "--trace", "../x.jsonl", "lru")...)
	left(t, sh.dir)

	sh.fails(t, 2, `setting policy-config: a file has no place for "a=b "`, test("--expect", "x.expect", "--update", "--trace", "flux-bf16", "--policy-config", "a=b ", "lru")...)
	make := test("--expect", "x.expect", "--update", "--trace", "flux-bf16", "--budget", "29GB", "--requests", "2", "lru")
	if out := sh.succeeds(t, make...); !regexp.MustCompile(`^x.expect   \d+ decisions, written\n$`).MatchString(out) {
		t.Error(out)
	}
	file := string(readFile(t, sh.dir, "x.expect"))
	for _, want := range []string{"trace     flux-bf16\n", "budget    29GB\n", "link      50GB/s\n", "chunk     32MiB\n", "requests  2\n", "NEED      transformer"} {
		if !strings.Contains(file, want) {
			t.Errorf("no %q in\n%s", want, file)
		}
	}
	// What is around it does not matter.
	t.Setenv("OFFHOST_BUDGET", "40GB")
	around := shell{dir: sh.dir, file: "chunk: 64MiB\n"}
	if out := around.succeeds(t, test("--expect", "x.expect", "lru")...); !strings.Contains(out, "as expected") {
		t.Error(out)
	}
	// A word that was put there stays, and so does everything else.
	writeFile(t, "# Why it is so.\n"+file, sh.dir, "x.expect")
	if out := sh.succeeds(t, test("--expect", "x.expect", "--update", "lru")...); !strings.Contains(out, "as before") || string(readFile(t, sh.dir, "x.expect")) != "# Why it is so.\n"+file {
		t.Errorf("%s%s", out, readFile(t, sh.dir, "x.expect"))
	}
	sh.fails(t, 2, "--budget is 30GB, and in x.expect 29GB: --update would write it there", test("--expect", "x.expect", "--budget", "30GB", "lru")...)
	sh.fails(t, 2, "--keep is vae, and in x.expect is none", test("--expect", "x.expect", "--keep", "vae", "lru")...)

	r := sh.run(t, test("--expect", "x.expect", "sticky-loop")...)
	if r.code != 1 || !strings.Contains(r.stderr, "1 of 1 test: other decisions than expected") || !strings.Contains(r.stdout, "\n- ") || !strings.Contains(r.stdout, "\n+ ") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	// Why an answer is void is said, and nobody is asked to expect it.
	says, err := filepath.Abs("../../policies/conformance/testdata/faulty/says.wasm")
	if err != nil {
		t.Fatal(err)
	}
	r = sh.run(t, test("--expect", "x.expect", says)...)
	if r.code != 1 || !strings.Contains(r.stdout, " NEED in function ") || !strings.Contains(r.stdout, ": trap: unreachable\n  it said: panic: no way out\n") ||
		!strings.Contains(r.stderr, "the policy fails in 1 of them") || strings.Contains(r.stderr, "--update") {
		t.Errorf("a policy that fails: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if string(readFile(t, sh.dir, "x.expect")) != "# Why it is so.\n"+file {
		t.Error("a comparison has changed the file")
	}
	sh.succeeds(t, test("--expect", "x.expect", "--update", "--keep", "vae", "--exclude", "text_encoder", "--policy-config", "a=b,c", "lru")...)
	file = string(readFile(t, sh.dir, "x.expect"))
	for _, want := range []string{"exclude        text_encoder\n", "keep           vae\n", "policy-config  a=b,c\n"} {
		if !strings.Contains(file, want) {
			t.Errorf("no %q in\n%s", want, file)
		}
	}
	sh.succeeds(t, test("--expect", "x.expect", "lru")...)
}

// What a file of expected decisions says is not trusted.
func TestHostileExpectations(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	writeFile(t, smallTrace(t), sh.dir, "small.jsonl")
	outside := filepath.Join(t.TempDir(), "outside.jsonl")
	writeFile(t, smallTrace(t), outside)
	for name, to := range map[string]string{"link.jsonl": outside, "dev.jsonl": os.DevNull} {
		if err := os.Symlink(to, filepath.Join(sh.dir, name)); err != nil && runtime.GOOS != "windows" {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(sh.dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for settings, want := range map[string]string{
		"trace " + outside:                            "want a shipped one",
		"trace ../outside.jsonl":                      "want a shipped one",
		"trace -":                                     "trace",
		"trace ./link.jsonl":                          "escapes",
		"trace ./dev.jsonl":                           "escapes",
		"trace ./folder":                              "not a regular file",
		"trace ./none.jsonl":                          "none.jsonl",
		"trace ./small.jsonl\nbudget much":            `--budget: size "much"`,
		"trace ./small.jsonl\nbudget 1GB\nbudget 2GB": "line 4: setting budget is there twice",
		"trace ./small.jsonl\npolicy ./x.wasm":        `line 3: setting "policy" is unknown`,
		"trace ./small.jsonl\nrecord journal":         `line 3: setting "record" is unknown`,
		"trace ./small.jsonl\nrequests 99999999":      "--requests",
		"trace ./small.jsonl\nbudget 1kB":             "budget",
		"budget 1GB":                                  "does not say which trace",
	} {
		writeFile(t, "offhost.decisions/1\n"+settings+"\n\n", sh.dir, "x.expect")
		for _, update := range []string{"--update=false", "--update"} {
			r := sh.run(t, "policy", "test", "--expect", "x.expect", update, "lru")
			if r.code == 0 || r.stdout != "" || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") > 2 {
				t.Errorf("%q %s: exit code %d, want an error of a line that says %q: %s%s", settings, update, r.code, want, r.stdout, r.stderr)
			}
		}
	}
	sh.fails(t, 2, "no regular file", "policy", "test", "--expect", "folder", "lru")
	sh.fails(t, 2, "want a shipped trace", "policy", "test", "--expect", "y.expect", "--trace", outside, "--update", "lru")
	left(t, sh.dir, "dev.jsonl", "folder", "link.jsonl", "small.jsonl", "x.expect")
}

// What any policy does, the worst included, is written so that it is read again, and comes
// again.
func TestExpectationsOfHostilePolicies(t *testing.T) {
	modules, err := filepath.Glob("testdata/policies/*.wasm")
	if err != nil || len(modules) == 0 {
		t.Fatal(err)
	}
	ran := 0
	for _, path := range modules {
		name := strings.TrimSuffix(filepath.Base(path), ".wasm")
		dir := t.TempDir()
		b := newBench(t, "")
		b.app.replay = replayTrace
		file := filepath.Join(dir, "x.expect")
		args := []string{"policy", "test", "--expect", file, hostile(t, name), "--trace", "flux-img2img-8bit"}
		if b.run(append(args, "--budget", "12GiB", "--requests", "3", "--update")...) != 0 {
			left(t, dir) // it does not load
			continue
		}
		ran++
		if code := b.run(args...); code != 0 {
			t.Errorf("%s: exit code %d: %s%s\n%s", name, code, b.out.String(), b.errs.String(), readFile(t, file))
		}
	}
	if ran < 20 {
		t.Errorf("%d policies ran, want the 20 and more that load", ran)
	}
}

// A test of a project whose source was changed and not built says so.
func TestATestOfAnOldModule(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	module := filepath.Join(sh.dir, "mine", "mine.wasm")
	writeFile(t, string(readFile(t, "../../examples/policies/lru/c/lru.wasm")), module)
	if r := sh.run(t, "policy", "test", "mine"); r.code != 0 || strings.Contains(r.stderr, "newer") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	later, err := os.Stat(module)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(sh.dir, "mine", "policy.c"), later.ModTime().Add(1e9), later.ModTime().Add(1e9)); err != nil {
		t.Fatal(err)
	}
	if r := sh.run(t, "policy", "test", "mine"); r.code != 0 || !strings.Contains(r.stderr, "the source is newer than the module") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	sh.fails(t, 2, "--budget: each test has its own: want --expect FILE beside it", "policy", "test", "mine", "--budget", "1GB")
}
