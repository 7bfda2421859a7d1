package scaffold

import (
	"fmt"
	"slices"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
)

// A Language is one in which a project can be.
type Language struct {
	Name    string   // as --lang takes it, and policy.yaml has it
	Title   string   // as people write it
	Aliases []string // what --lang takes, too
	Source  string   // the file with the rule, by slash-separated path in the project
	// Native are commands that build the module without offhost; NAME stands for the
	// project's name.
	Native  []string
	Files   [][2]string // what else is in the project, and what it is for
	Ignored []string    // folders that its tools leave behind
	// Foreign says what it means when the host refuses what a module imports; empty: nothing
	// that is peculiar to the language.
	Foreign string
}

func (l *Language) String() string { return l.Name }

var languages = []*Language{
	{
		Name: "c", Title: "C", Source: "policy.c",
		Native: []string{"make    # or: clang-19 @compile_flags.txt -o NAME.wasm policy.c"},
		Files:  [][2]string{{"compile_flags.txt", "the compiler's flags; with `-fno-inline` a fault names the function of the source that it is in"}, {"Makefile", "for make"}},
	},
	{
		Name: "rust", Title: "Rust", Aliases: []string{"rs"}, Source: "src/lib.rs",
		Native: []string{
			"cargo build --release --target wasm32-unknown-unknown",
			"cp target/wasm32-unknown-unknown/release/policy.wasm NAME.wasm",
		},
		Files:   [][2]string{{"Cargo.toml", "for cargo"}, {".cargo/config.toml", "the stack, which is smaller than usual"}},
		Ignored: []string{"target"},
	},
	{
		Name: "zig", Title: "Zig", Source: "policy.zig",
		Native:  []string{"zig build", "cp zig-out/bin/policy.wasm NAME.wasm"},
		Files:   [][2]string{{"build.zig", "for zig build"}},
		Ignored: []string{".zig-cache", "zig-out"},
	},
	{
		Name: "go", Title: "Go", Aliases: []string{"golang"}, Source: "main.go",
		Native: []string{"GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-w -buildid=' -o NAME.wasm ."},
		Files:  [][2]string{{"go.mod", "for go, which finds the SDK by its replace directive"}},
		Foreign: "fmt, os, log and what imports them want files, which a policy has not: " +
			"want strconv for numbers, and the SDK's Log for a line in the log",
	},
	{
		Name: "assemblyscript", Title: "AssemblyScript", Aliases: []string{"as"}, Source: "policy.ts",
		Native:  []string{"npm install    # the compiler, once", "npm run build"},
		Files:   [][2]string{{"package.json", "for npm"}, {"asconfig.json", "the compiler's options"}, {"tsconfig.json", "for editors"}},
		Ignored: []string{"node_modules"},
	},
}

// Languages returns the names of all languages, in the order in which they are shown.
func Languages() []string {
	var names []string
	for _, l := range languages {
		names = append(names, l.Name)
	}
	return names
}

// FindLanguage returns the language of a name or an alias, in any case.
func FindLanguage(name string) (*Language, error) {
	known := Languages()
	for _, l := range languages {
		if strings.EqualFold(l.Name, name) || slices.Contains(l.Aliases, strings.ToLower(name)) {
			return l, nil
		}
	}
	switch strings.ToLower(name) {
	case "c++", "cpp", "cxx":
		return nil, fmt.Errorf("language %q: want %s; C's header is for C++ as well: begin with c", name, strings.Join(known, ", "))
	case "javascript", "js", "typescript", "ts":
		return nil, fmt.Errorf("language %q: want %s; assemblyscript is the nearest to it that compiles to WebAssembly", name, strings.Join(known, ", "))
	}
	return nil, fmt.Errorf("language %q: want %s%s", name, strings.Join(known, ", "), config.DidYouMean(name, known))
}
