// Package toolchain finds the compiler that a policy's project is built with, and says
// which command builds it; where there is none it says what to install on this system.
// It runs compilers only to ask them what they are. Each language has a file here, and
// advice.go has what every system calls their packages.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
)

// A Command builds a project's module. It is run in the project's folder, without a
// shell.
type Command struct {
	Env    []string // KEY=value, beside the environment
	Args   []string // the program and its arguments
	Output string   // where the module is then, by path in the project's folder
	// Instead says what is wrong with another compiler, which comes first; empty if none does.
	Instead string
}

// String is the command as one would type it.
func (c *Command) String() string {
	var words []string
	for _, e := range c.Env {
		key, value, _ := strings.Cut(e, "=")
		words = append(words, key+"="+quote(value))
	}
	for _, a := range c.Args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

// quote writes a word as a shell reads it; of a flag with a value, only the value is
// quoted.
func quote(s string) string {
	flag, value, ok := strings.Cut(s, "=")
	switch {
	case plain(s):
		return s
	case ok && strings.HasPrefix(s, "-") && plain(flag):
		return flag + "=" + quoted(value)
	}
	return quoted(s)
}

func plain(s string) bool {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	return s != "" && strings.Trim(s, safe) == ""
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Missing says that no toolchain for a language was found, and how to get one.
type Missing struct {
	What    string   // what there is instead, or that there is nothing
	System  string   // how this system calls itself
	Install []string // commands to run; a line that is none begins with #
}

func (m *Missing) Error() string { return m.What }

// Advice are the lines that belong below the error.
func (m *Missing) Advice() []string {
	lines := []string{"On " + m.System + " this installs what is missing:"}
	for _, command := range m.Install {
		lines = append(lines, "    "+command)
	}
	return lines
}

// A System is what toolchains are looked for on.
type System struct {
	OS      string // as runtime.GOOS
	Root    bool   // packages can be installed as it is
	Release []byte // of /etc/os-release; nil if there is none
	// Look finds a program by name, as exec.LookPath does.
	Look func(name string) (string, error)
	// Ask runs a program in a folder and returns what it writes to standard output.
	Ask func(ctx context.Context, dir string, args ...string) (string, error)
	// Exists reports whether there is something at a path.
	Exists func(path string) bool
	Getenv func(string) string
}

// This is the system that the program runs on.
func This() *System {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		release = nil
	}
	return &System{
		OS: runtime.GOOS, Root: os.Geteuid() == 0, Release: release,
		Look: exec.LookPath, Ask: ask, Getenv: os.Getenv,
		Exists: func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		},
	}
}

// askTime is far more than saying a version takes.
const askTime = 30 * time.Second

func ask(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	// A question about the toolchain that is here must not fetch another one.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "RUSTUP_AUTO_INSTALL=0")
	said, err := cmd.Output()
	return strings.TrimSpace(string(said)), err
}

// Find returns the command that builds a project. The error is a *Missing if there is no
// toolchain that does.
func (s *System) Find(ctx context.Context, p *scaffold.Project) (*Command, error) {
	find, ok := map[string]func(*System, context.Context, *scaffold.Project) (*Command, error){
		"c": (*System).findC, "rust": (*System).findRust, "zig": (*System).findZig, "go": (*System).findGo,
		"assemblyscript": (*System).findAssemblyScript,
	}[p.Language.Name]
	if !ok {
		return nil, fmt.Errorf("nothing is known of how %s is built", p.Language.Title)
	}
	c, err := find(s, ctx, p)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	var missing *Missing
	if errors.As(err, &missing) {
		missing.System, missing.Install = s.advice(p.Language.Name, missing.Install)
	}
	return c, err
}

// has reports whether there is a program of a name.
func (s *System) has(name string) bool {
	_, err := s.Look(name)
	return err == nil
}

// built is where compilers that are told leave the module, for it to be looked at before
// it takes the place of the one before.
func built(p *scaffold.Project) string { return filepath.Join(BuildFolder, p.Name+".wasm") }

// BuildFolder is the folder in a project's that the module is built in.
const BuildFolder = "build"

func missingf(format string, args ...any) error {
	return &Missing{What: fmt.Sprintf(format, args...)}
}

// insteadf is missingf with commands that fit better than those for the whole toolchain.
func insteadf(install []string, format string, args ...any) error {
	return &Missing{What: fmt.Sprintf(format, args...), Install: install}
}
