//go:build !unix

package main

import "os/exec"

// together leaves a command as it is: killed when it is cancelled, and alone. An interrupt
// from the console comes to all that it has started, too.
func together(*exec.Cmd) (kill func()) { return func() {} }
