// Package policies holds the policies that come with offhost, compiled to
// WebAssembly: the source of each lies beside its module, with a README that says
// how it decides. Nothing runs here; the command line looks a policy up by name and
// hands its bytes to the policy runtime, which trusts them no more than any other
// module.
package policies

import (
	_ "embed"
	"slices"
)

//go:generate ./build.sh

var (
	//go:embed stickyloop/sticky_loop.wasm
	stickyLoop []byte
	//go:embed lru/lru.wasm
	lru []byte
)

// A Builtin is a policy that is part of the program.
type Builtin struct {
	Name    string
	Wasm    []byte // shared by all callers, not to be changed
	Summary string // one sentence for a list of policies
}

var builtins = []Builtin{
	{"sticky-loop", stickyLoop, "finds loops and remembers the order of calls; evicts what it expects last, in parts"},
	{"lru", lru, "evicts what was used least recently, in parts; the control to compare with"},
}

// List returns the built-in policies, the default first.
func List() []Builtin {
	return slices.Clone(builtins)
}

// Get returns the built-in policy of that name.
func Get(name string) (Builtin, bool) {
	for _, b := range builtins {
		if b.Name == name {
			return b, true
		}
	}
	return Builtin{}, false
}
