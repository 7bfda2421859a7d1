package weights_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

const linux = true

// held lists what the process holds of files and shared memory: descriptors and
// mappings, as the kernel has them.
func held(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			list = append(list, e.Name()+" "+target)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "memfd:") {
			list = append(list, line)
		}
	}
	return list
}

func TestExportedMemoryIsSealed(t *testing.T) {
	c := load(t, weights.Config{}, weights.Spec{Name: "unet", Source: synthetic(t, 1, "unet", 3<<20)}).Components()[0]
	before := digest(t, c)
	f, err := c.Export()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err) // opening is allowed to root; using it is not
	}
	defer again.Close()
	for name, g := range map[string]*os.File{"exported": f, "opened again to write": again} {
		fd := int(g.Fd())
		if _, err := g.WriteAt([]byte{1}, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: write: %v, want EPERM", name, err)
		}
		for _, size := range []int64{0, 1 << 20, 4 << 20} {
			if err := g.Truncate(size); !errors.Is(err, unix.EPERM) {
				t.Errorf("%s: resize to %d: %v, want EPERM", name, size, err)
			}
		}
		if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: mapped to write: %v, want EPERM", name, err)
		}
		if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: hole: %v, want EPERM", name, err)
		}
		if _, err := unix.FcntlInt(g.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: more seals: %v, want EPERM", name, err)
		}
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mprotect(m, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("a mapping was made writable: %v, want EACCES", err)
	}
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if w, err := c.Writable(context.Background()); err != nil {
		t.Fatal(err)
	} else {
		w.Span(0, 1)[0]++
		defer w.Close()
	}
	if after := load(t, weights.Config{}, weights.Spec{Name: "again", Source: synthetic(t, 1, "unet", 3<<20)}).Components()[0]; digest(t, after) != before || !bytes.Equal(all(t, c), all(t, after)) {
		t.Error("the exported memory has changed")
	}
}

func TestSealedMemoryIsMappedAndOtherReceivedIsRead(t *testing.T) {
	src := synthetic(t, 1, "unet", 3<<20+5)
	c := load(t, weights.Config{}, weights.Spec{Name: "unet", Source: src}).Components()[0]
	exported, err := c.Export()
	if err != nil {
		t.Fatal(err)
	}
	memfd := func(size int64, content bool, flags, seals int) *os.File {
		fd, err := unix.MemfdCreate("client", flags)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "client")
		if content {
			if _, err := f.WriteAt(all(t, c), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil && seals != 0 {
			t.Fatal(err)
		}
		return f
	}
	size := int64(c.Bytes())
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, all(t, c), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name   string
		f      *os.File
		mapped bool
		zeros  bool
	}{
		{"exported by offhost", exported, true, false},
		{"sealed against shrinking only", memfd(size, true, unix.MFD_ALLOW_SEALING, unix.F_SEAL_SHRINK), true, false},
		{"not sealed", memfd(size, true, unix.MFD_ALLOW_SEALING, 0), false, false},
		{"sealed against everything else", memfd(size, true, unix.MFD_ALLOW_SEALING, unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL), false, false},
		{"not to be sealed", memfd(size, true, 0, 0), false, false},
		{"sealed, of holes", memfd(size, false, unix.MFD_ALLOW_SEALING, unix.F_SEAL_SHRINK), false, true},
		{"a file", file, false, false},
	} {
		r, err := weights.Receive("unet", x.f, src.Manifest())
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if mapped := r.Span(0, size) != nil; mapped != x.mapped || mapped != (r.FileBytes() == 0) {
			t.Errorf("%s: mapped %v with %d file bytes, want %v", x.name, mapped, r.FileBytes(), x.mapped)
		}
		if !x.zeros && (!bytes.Equal(all(t, r), all(t, c)) || digest(t, r) != digest(t, c)) {
			t.Errorf("%s: other bytes than were sent", x.name)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	for want, f := range map[string]*os.File{
		"has 3145732 bytes: want the 3145733 of its manifest": memfd(size-1, true, unix.MFD_ALLOW_SEALING, unix.F_SEAL_SHRINK),
		"has mode": func() *os.File {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
			return r
		}(),
	} {
		before := len(held(t))
		if _, err := weights.Receive("unet", f, src.Manifest()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if after := len(held(t)); after != before-1 {
			t.Errorf("%s: the descriptor that was refused is still open", want)
		}
	}
}

// A client that cuts its memory short after sending it harms itself only.
func TestReceivedMemoryThatIsCutShort(t *testing.T) {
	src := synthetic(t, 1, "unet", 1<<20)
	fd, err := unix.MemfdCreate("client", unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "client")
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	r, err := weights.Receive("unet", f, src.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 8192), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want an error that wraps io.ErrUnexpectedEOF", err)
	}
	if _, err := r.Writable(context.Background()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("copy: %v, want an error that wraps io.ErrUnexpectedEOF", err)
	}
}

func TestPinnedIsWhatTheKernelSays(t *testing.T) {
	s := load(t, weights.Config{PinBudget: 3 << 20}, weights.Spec{Name: "a", Source: synthetic(t, 1, "a", 2<<20)},
		weights.Spec{Name: "b", Source: synthetic(t, 1, "b", 2<<20)}, weights.Spec{Name: "c", Source: synthetic(t, 1, "c", 2<<20)})
	pinned, err := s.Pinned()
	if err != nil {
		t.Skipf("this process may not lock 3 MiB: %v", err)
	}
	if pinned != 3<<20 || locked(t) != 3<<20 {
		t.Errorf("%v pinned, the kernel has %v, want 3 MiB", pinned, locked(t))
	}
	if err := s.Close(); err != nil || locked(t) != 0 {
		t.Errorf("after closing %v are locked, %v", locked(t), err)
	}
}

// locked is how much memory the process has locked.
func locked(t testing.TB) units.Bytes {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmLck: %d kB", &kb); err == nil {
			return units.Bytes(kb) * units.KiB
		}
	}
	t.Fatal("no VmLck")
	return 0
}

