package weights_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

func TestLoadedBytesAreTheFiles(t *testing.T) {
	src := source(t, model(t, some, 1))
	want := packed(some, src.Manifest(), 1)
	for _, workers := range []int{0, 1, 3} {
		c := load(t, weights.Config{Workers: workers}, weights.Spec{Name: "m", Source: src}).Components()[0]
		if got := c.Span(0, int64(c.Bytes())); !bytes.Equal(got, want) {
			t.Errorf("%d workers: %d bytes in memory differ from the %d that were written", workers, len(got), len(want))
		}
		if got := all(t, c); !bytes.Equal(got, want) {
			t.Errorf("%d workers: ReadAt gives other bytes than were written", workers)
		}
		if !c.ReadOnly() || c.FileBytes() != 0 || c.Name() != "m" {
			t.Errorf("read-only %v, %d file bytes, name %q", c.ReadOnly(), c.FileBytes(), c.Name())
		}
	}
}

// The tensors that other writers wrote lie in memory as golden.txt has them: that the
// files are read so is tested there, so here the component is compared with the file.
func TestFilesByOtherWriters(t *testing.T) {
	for _, path := range []string{"python", "rust", "lowprecision", "transformers", "diffusers", "single", "metadata"} {
		m := openModel(t, testdata(path))
		c := load(t, weights.Config{}, weights.Spec{Name: path, Source: source(t, m)}).Components()[0]
		if len(c.Manifest().Tensors) != len(m.Tensors) {
			t.Errorf("%s: %d tensors of %d", path, len(c.Manifest().Tensors), len(m.Tensors))
		}
		for _, x := range c.Manifest().Tensors {
			file := make([]byte, x.Bytes)
			if _, err := m.Tensor(x.Name).ReadAt(file, 0); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Span(x.Offset, x.Bytes), file) {
				t.Errorf("%s: tensor %q differs", path, x.Name)
			}
		}
	}
}

func TestWhatDoesNotFitIsReadFromFiles(t *testing.T) {
	m := model(t, some, 1)
	src := source(t, m)
	size := src.Manifest().Bytes
	held := load(t, weights.Config{}, weights.Spec{Name: "held", Source: src}).Components()[0]
	for _, budget := range []units.Bytes{size - 1, size / 2, 1} {
		s := load(t, weights.Config{Budget: budget}, weights.Spec{Name: "spilled", Source: src})
		c := s.Components()[0]
		inMemory, inFiles := s.Bytes()
		if inMemory > budget || inFiles != c.FileBytes() || inMemory+inFiles != size || inFiles == 0 {
			t.Errorf("budget %d: %d in memory, %d in files of %d", budget, inMemory, inFiles, size)
		}
		if !bytes.Equal(all(t, c), all(t, held)) {
			t.Errorf("budget %d: other bytes than when all are held", budget)
		}
		low, n := int64(c.FileBytes()), int64(size-c.FileBytes())
		if !bytes.Equal(c.Span(low, n), held.Span(low, n)) {
			t.Errorf("budget %d: the held part differs", budget)
		}
		if low > 0 && c.Span(low-1, 1) != nil {
			t.Errorf("budget %d: byte %d lies in a file and has a span", budget, low-1)
		}
		if digest(t, c) != digest(t, held) {
			t.Errorf("budget %d: digest %v, held %v", budget, digest(t, c), digest(t, held))
		}
		if _, err := c.Export(); !errors.Is(err, weights.ErrFileBacked) {
			t.Errorf("budget %d: exported: %v", budget, err)
		}
	}
}

func TestReadAtAnyOffset(t *testing.T) {
	src := source(t, model(t, some, 3))
	want := packed(some, src.Manifest(), 3)
	c := load(t, weights.Config{Budget: src.Manifest().Bytes / 2}, weights.Spec{Name: "m", Source: src}).Components()[0]
	edges := []int64{0, 1, int64(c.FileBytes()), int64(c.Bytes())}
	for _, x := range c.Manifest().Tensors {
		edges = append(edges, x.Offset, x.Offset+x.Bytes)
	}
	for _, edge := range edges {
		for _, off := range []int64{edge - 600, edge - 1, edge, edge + 1} {
			for _, n := range []int{0, 1, 511, 5000} {
				if off < 0 {
					continue
				}
				p := bytes.Repeat([]byte{0xee}, n)
				got, err := c.ReadAt(p, off)
				rest := want[min(off, int64(len(want))):]
				fits := min(n, len(rest))
				if got != fits || !bytes.Equal(p[:got], rest[:fits]) || (err == io.EOF) != (fits < n) || err != nil && err != io.EOF {
					t.Errorf("%d bytes at %d: %d, %v, want %d", n, off, got, err, fits)
				}
			}
		}
	}
	if _, err := c.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was read")
	}
	for _, bad := range [][2]int64{{-1, 1}, {0, int64(c.Bytes()) + 1}, {int64(c.Bytes()), 1}, {int64(c.FileBytes()), -1}, {1 << 62, 1 << 62}} {
		if c.Span(bad[0], bad[1]) != nil {
			t.Errorf("a span of %d at %d of %d bytes", bad[1], bad[0], c.Bytes())
		}
	}
}

func TestProgressRises(t *testing.T) {
	const size = 50 << 20
	var mu sync.Mutex
	var seen []units.Bytes
	load(t, weights.Config{Workers: 4, Progress: func(done, total units.Bytes) {
		if !mu.TryLock() {
			t.Error("called while it runs")
			return
		}
		defer mu.Unlock()
		if total != size+10 {
			t.Errorf("total %d, want %d", total, size+10)
		}
		seen = append(seen, done)
	}}, weights.Spec{Name: "a", Source: synthetic(t, 1, "a", size)}, weights.Spec{Name: "b", Source: synthetic(t, 1, "b", 10)})
	if len(seen) < 2 || !slices.IsSorted(seen) || seen[len(seen)-1] != size+10 {
		t.Errorf("progress %v, want rising counts up to %d", seen, size+10)
	}
}

