package toolchain

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// The SDK and build.zig are written for this minor version of Zig 0 and what follows it.
const oldestZig = 15

// findZig takes zig, or the one that PyPI's ziglang has.
func (s *System) findZig(ctx context.Context, p *scaffold.Project) (*Command, error) {
	why := missingf("no compiler for Zig was found: want zig 0.%d, or PyPI's ziglang", oldestZig)
	for _, zig := range [][]string{{"zig"}, {"python3", "-m", "ziglang"}, {"python", "-m", "ziglang"}} {
		if !s.has(zig[0]) {
			continue
		}
		version, err := s.Ask(ctx, p.Dir, append(zig, "version")...)
		if err != nil {
			continue // a Python without it
		}
		if minor := 0; strings.HasPrefix(version, "0.") {
			if _, err := fmt.Sscanf(version, "0.%d", &minor); err != nil || minor < oldestZig {
				why = missingf("%s is %s: want 0.%d", strings.Join(zig, " "), version, oldestZig)
				continue
			}
		}
		return &Command{
			Args:   append(zig, "build"),
			Output: filepath.Join("zig-out", "bin", "policy.wasm"),
		}, nil
	}
	return nil, why
}
