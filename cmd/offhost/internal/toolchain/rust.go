package toolchain

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

const (
	rustTarget = "wasm32-unknown-unknown"
	rustLinker = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER"
)

// findRust takes the cargo and rustc of the path if they have libraries for WebAssembly,
// else the system's own: rustup's, which come first as a rule, have them only if asked.
func (s *System) findRust(ctx context.Context, p *scaffold.Project) (*Command, error) {
	var why error
	for _, dir := range []string{"", "/usr/bin/"} {
		cargo, rustc := dir+"cargo", dir+"rustc"
		if !s.has(cargo) || !s.has(rustc) {
			continue
		}
		env, err := s.linkRust(ctx, p, rustc)
		if err != nil {
			if why == nil {
				why = err
			}
			continue
		}
		if dir != "" {
			env = append([]string{"RUSTC=" + rustc}, env...)
		}
		c := &Command{
			Env:    env,
			Args:   []string{cargo, "build", "--quiet", "--release", "--target", rustTarget, "--target-dir", "target"},
			Output: filepath.Join("target", rustTarget, "release", "policy.wasm"),
		}
		if why != nil {
			c.Instead = why.Error()
		}
		return c, nil
	}
	if why == nil {
		why = missingf("no compiler for Rust was found: want cargo and rustc, with the target %s", rustTarget)
	}
	return nil, why
}

// linkRust returns what has to be set so that the linker is found. rustup brings it;
// elsewhere it has to be that of the LLVM with which the libraries were made, or newer
// but for its file format.
func (s *System) linkRust(ctx context.Context, p *scaffold.Project, rustc string) ([]string, error) {
	root, err := s.Ask(ctx, p.Dir, rustc, "--print", "sysroot")
	if err != nil {
		return nil, missingf("%s does not run: %v", rustc, err)
	}
	said, err := s.Ask(ctx, p.Dir, rustc, "-vV")
	if err != nil {
		return nil, missingf("%s does not run: %v", rustc, err)
	}
	about := map[string]string{}
	for line := range strings.Lines(said) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		about[key] = value
	}
	if !s.Exists(filepath.Join(root, "lib", "rustlib", rustTarget)) {
		what := fmt.Sprintf("rustc %s has no libraries for WebAssembly, the target %s", about["release"], rustTarget)
		if s.has("rustup") {
			return nil, insteadf([]string{"rustup target add " + rustTarget}, "%s", what)
		}
		return nil, missingf("%s", what)
	}
	if s.Getenv(rustLinker) != "" || s.Exists(filepath.Join(root, "lib", "rustlib", about["host"], "bin", "rust-lld")) ||
		s.Exists(filepath.Join(root, "lib", "rustlib", about["host"], "bin", "rust-lld.exe")) {
		return nil, nil
	}
	major, _, _ := strings.Cut(about["LLVM version"], ".")
	for _, name := range []string{"wasm-ld-" + major, "wasm-ld"} {
		if s.has(name) {
			return []string{rustLinker + "=" + name}, nil
		}
	}
	what := fmt.Sprintf("rustc %s has no linker for WebAssembly: want wasm-ld of LLVM %s", about["release"], major)
	if s.family() == debian {
		return nil, insteadf([]string{"apt-get install lld-" + major}, "%s", what)
	}
	return nil, missingf("%s", what)
}
