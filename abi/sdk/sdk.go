// Package sdk holds the SDKs for policies as files, so that offhost can put one into a
// policy's project: it is all there without a network, and stays as it is. Package
// scaffold of the command line writes them. The SDKs themselves are source for other
// compilers; the packages below go/ are for policies in Go, not for the host.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/offhost/offhost/abi"
)

// What a build leaves behind or a test needs is not among them.
//
//go:embed c/*.h c/README.md
//go:embed rust/Cargo.toml rust/src rust/README.md
//go:embed zig/*.zig zig/README.md
//go:embed go/offhost go/internal go/README.md
//go:embed assemblyscript/*.ts assemblyscript/README.md
var files embed.FS

// goMod makes a module of the packages in Go, under the path by which they are imported
// from offhost's own.
const goMod = `module github.com/offhost/offhost/abi/sdk/go

go 1.24
`

// vendored are paths of offhost's own tree, as the pages have them, and what they are in a
// project that has the SDK in its folder sdk.
var vendored = strings.NewReplacer(
	"-Iabi -Iabi/sdk/c ", "-Isdk ",
	"=abi/sdk/zig/", "=sdk/",
	`"./abi/sdk/assemblyscript/`, `"./sdk/`,
	"(../../SPEC.md)", "(SPEC.md)",
	"(../../../", "(https://github.com/offhost/offhost/tree/main/",
)

// Files returns the SDK of a language ("c", "rust", "zig", "go" or "assemblyscript") with
// the ABI's description, by slash-separated path in a folder of its own: what a policy
// needs to be built, nothing else.
func Files(language string) (map[string][]byte, error) {
	out := map[string][]byte{"SPEC.md": abi.Spec}
	switch language {
	case "c":
		out["offhost.h"] = abi.Header
	case "go":
		out["go.mod"] = []byte(goMod)
	}
	err := fs.WalkDir(files, language, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := files.ReadFile(name)
		if path.Ext(name) == ".md" {
			data = []byte(vendored.Replace(string(data)))
		}
		out[strings.TrimPrefix(path.Clean(name), language+"/")] = data
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("no SDK for %q: %w", language, err)
	}
	return out, nil
}
