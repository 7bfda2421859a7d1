//go:build cuda && linux

package cuda_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/cuda/internal/client"
	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// The components of these tests: two that are given to clients, one that is not. Each has
// two chunks and a half granule.
func chunkSize() int { return 4 * gran }
func partSize() int  { return 2*chunkSize() + gran/2 }

// beClient maps what there is, compares every byte each time that something changes, and
// says so on its standard output. Told to hang, it gives
// nothing back.
func beClient() error {
	if _, err := driver.Load(); err != nil {
		return err
	}
	g, err := driver.Find("")
	if err != nil {
		return err
	}
	ctx, err := driver.Open(g)
	if err != nil {
		return err
	}
	if err := ctx.Bind(); err != nil {
		return err
	}
	conn, err := wire.NewConn(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	c, err := client.Connect(ctx, conn)
	if err != nil {
		return err
	}
	for i := range c.Parts() {
		if err := c.Want(i); err != nil {
			return err
		}
	}
	if os.Getenv("OFFHOST_TEST_HANG") != "" {
		c.Idle = func() error { select {} }
	}
	ended := make(chan error, 1)
	go func() {
		if err := ctx.Bind(); err != nil {
			ended <- err
			return
		}
		ended <- c.Run()
	}()
	look := func() error {
		for i := range c.Parts() {
			if err := compare(ctx, c, i); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		select {
		case <-c.Changed():
			if err := look(); err != nil {
				return err
			}
		case err := <-ended:
			if err != io.EOF {
				return err
			}
			// The worker has gone, or is about to. What is mapped here lives on.
			if err := look(); err != nil {
				return err
			}
			return errors.Join(c.Close(), ctx.Close(), leftNothing())
		}
	}
}

// compare reads what is there of a component and says which chunks were right.
func compare(ctx *driver.Context, c *client.Client, component int) error {
	s, err := ctx.NewStream(0)
	if err != nil {
		return err
	}
	defer s.Close()
	chunk, size := chunkSize(), partSize()
	buf, err := ctx.Pinned(int64(chunk))
	if err != nil {
		return err
	}
	defer ctx.FreePinned(buf)
	want := bytesOf(uint64(component), units.Bytes(size))
	return c.Use(component, func(at driver.Address, chunks map[int]uint32) error {
		line := fmt.Sprintf("component %d at %#x:", component, uint64(at))
		for i := range 3 {
			gen, ok := chunks[i]
			if !ok {
				continue
			}
			from := i * chunk
			w := want[from:min(from+chunk, size)]
			if err := errors.Join(s.ToHost(buf[:len(w)], at+driver.Address(from)), s.Synchronize()); err != nil {
				return err
			}
			if !bytes.Equal(buf[:len(w)], w) {
				return fmt.Errorf("component %d: chunk %d of generation %d holds other bytes", component, i, gen)
			}
			line += fmt.Sprintf(" %d.%d", i, gen)
		}
		fmt.Println(line)
		return nil
	})
}

// rig is a device with the actions that an engine would give.
type rig struct {
	*cuda.Device
	t    testing.TB
	said *speech
	op   host.OpID
	free units.Bytes // before anything was on it

	chunk, size units.Bytes
}

// isFree checks that all but some memory is free, as it was in the beginning, where nobody
// else uses the GPU.
func (r *rig) isFree(but units.Bytes) {
	r.t.Helper()
	if free, _ := r.Free(); standIn && free != r.free-but {
		r.t.Errorf("%v are free, of %v: want all but %v", free, r.free, but)
	}
}

func open(t testing.TB, change func(*cuda.Config), env ...string) *rig {
	t.Helper()
	needsDriver(t)
	chunk, size := units.Bytes(chunkSize()), units.Bytes(partSize())
	r := &rig{t: t, said: new(speech), chunk: chunk, size: size}
	var sources []*shared
	cfg := cuda.Config{Chunk: chunk, Granularity: units.Bytes(gran), Verify: true, Pin: units.GiB, Worker: role("worker", r.said, env...)}
	for i := range 3 {
		s := newShared(t, bytesOf(uint64(i), size), 0)
		sources = append(sources, s)
		cfg.Components = append(cfg.Components, cuda.Component{Name: fmt.Sprint("c", i), Bytes: size, ReadOnly: i < 2, Source: s})
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.Device, err = cuda.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the worker said: %s", r.said)
		}
		for _, s := range sources {
			s.close()
		}
		if lines := complaints(r.said); len(lines) > 0 {
			t.Errorf("the stand-in says: %q", lines)
		}
	})
	r.free, _ = r.Free()
	return r
}

