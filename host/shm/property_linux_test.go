package shm_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/enginetest"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

// TestMain sets how many random worlds a run goes through: thousands, in seconds.
// -rapid.checks=N chooses another number.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "3000"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// What the engine never does, whatever a policy says and this device does, and no wrong
// byte, nothing left behind: a failure prints the seed that replays it (-rapid.seed).
func TestRulesHoldOnRealBytes(t *testing.T) {
	enginetest.Run(t, enginetest.Bench{Scale: units.Bytes(os.Getpagesize()) / 2, Open: func(w enginetest.World) (enginetest.Device, error) {
		return openHolder(t, w)
	}})
}

// holder is a device whose every byte can be compared.
type holder struct {
	*shm.Device
	t       *testing.T
	chunk   int64
	first   []shm.Memory // what the sources had at first
	sources []shm.Memory

	routines, fds, maps int // before it was opened
}

var _ enginetest.Holder = (*holder)(nil)

func openHolder(t *testing.T, w enginetest.World) (*holder, error) {
	h := &holder{t: t, chunk: int64(w.Chunk), routines: runtime.NumGoroutine()}
	h.fds, h.maps, _ = world(t)
	var parts []shm.Component
	for i, c := range w.Components {
		src := weights(uint64(i), c.Bytes)
		h.sources = append(h.sources, src)
		h.first = append(h.first, bytes.Clone(src))
		parts = append(parts, shm.Component{Name: c.Name, Bytes: c.Bytes, ReadOnly: c.ReadOnly, Source: &inFile{Memory: src, file: int64(c.FileBytes)}})
	}
	var err error
	h.Device, err = shm.New(shm.Config{Budget: w.Budget, Chunk: w.Chunk, Granularity: w.Granularity, Components: parts, Verify: true,
		Fault: func(a host.Action) shm.Fault {
			f := w.Fault(a)
			return shm.Fault{Delay: f.Delay, Status: f.Status, Silent: f.Silent}
		}})
	return h, err
}

// same compares a chunk with what it was at first, changed by calls.
func (h *holder) same(c host.ID, chunk, calls int, of func(from, to int64) []byte) error {
	want := h.first[c]
	from := int64(chunk) * h.chunk
	to := min(from+h.chunk, int64(len(want)))
	want = bytes.Clone(want[from:to])
	for at := 0; at < len(want); at += shm.Stride {
		want[at] += byte(calls)
	}
	got := of(from, to)
	if bytes.Equal(got, want) {
		return nil
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("chunk %d of component %d: byte %d is %#x, after %d calls it should be %#x", chunk, c, i, got[i], calls, want[i])
		}
	}
	return fmt.Errorf("chunk %d of component %d has %d bytes, want %d", chunk, c, len(got), len(want))
}

func (h *holder) OnDevice(c host.ID, chunk, calls int) error {
	return h.same(c, chunk, calls, func(from, to int64) []byte { return h.Memory(c)[from:to] })
}

func (h *holder) InHost(c host.ID, chunk, calls int) error {
	return h.same(c, chunk, calls, func(from, to int64) []byte { return h.sources[c][from:to] })
}

func (h *holder) Used() units.Bytes { return h.Stats().Used }

func (h *holder) Left() error {
	var errs []error
	fds, maps, memory := world(h.t)
	if fds != h.fds || maps != h.maps || memory != 0 {
		errs = append(errs, fmt.Errorf("%d descriptors, %d mappings and %d bytes of device memory are left, of %d, %d and 0 before", fds, maps, memory, h.fds, h.maps))
	}
	// One that has said that it ends may take a moment to do so.
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > h.routines && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > h.routines {
		errs = append(errs, fmt.Errorf("%d goroutines are left, of %d before", n, h.routines))
	}
	return errors.Join(errs...)
}
