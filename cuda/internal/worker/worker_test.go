//go:build cuda

package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/emulator"
	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/emu"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host/units"
)

// These tests serve in their own process, to see the stand-in's clock.

const chunkSize = 8 * units.MiB

var noDriver error

func TestMain(m *testing.M) { os.Exit(withDriver(m.Run)) }

func withDriver(run func() int) int {
	if os.Getenv(driver.LibraryVariable) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "offhost-worker-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var path string
	if path, noDriver = emulator.Build(context.Background(), dir); noDriver == nil {
		os.Setenv(driver.LibraryVariable, path)
		os.Setenv("OFFHOST_EMU_DIR", filepath.Join(dir, "gpu"))
	}
	return run()
}

// rig is a worker and the host's end of its connection.
type rig struct {
	t     *testing.T
	conn  *wire.Conn
	e     *emu.Emulator
	op    uint64
	ended chan error
}

func open(t *testing.T, h2d, d2h uint64) *rig {
	t.Helper()
	if noDriver != nil {
		if errors.Is(noDriver, emulator.ErrNoCompiler) && os.Getenv("REQUIRE_TOOLS") == "" {
			t.Skip(noDriver)
		}
		t.Fatal(noDriver)
	}
	e, ok := emu.Open()
	if !ok {
		t.Skip("needs the stand-in driver: its clock")
	}
	ours, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	host, err := wire.NewConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := wire.NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, conn: host, e: e, ended: make(chan error, 1)}
	go func() { r.ended <- Serve(conn, Config{Inject: e.Inject}) }()
	r.say(&wire.ToWorker{Hello: &wire.Hello{Version: wire.Version, Components: 2, Chunk: chunkSize, Granularity: 2 * units.MiB, Slots: 4, Pin: units.GiB}})
	for _, name := range []string{"a", "b"} {
		r.say(&wire.ToWorker{Component: &wire.Component{Name: name, Bytes: 4 * chunkSize}}, memory(t, 4*chunkSize))
	}
	r.say(&wire.ToWorker{Ring: &wire.Ring{}}, memory(t, 4*chunkSize))
	if m := r.hear(); m.Ready == nil {
		t.Fatalf("%+v: want ready", m.Failed)
	}
	if err := e.Bandwidth(h2d, d2h); err != nil {
		t.Fatal(err)
	}
	e.Reset()
	t.Cleanup(func() {
		host.Close()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if n := e.Leaks(true); n > 0 || len(e.Misuses()) > 0 {
			t.Errorf("%d things are left behind; the stand-in says %q", n, e.Said())
		}
	})
	return r
}

func memory(t *testing.T, n units.Bytes) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *rig) say(m *wire.ToWorker, files ...*os.File) {
	r.t.Helper()
	if err := r.conn.Send(m, files...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) hear() *wire.FromWorker {
	r.t.Helper()
	m := new(wire.FromWorker)
	if _, err := r.conn.Receive(m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) act(kind string, component, chunk int, demand bool) uint64 {
	r.op++
	a := wire.Act{Op: r.op, Kind: kind, Component: component, Chunk: chunk, Slot: wire.NoSlot, Demand: demand}
	if kind == wire.CopyBack {
		a.Slot = chunk
	}
	r.say(&wire.ToWorker{Act: &a})
	return r.op
}

// done waits for so many ends, and returns their numbers in order.
func (r *rig) done(n int) (ops []uint64) {
	r.t.Helper()
	for range n {
		m := r.hear()
		if m.Done == nil || m.Done.Err != "" {
			r.t.Fatalf("%+v: want the end of an action that went well", m.Done)
		}
		ops = append(ops, m.Done.Op)
	}
	return ops
}

func (r *rig) load(component int) {
	r.t.Helper()
	for i := range 4 {
		r.act(wire.CopyIn, component, i, true)
	}
	r.done(4)
}

// TestOneDirectionIsOneEngine: copies of one direction follow each other.
func TestOneDirectionIsOneEngine(t *testing.T) {
	r := open(t, 1e9, 0)
	r.load(0)
	copies := r.e.Copies()
	if len(copies) != 4 {
		t.Fatalf("%d copies, want 4", len(copies))
	}
	for i, c := range copies {
		if !c.ToDevice || c.Bytes != int64(chunkSize) || i > 0 && c.Begin < copies[i-1].End {
			t.Errorf("copy %d: %+v after %+v: want one after the other", i, c, copies[max(i-1, 0)])
		}
	}
}

// TestDirectionsOverlap: what is copied back does not wait for what is copied in.
func TestDirectionsOverlap(t *testing.T) {
	r := open(t, 0, 0)
	r.load(0)
	if err := r.e.Bandwidth(2e8, 2e8); err != nil { // 40 ms a chunk
		t.Fatal(err)
	}
	r.e.Reset()
	for i := range 4 {
		r.act(wire.CopyIn, 1, i, true)
		r.act(wire.CopyBack, 0, i, true)
	}
	r.done(8)
	var in, back []emu.Copy
	for _, c := range r.e.Copies() {
		if c.ToDevice {
			in = append(in, c)
		} else {
			back = append(back, c)
		}
	}
	if len(in) != 4 || len(back) != 4 || in[0].Begin >= back[3].End || back[0].Begin >= in[3].End {
		t.Errorf("copies in %+v, copies back %+v: want them beside each other", in, back)
	}
	together := min(in[3].End, back[3].End) - max(in[0].Begin, back[0].Begin)
	if all := max(in[3].End, back[3].End) - min(in[0].Begin, back[0].Begin); together < all/2 {
		t.Errorf("both directions ran for %v of %v", together, all)
	}
}

// TestSubmittingDoesNotBlock: all is queued while the first copy is still on its way.
func TestSubmittingDoesNotBlock(t *testing.T) {
	r := open(t, 2e8, 0)
	for i := range 4 {
		r.act(wire.CopyIn, 0, i, true)
	}
	r.say(&wire.ToWorker{Memory: &wire.Memory{}})
	if m := r.hear(); m.Memory == nil {
		t.Errorf("%+v: want the answer to a question before any of the copies has ended", m)
	}
	if n := len(r.e.Copies()); n > 0 {
		t.Errorf("%d copies have ended before all were queued", n)
	}
	r.done(4)
}

// TestDemandOvertakesPrefetches: what somebody waits for goes before what nobody does.
func TestDemandOvertakesPrefetches(t *testing.T) {
	r := open(t, 12e6, 0) // 0.7 s a chunk: there is time to ask for another one
	var ahead []uint64
	for i := range 4 {
		ahead = append(ahead, r.act(wire.CopyIn, 0, i, false))
	}
	r.done(1)
	demand := r.act(wire.CopyIn, 1, 0, true)
	if order := r.done(4); slices.Index(order, demand) > 1 || order[3] != ahead[3] {
		t.Errorf("ended in the order %v: want %d before the last prefetches", order, demand)
	}
}