func (r *rig) send(kind host.ActionKind, c host.ID, i int) host.OpID {
	r.op++
	a := host.Action{Kind: kind, Op: r.op, Component: c, Chunk: i, Alloc: r.chunk, Weights: min(r.chunk, r.size-units.Bytes(i)*r.chunk), Demand: true}
	r.Submit(a)
	return r.op
}

func (r *rig) wait() host.Completion {
	r.t.Helper()
	c, ok := r.Wait(r.Now() + 10*time.Second)
	if !ok {
		r.t.Fatal("nothing completes")
	}
	return c
}

// do lets an action happen to all chunks of a component.
func (r *rig) do(kind host.ActionKind, c host.ID) {
	r.t.Helper()
	for i := range 3 {
		r.send(kind, c, i)
		if done := r.wait(); done.Status != host.OK {
			r.t.Fatalf("%v of chunk %d of %d: %v, %v", kind, i, c, done.Status, done.Err)
		}
	}
}

// visitor is a client process.
type visitor struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines *bufio.Scanner
	said  *speech
}

func (r *rig) visit(env ...string) *visitor {
	r.t.Helper()
	ours, theirs, err := wire.Pair()
	if err != nil {
		r.t.Fatal(err)
	}
	defer theirs.Close()
	v := &visitor{t: r.t, said: new(speech)}
	if v.cmd, err = role("client", v.said, env...)(); err != nil {
		r.t.Fatal(err)
	}
	v.cmd.ExtraFiles = []*os.File{theirs}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	v.lines = bufio.NewScanner(out)
	if err := v.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Attach(ours); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// sees waits until the client says that it sees certain chunks of a component, and
// returns where.
func (v *visitor) sees(component int, chunks string) (at string) {
	v.t.Helper()
	for v.lines.Scan() {
		line := v.lines.Text()
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("component %d at ", component)); ok {
			at, list, _ := strings.Cut(rest, ":")
			if list == chunks {
				return at
			}
		}
	}
	v.t.Fatalf("the client has ended and not seen%s of component %d; it said: %s", chunks, component, v.said)
	return ""
}

func (v *visitor) end() {
	v.t.Helper()
	for v.lines.Scan() {
	}
	if err := v.cmd.Wait(); err != nil {
		v.t.Errorf("the client ended with %v; it said: %s", err, v.said)
	}
	if lines := complaints(v.said); len(lines) > 0 {
		v.t.Errorf("the stand-in says of the client: %q", lines)
	}
}

