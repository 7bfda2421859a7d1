package runtime

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fixture reads a module of testdata.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// needTool skips a test that needs a program which is not installed, unless
// REQUIRE_TOOLS=1 says that it has to be.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is not installed, and REQUIRE_TOOLS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Every .wasm of testdata is what its source beside it gives.
func TestFixturesAreBuiltFromTheirSources(t *testing.T) {
	for _, lang := range []struct {
		ext, tool string
		args      []string
	}{
		{".wat", "wat2wasm", nil},
		{".c", "clang-19", []string{"--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-I../abi"}},
	} {
		t.Run(lang.tool, func(t *testing.T) {
			tool := needTool(t, lang.tool)
			var sources []string
			for _, dir := range []string{"testdata", "meter/testdata"} {
				files, err := filepath.Glob(filepath.Join(dir, "*"+lang.ext))
				if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, files...)
			}
			if len(sources) == 0 {
				t.Fatal("no sources found")
			}
			for _, source := range sources {
				committed := strings.TrimSuffix(source, lang.ext) + ".wasm"
				out := filepath.Join(t.TempDir(), filepath.Base(committed)) // it is in the name section
				args := append(slices.Clone(lang.args), "-o", out, source)
				if msg, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", source, err, msg)
				}
				got, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				want, err := os.ReadFile(committed)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s is not what its source gives: rebuild it with %s %s", committed, tool, strings.Join(lang.args, " "))
				}
			}
		})
	}
}
