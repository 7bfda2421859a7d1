// Package shm is the device that moves real bytes without a GPU: its memory is host
// memory, in chunks that are allocated up to a budget, mapped at the addresses of the
// components that they belong to, and released again.
//
// A component has one address range for life, of which only the chunks that are on the
// device can be read: loading maps a chunk there and copies the weights in, eviction
// takes it away. It is the same protocol that CUDA's virtual memory management offers,
// so what works here is the model for a GPU. Copies of each direction, releases and
// compute have goroutines of their own; each ends in a completion.
//
// Nobody has to trust the bytes: with Verify each chunk is read back from the device
// after it was loaded and compared, by checksum, with its source, and Compute reads every
// byte of the component that a call uses. What is wrong is an error that names the place.
//
// It does not decide anything, holds no weights (package host/weights does, as a Source)
// and speaks to no other process. A replay drives it through host.Driver; package
// host/enginetest puts it through random worlds, host/link measures it. It needs Linux.
package shm

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// Limits.
const (
	// maxWorkers bounds the goroutines that share a copy: a few cores saturate a
	// machine's memory, and the rest belongs to what computes.
	maxWorkers = 64
	// maxChunks bounds the chunks of all components together, each of which costs some
	// hundred bytes of books.
	maxChunks = 1 << 20
)

// Stride is the distance between the bytes of a chunk that Compute changes, from the
// chunk's first on, in a component that is not read-only: each grows by one. So every
// page is written to, and a test can tell how often a chunk was used.
const Stride = 4096

// A Source holds the weights of one component in host memory, or in a file.
type Source interface {
	// Span is where n bytes from off lie in host memory, nil when any of them is in a
	// file only. It is written to when a changed component is copied back.
	Span(off, n int64) []byte
	// ReadAt reads bytes wherever they lie, all of p or an error.
	ReadAt(p []byte, off int64) (int, error)
}

// Memory is a Source whose weights are in a slice.
type Memory []byte

// Span implements Source.
func (m Memory) Span(off, n int64) []byte { return m[off : off+n : off+n] }

// ReadAt implements Source.
func (m Memory) ReadAt(p []byte, off int64) (int, error) {
	if n := copy(p, m[min(off, int64(len(m))):]); n < len(p) {
		return n, fmt.Errorf("bytes %d to %d of %d", off, off+int64(len(p)), len(m))
	}
	return len(p), nil
}

// A Component is what the engine knows by its number in Config.Components.
type Component struct {
	Name string // for messages
	// Bytes is the size of the weights.
	Bytes units.Bytes
	// ReadOnly weights are not changed by Compute and never copied back.
	ReadOnly bool
	// Source has the weights; nil is allowed when there are none.
	Source Source
}

// Pace is the link that the device imitates. The zero value is as fast as memory goes.
type Pace struct {
	H2D, D2H units.BytesPerSecond // 0: unpaced
	Latency  time.Duration        // of each copy, beside its bytes
}

// A Fault is what a device does wrong with an action. The zero value is nothing.
type Fault struct {
	// Delay is waited before the action is begun.
	Delay time.Duration
	// Status is how it ends: OutOfMemory and Failed leave nothing behind, a failed
	// release leaves the chunk where it is.
	Status host.Status
	// Silent actions are done, and their completion is never told.
	Silent bool
}

// Config describes a device. New checks it.
type Config struct {
	// Budget is how much device memory there is.
	Budget units.Bytes
	// Chunk and Granularity are the engine's; 0 stands for its defaults. The
	// granularity is a multiple of the system's page.
	Chunk, Granularity units.Bytes
	// Components, by their host.ID.
	Components []Component
	Pace       Pace
	// Verify compares each chunk after it was copied, in either direction, with what
	// it was copied from. It costs about as much again as the copy.
	Verify bool
	// Workers is how many goroutines share one copy; 0 stands for up to four, as there
	// are processors.
	Workers int
	// Populate makes all of the budget ready in New. Otherwise memory that was never
	// used before makes the first loads slow: the system has to clear it.
	Populate bool
	// Fault, if set, is asked in Submit what is to go wrong with the action.
	Fault func(host.Action) Fault
	// Logger, if set, is told why an action failed.
	Logger *slog.Logger
}

// withDefaults checks the configuration and fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	geo, err := host.Config{Budget: c.Budget, Chunk: c.Chunk, Granularity: c.Granularity}.WithDefaults()
	if err != nil {
		return c, err
	}
	c.Chunk, c.Granularity = geo.Chunk, geo.Granularity
	if page := units.Bytes(os.Getpagesize()); c.Granularity%page != 0 {
		return c, fmt.Errorf("granularity %v: want a multiple of the page size %v", c.Granularity, page)
	}
	if c.Pace.H2D < 0 || c.Pace.D2H < 0 || c.Pace.Latency < 0 {
		return c, errors.New("bandwidths and latency must not be negative")
	}
	if c.Workers == 0 {
		c.Workers = min(runtime.GOMAXPROCS(0), 4)
	}
	if c.Workers < 1 || c.Workers > maxWorkers {
		return c, fmt.Errorf("workers %d: want 1 to %d", c.Workers, maxWorkers)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var chunks units.Bytes
	for i, k := range c.Components {
		switch {
		case k.Bytes < 0 || k.Bytes > units.MaxBytes/2:
			return c, fmt.Errorf("component %d %q: %d bytes: want 0 to %d", i, k.Name, k.Bytes, units.MaxBytes/2)
		case k.Bytes > 0 && k.Source == nil:
			return c, fmt.Errorf("component %d %q: no source for its %v", i, k.Name, k.Bytes)
		case k.Bytes > 0 && !k.ReadOnly && k.Source.Span(0, int64(k.Bytes)) == nil:
			return c, fmt.Errorf("component %d %q: calls may change it, and a part of it is in a file, which is not written to: make it read-only, or hold all of it in host memory", i, k.Name)
		}
		if chunks += (k.Bytes + c.Chunk - 1) / c.Chunk; chunks > maxChunks {
			return c, fmt.Errorf("component %d %q: %d chunks in all, at most %d: raise the chunk size of %v", i, k.Name, chunks, maxChunks, c.Chunk)
		}
	}
	return c, nil
}
