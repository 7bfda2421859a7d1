package sdk_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/offhost/offhost/abi/sdk"
)

// What is embedded is what is here, and all that a build needs; no tests, and nothing that
// a build left behind.
func TestFiles(t *testing.T) {
	for language, want := range map[string][]string{
		"c":              {"offhost.h", "offhost_policy.h"},
		"rust":           {"Cargo.toml", "src/lib.rs"},
		"zig":            {"offhost.zig"},
		"go":             {"go.mod", "offhost/offhost.go", "offhost/guest.go", "offhost/state/state.go", "internal/window/window.go"},
		"assemblyscript": {"offhost.ts"},
	} {
		files, err := sdk.Files(language)
		if err != nil {
			t.Errorf("%s: %v", language, err)
		}
		for _, path := range append(want, "README.md", "SPEC.md") {
			from := language + "/" + path
			switch path {
			case "SPEC.md", "offhost.h":
				from = "../" + path
			case "go.mod":
				continue
			}
			if b, err := os.ReadFile(from); err != nil || !bytes.Equal(files[path], b) {
				t.Errorf("%s: %s is %d bytes, want the %d of %s (%v)", language, path, len(files[path]), len(b), from, err)
			}
		}
		for path := range files {
			if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "target/") || strings.HasPrefix(path, ".") {
				t.Errorf("%s has %s", language, path)
			}
		}
	}
	if _, err := sdk.Files("cobol"); err == nil {
		t.Error("there is an SDK for a language that has none")
	}
}