// What a process of our own moves the weights with is the same memory, which cannot
// shrink; it can be written where the component can.
func TestMemoryIsTheComponents(t *testing.T) {
	for _, writable := range []bool{false, true} {
		c := load(t, weights.Config{}, weights.Spec{Name: "unet", Source: synthetic(t, 1, "unet", 3<<20), Writable: writable}).Components()[0]
		f, err := c.Memory()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(1); err == nil {
			t.Errorf("writable %v: the memory has shrunk", writable)
		}
		if _, err := f.WriteAt([]byte{1, 2, 3}, 5); (err == nil) != writable {
			t.Errorf("writable %v: writing: %v", writable, err)
		}
		got := make([]byte, 8)
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, c.Span(0, 8)) {
			t.Errorf("writable %v: %v, %v: want the component's %v", writable, got, err, c.Span(0, 8))
		}
	}
	// Of one that lies partly in a file it is the rest.
	c := load(t, weights.Config{Budget: 2 << 20}, weights.Spec{Name: "unet", Source: synthetic(t, 1, "unet", 3<<20)}).Components()[0]
	f, err := c.Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, want := make([]byte, 8), make([]byte, 8)
	if _, err := f.ReadAt(got, 0); err != nil || c.FileBytes() == 0 {
		t.Fatal(err, c.FileBytes())
	}
	if _, err := c.ReadAt(want, int64(c.FileBytes())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %v: want what follows the %v of the file, %v", got, err, c.FileBytes(), want)
	}
}

// Sealed when it is exported, if that is asked for, and not written to by that before.
func TestSealingAtExport(t *testing.T) {
	c := load(t, weights.Config{SealAtExport: true}, weights.Spec{Name: "unet", Source: synthetic(t, 1, "unet", 3<<20)}).Components()[0]
	f, err := c.Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seals := func(want int) {
		t.Helper()
		if got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || got&^unix.F_SEAL_EXEC != want {
			t.Errorf("sealed as %#x, %v: want %#x", got, err, want)
		}
	}
	seals(unix.F_SEAL_SHRINK | unix.F_SEAL_GROW)
	for range 2 {
		g, err := c.Export()
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		seals(unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL)
	}
}
