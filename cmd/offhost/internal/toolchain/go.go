package toolchain

import (
	"context"
	"fmt"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// oldestGo is the minor version of Go 1 from which on functions can be exported.
const oldestGo = 24

// findGo takes go. What it stamps into a module says nothing of where it was built.
func (s *System) findGo(ctx context.Context, p *scaffold.Project) (*Command, error) {
	if !s.has("go") {
		return nil, missingf("no Go was found: want go 1.%d or later", oldestGo)
	}
	said, err := s.Ask(ctx, p.Dir, "go", "version")
	if err != nil {
		return nil, missingf("go does not run: %v", err)
	}
	minor := 0
	if words := strings.Fields(said); len(words) > 2 && strings.HasPrefix(words[2], "go1.") {
		if _, err := fmt.Sscanf(words[2], "go1.%d", &minor); err != nil || minor < oldestGo {
			return nil, missingf("go is %s: want go1.%d or later", words[2], oldestGo)
		}
	}
	env := []string{"GOOS=wasip1", "GOARCH=wasm"}
	if work, err := s.Ask(ctx, p.Dir, "go", "env", "GOWORK"); err == nil && work != "" && work != "off" {
		env = append(env, "GOWORK=off") // a workspace around the project has no room for it
	}
	return &Command{
		Env:    env,
		Args:   []string{"go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w -buildid=", "-o", built(p), "."},
		Output: built(p),
	}, nil
}