func TestNothingStaysOfAFailedLoad(t *testing.T) {
	good := weights.Spec{Name: "good", Source: synthetic(t, 1, "good", 20<<20)}
	for _, c := range []struct {
		name string
		spec func(t *testing.T) weights.Spec
		want string
		is   error
	}{
		{"file cut short after it was opened", func(t *testing.T) weights.Spec {
			m := model(t, some, 1)
			truncate(t, m.Files[1].Path, 1)
			return weights.Spec{Name: "cut", Source: source(t, m)}
		}, `component "cut": `, io.ErrUnexpectedEOF},
		{"file closed", func(t *testing.T) weights.Spec {
			m := model(t, some, 1)
			src := source(t, m)
			m.Close()
			return weights.Spec{Name: "closed", Source: src}
		}, `component "closed": `, nil},
		{"disk that fails near the end", func(t *testing.T) weights.Spec {
			return weights.Spec{Name: "disk", Source: failing{synthetic(t, 1, "x", 20<<20), 19 << 20}}
		}, `component "disk": bad sector`, errDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := c.spec(t)
			before := held(t)
			s, err := weights.Load(context.Background(), []weights.Spec{good, spec, good}, weights.Config{Workers: 3})
			if s != nil || err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
			if after := held(t); !cmp.Equal(before, after) {
				t.Errorf("left over (-before +after):\n%s", cmp.Diff(before, after))
			}
		})
	}
}

var errDisk = errors.New("bad sector")

// failing is a source that cannot be read from a byte on.
type failing struct {
	weights.Source
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, errDisk
	}
	return f.Source.ReadAt(p, off)
}

func TestCancelledLoad(t *testing.T) {
	before := held(t)
	ctx, cancel := context.WithCancel(context.Background())
	var after units.Bytes
	_, err := weights.Load(ctx, []weights.Spec{{Name: "a", Source: synthetic(t, 1, "a", 200<<20)}}, weights.Config{Workers: 1,
		Progress: func(done, _ units.Bytes) { after = done; cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if after > 16<<20 {
		t.Errorf("%v were loaded before it ended", after)
	}
	if got := held(t); !cmp.Equal(before, got) {
		t.Errorf("left over (-before +after):\n%s", cmp.Diff(before, got))
	}
}

func TestCloseGivesEverythingBack(t *testing.T) {
	src := source(t, model(t, some, 1))
	before := held(t)
	for range 3 {
		s, err := weights.Load(context.Background(), []weights.Spec{{Name: "a", Source: src}, {Name: "b", Source: src, Writable: true},
			{Name: "nothing", Source: synthetic(t, 1, "nothing", 0)}}, weights.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w, err := s.Components()[0].Writable(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if cmp.Equal(before, held(t)) && linux {
			t.Fatal("loading took nothing: the test cannot see what it is for")
		}
		if err := errors.Join(w.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if after := held(t); !cmp.Equal(before, after) {
		t.Errorf("left over (-before +after):\n%s", cmp.Diff(before, after))
	}
}

func TestBudgetTooSmallForWhatIsWritten(t *testing.T) {
	_, err := weights.Load(context.Background(), []weights.Spec{{Name: "a", Source: synthetic(t, 1, "a", 3<<20), Writable: true}}, weights.Config{Budget: 2 << 20})
	if err == nil || !strings.Contains(err.Error(), "budget of host memory is 2 MiB") {
		t.Error(err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	safetensorstest.Write(t, filepath.Join(dir, "unet.safetensors"), some, map[string]string{"head": "proj.w", "blocks.9.w": "blocks.0.w"}, fill(1))
	f, err := weights.OpenFolder(dir, []weights.Part{{Name: "unet"}, {Name: "unet.blocks.0", Parent: "unet"}, {Name: "unet.blocks.1", Parent: "unet"},
		{Name: "unet.blocks", Parent: "unet"}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got [][]string
	for _, s := range f.Sources() {
		var names []string
		for _, x := range s.Manifest().Tensors {
			names = append(append(names, x.Name), x.Aliases...)
		}
		got = append(got, names)
	}
	want := [][]string{{"empty", "norm", "proj.w", "head"}, {"blocks.0.b", "blocks.0.w", "blocks.9.w"}, {"blocks.1.w"}, {"blocks.10.w"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tensors and aliases of the parts (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		parts []weights.Part
		want  string
	}{
		{[]weights.Part{{Name: "vae"}}, `component "vae": neither`},
		{[]weights.Part{{Name: "../unet"}}, "is none of a file"},
		{[]weights.Part{{Name: ".."}}, "is none of a file"},
		{[]weights.Part{{Name: "unet"}, {Name: "unet.up", Parent: "unet"}}, `part "unet.up": ` + filepath.Join(dir, "unet.safetensors") + ` has no tensor whose name begins with "up."`},
		{[]weights.Part{{Name: "unet"}, {Name: "other", Parent: "unet"}}, `want a name that begins with "unet."`},
		{[]weights.Part{{Name: "a.b", Parent: "a"}}, `is a part of "a", which is none`},
	} {
		before := held(t)
		if _, err := weights.OpenFolder(dir, c.parts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.parts, err, c.want)
		}
		if after := held(t); !cmp.Equal(before, after) {
			t.Errorf("%v: left over (-before +after):\n%s", c.parts, cmp.Diff(before, after))
		}
	}
}
