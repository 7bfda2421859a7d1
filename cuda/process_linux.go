package cuda

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/offhost/offhost/cuda/internal/wire"
)

// process is a worker that runs.
type process struct {
	conn *wire.Conn
	cmd  *exec.Cmd
	// gone is closed when the process has ended; err says how then.
	gone chan struct{}
	err  error
}

// startProcess starts a worker. Its messages to people are the host's.
func startProcess(command func() (*exec.Cmd, error)) (*process, error) {
	cmd, err := command()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := wire.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	// Ctrl-C is for the host, which ends its worker when it has ended its work.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.gone)
	}()
	if p.conn, err = wire.NewConn(ours); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// kill ends the worker at once.
func (p *process) kill() error {
	if p.conn != nil {
		p.conn.Close()
	}
	err := p.cmd.Process.Kill()
	<-p.gone
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// patience is how long a worker may take to give everything back.
const patience = 20 * time.Second

// quit lets the worker end by itself, and ends it when it does not. The error is how it
// ended, if not well.
func (p *process) quit() error {
	p.conn.Close()
	select {
	case <-p.gone:
		if p.err != nil {
			return fmt.Errorf("the worker ended with %w", p.err)
		}
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("the worker did not end within %v", patience), p.kill())
	}
}