// A client sees all bytes, at the same address through all generations, and gives memory
// back when it is asked to.
func TestAClientSeesWhatIsLoaded(t *testing.T) {
	r := open(t, nil)
	r.do(host.ActCopyIn, 0)
	v := r.visit()
	at := v.sees(0, " 0.1 1.1 2.1")
	r.do(host.ActCopyIn, 1)
	v.sees(1, " 0.1 1.1 2.1")
	for generation := 2; generation < 5; generation++ {
		r.do(host.ActRelease, 0)
		one := 2*r.chunk + units.Bytes(gran)
		if used := r.Stats().Used; used != one {
			t.Fatalf("%v are used: want the one component that is left, %v", used, one)
		}
		r.isFree(one)
		r.do(host.ActCopyIn, 0)
		if again := v.sees(0, fmt.Sprintf(" 0.%d 1.%[1]d 2.%[1]d", generation)); again != at {
			t.Errorf("the client's address was %s and is %s", at, again)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	v.end()
}

// Memory that a client has is not free, however long it takes: until the client is gone.
func TestAClientThatDies(t *testing.T) {
	r := open(t, nil)
	v := r.visit("OFFHOST_TEST_HANG=1")
	r.do(host.ActCopyIn, 0)
	v.sees(0, " 0.1 1.1 2.1")
	op := r.send(host.ActRelease, 0, 1)
	if done, ok := r.Wait(r.Now() + 300*time.Millisecond); ok {
		t.Fatalf("released while a client has it: %+v", done)
	}
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if done := r.wait(); done.Op != op || done.Status != host.OK {
		t.Errorf("%+v: want the release", done)
	}
	v.cmd.Wait()
	r.isFree(r.chunk + units.Bytes(gran))
	// Others are not touched by that.
	v = r.visit()
	v.sees(0, " 0.1 2.1")
	r.Close()
	v.end()
}

// What a client maps outlives the worker, which may die at any time.
func TestAWorkerThatDiesUnderAClient(t *testing.T) {
	r := open(t, nil)
	v := r.visit()
	r.do(host.ActCopyIn, 0)
	v.sees(0, " 0.1 1.1 2.1")
	r.Lose()
	v.end() // it has compared all once more
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	r.isFree(0)
	r.do(host.ActCopyIn, 0)
	v = r.visit()
	v.sees(0, " 0.1 1.1 2.1")
	r.Close()
	v.end()
}

// byHand is a client that the test plays itself.
func (r *rig) byHand() *wire.Conn {
	r.t.Helper()
	ours, theirs, err := wire.Pair()
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := wire.NewConn(ours)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := r.Attach(theirs); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func say(t testing.TB, conn *wire.Conn, m *wire.FromClient) {
	t.Helper()
	if err := conn.Send(m); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next message, without its descriptors.
func hear(t testing.TB, conn *wire.Conn) *wire.ToClient {
	t.Helper()
	m := new(wire.ToClient)
	files, err := conn.Receive(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		f.Close()
	}
	return m
}

// What a client says of an earlier generation frees nothing.
func TestGenerations(t *testing.T) {
	r := open(t, nil)
	conn := r.byHand()
	say(t, conn, &wire.FromClient{Hello: &wire.ClientHello{Version: wire.Version, GPU: r.Info().GPU.UUID}})
	if m := hear(t, conn); m.Layout == nil || m.Layout.Parts != 2 {
		t.Fatalf("%+v: want two components", m)
	}
	hear(t, conn)
	hear(t, conn)
	say(t, conn, &wire.FromClient{Want: &wire.Want{Component: 1}})
	for generation := uint32(1); generation < 4; generation++ {
		r.send(host.ActCopyIn, 1, 0)
		r.wait()
		given := hear(t, conn)
		if given.Map == nil || given.Map.List[0] != (wire.Chunk{Index: 0, Generation: generation}) {
			t.Fatalf("%+v: want chunk 0 of generation %d", given, generation)
		}
		r.send(host.ActRelease, 1, 0)
		back := hear(t, conn)
		if back.Unmap == nil || back.Unmap.List[0] != given.Map.List[0] {
			t.Fatalf("%+v: want what was given asked back", back)
		}
		for _, old := range []uint32{generation - 1, generation + 1} {
			say(t, conn, &wire.FromClient{Unmapped: &wire.Chunks{Component: 1, List: []wire.Chunk{{Index: 0, Generation: old}}}})
		}
		say(t, conn, &wire.FromClient{Unmapped: &wire.Chunks{Component: 0, List: []wire.Chunk{{Index: 0, Generation: generation}}}})
		if done, ok := r.Wait(r.Now() + 50*time.Millisecond); ok {
			t.Fatalf("%+v: released for what was said of other generations and components", done)
		}
		say(t, conn, &wire.FromClient{Unmapped: back.Unmap})
		if done := r.wait(); done.Status != host.OK {
			t.Fatalf("%+v: want the release", done)
		}
	}
}

// A client that makes no sense is refused, with a reason, and hurts nobody.
func TestClientsAreRefused(t *testing.T) {
	r := open(t, nil)
	uuid := r.Info().GPU.UUID
	hello := &wire.FromClient{Hello: &wire.ClientHello{Version: wire.Version, GPU: uuid}}
	for name, c := range map[string]struct {
		says []*wire.FromClient
		want string
	}{
		"another GPU":        {[]*wire.FromClient{{Hello: &wire.ClientHello{Version: wire.Version, GPU: "GPU-x"}}}, uuid},
		"no hello":           {[]*wire.FromClient{{Want: &wire.Want{}}}, "hello"},
		"hello twice":        {[]*wire.FromClient{hello, hello}, "once"},
		"writable component": {[]*wire.FromClient{hello, {Want: &wire.Want{Component: 2}}}, `"c2" is not read-only`},
		"no such component":  {[]*wire.FromClient{hello, {Want: &wire.Want{Component: 3}}}, "component 3 of 3"},
		"no such chunk":      {[]*wire.FromClient{hello, {Unmapped: &wire.Chunks{Component: 1, List: []wire.Chunk{{Index: 3}}}}}, "chunk 3 of 3"},
	} {
		conn := r.byHand()
		for _, m := range c.says {
			say(t, conn, m)
		}
		for {
			m := hear(t, conn)
			if m.Refused != "" {
				if !strings.Contains(m.Refused, c.want) {
					t.Errorf("%s: refused as %q, want %q in it", name, m.Refused, c.want)
				}
				break
			}
		}
	}
	r.do(host.ActCopyIn, 1)
}
