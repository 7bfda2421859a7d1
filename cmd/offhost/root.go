package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
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
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.runCommand(), a.policyCommand(), a.traceCommand(), a.benchCommand(), a.doctorCommand(), a.versionCommand(), workerCommand())
	checkCobras(root)
	return root
}

// checkCobras makes the commands that cobra adds refuse what they do not know, as the others
// do: help would show the root's, and completion its own.
func checkCobras(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				of, rest, err := root.Find(args)
				if err != nil || len(rest) == 0 {
					return err
				}
				return unknownCommand(of, rest[0])
			}
		case "completion":
			asGroup(cmd)
			for _, shell := range cmd.Commands() {
				shell.Args = argCount(0, 0)
			}
		}
	}
}

// asGroup makes cmd, which only holds other commands, print its help, and refuse a
// command that it does not have.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// unknownCommand says that of has no such command.
func unknownCommand(of *cobra.Command, name string) error {
	var names []string
	for _, c := range of.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef("unknown command %q for %q%s", name, of.CommandPath(), config.DidYouMean(name, names))
}

// flagError says of a flag that cannot be what would be right.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		})
		return usagef("%w%s", err, config.DidYouMean("--"+unknown.GetSpecifiedName(), names))
	case errors.As(err, &invalid):
		if want := wanted(invalid.GetFlag().Value.Type()); want != "" {
			return usagef("--%s: %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
		}
	}
	return &config.UsageError{Err: err}
}

// wanted is what flags of a type of pflag's own want, empty for others, which say it
// themselves.
func wanted(kind string) string {
	switch kind {
	case "int", "int64":
		return "a whole number"
	case "uint", "uint32", "uint64":
		return "a whole number, not below 0"
	case "bool":
		return "true or false"
	case "duration":
		return "a duration, as 30s or 2m"
	}
	return ""
}

// argCount refuses another number of arguments than low to high.
func argCount(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < low || n > high {
			return usagef("%s, want it as in: %s", render.Count(int64(n), "argument"), cmd.UseLine())
		}
		return nil
	}
}

func usagef(format string, args ...any) error {
	return &config.UsageError{Err: fmt.Errorf(format, args...)}
}
