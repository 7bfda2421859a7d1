package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/meter"
)

// A recorder is the file that a run's journal is written to; nil is none.
type recorder struct {
	path string
	file *wholefile.File
	to   replay.Recording
}

// openRecording begins the file that a request wants a journal in, if it wants one.
func openRecording(r *request, limits runtime.Config) (*recorder, error) {
	if r.Record == "" {
		return nil, nil
	}
	if same(r.Record, r.Trace) {
		return nil, usagef("--record: %s is what is being run: want another file", render.Name(r.Record))
	}
	if err := checkReplaced(r.Record); err != nil {
		return nil, err
	}
	file, err := wholefile.Create(r.Record)
	if err != nil {
		err = fmt.Errorf("--record: %w", err)
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		return nil, &config.UsageError{Err: err}
	}
	return &recorder{path: r.Record, file: file, to: replay.Recording{To: file, Offhost: version(), Limits: limitsOf(limits)}}, nil
}

// checkReplaced refuses to put a journal in the place of a file that is another's. What
// is empty or no regular file is left to others to judge.
func checkReplaced(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	defer f.Close()
	if !piped(f).journal {
		return usagef("--record: %s is there and no journal: want another name, or remove it", render.Name(path))
	}
	return nil
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func (r *recorder) recording() *replay.Recording {
	if r == nil {
		return nil
	}
	return &r.to
}

// close puts a journal that is whole in its place, and leaves nothing otherwise.
func (r *recorder) close(failed bool, log *slog.Logger) error {
	if r == nil {
		return nil
	}
	if !r.to.Whole() {
		return r.file.Discard()
	}
	if err := r.file.Commit(); err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	if failed {
		log.Info("the journal has the run up to here", "file", r.path)
	}
	return nil
}

// limitsOf are the limits in force when policies are loaded so: what decides does not
// depend on another version's defaults.
func limitsOf(c runtime.Config) journal.Limits {
	return journal.Limits{
		Fuel: c.Limits.Fuel, Refill: min(c.Limits.Refill, c.Limits.Fuel), StartFuel: c.Limits.StartFuel,
		StackBytes: meter.DefaultStackBytes, MemoryPages: c.Limits.MemoryPages, LogBytes: runtime.DefaultLogBytes,
		MaxPayload: uint32(max(c.MaxPayload, abi.MinPayload)), Seed: c.Seed,
	}
}

// configOf loads policies under a journal's limits.
func configOf(l journal.Limits) runtime.Config {
	return runtime.Config{
		Limits: runtime.Limits{Fuel: l.Fuel, Refill: l.Refill, StartFuel: l.StartFuel, StackBytes: l.StackBytes,
			MemoryPages: l.MemoryPages, LogBytes: int(l.LogBytes)},
		MaxPayload: int(l.MaxPayload), Seed: l.Seed, Interpreter: l.Interpreter,
	}
}
