// Package emulator builds the stand-in CUDA driver, a libcuda.so.1 for tests: it has the
// memory, streams, events, copy engines and sharing between processes of a GPU, without
// one, and notices what callers do wrong. README.md says what it does and on what grounds.
// Nothing outside tests uses it; it needs a C compiler and Linux.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// ErrNoCompiler is returned where there is no C compiler, or no Linux to compile for.
// Tests skip then, unless REQUIRE_TOOLS=1.
var ErrNoCompiler = errors.New("the stand-in CUDA driver needs Linux and a C compiler (cc, or the one that CC names)")

// Build builds the driver into dir, which has to exist, and returns its path: what
// OFFHOST_CUDA_LIB takes. Flags are added to the compiler's.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	return build(ctx, "driver", filepath.Join(dir, "libcuda.so.1"), flags)
}

// BuildSuite builds the conformance suite into dir and returns its path. It runs its
// cases on the driver that OFFHOST_CUDA_LIB names, the real one too.
func BuildSuite(ctx context.Context, dir string, flags ...string) (string, error) {
	return build(ctx, "suite", filepath.Join(dir, "emulator-suite"), flags)
}

func build(ctx context.Context, what, out string, flags []string) (string, error) {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	if _, err := exec.LookPath(compiler); err != nil || runtime.GOOS != "linux" {
		return "", ErrNoCompiler
	}
	script, err := find("build.sh")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{script, what, out}, flags...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the stand-in's %s: %w\n%s", what, err, output)
	}
	return out, nil
}

// find looks for a file of this package from the directory that the test of any package
// of the module runs in.
func find(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		file := filepath.Join(d, "cuda", "emulator", name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("cuda/emulator/%s is in no directory above %s: the stand-in is built within a checkout of offhost", name, dir)
		}
	}
}
