//go:build !race

// Compilers have no races of offhost's.

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// rule finds what a new policy ranks by, and rules those that the comment above it has, too.
var (
	rule  = regexp.MustCompile(`(?s)((?:fn|func|function|uint64_t) rank\([^\n]*\{\n.*?)((?:self\.)?now - [^\n;]*called)`)
	rules = regexp.MustCompile(`(?m)^[ \t]*(?:\*|//+)[ \t]+(\S.*?\S) {2,}(expected last|the largest|the quickest)`)
)

// By each rule that a new policy's comment has, it decides the same in all languages.
func TestANewPolicyDecidesTheSameInEachLanguage(t *testing.T) {
	decided := map[string]string{} // by what is said of the rule: as the first language does
	for _, language := range scaffold.Languages() {
		t.Run(language, func(t *testing.T) {
			sh := shell{dir: t.TempDir()}
			sh.succeeds(t, "policy", "new", "--lang", language, "my-policy")
			l, err := scaffold.FindLanguage(language)
			if err != nil {
				t.Fatal(err)
			}
			source := filepath.Join(sh.dir, "my-policy", l.Source)
			text := string(readFile(t, source))
			list := rules.FindAllStringSubmatch(text, -1)
			if len(list) != 3 || len(rule.FindAllString(text, -1)) != 1 {
				t.Fatalf("the comment has %q, want three rules, and one that is in force", list)
			}
			for _, r := range list {
				expression, said := r[1], r[2]
				writeFile(t, rule.ReplaceAllString(text, "${1}"+expression), source)
				if r := sh.builds(t, "my-policy"); r.code != 0 {
					t.Fatalf("%s: %s", expression, r.stderr)
				}
				test := []string{"policy", "test", "--expect", said + ".expect", "--update", "--trace", "flux-bf16-blocks", "--budget", "20GiB", "my-policy"}
				sh.succeeds(t, test...)
				got := string(readFile(t, sh.dir, said+".expect"))
				want, ok := decided[said]
				switch {
				case !ok:
					decided[said] = got
				case got != want:
					t.Errorf("%s: it decides otherwise than others by this rule:\n%s", expression, cmp.Diff(want, got))
				}
				for other, otherwise := range decided {
					if other != said && otherwise == got {
						t.Errorf("%s: the decisions are those of %q: they tell nothing", expression, other)
					}
				}
			}
		})
	}
}

