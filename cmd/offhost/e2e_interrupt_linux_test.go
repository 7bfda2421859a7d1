package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An interrupted run ends at once, whatever its device is busy with, and its journal is
// whole up to there.
func TestAnInterruptedRunLeavesAWholeJournal(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal os.Signal
		says   string
		args   []string
	}{
		{"while calls compute", os.Interrupt, "interrupt", []string{"flux-bf16", "--device", "shm", "--scale", "1/64"}},
		{"while chunks move", os.Interrupt, "interrupt", []string{"flux-bf16", "--device", "shm", "--scale", "1/64", "--link", "20MB/s"}},
		{"simulated", syscall.SIGTERM, "terminated", []string{"flux-bf16-blocks", "--requests", "1000000", "--budget", "12GB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "journal")
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, append([]string{"run", "--verbose", "--format", "json", "--record", path}, c.args...)...)
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), asCommand+"=1")
			var out bytes.Buffer
			cmd.Stdout = &out
			errs, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(errs)
			for { // until something has moved
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("it ended before it moved anything: %v", err)
				}
				if strings.Contains(line, "  load  ") {
					break
				}
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the journal is there before it is whole: %v", err)
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Signal(syscall.SIGQUIT) })
			defer stuck.Stop()
			rest, _ := io.ReadAll(lines)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(rest), c.says) || out.Len() > 0 {
				t.Errorf("exit code %d, want 1; standard output %q, standard error ends:\n%s", code, &out, rest[max(0, len(rest)-1000):])
			}
			left(t, dir, "journal")
			r := shell{}.report(t, path)
			if r.Loads == 0 || !strings.HasPrefix(r.EndedEarly, c.says) {
				t.Errorf("%d loads, ended by %q", r.Loads, r.EndedEarly)
			}
		})
	}
}
