// Command offhost replays call sequences of AI pipelines through an offload policy
// and shows what moved between host and device memory, and why.
//
// Package main reads arguments and configuration, opens what they name, and prints
// what comes back: reports and lists on standard output, logs and errors on
// standard error. A file here holds one command (run.go, trace.go, bench.go, doctor.go,
// version.go; policy.go and policy_*.go) or one thing that they share, such as module.go,
// which finds the module that a policy's name means. A run takes one of two ways:
// replay.go runs the records of source.go on the device of stage.go, whose weights are
// hostweights.go's, and may write the journal of record.go; feedback.go feeds one back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends the program where it is
	// Output that nobody reads any more is an error of the write instead, so that a journal
	// is finished. It is not ignored: what this program starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := newApp(os.Stdin, os.Stdout, os.Stderr).main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// Exit codes. An error may bring its own by a method ExitCode, and lines that help by a
// method Advice.
const (
	exitOK     = 0
	exitFailed = 1
)

// An app is what the commands share. Tests put a stand-in for replay.
type app struct {
	stdin  io.Reader
	stdout *outlet
	stderr io.Writer
	dir    string // where offhost.yaml is looked for
	log    *slog.Logger

	replay func(context.Context, request) (*report.Report, error)
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: stdin, stdout: &outlet{Writer: stdout}, stderr: stderr,
		dir:    ".",
		log:    slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: dropTime})),
		replay: replayTrace,
	}
}

// An outlet is where output goes, and knows when nobody reads it any more.
type outlet struct {
	io.Writer
	closed bool
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.closed = o.closed || errors.Is(err, syscall.EPIPE)
	return n, err
}

// dropTime keeps log lines the same from run to run; time in offhost is the
// device's, and a record that needs it says it.
func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// main runs one command line and returns its exit code.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if a.stdout.closed && errors.Is(err, syscall.EPIPE) {
		return exitFailed // as whoever has read enough of it knows
	}
	if errors.Is(err, cuda.ErrTold) {
		return exitFailed // a worker's host says it once
	}
	fmt.Fprintf(a.stderr, "offhost: %s\n", render.Sentence(err.Error()))
	var advised interface{ Advice() []string }
	if errors.As(err, &advised) {
		for _, line := range advised.Advice() {
			fmt.Fprintln(a.stderr, render.Sentence(line))
		}
	}
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) {
		return exitFailed
	}
	fmt.Fprintf(a.stderr, "'%s --help' shows what is possible.\n", cmd.CommandPath())
	return coded.ExitCode()
}
