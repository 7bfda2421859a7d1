package shm_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

const (
	gran  = units.Bytes(4 << 10)
	chunk = 5 * gran // so that no piece, page or stride divides it
)

// weights returns n random bytes.
func weights(seed uint64, n units.Bytes) shm.Memory {
	m := make(shm.Memory, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(m)
	return m
}

// inFile is a source whose lowest bytes are in a file.
type inFile struct {
	shm.Memory
	file int64
	err  error // of the byte at fails
	at   int64
}

func (f *inFile) Span(off, n int64) []byte {
	if off < f.file {
		return nil
	}
	return f.Memory.Span(off, n)
}

func (f *inFile) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil && off+int64(len(p)) > f.at {
		return int(f.at - off), f.err
	}
	return f.Memory.ReadAt(p, off)
}

// rig is a device with the actions that an engine would give.
type rig struct {
	*shm.Device
	t   testing.TB
	cfg shm.Config
	op  host.OpID
}

func open(t testing.TB, cfg shm.Config) *rig {
	t.Helper()
	if cfg.Budget == 0 {
		cfg.Budget = 64 * units.MiB
	}
	if cfg.Granularity == 0 {
		cfg.Granularity, cfg.Chunk = gran, chunk
	}
	d, err := shm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Device: d, t: t, cfg: cfg}
}

func (r *rig) action(kind host.ActionKind, c host.ID, i int) host.Action {
	r.op++
	n := r.cfg.Components[c].Bytes
	off := units.Bytes(i) * r.cfg.Chunk
	g := r.cfg.Granularity
	a := host.Action{Kind: kind, Op: r.op, Component: c, Chunk: i, Alloc: min(r.cfg.Chunk, (n+g-1)/g*g-off)}
	if kind != host.ActRelease {
		a.Weights = min(r.cfg.Chunk, n-off)
	}
	if f, ok := r.cfg.Components[c].Source.(*inFile); ok && kind == host.ActCopyIn {
		a.File = max(0, min(a.Weights, units.Bytes(f.file)-off))
	}
	return a
}

// do submits an action and waits for its end.
func (r *rig) do(kind host.ActionKind, c host.ID, i int) host.Completion {
	r.t.Helper()
	a := r.action(kind, c, i)
	r.Submit(a)
	done, ok := r.Wait(10 * time.Minute)
	if !ok || done.Op != a.Op {
		r.t.Fatalf("%v of chunk %d: completion %+v, %v", kind, i, done, ok)
	}
	return done
}

func (r *rig) must(kind host.ActionKind, c host.ID) {
	r.t.Helper()
	for i := range r.chunks(c) {
		if done := r.do(kind, c, i); done.Status != host.OK {
			r.t.Fatalf("%v of chunk %d of %d: %v, %v", kind, i, c, done.Status, done.Err)
		}
	}
}

func (r *rig) chunks(c host.ID) int {
	return int((r.cfg.Components[c].Bytes + r.cfg.Chunk - 1) / r.cfg.Chunk)
}

// call computes and returns what was wrong with the weights.
func (r *rig) call(c host.ID) error {
	r.t.Helper()
	r.Compute(7, c, 0)
	done, ok := r.Wait(10 * time.Minute)
	if !ok || done.Call != 7 {
		r.t.Fatalf("completion %+v, %v: want the end of call 7", done, ok)
	}
	return done.Err
}

// readable reports whether an address can be read.
func readable(p *byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	runtime.KeepAlive(*p)
	return true
}

