package cuda

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// A Source holds the weights of one component in host memory, or partly in a file.
type Source interface {
	// Span is where n bytes from off lie in host memory, nil when any of them is in a
	// file only. It is written to when a changed component is copied back.
	Span(off, n int64) []byte
	// ReadAt reads bytes wherever they lie, all of p or an error.
	ReadAt(p []byte, off int64) (int, error)
	// Memory returns a descriptor of the bytes that host memory holds, the highest, as
	// shared memory that cannot shrink. The caller closes it.
	Memory() (*os.File, error)
}

// A Component is what the engine knows by its number in Config.Components.
type Component struct {
	Name  string // for messages
	Bytes units.Bytes
	// FileBytes is how many of the lowest bytes host memory does not hold. Only
	// components that are read-only may have any.
	FileBytes units.Bytes
	ReadOnly  bool
	Source    Source // nil is allowed when there are no bytes
}

// A Fault is what a device does wrong with an action, in tests. The zero value is nothing.
type Fault struct {
	Delay  time.Duration
	Inject string // what the driver is to do wrong, in words of the worker's
	// Silent actions are done, and their completion is never told.
	Silent bool
}

// Config describes a device. New checks it.
type Config struct {
	// GPU is a device's UUID, or the beginning of it; empty stands for the first.
	GPU string
	// Chunk and Granularity are the engine's; 0 stands for its defaults. The granularity
	// is a multiple of the device's (Info.Granularity).
	Chunk, Granularity units.Bytes
	// Components, by their host.ID.
	Components []Component
	// Verify reads each chunk back after it was copied, in either direction, and compares.
	Verify bool
	// Pageable copies memory that is not pinned, as programs do that know no better.
	Pageable bool
	// Pin is how many bytes of weights may be pinned; the rest passes through pinned
	// buffers. 0 pins none.
	Pin units.Bytes
	// Worker makes the command of a worker, which is given its socket as descriptor 3. Nil
	// stands for this program's own hidden command.
	Worker func() (*exec.Cmd, error)
	// StartTimeout is how long a worker may take to be ready, which pinning makes long;
	// 0 stands for two minutes.
	StartTimeout time.Duration
	// Fault, if set, is asked in Submit what is to go wrong with the action.
	Fault func(host.Action) Fault
	// Logger, if set, is told why an action failed and what became of workers.
	Logger *slog.Logger
}

// withDefaults checks the configuration and fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	geo, err := host.Config{Budget: units.MaxBytes, Chunk: c.Chunk, Granularity: c.Granularity}.WithDefaults()
	if err != nil {
		return c, err
	}
	c.Chunk, c.Granularity = geo.Chunk, geo.Granularity
	if c.Pin < 0 || c.StartTimeout < 0 {
		return c, errors.New("what may be pinned, and timeouts, must not be negative")
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 2 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Worker == nil {
		c.Worker = ownWorker
	}
	for i, k := range c.Components {
		switch {
		case k.Bytes < 0 || k.Bytes > units.MaxBytes/2 || k.FileBytes < 0 || k.FileBytes > k.Bytes:
			return c, fmt.Errorf("component %d %q: %d bytes, %d of them in a file: want 0 to %d", i, k.Name, k.Bytes, k.FileBytes, units.MaxBytes/2)
		case k.Bytes > 0 && k.Source == nil:
			return c, fmt.Errorf("component %d %q: no source for its %v", i, k.Name, k.Bytes)
		case k.FileBytes > 0 && !k.ReadOnly:
			return c, fmt.Errorf("component %d %q: calls may change it, and a part of it is in a file, which is not written to: make it read-only, or hold all of it in host memory", i, k.Name)
		}
	}
	return c, nil
}

// LibraryVariable names, in the environment, the driver's library: a path, or a name for
// the system's search. Without it that is libcuda.so.1.
const LibraryVariable = "OFFHOST_CUDA_LIB"

// WorkerCommand is the argument with which a program serves as a worker: its main calls
// Serve then, and nothing else.
const WorkerCommand = "cuda-worker"

// ownWorker is this program as a worker.
func ownWorker() (*exec.Cmd, error) {
	if !Built {
		return nil, ErrNotBuilt
	}
	// Not by its path, where another version may lie by now.
	cmd := exec.Command("/proc/self/exe", WorkerCommand)
	cmd.Args[0] = os.Args[0]
	return cmd, nil
}

// ErrTold is in an error of Serve that the host has heard of, and tells people.
var ErrTold = errors.New("the host was told")

// ErrNotBuilt is why a program cannot have a worker.
var ErrNotBuilt = errors.New("this binary was built without CUDA: build it with `make build`")
