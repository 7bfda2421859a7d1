package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
	"github.com/offhost/offhost/cmd/offhost/internal/toolchain"
	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

func (a *app) policyBuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build [FOLDER]",
		Short: "Build a policy's project and see whether it will run",
		Long: `Builds the project in FOLDER, by default this one, and writes FOLDER/NAME.wasm, where NAME
and the language are what FOLDER/policy.yaml says. The command that does it is shown as one
would type it in the folder, without a shell between; what the compiler says is shown as it
is. When there is no compiler, it says what to install on this system.

  c               clang with its flags from compile_flags.txt; any that has wasm32 and wasm-ld
  rust            cargo, with rustup's target wasm32-unknown-unknown or the system's
  zig             zig build, with Zig 0.15, or python3 -m ziglang
  go              go build for wasip1, with Go 1.24 or later
  assemblyscript  asc as npm install has put it into the folder, else asc

What comes of it is loaded as "offhost run" would, within the limits of the same settings. If
it fails at that, or does not compile, the module that was there before stays as it is, and the
exit code is 1. The same sources and compiler give the same bytes in any folder.

Building may run code of the project's (build.rs, build.zig, what npm installed) with your
rights: look at a folder from elsewhere first, or take the module that its author built.`,
		Example: `  offhost policy build my-policy
  cd my-policy && offhost policy build`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			limits, _, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
			if err != nil {
				return err
			}
			p, err := openProject(append(args, ".")[0])
			if err != nil {
				return err
			}
			return a.buildPolicy(cmd.Context(), p, policyLimits(limits), toolchain.This())
		},
	}
	config.AddLimitFlags(cmd.Flags())
	return cmd
}

// openProject reads what a folder says of itself.
func openProject(dir string) (*scaffold.Project, error) {
	p, err := scaffold.Open(filepath.Clean(dir))
	info, missing := os.Stat(dir)
	switch {
	case err == nil:
		return p, nil
	case errors.Is(missing, fs.ErrNotExist):
		return nil, usagef("%s is not there: want the folder of a policy, as \"offhost policy new\" writes it", render.Name(dir))
	case missing == nil && !info.IsDir():
		return nil, usagef("%s is no folder: want that of a policy, with its %s", render.Name(dir), scaffold.ManifestName)
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("%s has no %s: want the folder of a policy, as \"offhost policy new\" writes it", render.Name(dir), scaffold.ManifestName)
	}
	return nil, fmt.Errorf("policy: %w", err)
}

// buildPolicy builds a project's module, loads it within limits, and puts it in its place.
func (a *app) buildPolicy(ctx context.Context, p *scaffold.Project, limits runtime.Limits, system *toolchain.System) error {
	command, err := system.Find(ctx, p)
	if err != nil {
		return err
	}
	output := filepath.Join(p.Dir, command.Output)
	if filepath.Dir(command.Output) == toolchain.BuildFolder { // no other is offhost's to make
		if err := os.MkdirAll(filepath.Dir(output), 0o777); err != nil {
			return err
		}
	}
	if err := os.Remove(output); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // a module of an earlier build would be taken for this one's
	}
	prompt := ""
	if p.Dir != "." {
		prompt = render.Name(p.Dir)
	}
	if command.Instead != "" {
		fmt.Fprintf(a.stderr, "%s: using %s\n", render.Sentence(command.Instead), render.Name(command.Args[0]))
	}
	fmt.Fprintf(a.stderr, "%s$ %v\n", prompt, command)
	if err := a.compile(ctx, p.Dir, command); err != nil {
		return fmt.Errorf("%s: %w; %s", command.Args[0], err, asItWas(p))
	}
	built, err := readAtMost(output, runtime.DefaultModuleBytes)
	if err != nil {
		return fmt.Errorf("%s has succeeded and left no module: %v", command.Args[0], err) // the command was not used wrongly
	}
	found := map[string]string{}
	loaded, err := runtime.Load(ctx, built, runtime.Config{Name: p.Name, Limits: limits, OnStep: func(s runtime.Step) { found[s.Name] = s.Found }})
	if errors.Is(err, runtime.ErrImport) && p.Language.Foreign != "" {
		err = fmt.Errorf("%w: %s", err, p.Language.Foreign)
	}
	if err != nil {
		return fmt.Errorf("%w; %s", err, asItWas(p))
	}
	if err := loaded.Close(); err != nil {
		return err
	}
	if err := wholefile.Write(p.Module(), built); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s   %v\ndigest    %s\nimports   %s\n", render.Name(p.Module()), units.Bytes(len(built)).Decimal(),
		render.Sentence(found["digest"]), render.Sentence(found["imports"]))
	return err
}

// asItWas ends the error of a build.
func asItWas(p *scaffold.Project) string {
	if _, err := os.Stat(p.Module()); err != nil {
		return "nothing was written"
	}
	return fmt.Sprintf("%s is as it was", render.Name(p.Module()))
}

// compile runs a command in a folder. What it says goes where errors go, and nothing of it
// is changed.
func (a *app) compile(ctx context.Context, dir string, command *toolchain.Command) error {
	cmd := exec.CommandContext(ctx, command.Args[0], command.Args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), command.Env...)
	cmd.Stdout, cmd.Stderr = a.stderr, a.stderr
	kill := together(cmd)
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		if cmd.Process != nil {
			kill()
		}
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.String()) // its exit code is not this program's
	}
	return err
}
