package scaffold_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

func language(t testing.TB, name string) *scaffold.Language {
	t.Helper()
	l, err := scaffold.FindLanguage(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "my-policy", "my_policy", "l2", "x-1-y", strings.Repeat("a", 64)} {
		if err := scaffold.CheckName(name); err != nil {
			t.Errorf("%v, want it taken", err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "/", "/etc/passwd", "../up", "a/b", `a\b`, "a.b", "-rf", "--help", "a-", "a--b", "1st", "A", "ä", "a b", "a\n", "a\x00",
		"$(id)", "`id`", "a;b", "{{.Name}}", "~", "con", "nul", "com1", "offhost", "offhost-policy", "lru", "sticky-loop",
		strings.Repeat("a", 65), strings.Repeat("a", 1<<20),
	} {
		err := scaffold.CheckName(name)
		if err == nil {
			t.Errorf("%.80q is taken", name)
		} else if !strings.Contains(err.Error(), "want") || len(err.Error()) > 300 {
			t.Errorf("%.80q: %v: want an error of a line that says what is right", name, err)
		}
	}
}

func TestLanguages(t *testing.T) {
	for name, want := range map[string]string{"c": "c", "C": "c", "rs": "rust", "Rust": "rust", "golang": "go", "as": "assemblyscript", "zig": "zig"} {
		if l := language(t, name); l.Name != want {
			t.Errorf("%s is %s, want %s", name, l.Name, want)
		}
	}
	for name, want := range map[string]string{
		"": "want c, rust, zig, go, assemblyscript", "rustt": `did you mean "rust"`, "c++": "C's header is for C++ as well",
		"typescript": "assemblyscript is the nearest",
	} {
		if l, err := scaffold.FindLanguage(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error that says %q", name, l, err, want)
		}
	}
}

// A project is whole: what its page names is there, nothing is left to fill in, and it is
// opened as what it is.
func TestNew(t *testing.T) {
	for _, name := range scaffold.Languages() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p, err := scaffold.New(dir, "my-policy", language(t, name))
			if err != nil {
				t.Fatal(err)
			}
			again, err := scaffold.Open(filepath.Join(dir, "my-policy"))
			if err != nil || *again != *p {
				t.Errorf("opened it is %v (%v), want %v", again, err, p)
			}
			if tests, err := p.Tests(); err != nil || len(tests) != 1 {
				t.Errorf("its tests are %v (%v), want one", tests, err)
			}
			paths := []string{p.Source(), filepath.Join(p.Dir, ".gitignore"), filepath.Join(p.Dir, "README.md"), filepath.Join(p.Dir, "sdk", "README.md"),
				filepath.Join(p.Dir, "sdk", "SPEC.md"), filepath.Join(p.Dir, "test", "loop.jsonl")}
			for _, f := range p.Language.Files {
				paths = append(paths, filepath.Join(p.Dir, f[0]))
			}
			for _, path := range paths {
				if b, err := os.ReadFile(path); err != nil || len(b) == 0 || !bytes.HasSuffix(b, []byte("\n")) {
					t.Errorf("%s has %d bytes (%v), want lines", path, len(b), err)
				}
			}
			err = filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				if bytes.Contains(b, []byte("{{.")) || strings.HasSuffix(path, ".tmpl") {
					t.Errorf("%s has something to fill in", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			only(t, dir, "my-policy")
		})
	}
}

// only says that a folder has nothing but some names in it.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if i >= len(names) || e.Name() != names[i] {
			t.Errorf("%s is there, want %v", e.Name(), names)
		}
	}
}

// What is there already is not touched, unless it is an empty folder.
func TestNewWhereThereIsSomething(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		err  string // empty: it is no hindrance
	}{
		{"an empty folder", func(path string) error { return os.Mkdir(path, 0o755) }, ""},
		{"a folder", func(path string) error { return os.MkdirAll(filepath.Join(path, "work"), 0o755) }, "not empty"},
		{"a file", func(path string) error { return os.WriteFile(path, []byte("work"), 0o600) }, "no folder"},
		{"a link to an empty folder", func(path string) error { return os.Symlink(filepath.Dir(path), path) }, "no folder"},
		{"a link to nothing", func(path string) error { return os.Symlink("nowhere", path) }, "no folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "link") && runtime.GOOS == "windows" {
				t.Skip("links need rights on Windows")
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "mine")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := scaffold.New(dir, "mine", language(t, "c"))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
			if _, err := os.Stat(filepath.Join(path, "policy.c")); (err == nil) != (c.err == "") {
				t.Errorf("the policy is there: %v", err == nil)
			}
			only(t, dir, "mine")
		})
	}
}

// What fails on the way leaves nothing behind.
func TestNewWhereNothingCanBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := scaffold.New(dir, "mine", language(t, "c"))
	if err == nil || !strings.Contains(err.Error(), "mine") || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("%v, want an error that names the folder that was asked for", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder around it was made")
	}
}

func TestManifests(t *testing.T) {
	for text, want := range map[string]string{
		"name: mine\nlanguage: c\n":            "",
		"# a word\nlanguage: Rust\nname: x":    "",
		"":                                     "want two lines",
		"name: mine":                           "want two lines",
		"name: ../x\nlanguage: c":              `name "../x"`,
		"name: mine\nlanguage: cobol":          `language "cobol"`,
		"name: mine\nlangage: c":               `key "langage" is unknown: want name and language; did you mean "language"?`,
		"name: mine\nlanguage: c\ncolour: red": "colour",
		"name: [a, b]\nlanguage: c":            "want two lines",
		"name: a\nname: b\nlanguage: c":        "want two lines",
		"name: &a [*a, *a]\nlanguage: c":       "want two lines",
		"\x00":                                 "want two lines",
		"name: x\nlanguage: c\n#" + strings.Repeat("x", 16<<10): "larger than",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, scaffold.ManifestName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := scaffold.Open(dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.60q: %+v, %v; want %q", text, p, err, want)
		}
	}
}

// A manifest is a file: opening a pipe would wait for ever for whoever writes to it.
func TestAManifestIsAFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, scaffold.ManifestName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want that it is not a regular file", err)
	}
}

// A module is older than a source that was written after it, whichever file that is.
func TestNewer(t *testing.T) {
	p, err := scaffold.New(t.TempDir(), "mine", language(t, "zig"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Newer(); got != "" {
		t.Errorf("%s is newer than a module that is not there", got)
	}
	if err := os.WriteFile(p.Module(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	at := func(after time.Duration, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if f, err := os.OpenFile(path, os.O_CREATE, 0o600); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(after), now.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	at(time.Minute, p.Module())
	for _, path := range []string{"README.md", ".zig-cache/made.zig", "test/loop.expect"} {
		at(time.Hour, filepath.Join(p.Dir, path))
		if got := p.Newer(); got != "" {
			t.Errorf("%s is newer, and the module does not come from it", got)
		}
	}
	other := filepath.Join(p.Dir, "lib", "other.zig")
	at(time.Hour, other)
	if got := p.Newer(); got != other {
		t.Errorf("%q is newer, want %s", got, other)
	}
}
