//go:build cuda && linux

package cuda_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/cuda/internal/worker"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/enginetest"
	"github.com/offhost/offhost/host/units"
)

// What the engine never does, whatever a policy says and a GPU does, its loss included: no
// wrong byte, no misuse of the driver, nothing left behind. A failure prints the seed that
// replays it (-rapid.seed). On a real driver worlds are fewer, since a GPU takes half a
// second to be opened, and faults are made before the driver is called.
func TestRulesHoldOnAGPU(t *testing.T) {
	needsDriver(t)
	enginetest.Run(t, enginetest.Bench{Scale: units.Bytes(gran) / 2, Random: !standIn, Open: func(w enginetest.World) (enginetest.Device, error) {
		return openHolder(t, w)
	}})
}

// holder is a device whose every byte can be compared.
type holder struct {
	opened
	fds, maps int // before it was opened
	closed    error
}

var _ enginetest.Holder = (*holder)(nil)

// Codes of the driver's.
const (
	invalidValue = 1
	outOfMemory  = 2
)

// injected is what the driver is to do wrong for an action to end in a way.
func injected(a host.Action, st host.Status) string {
	switch {
	case st == host.OutOfMemory:
		return fmt.Sprintf("cuMemCreate:%d", outOfMemory)
	case st != host.Failed:
		return ""
	case a.Kind == host.ActCopyIn:
		return fmt.Sprintf("cuMemcpyHtoDAsync:%d", invalidValue)
	case a.Kind == host.ActCopyBack:
		return fmt.Sprintf("cuMemcpyDtoHAsync:%d", invalidValue)
	}
	return fmt.Sprintf("cuMemUnmap:%d", invalidValue)
}

func openHolder(t *testing.T, w enginetest.World) (*holder, error) {
	h := &holder{opened: opened{t: t, chunk: int64(w.Chunk), said: new(speech)}}
	h.fds, h.maps = world(t)
	var parts []cuda.Component
	for i, c := range w.Components {
		b := bytesOf(uint64(i), c.Bytes)
		s := newShared(t, b, int64(c.FileBytes))
		h.first = append(h.first, b)
		h.sources = append(h.sources, s)
		parts = append(parts, cuda.Component{Name: c.Name, Bytes: c.Bytes, FileBytes: c.FileBytes, ReadOnly: c.ReadOnly, Source: s})
	}
	var err error
	h.Device, err = cuda.New(t.Context(), cuda.Config{Chunk: w.Chunk, Granularity: w.Granularity, Components: parts, Verify: true, Pin: pinOf(w),
		Worker: role("worker", h.said, fmt.Sprintf("OFFHOST_EMU_READ_ONLY_REGISTER=%d", len(w.Components)%2)),
		Fault: func(a host.Action) cuda.Fault {
			f := w.Fault(a)
			return cuda.Fault{Delay: f.Delay, Inject: injected(a, f.Status), Silent: f.Silent}
		}})
	return h, err
}

// pinOf pins all, some or none of a world's weights.
func pinOf(w enginetest.World) units.Bytes {
	var sum units.Bytes
	for _, c := range w.Components {
		sum += c.Bytes
	}
	return sum * units.Bytes(len(w.Components)%3) / 2
}

// same compares a chunk with what it was at first, changed by calls.
func (h *holder) same(c host.ID, chunk, calls int, of func(from, to int64) ([]byte, error)) error {
	want := h.first[c]
	from := int64(chunk) * h.chunk
	to := min(from+h.chunk, int64(len(want)))
	want = bytes.Clone(want[from:to])
	for at := 0; at < len(want); at += worker.Stride {
		want[at] += byte(calls)
	}
	got, err := of(from, to)
	if err != nil || bytes.Equal(got, want) {
		return err
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("chunk %d of component %d: byte %d is %#x, after %d calls it should be %#x", chunk, c, i, got[i], calls, want[i])
		}
	}
	return fmt.Errorf("chunk %d of component %d has %d bytes, want %d", chunk, c, len(got), len(want))
}

func (h *holder) OnDevice(c host.ID, chunk, calls int) error {
	return h.same(c, chunk, calls, func(int64, int64) ([]byte, error) { return h.Read(c, chunk) })
}

func (h *holder) InHost(c host.ID, chunk, calls int) error {
	return h.same(c, chunk, calls, func(from, to int64) ([]byte, error) {
		s := h.sources[c]
		if from >= s.file {
			return s.Span(from, to-from), nil
		}
		return s.all[from:to], nil // a part of it is read-only, in a file
	})
}

func (h *holder) Used() units.Bytes { return h.Stats().Used }

func (h *holder) Close() error {
	h.closed = errors.Join(h.closed, h.Device.Close())
	return h.closed
}

func (h *holder) Left() error {
	var errs []error
	for _, s := range h.sources {
		errs = append(errs, s.close())
	}
	if lines := complaints(h.said); len(lines) > 0 {
		errs = append(errs, fmt.Errorf("the stand-in says: %q", lines))
	}
	if fds, maps := world(h.t); fds != h.fds || maps != h.maps {
		errs = append(errs, fmt.Errorf("%d descriptors and %d mappings are left, of %d and %d before", fds, maps, h.fds, h.maps))
	}
	return errors.Join(errs...)
}
