package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, build, test, check, install and share policies",
		Example: `  offhost policy list
  offhost policy new --lang c my-policy             # then build, test
  offhost policy check my-policy/my-policy.wasm
  offhost policy install my-policy/my-policy.wasm   # from now on: offhost run --policy my-policy
  offhost policy push my-policy ghcr.io/me/my-policy:1.0   # prints the reference to pin
  offhost policy install oci://ghcr.io/me/my-policy@sha256:...`,
	}
	asGroup(cmd)
	check := &cobra.Command{
		Use:   "check MODULE",
		Short: "Load a policy module and say what each step found",
		Long: `Loads a policy module as "offhost run" would and says what each step found: its
digest, its exports and their signatures, its imports, the counters that bound what
it may spend, compilation, start-up. A module that fails one is refused, and the exit
code is 1. The digest is what policy.sha256 in offhost.yaml, or --policy-sha256, pins.

` + moduleHelp,
		Example: `  offhost policy check ./my.wasm
  offhost policy check sticky-loop`,
		Args: argCount(1, 1),
		RunE: a.checkModule,
	}
	config.AddPolicyFlags(check.Flags())
	cmd.AddCommand(a.policyNewCommand(), a.policyBuildCommand(), a.policyTestCommand())
	cmd.AddCommand(check, a.policyListCommand(), a.policyInspectCommand(), a.policyInstallCommand(), a.policyRemoveCommand(),
		a.policyPushCommand(), a.policyPullCommand())
	return cmd
}

// moduleHelp is for commands that take a policy.
const moduleHelp = `MODULE is the name of a policy, built in or installed (offhost policy list), the path of
a .wasm file, or oci://REGISTRY/NAME@sha256:DIGEST.`

func (a *app) checkModule(cmd *cobra.Command, args []string) error {
	m, limits, err := a.findModule(cmd, args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s   %v\n", render.Name(m.name), units.Bytes(len(m.wasm)).Decimal())
	p, err := runtime.Load(cmd.Context(), m.wasm, runtime.Config{
		Name:   m.name,
		Limits: limits,
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

// loadSwaps returns the module of each swap; one that is named many times is read
// once.
func (a *app) loadSwaps(ctx context.Context, from config.Sources, swaps []config.Swap) ([]module, error) {
	read := map[string]module{}
	var modules []module
	for _, s := range swaps {
		m, ok := read[s.Module]
		if !ok {
			var err error
			if m, err = a.loadModule(ctx, from, s.Module); err != nil {
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
