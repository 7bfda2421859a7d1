package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, build, test, check, install and share policies",
		Example: `  offhost policy list
  offhost policy new --lang c my-policy             # then build, test
  offhost policy check my-policy/my-policy.wasm     # then bench
  offhost policy install my-policy/my-policy.wasm   # from now on: offhost run --policy my-policy
  offhost policy push my-policy ghcr.io/me/my-policy:1.0   # prints the reference to pin
  offhost policy install oci://ghcr.io/me/my-policy@sha256:...`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.policyNewCommand(), a.policyBuildCommand(), a.policyTestCommand(), a.checkCommand(), a.policyBenchCommand())
	cmd.AddCommand(a.policyListCommand(), a.policyInspectCommand(), a.policyInstallCommand(), a.policyRemoveCommand(),
		a.policyPushCommand(), a.policyPullCommand())
	return cmd
}

// moduleHelp is for commands that take a policy.
const moduleHelp = `MODULE is the name of a policy, built in or installed (offhost policy list), the path of
a .wasm file, a project's folder, by default this one, or oci://REGISTRY/NAME@sha256:DIGEST.`

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