// In each language: a new project builds, and its test passes. What the language's own tool
// builds in another folder, by the lines of the project's page, are the same bytes. What
// does not compile changes nothing.
func TestANewPolicyBuilds(t *testing.T) {
	for _, language := range scaffold.Languages() {
		t.Run(language, func(t *testing.T) {
			sh := shell{dir: t.TempDir()}
			out := sh.succeeds(t, "policy", "new", "--lang", language, "my-policy")
			if n := strings.Count(out, "\n"); n != 4 || !strings.Contains(out, "offhost policy build my-policy\n") {
				t.Errorf("want four lines that say what is next:\n%s", out)
			}
			if r := sh.run(t, "policy", "test", "my-policy"); r.code != 1 || !strings.Contains(r.stderr, `"offhost policy build my-policy" makes it`) {
				t.Errorf("a test before the module is built: exit code %d: %s", r.code, r.stderr)
			}
			r := sh.builds(t, "my-policy")
			if r.code != 0 || !strings.Contains(r.stdout, "digest    ") || !strings.Contains(r.stdout, "imports   ") {
				t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
			// Before it may be a line that says why it is not the first compiler on PATH.
			_, command, ok := strings.Cut("\n"+r.stderr, "\nmy-policy$ ")
			command, _, _ = strings.Cut(command, "\n")
			if !ok {
				t.Errorf("the command is not shown: %q", r.stderr)
			}
			if out := sh.succeeds(t, "policy", "test", "my-policy"); !strings.Contains(out, "7 decisions, as expected") {
				t.Error(out)
			}

			t.Run("its own tool", func(t *testing.T) {
				if language == "c" {
					needTool(t, "make")
				}
				other := shell{dir: filepath.Join(t.TempDir(), "a folder of another name")}
				if err := os.Mkdir(other.dir, 0o755); err != nil {
					t.Fatal(err)
				}
				other.succeeds(t, "policy", "new", "--lang", language, "my-policy")
				l, err := scaffold.FindLanguage(language)
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range l.Native {
					if strings.HasPrefix(line, "npm install") {
						continue // asc is here, and the network may not be
					}
					// Where cargo is not rustup's, it has to be told of the linker.
					line = strings.ReplaceAll(line, "NAME", "my-policy")
					if language == "rust" && strings.HasPrefix(line, "cargo") {
						line = regexp.MustCompile(`^(\S+=\S+ )*\S*cargo`).FindString(command) + strings.TrimPrefix(line, "cargo")
					}
					cmd := exec.Command("sh", "-ec", line)
					cmd.Dir = filepath.Join(other.dir, "my-policy")
					if said, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%s: %v\n%s", line, err, said)
					}
				}
				if !bytes.Equal(readFile(t, sh.dir, "my-policy/my-policy.wasm"), readFile(t, other.dir, "my-policy/my-policy.wasm")) {
					t.Error("the bytes are others")
				}
			})

			if language == "rust" { // its own tests run natively
				cmd := exec.Command("cargo", "test", "--quiet")
				cmd.Dir = filepath.Join(sh.dir, "my-policy")
				if said, err := cmd.CombinedOutput(); err != nil || bytes.Contains(said, []byte("warning")) || !bytes.Contains(said, []byte("1 passed")) {
					t.Errorf("cargo test: %v\n%s", err, said)
				}
			}

			l, _ := scaffold.FindLanguage(language)
			before := readFile(t, sh.dir, "my-policy/my-policy.wasm")
			source := filepath.Join(sh.dir, "my-policy", l.Source)
			writeFile(t, string(readFile(t, source))+"\nnonsense()\n", source)
			r = sh.run(t, "policy", "build", "my-policy")
			at := regexp.MustCompile(regexp.QuoteMeta(filepath.Base(l.Source)) + `[:(]\d+`)
			if r.code != 1 || !at.MatchString(r.stderr) || !strings.Contains(r.stderr, "my-policy.wasm is as it was") || r.stdout != "" {
				t.Errorf("with an error in it: exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
			if !bytes.Equal(readFile(t, sh.dir, "my-policy/my-policy.wasm"), before) {
				t.Error("a source that does not compile has changed the module")
			}
		})
	}
}

// What fmt wants of a system the host refuses, and it is said what to do without it.
func TestAGoPolicyWithFmt(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "go", "mine")
	source := filepath.Join(sh.dir, "mine", "main.go")
	writeFile(t, strings.Replace(string(readFile(t, source)), "func main() {}", "func main() { println(fmt.Sprint(now)) }", 1), source)
	writeFile(t, strings.Replace(string(readFile(t, source)), "import ", "import \"fmt\"\nimport ", 1), source)
	if r := sh.builds(t, "mine"); r.code != 1 || !strings.Contains(r.stderr, "fd_close") || !strings.Contains(r.stderr, "want strconv for numbers, and the SDK's Log") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// A project is renamed in one place.
func TestAProjectIsRenamed(t *testing.T) {
	for _, language := range scaffold.Languages() {
		t.Run(language, func(t *testing.T) {
			sh := shell{dir: t.TempDir()}
			sh.succeeds(t, "policy", "new", "--lang", language, "mine")
			writeFile(t, "name: yours\nlanguage: "+language+"\n", sh.dir, "mine/policy.yaml")
			if r := sh.builds(t, "mine"); r.code != 0 || !strings.Contains(r.stdout, "mine/yours.wasm") {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}
