package toolchain

import (
	"context"
	"path/filepath"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// findAssemblyScript takes the compiler that npm install put into the project, else asc.
func (s *System) findAssemblyScript(_ context.Context, p *scaffold.Project) (*Command, error) {
	install := []string{"npm install"} // package.json names it
	if p.Dir != "." {
		install[0] = "cd " + quote(p.Dir) + " && npm install"
	}
	var asc []string
	installed := s.Exists(filepath.Join(p.Dir, "node_modules", "assemblyscript"))
	switch {
	case installed && s.has("npx"):
		asc = []string{"npx", "--no-install", "asc"}
	case s.has("asc"):
		asc = []string{"asc"}
	case installed:
		return nil, missingf("the compiler for AssemblyScript is there, but no Node to run it: want npx")
	case s.has("npm"):
		return nil, insteadf(install, "no compiler for AssemblyScript was found: npm has not installed it yet")
	default:
		return nil, insteadf(append(s.packages(p.Language.Name), install...),
			"no compiler for AssemblyScript was found: want asc, or Node 20 and npm to install it")
	}
	return &Command{
		Args:   append(asc, "policy.ts", "--target", "release", "--outFile", built(p)),
		Output: built(p),
	}, nil
}
