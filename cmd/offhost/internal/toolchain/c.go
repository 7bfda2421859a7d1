package toolchain

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// Versions of clang that may have names of their own, as clang-19; before 11 it cannot
// be asked which targets it has.
const (
	newestClang = 40
	oldestClang = 11
)

// findC takes the first clang that compiles for WebAssembly and has the linker beside it.
// Apple's has neither.
func (s *System) findC(ctx context.Context, p *scaffold.Project) (*Command, error) {
	names := []string{"clang"}
	if s.OS == "darwin" { // where Homebrew keeps one that it does not put on the path
		names = append(names, "/opt/homebrew/opt/llvm/bin/clang", "/usr/local/opt/llvm/bin/clang")
	}
	for v := newestClang; v >= oldestClang; v-- {
		names = append(names, fmt.Sprintf("clang-%d", v))
	}
	why := fmt.Errorf("no compiler for C was found: want clang, or clang-N as clang-19, and wasm-ld of the same version")
	for _, name := range names {
		if !s.has(name) {
			continue
		}
		targets, err := s.Ask(ctx, p.Dir, name, "-print-targets")
		if err != nil || !strings.Contains(targets, "wasm32") {
			why = fmt.Errorf("%s does not compile for WebAssembly", name)
			continue
		}
		args := []string{name, "@compile_flags.txt"}
		linker, err := s.Ask(ctx, p.Dir, name, "--target=wasm32", "-print-prog-name=wasm-ld")
		if err != nil || !(filepath.IsAbs(linker) && s.Exists(linker)) && !s.has("wasm-ld") {
			why = fmt.Errorf("%s has no linker for WebAssembly, wasm-ld, beside it", name)
			version, numbered := strings.CutPrefix(name, "clang-")
			if !numbered {
				continue
			}
			path, err := s.Look("wasm-ld-" + version) // before 15 Debian's does not look for it
			if err != nil {
				if s.family() == debian {
					return nil, insteadf([]string{"apt-get install lld-" + version}, "%v", why)
				}
				continue
			}
			args = append(args, "-fuse-ld="+path)
		}
		return &Command{Args: append(args, "-o", built(p), "policy.c"), Output: built(p)}, nil
	}
	return nil, missingf("%v", why)
}