// world counts all descriptors, the mappings of device memory and their memory.
func world(t *testing.T) (fds, maps int, memory int64) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		fds++
		if to, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil && strings.Contains(to, "offhost-chunk") {
			if info, err := os.Stat("/proc/self/fd/" + n.Name()); err == nil {
				memory += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return fds, bytes.Count(text, []byte("offhost-chunk")), memory
}

func TestBytesComeOverAndGoBack(t *testing.T) {
	for name, verify := range map[string]bool{"verified": true, "not verified": false} {
		t.Run(name, func(t *testing.T) {
			const n = 3*chunk + 100
			ro, rw := weights(1, n), weights(2, n)
			want := slices.Clone(rw)
			r := open(t, shm.Config{Verify: verify, Components: []shm.Component{
				{Name: "ro", Bytes: n, ReadOnly: true, Source: ro}, {Name: "rw", Bytes: n, Source: rw}, {Name: "none"}}})
			addr := &r.Memory(1)[0]
			for round := range 3 {
				r.must(host.ActCopyIn, 0)
				r.must(host.ActCopyIn, 1)
				if !bytes.Equal(r.Memory(0)[:n], ro) || !bytes.Equal(r.Memory(1)[:n], want) {
					t.Fatalf("round %d: the device has other bytes than the source", round)
				}
				for c := range host.ID(3) {
					if err := r.call(c); err != nil {
						t.Fatal(err)
					}
				}
				if bytes.Equal(r.Memory(1)[:n], want) {
					t.Fatal("a call has changed nothing")
				}
				for i := 0; i < int(n); i += int(chunk) {
					for at := i; at < min(i+int(chunk), int(n)); at += shm.Stride {
						want[at]++
					}
				}
				if !bytes.Equal(r.Memory(1)[:n], want) {
					t.Fatal("a call has changed other bytes than it says")
				}
				r.must(host.ActRelease, 0)
				r.must(host.ActCopyBack, 1)
				r.must(host.ActRelease, 1)
				if !bytes.Equal(rw, want) {
					t.Fatalf("round %d: what came back differs", round)
				}
				if &r.Memory(1)[0] != addr {
					t.Fatal("the address has changed")
				}
			}
			s := r.Stats()
			if s.H2D != 6*n || s.D2H != 3*n || s.CopiesBack != 12 || s.Loads != 24 || s.Releases != 24 || s.Used != 0 {
				t.Errorf("%+v: want 6 components copied in, 3 copied back, those that are not read-only", s)
			}
		})
	}
}

func TestWhatIsEvictedCannotBeRead(t *testing.T) {
	r := open(t, shm.Config{Components: []shm.Component{{Name: "a", Bytes: 2 * chunk, ReadOnly: true, Source: weights(1, 2*chunk)}}})
	see := func() [2]bool {
		return [2]bool{readable(&r.Memory(0)[chunk-1]), readable(&r.Memory(0)[chunk])}
	}
	if see() != [2]bool{} {
		t.Error("nothing is loaded, and it can be read")
	}
	r.do(host.ActCopyIn, 0, 0)
	if see() != [2]bool{true, false} {
		t.Error("one chunk is loaded: it alone can be read")
	}
	r.do(host.ActCopyIn, 0, 1)
	r.do(host.ActRelease, 0, 0)
	if see() != [2]bool{false, true} {
		t.Error("the first chunk was evicted: the second alone can be read")
	}
	if err := r.call(0); err == nil || !strings.Contains(err.Error(), `component "a": a call uses chunk 0, which is not on the device`) {
		t.Errorf("a call uses it all the same: %v", err)
	}
}

func TestAWrongByteIsNamed(t *testing.T) {
	const n = 2*chunk + 9
	r := open(t, shm.Config{Verify: true, Components: []shm.Component{
		{Name: "a", Bytes: n, ReadOnly: true, Source: weights(1, n)}, {Name: "b", Bytes: n, Source: weights(2, n)}}})
	r.must(host.ActCopyIn, 0)
	r.must(host.ActCopyIn, 1)
	r.Memory(0)[chunk+5] ^= 1
	if err := r.call(0); err == nil || !strings.HasPrefix(err.Error(), `component "a": chunk 1: byte 20485 of the weights is 0x`) {
		t.Errorf("a bit has flipped on the device: %v", err)
	}
	if err := r.call(1); err != nil {
		t.Error(err)
	}
	r.Memory(1)[2*chunk] ^= 1
	if err := r.call(1); err == nil || err.Error() != `component "b": chunk 2: bytes 40960 to 40969 of the weights are not what they should be on the device` {
		t.Errorf("a bit has flipped in a chunk that calls have changed: %v", err)
	}
}

func TestASourceThatChangesIsNoticed(t *testing.T) {
	src := weights(1, chunk)
	r := open(t, shm.Config{Verify: true, Components: []shm.Component{{Name: "a", Bytes: chunk, ReadOnly: true, Source: src}}})
	r.must(host.ActCopyIn, 0)
	r.must(host.ActRelease, 0)
	src[3] ^= 1
	if done := r.do(host.ActCopyIn, 0, 0); done.Status != host.Failed || done.Err == nil {
		t.Errorf("%v, %v: want a failed copy", done.Status, done.Err)
	}
	if r.Stats().Used != 0 {
		t.Error("a failed copy keeps its memory")
	}
}

func TestWeightsComeFromAFile(t *testing.T) {
	const big = 4*units.MiB + 3*gran
	for _, file := range []units.Bytes{1, chunk, 300 << 10, 2 << 20, 2<<20 + 77, big - 1, big} {
		src := &inFile{Memory: weights(1, big), file: int64(file)}
		for _, verify := range []bool{true, false} {
			r := open(t, shm.Config{Chunk: 4 * units.MiB, Granularity: gran, Verify: verify,
				Components: []shm.Component{{Name: "a", Bytes: big, ReadOnly: true, Source: src}}})
			for range 2 {
				r.must(host.ActCopyIn, 0)
				if !bytes.Equal(r.Memory(0)[:big], src.Memory) {
					t.Fatalf("%v in a file: the device has other bytes", file)
				}
				if err := r.call(0); err != nil {
					t.Fatal(err)
				}
				r.must(host.ActRelease, 0)
			}
			if s := r.Stats(); s.File < 2*file || s.H2D != 2*big {
				t.Errorf("%v in a file: %+v", file, s)
			}
		}
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	const n = 6 * units.MiB
	for _, err := range []error{errors.New("the disk is gone"), nil} {
		src := &inFile{Memory: weights(1, n), file: int64(n), at: 4<<20 - 5, err: err}
		if err == nil {
			src.Memory = src.Memory[:src.at] // it was cut meanwhile
		}
		r := open(t, shm.Config{Chunk: n, Granularity: gran, Components: []shm.Component{{Name: "a", Bytes: n, ReadOnly: true, Source: src}}})
		done := r.do(host.ActCopyIn, 0, 0)
		if done.Status != host.Failed || done.Err == nil || !strings.Contains(done.Err.Error(), `component "a": reading bytes 2097152 to 4194304 of the weights`) {
			t.Errorf("%v, %v: want a failed copy that says what could not be read", done.Status, done.Err)
		}
		if r.Stats().Used != 0 || readable(&r.Memory(0)[0]) {
			t.Error("a failed copy leaves something behind")
		}
	}
}

func TestTheBudgetHolds(t *testing.T) {
	const n = 3 * chunk
	r := open(t, shm.Config{Budget: 2*chunk + gran, Components: []shm.Component{
		{Name: "a", Bytes: n, ReadOnly: true, Source: weights(1, n)}, {Name: "b", Bytes: gran, ReadOnly: true, Source: weights(2, gran)}}})
	within := func() {
		t.Helper()
		if _, _, memory := world(t); memory > int64(2*chunk+gran) {
			t.Errorf("the device takes %d bytes", memory)
		}
	}
	for i, want := range []host.Status{host.OK, host.OK, host.OutOfMemory} {
		if done := r.do(host.ActCopyIn, 0, i); done.Status != want {
			t.Errorf("chunk %d: %v, want %v", i, done.Status, want)
		}
		within()
	}
	r.must(host.ActCopyIn, 1)
	within()
	// Released memory is there for chunks of any size.
	r.do(host.ActRelease, 0, 0)
	r.do(host.ActRelease, 1, 0)
	for i := range 2 {
		r.do(host.ActCopyIn, 0, i*2)
		r.do(host.ActCopyIn, 1, 0)
		within()
		r.do(host.ActRelease, 0, i*2)
		r.do(host.ActRelease, 1, 0)
	}
	if s := r.Stats(); s.Idle == 0 || s.Used != chunk {
		t.Errorf("%+v: want what was released kept ready", s)
	}
	r.Trim(0)
	if _, _, memory := world(t); memory != int64(chunk) || r.Stats().Idle != 0 {
		t.Errorf("%d bytes after a trim, want the one chunk that is left", memory)
	}
}

func TestFaults(t *testing.T) {
	const n = 2 * chunk
	next := shm.Fault{}
	src := weights(1, n)
	r := open(t, shm.Config{Components: []shm.Component{{Name: "a", Bytes: n, Source: src}},
		Fault: func(host.Action) shm.Fault { f := next; next = shm.Fault{}; return f }})
	for _, st := range []host.Status{host.OutOfMemory, host.Failed} {
		next.Status = st
		if done := r.do(host.ActCopyIn, 0, 0); done.Status != st || readable(&r.Memory(0)[0]) || r.Stats().Used != 0 {
			t.Errorf("a copy that is to end as %v: %v", st, done.Status)
		}
	}
	next.Delay = 30 * time.Millisecond
	begun := r.Now()
	if r.must(host.ActCopyIn, 0); r.Now() < begun+30*time.Millisecond {
		t.Error("a copy that is to be slow was not")
	}
	if err := r.call(0); err != nil {
		t.Fatal(err)
	}
	was := slices.Clone(src)
	next.Status = host.Failed
	if done := r.do(host.ActCopyBack, 0, 0); done.Status != host.Failed || !bytes.Equal(was, src) {
		t.Errorf("a copy back that is to fail: %v", done.Status)
	}
	next.Status = host.Failed
	if done := r.do(host.ActRelease, 0, 0); done.Status != host.Failed || !readable(&r.Memory(0)[0]) {
		t.Errorf("a release that is to fail: %v", done.Status)
	}
	next.Silent = true
	r.Submit(r.action(host.ActRelease, 0, 0))
	if done, ok := r.Wait(host.Forever); ok {
		t.Errorf("a silent release has completed: %+v", done)
	}
	for r.Stats().Releases == 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestWhatMakesNoSenseFails(t *testing.T) {
	const n = chunk + 1
	r := open(t, shm.Config{Components: []shm.Component{{Name: "a", Bytes: n, ReadOnly: true, Source: weights(1, n)}}})
	good := r.action(host.ActCopyIn, 0, 1)
	for name, change := range map[string]func(*host.Action){
		"component":       func(a *host.Action) { a.Component = 1 },
		"no component":    func(a *host.Action) { a.Component = host.NoComponent },
		"chunk":           func(a *host.Action) { a.Chunk = 2 },
		"chunk below 0":   func(a *host.Action) { a.Chunk = -1 },
		"size":            func(a *host.Action) { a.Alloc++ },
		"weights":         func(a *host.Action) { a.Weights++ },
		"file":            func(a *host.Action) { a.File = a.Weights + 1 },
		"kind":            func(a *host.Action) { a.Kind = host.ActGrant },
		"absent copied":   func(a *host.Action) { a.Kind = host.ActCopyBack },
		"absent released": func(a *host.Action) { a.Kind = host.ActRelease },
	} {
		a := good
		change(&a)
		r.Submit(a)
		if done, ok := r.Wait(host.Forever); !ok || done.Status != host.Failed || done.Err == nil || done.Err.Error() == "" {
			t.Errorf("%s: %+v", name, done)
		}
	}
	r.Submit(good)
	r.Submit(good)
	first, _ := r.Wait(host.Forever)
	if second, _ := r.Wait(host.Forever); first.Status != host.OK || second.Status != host.Failed {
		t.Errorf("a chunk loaded twice: %v, %v", first.Status, second.Status)
	}
	r.Submit(r.action(host.ActCopyBack, 0, 1))
	if done, _ := r.Wait(host.Forever); done.Status != host.Failed {
		t.Errorf("a read-only chunk copied back: %v", done.Status)
	}
	r.Compute(1, 9, 0)
	if done, _ := r.Wait(host.Forever); done.Call != 1 || done.Err == nil {
		t.Errorf("a call of a component that is none: %+v", done)
	}
}

func TestDemandOvertakes(t *testing.T) {
	const n = 4 * chunk
	r := open(t, shm.Config{Components: []shm.Component{{Name: "a", Bytes: n, ReadOnly: true, Source: weights(1, n)}},
		Fault: func(a host.Action) shm.Fault { return shm.Fault{Delay: time.Duration(4-a.Op) * 20 * time.Millisecond} }})
	for i := range 4 {
		a := r.action(host.ActCopyIn, 0, i)
		a.Demand = i == 3
		r.Submit(a)
		if i == 0 {
			time.Sleep(5 * time.Millisecond) // it has begun
		}
	}
	var order []host.OpID
	for c, ok := r.Wait(host.Forever); ok; c, ok = r.Wait(host.Forever) {
		order = append(order, c.Op)
	}
	if !slices.Equal(order, []host.OpID{1, 4, 2, 3}) {
		t.Errorf("completed in the order %v, want the copy that a call waits for right after the one that ran", order)
	}
}

func TestWait(t *testing.T) {
	r := open(t, shm.Config{Components: []shm.Component{{Name: "a", Bytes: chunk, ReadOnly: true, Source: weights(1, chunk)}}})
	if _, ok := r.Wait(host.Forever); ok {
		t.Error("something completed of nothing")
	}
	until := r.Now() + 20*time.Millisecond
	if _, ok := r.Wait(until); ok || r.Now() < until {
		t.Errorf("nothing is in flight: returned at %v, want %v", r.Now(), until)
	}
	r.must(host.ActCopyIn, 0)
	r.Compute(3, 0, 40*time.Millisecond)
	begun := r.Now()
	if _, ok := r.Wait(begun + time.Millisecond); ok {
		t.Error("a call of 40ms ended after 1ms")
	}
	done, ok := r.Wait(host.Forever)
	if took := done.Time - begun; !ok || done.Call != 3 || done.Err != nil || took < 39*time.Millisecond {
		t.Errorf("a call of 40ms ended after %v: %+v", took, done)
	}
	// Time does not go back, whatever happened before it was looked at.
	r.do(host.ActRelease, 0, 0)
	r.Submit(r.action(host.ActCopyIn, 0, 0))
	time.Sleep(20 * time.Millisecond)
	now := r.Now()
	if done, ok := r.Wait(0); !ok || done.Time < now {
		t.Errorf("a completion at %v, after %v", done.Time, now)
	}
}

func TestLoss(t *testing.T) {
	const n = 3 * chunk
	src := weights(1, n)
	r := open(t, shm.Config{Verify: true, Pace: shm.Pace{H2D: 1000}, Components: []shm.Component{{Name: "a", Bytes: n, Source: src}}})
	// At this pace a chunk takes 20 s.
	for i := range 2 {
		r.Submit(r.action(host.ActCopyIn, 0, i))
	}
	r.Compute(1, 0, time.Hour)
	time.Sleep(5 * time.Millisecond)
	r.Lose()
	r.Lose()
	var ops, calls int
	for c, ok := r.Wait(host.Forever); ok; c, ok = r.Wait(host.Forever) {
		switch {
		case c.Call != 0 && c.Err != nil:
			calls++
		case c.Op != 0 && c.Status == host.Lost:
			ops++
		default:
			t.Errorf("%+v: want it lost", c)
		}
	}
	if ops != 2 || calls != 1 {
		t.Errorf("%d copies and %d calls ended, want 2 and 1", ops, calls)
	}
	if readable(&r.Memory(0)[0]) || r.Stats().Used != 0 {
		t.Error("something is left on a device that was lost")
	}
	if done := r.do(host.ActCopyIn, 0, 0); done.Status != host.Lost {
		t.Errorf("a copy to a device that was lost: %v", done.Status)
	}
	if err := r.call(0); !errors.Is(err, host.ErrLost) {
		t.Errorf("a call on a device that was lost: %v", err)
	}
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	if r.Restore() == nil {
		t.Error("restored twice")
	}
	if done := r.do(host.ActRelease, 0, 0); done.Status != host.Failed {
		t.Errorf("release of a chunk that was lost: %v", done.Status)
	}
}

func TestALostDeviceComesBackEmptyAndWhole(t *testing.T) {
	const n = 3*chunk - 7
	src := weights(1, n)
	r := open(t, shm.Config{Verify: true, Components: []shm.Component{{Name: "a", Bytes: n, Source: src}}})
	want := slices.Clone(src)
	r.must(host.ActCopyIn, 0)
	if err := r.call(0); err != nil {
		t.Fatal(err)
	}
	r.Lose() // and with it the change
	if err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	r.must(host.ActCopyIn, 0)
	if !bytes.Equal(r.Memory(0)[:n], want) {
		t.Error("the weights are not those that host memory has")
	}
	if err := r.call(0); err != nil {
		t.Error(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	routines := runtime.NumGoroutine()
	fds, maps, _ := world(t)
	const n = 8 * units.MiB
	for i := range 3 {
		src := &inFile{Memory: weights(1, n), file: int64(n)}
		d, err := shm.New(shm.Config{Budget: 64 * units.MiB, Chunk: n, Granularity: gran, Pace: shm.Pace{H2D: 1000, D2H: 1000}, Populate: i == 1,
			Components: []shm.Component{{Name: "a", Bytes: n, ReadOnly: true, Source: src}, {Name: "b", Bytes: n, Source: weights(2, n)}}})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Device: d, t: t, cfg: shm.Config{Chunk: n, Granularity: gran, Components: []shm.Component{{Bytes: n, Source: src}, {Bytes: n}}}}
		for c := range host.ID(2) { // an hour each
			r.Submit(r.action(host.ActCopyIn, c, 0))
			r.Compute(host.CallID(c+1), c, time.Hour)
		}
		if i == 2 {
			time.Sleep(20 * time.Millisecond)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		r.Submit(r.action(host.ActRelease, 0, 0))
		d.Lose()
		if _, ok := d.Wait(host.Forever); ok || d.Restore() == nil {
			t.Error("a closed device lives on")
		}
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > routines && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	f, m, _ := world(t)
	if got := runtime.NumGoroutine(); got > routines || f != fds || m != maps {
		t.Errorf("%d goroutines, %d descriptors and %d mappings are left, of %d, %d and %d before", got, f, m, routines, fds, maps)
	}
}

func TestPopulateTakesAllOfTheBudget(t *testing.T) {
	r := open(t, shm.Config{Budget: 10*chunk + gran, Populate: true})
	if s := r.Stats(); s.Idle != 10*chunk || s.Used != 0 {
		t.Errorf("%+v: want ten chunks ready", s)
	}
}

func TestConfigErrors(t *testing.T) {
	ok := shm.Component{Name: "x", Bytes: 10, Source: make(shm.Memory, 10)}
	for name, c := range map[string]struct {
		cfg  shm.Config
		want string
	}{
		"no budget":         {shm.Config{}, "budget 0"},
		"granularity":       {shm.Config{Budget: 1 << 20, Granularity: 100, Chunk: 1000}, "granularity 100 B: want a multiple of the page size"},
		"chunk":             {shm.Config{Budget: 1 << 20, Granularity: gran, Chunk: gran + 1}, "want a multiple of the granularity"},
		"workers":           {shm.Config{Budget: 1 << 20, Workers: 65}, "workers 65: want 1 to 64"},
		"pace":              {shm.Config{Budget: 1 << 20, Pace: shm.Pace{D2H: -1}}, "must not be negative"},
		"no source":         {shm.Config{Budget: 1 << 20, Components: []shm.Component{{Name: "x", Bytes: 1}}}, `component 0 "x": no source`},
		"size":              {shm.Config{Budget: 1 << 20, Components: []shm.Component{ok, {Name: "y", Bytes: -1}}}, `component 1 "y": -1 bytes`},
		"too many chunks":   {shm.Config{Budget: 1 << 20, Granularity: gran, Chunk: gran, Components: []shm.Component{{Name: "x", Bytes: 1 << 40, ReadOnly: true, Source: ok.Source}}}, "chunks in all"},
		"changed in a file": {shm.Config{Budget: 1 << 20, Components: []shm.Component{{Name: "x", Bytes: 10, Source: &inFile{file: 1}}}}, "make it read-only"},
	} {
		if _, err := shm.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
