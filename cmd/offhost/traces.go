package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// An input is what a name means: a trace, or the journal of a run.
type input struct {
	open    trace.Opener
	journal bool
}

// openInput finds what name means: - is standard input, then come shipped traces, then
// files. Pipes are read once, and until the context ends.
func (a *app) openInput(ctx context.Context, name string) (input, error) {
	if name == "-" {
		return piped(awaited(ctx, func() (io.Reader, error) { return a.stdin, nil })), nil
	}
	if slices.Contains(library.Names(), name) {
		open, err := library.Open(name)
		return input{open: open}, err
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isPath(name):
		return input{}, usagef("trace %q: neither a shipped trace (%s) nor a file%s",
			name, strings.Join(library.Names(), ", "), config.DidYouMean(name, library.Names()))
	case errors.Is(err, fs.ErrNotExist):
		return input{}, usagef("trace: %w", err)
	case err != nil:
		return input{}, fmt.Errorf("trace: %w", err)
	case info.IsDir():
		return input{}, usagef("trace %q is a directory, want a file", name)
	}
	if !info.Mode().IsRegular() { // opening it may wait for who writes; closed when the program ends
		return piped(awaited(ctx, func() (io.Reader, error) { return os.Open(name) })), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return input{}, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	return input{
		open:    func() (io.ReadCloser, error) { return os.Open(name) },
		journal: piped(f).journal,
	}, nil
}

// enough is how much of a journal tells that it is one.
const enough = 32

func piped(r io.Reader) input {
	b := bufio.NewReader(r)
	first, _ := b.Peek(enough) // what is wrong with it shows when it is read
	return input{open: trace.Once(b), journal: journal.Sniff(first)}
}

// awaited reads what may have to be waited for, such as a pipe or a terminal, until the
// context ends; reading then fails with its cause. Nothing can wake up a read of a terminal:
// it is left behind, for the end of the program.
func awaited(ctx context.Context, open func() (io.Reader, error)) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		r, err := open()
		if err == nil {
			_, err = io.Copy(in, r)
		}
		in.CloseWithError(err) // nil is the end
	}()
	return out
}

// openTrace is openInput for those who want a trace.
func (a *app) openTrace(ctx context.Context, name string) (trace.Opener, error) {
	in, err := a.openInput(ctx, name)
	if err == nil && in.journal {
		err = usagef("%s is the journal of a run, want a trace: \"offhost run %s\" feeds it back", render.Name(name), render.Name(name))
	}
	return in.open, err
}

// A survey is a trace's header and how much follows it.
type survey struct {
	*trace.Header
	requests, calls int64
}

// size returns the weights of all components together.
func (s *survey) size() units.Bytes {
	var sum units.Bytes
	for _, c := range s.Components {
		sum += c.Bytes
	}
	return sum
}

// readAll reads a trace to its end, which checks it.
func readAll(ctx context.Context, open trace.Opener) (*survey, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reader, err := trace.NewReader(f)
	if err != nil {
		return nil, err
	}
	s := &survey{Header: reader.Header()}
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var r trace.Record
		err := reader.Next(&r)
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		switch r.Kind {
		case trace.Begin:
			s.requests++
		case trace.Call, trace.Enter:
			s.calls++
		}
	}
}
