//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// together lets a command be cancelled with all that it has started: cargo and npx do not pass
// a signal on, and what loops in a build script would loop for ever. Ctrl-C, too, then comes
// to them from here alone. kill ends what is left of them once the command has ended.
func together(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	return func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // as a rule none is left
}
