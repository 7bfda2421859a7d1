package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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
		stdin  string // a pipe that stays open after it
	}{
		{"while calls compute", os.Interrupt, "interrupt", []string{"flux-bf16", "--device", "shm", "--scale", "1/64"}, ""},
		{"while chunks move", os.Interrupt, "interrupt", []string{"flux-bf16", "--device", "shm", "--scale", "1/64", "--link", "20MB/s"}, ""},
		{"simulated", syscall.SIGTERM, "terminated", []string{"flux-bf16-blocks", "--requests", "1000000", "--budget", "12GB"}, ""},
		{"while the trace keeps it waiting", os.Interrupt, "interrupt", []string{"-"}, smallTrace(t)},
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
			if c.stdin != "" {
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(in, c.stdin); err != nil {
					t.Fatal(err)
				}
			}
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

// Whoever reads the output may have seen enough before the run ends, as head does.
func TestAClosedPipeLeavesAWholeJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "wan22-a14b-blocks", "--verbose", "--record", path)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || strings.Contains(errs.String(), "offhost:") || !strings.Contains(errs.String(), "up to here") {
		t.Errorf("%v, want exit code 1; standard error: %s", cmd.ProcessState, &errs)
	}
	left(t, dir, "journal")
	if r := (shell{}).report(t, path); r.Loads == 0 || !strings.Contains(r.EndedEarly, "broken pipe") {
		t.Errorf("%d loads, ended by %q", r.Loads, r.EndedEarly)
	}
}

// A build that is ended ends with all that it has started, though one of them hears no
// interrupt, and the module stays as it was.
func TestAnInterruptedBuildLeavesNothingBehind(t *testing.T) {
	sh := shell{dir: t.TempDir()}
	sh.succeeds(t, "policy", "new", "--lang", "c", "mine")
	writeFile(t, "before", sh.dir, "mine/mine.wasm")
	tools, started := t.TempDir(), filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	clang := `#!/bin/sh
case "$*" in
*-print-targets*) echo wasm32 ;;
*-print-prog-name*) echo /bin/sh ;;
*) sleep 120 > "` + started + `" 2>&1 & wait ;; # a shell lets what runs beside it ignore interrupts
esac
`
	if err := os.WriteFile(filepath.Join(tools, "clang"), []byte(clang), 0o700); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "policy", "build", "mine")
	cmd.Dir = sh.dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "PATH="+tools+":"+os.Getenv("PATH"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	runs, err := os.Open(started) // waits for whoever writes to it
	if err != nil {
		t.Fatal(err)
	}
	defer runs.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "terminated") {
		t.Errorf("exit code %d, want 1, and that it was ended: %s", code, &said)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(runs)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("what the compiler has started runs on")
	}
	if got := readFile(t, sh.dir, "mine/mine.wasm"); string(got) != "before" {
		t.Error("the module is another one")
	}
}

// silence is standard input from which nothing comes.
type silence struct{ asked chan struct{} }

func (s silence) Read([]byte) (int, error) {
	close(s.asked)
	select {}
}

func TestAnInterruptEndsWaitingForATrace(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo") // nobody writes to it, so that opening it waits
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", "-"}, {"trace", "check", "-"}, {"trace", "show", "-"},
		{"run", fifo}, {"trace", "check", fifo},
	} {
		t.Run(args[0]+" "+filepath.Base(args[1]), func(t *testing.T) {
			b := newWhole(t)
			in := silence{make(chan struct{})}
			b.stdin = in
			ctx, interrupt := context.WithCancelCause(t.Context())
			code := make(chan int)
			go func() { code <- b.main(ctx, args) }()
			if args[len(args)-1] != fifo {
				<-in.asked
			}
			interrupt(errors.New("interrupted here"))
			if got := <-code; got != 1 || !strings.Contains(b.errs.String(), "interrupted here") {
				t.Errorf("exit code %d, want 1; standard error: %s", got, &b.errs)
			}
		})
	}
}
