// Package library holds the traces that offhost ships: call sequences of public
// diffusion pipelines, with sizes and times from public sources (each trace's
// source records name them, weak ones marked). They are made by the program in
// gen and are kept as text, so that a change shows in review.
//
// It is for the command line, benchmarks and tests that want a trace by name. It
// reads no files of users.
package library

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/offhost/offhost/host/trace"
)

//go:generate go run ./gen

//go:embed *.jsonl
var files embed.FS

const suffix = ".jsonl"

// Default is the trace that is replayed when none is named.
const Default = "flux-img2img-8bit"

// Names returns the names of the shipped traces, sorted. Each is the name in its
// trace's header too.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // an embedded directory reads
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), suffix)
	}
	slices.Sort(names)
	return names
}

// Open returns an opener of a shipped trace.
func Open(name string) (trace.Opener, error) {
	text, err := files.ReadFile(name + suffix)
	if err != nil {
		return nil, fmt.Errorf("no shipped trace is called %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, nil
}
