//go:build !race

package policies_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A toolchain builds some of the examples. The same version gives the same bytes on any
// machine.
type toolchain struct {
	tool    string   // what has to be installed
	version []string // a command that says which one it is
	is      string   // what its answer has to contain for the bytes to be the same
}

var (
	clang          = toolchain{"clang-19", []string{"clang-19", "--version"}, "version 19."}
	wabt           = toolchain{"wat2wasm", []string{"wat2wasm", "--version"}, "1.0."}
	rust           = toolchain{"cargo", []string{"rustc", "--version"}, "rustc 1.63.0"}
	zig            = toolchain{"zig", []string{"zig", "version"}, "0.15.2"}
	goTool         = toolchain{"go", []string{"go", "version"}, "go1."}
	assemblyScript = toolchain{"asc", []string{"asc", "--version"}, "Version 0.28.20"}
)

var update = flag.Bool("update", false, "write the modules anew")

// built are the modules that are kept beside their sources, by folder.
var built = []struct {
	dir, module string
	toolchain
}{
	{"minimal", "minimal.wasm", clang},
	{"accelerate-chain", "accelerate_chain.wasm", clang},
	{"greedy-dual", "greedy_dual.wasm", rust},
	{"lfu-aging", "lfu_aging.wasm", assemblyScript},
	{"lru/assemblyscript", "lru.wasm", assemblyScript},
	{"lru/c", "lru.wasm", clang},
	{"lru/rust", "lru.wasm", rust},
	{"lru/wat", "lru.wasm", wabt},
	{"lru/zig", "lru.wasm", zig},
	{"sets", "sets.wasm", zig},
}

// The modules in Go are not kept: whoever builds offhost builds them, too.
var goModules = []struct{ dir, module string }{
	{"lru/go", "lru.wasm"},
	{"markov", "markov.wasm"},
}

// buildGo runs the commands on a page of goModules.
func buildGo(t testing.TB, tree, dir, module string) []byte {
	t.Helper()
	dir = filepath.Join(tree, "examples/policies", dir)
	runPage(t, dir)
	return read(t, filepath.Join(dir, module))
}

// What Go builds does not depend on where it does.
func TestGoBuildsTheSameBytesAnywhere(t *testing.T) {
	here, there := copyTree(t), copyTree(t)
	for _, m := range goModules {
		if !bytes.Equal(buildGo(t, here, m.dir, m.module), buildGo(t, there, m.dir, m.module)) {
			t.Errorf("%s/%s differs", m.dir, m.module)
		}
	}
}

// The commands on each page, run in a copy of the tree elsewhere, build the module that
// is kept beside it.
func TestPagesBuildTheirModules(t *testing.T) {
	tree := sync.OnceValue(func() string { return copyTree(t) })
	for _, b := range built {
		t.Run(b.dir, func(t *testing.T) {
			b.need(t)
			dir := filepath.Join(tree(), "examples/policies", b.dir)
			runPage(t, dir)
			module, kept := read(t, filepath.Join(dir, b.module)), filepath.Join(b.dir, b.module)
			if *update {
				if err := os.WriteFile(kept, module, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(module, read(t, kept)) {
				t.Errorf("%s is not what the page's commands build: make examples writes it anew", kept)
			}
		})
	}
}

// The crate's own tests, which run natively.
func TestRustSDK(t *testing.T) {
	rust.need(t)
	cmd := exec.Command("cargo", "test", "--quiet")
	cmd.Dir = filepath.Join(copyTree(t), "abi/sdk/rust")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// need skips a test that needs a toolchain which is not installed, or is of another
// version, and fails it when REQUIRE_TOOLS=1 says that it has to be there.
func (c toolchain) need(t *testing.T) {
	t.Helper()
	needTool(t, c.tool)
	said, err := exec.Command(c.version[0], c.version[1:]...).CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(said), c.is):
	case os.Getenv("REQUIRE_TOOLS") == "1":
		t.Fatalf("%s: %q (%v), want %s: toolchains.sh installs it", strings.Join(c.version, " "), said, err, c.is)
	default:
		t.Skipf("needs %s for which %q says %q", c.tool, strings.Join(c.version, " "), c.is)
	}
}

// copyTree copies what the pages' commands read: the ABI with its SDKs, the examples
// without what was built, and Go's list of modules.
func copyTree(t testing.TB) string {
	t.Helper()
	root, to := "../..", t.TempDir()
	for _, part := range []string{"abi", "examples/policies", "go.mod", "go.sum"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "target" {
					return fs.SkipDir
				}
				return nil
			}
			if filepath.Ext(path) == ".wasm" {
				return nil
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), b, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// runPage runs the commands of a page's first indented block that build something.
func runPage(t testing.TB, dir string) {
	t.Helper()
	var script string
	for line := range strings.Lines(string(read(t, filepath.Join(dir, "README.md")))) {
		command, indented := strings.CutPrefix(line, "    ")
		if !indented && script != "" {
			break
		}
		if indented && !strings.HasPrefix(command, "offhost ") {
			script += command
		}
	}
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, said)
	}
}

type namedModule struct {
	name string
	wasm []byte
}

// lrus are the modules of the differential set.
func lrus(t testing.TB) (list []namedModule) {
	t.Helper()
	for _, language := range []string{"assemblyscript", "c", "rust", "wat", "zig"} {
		list = append(list, namedModule{language, read(t, "lru/"+language+"/lru.wasm")})
	}
	return append(list, namedModule{"go", buildGo(t, copyTree(t), "lru/go", "lru.wasm")})
}
