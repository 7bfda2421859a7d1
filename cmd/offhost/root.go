package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "offhost",
		Short: "Replay AI pipelines through an offload policy and see what moves",
		Long: `offhost decides which components of a diffusion or LLM pipeline stay in GPU memory.
The decision is made by a policy, a small WebAssembly module; the host checks it,
carries it out and explains it.`,
		Example: `  offhost run                                   replay FLUX on a simulated 24 GiB card
  offhost run flux-bf16 --gpu rtx4090           another trace, another card
  offhost run --policy ./my.wasm --verbose      your own policy, each movement explained
  offhost run --device shm --scale 1/64         real bytes, in host memory
  offhost policy install ./my.wasm              keep a policy, to be run by its name
  offhost trace list                            what else there is to replay
  offhost doctor                                what this machine offers`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	asGroup(root)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &config.UsageError{Err: err} })
	root.AddCommand(a.runCommand(), a.policyCommand(), a.traceCommand(), a.benchCommand(), a.doctorCommand(), a.versionCommand(), workerCommand())
	return root
}

// asGroup makes cmd, which only holds other commands, print its help, and refuse a
// command that it does not have.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return usagef("unknown command %q for %q%s", args[0], cmd.CommandPath(), config.DidYouMean(args[0], names))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// argCount refuses another number of arguments than low to high.
func argCount(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < low || n > high {
			return usagef("%d arguments, want it as in: %s", n, cmd.UseLine())
		}
		return nil
	}
}

func usagef(format string, args ...any) error {
	return &config.UsageError{Err: fmt.Errorf(format, args...)}
}
