package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// openTrace returns an opener of the trace that name means: - is standard input,
// then come shipped traces, then files. Pipes are read once.
func (a *app) openTrace(name string) (trace.Opener, error) {
	if name == "-" {
		return trace.Once(a.stdin), nil
	}
	if slices.Contains(library.Names(), name) {
		return library.Open(name)
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isPath(name):
		return nil, usagef("trace %q: neither a shipped trace (%s) nor a file%s",
			name, strings.Join(library.Names(), ", "), config.DidYouMean(name, library.Names()))
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("trace: %w", err)
	case err != nil:
		return nil, fmt.Errorf("trace: %w", err)
	case info.IsDir():
		return nil, usagef("trace %q is a directory, want a file", name)
	case info.Mode().IsRegular():
		return func() (io.ReadCloser, error) { return os.Open(name) }, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return trace.Once(f), nil // closed when the program ends
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
func readAll(open trace.Opener) (*survey, error) {
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
