package sdk_test

import (
	"bytes"
	"os"
	"path"
	"regexp"
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
		for _, name := range append(want, "README.md", "SPEC.md") {
			from := language + "/" + name
			switch name {
			case "SPEC.md", "offhost.h":
				from = "../" + name
			case "go.mod":
				continue
			}
			if b, err := os.ReadFile(from); err != nil || name != "README.md" && !bytes.Equal(files[name], b) {
				t.Errorf("%s: %s is %d bytes, want the %d of %s (%v)", language, name, len(files[name]), len(b), from, err)
			}
		}
		for name, text := range files {
			if strings.HasSuffix(name, ".md") {
				isTrue(t, language, name, string(text), files)
			}
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "target/") || strings.HasPrefix(name, ".") {
				t.Errorf("%s has %s", language, name)
			}
		}
	}
	if _, err := sdk.Files("cobol"); err == nil {
		t.Error("there is an SDK for a language that has none")
	}
}

var (
	links = regexp.MustCompile(`\]\(([^)#]+)`)
	paths = regexp.MustCompile(`(?:[ =I"]|\./)(abi/[\w/.]*)`)
)

// isTrue says whether what a page leads to is there, in a project with the SDK alone.
func isTrue(t *testing.T, language, page, text string, files map[string][]byte) {
	t.Helper()
	for _, link := range links.FindAllStringSubmatch(text, -1) {
		if _, ok := files[path.Join(path.Dir(page), link[1])]; !ok && !strings.HasPrefix(link[1], "https://") {
			t.Errorf("%s: %s leads to %s, which is not there", language, page, link[1])
		}
	}
	for _, p := range paths.FindAllStringSubmatch(text, -1) {
		t.Errorf("%s: %s has the path %s of offhost's own tree", language, page, p[1])
	}
}
