package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "List the built-in policies, check a module of your own",
		Example: `  offhost policy list
  offhost policy check ./my.wasm`,
	}
	asGroup(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the built-in policies",
			Long: `Lists the built-in policies, a row for each: its name, the first digits of the
module's SHA-256, the module's size, and how it decides.`,
			Args: argCount(0, 0),
			RunE: func(*cobra.Command, []string) error { return a.listPolicies() },
		},
		&cobra.Command{
			Use:   "check FILE.wasm",
			Short: "Load a policy module and say what each step found",
			Long: `Loads a policy module as "offhost run" would and says what each step found: its
digest, its exports and their signatures, its imports, the counters that bound what
it may spend, compilation, start-up. A module that fails one is refused, and the exit
code is 1. The digest is what policy.sha256 in offhost.yaml, or --policy-sha256, pins.`,
			Example: `  offhost policy check ./my.wasm
  offhost policy check sticky-loop`,
			Args: argCount(1, 1),
			RunE: a.checkModule,
		},
	)
	return cmd
}

func (a *app) listPolicies() error {
	t := render.Table{Header: []string{"policy", "sha256", "size"}}
	for _, p := range policies.List() {
		sum := sha256.Sum256(p.Wasm)
		t.Rows = append(t.Rows, []string{p.Name, render.ShortDigest(hex.EncodeToString(sum[:])),
			units.Bytes(len(p.Wasm)).Decimal(), p.Summary})
	}
	return t.Write(a.stdout)
}

func (a *app) checkModule(cmd *cobra.Command, args []string) error {
	m, err := a.loadModule(args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s   %v\n", render.Name(m.name), units.Bytes(len(m.wasm)).Decimal())
	p, err := runtime.Load(cmd.Context(), m.wasm, runtime.Config{
		Name: m.name,
		OnStep: func(s runtime.Step) {
			found := s.Found
			if s.Err != nil {
				found = "refused"
			}
			fmt.Fprintf(a.stdout, "%-8s  %s\n", s.Name, render.Sentence(found))
		},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = fmt.Fprintln(a.stdout, "The module is ready to run.")
	return err
}

// loadModule returns the module that name means: a built-in policy, or a file when
// it has a path separator or ends in .wasm.
func (a *app) loadModule(name string) (module, error) {
	var names []string
	for _, p := range policies.List() {
		if p.Name == name {
			return module{name: p.Name, wasm: p.Wasm}, nil
		}
		names = append(names, p.Name)
	}
	if !isPath(name) && !strings.HasSuffix(name, ".wasm") {
		return module{}, usagef("policy %q: want a built-in (%s) or the path of a module, as in ./my.wasm%s",
			name, strings.Join(names, ", "), config.DidYouMean(name, names))
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return module{}, usagef("policy: %w", err)
	}
	if err != nil {
		return module{}, fmt.Errorf("policy: %w", err)
	}
	defer f.Close()
	wasm, err := io.ReadAll(io.LimitReader(f, runtime.DefaultModuleBytes+1))
	if err != nil {
		return module{}, fmt.Errorf("policy: %w", err)
	}
	if len(wasm) > runtime.DefaultModuleBytes {
		return module{}, fmt.Errorf("policy %s: larger than %v, want a WebAssembly module", name, units.Bytes(runtime.DefaultModuleBytes))
	}
	return module{name: filepath.Base(name), wasm: wasm}, nil
}

// loadSwaps returns the module of each swap; one that is named many times is read
// once.
func (a *app) loadSwaps(swaps []config.Swap) ([]module, error) {
	read := map[string]module{}
	var modules []module
	for _, s := range swaps {
		m, ok := read[s.Module]
		if !ok {
			var err error
			if m, err = a.loadModule(s.Module); err != nil {
				var usage *config.UsageError
				if errors.As(err, &usage) {
					return nil, fmt.Errorf("swap: %w", err)
				}
				m = module{name: s.Module, err: err} // the running policy stays
			}
			read[s.Module] = m
		}
		modules = append(modules, m)
	}
	return modules, nil
}

func isPath(name string) bool { return name != filepath.Base(name) }
