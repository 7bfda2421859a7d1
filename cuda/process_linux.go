package cuda

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Waiting for a process that was killed has an end: one that waits for a GPU that hangs
// cannot be.
const (
	patience = 20 * time.Second // that a worker may take to give everything back
	reaping  = 5 * time.Second  // that a killed one may take to be gone
)

// kill ends the worker at once.
func (p *process) kill() error {
	if p.conn != nil {
		p.conn.Close()
	}
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(err, p.await(reaping))
}

// exit is how the process ended; nil when it has not, or well.
func (p *process) exit() error {
	select {
	case <-p.gone:
		return p.err
	default:
		return nil
	}
}

// await waits until the process is gone.
func (p *process) await(most time.Duration) error {
	select {
	case <-p.gone:
		return nil
	case <-time.After(most):
		return fmt.Errorf("the worker (process %d) has not ended within %v: its GPU may hang", p.cmd.Process.Pid, most)
	}
}

// quit lets the worker end by itself, and ends it when it does not. The error is how it
// ended, if not well.
func (p *process) quit() error {
	p.conn.Close()
	if err := p.await(patience); err != nil {
		return errors.Join(err, p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("the worker ended with %w", p.err)
	}
	return nil
}

// begin starts a worker and has it introduced to its work, which ends with its first
// words. It is killed when that takes too long, or the context ends.
func begin(ctx context.Context, cfg *Config, introduce func(*process) error) (*process, *wire.Ready, error) {
	p, err := startProcess(cfg.Worker)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.StartTimeout, fmt.Errorf("the worker was not ready within %v", cfg.StartTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	var ready *wire.Ready
	if err = introduce(p); err == nil {
		ready, err = answer(p)
	}
	if !stop() { // it was killed
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.kill())
	}
	return p, ready, nil
}

// tell sends a message of the beginning. When the worker has ended, its own words say why.
func tell(p *process, m *wire.ToWorker, files ...*os.File) error {
	err := p.conn.Send(m, files...)
	if wire.Gone(err) {
		if _, why := answer(p); why != nil {
			return why
		}
	}
	return err
}

// answer waits for the worker's first words.
func answer(p *process) (*wire.Ready, error) {
	var m wire.FromWorker
	if _, err := p.conn.Receive(&m); err == io.EOF {
		if err := p.await(reaping); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("the worker ended before it was ready: %v", p.err)
	} else if err != nil {
		return nil, err
	}
	switch {
	case m.Ready != nil:
		return m.Ready, nil
	case m.Failed != nil:
		return nil, errors.New(m.Failed.Err)
	}
	return nil, errors.New("the worker speaks of other things before it is ready")
}
