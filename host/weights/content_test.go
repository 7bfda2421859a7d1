package weights_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

func TestLayoutHash(t *testing.T) {
	base := source(t, model(t, some, 1)).Manifest()
	if err := base.Check(); err != nil {
		t.Fatal(err)
	}
	for i, x := range base.Tensors {
		if x.Offset%weights.Align != 0 {
			t.Errorf("tensor %d begins at %d", i, x.Offset)
		}
	}
	// One file instead of several, in another order: the same layout.
	path := t.TempDir() + "/x.safetensors"
	reversed := make([]safetensorstest.Tensor, len(some))
	for i, x := range some {
		reversed[len(some)-1-i] = x
	}
	safetensorstest.Write(t, path, reversed, nil, fill(2))
	if got := source(t, openModel(t, path)).Manifest().LayoutHash(); got != base.LayoutHash() {
		t.Errorf("the same tensors in one file have layout %v, in several %v", got, base.LayoutHash())
	}
	for name, change := range map[string]func(*weights.Manifest){
		"name":    func(m *weights.Manifest) { m.Tensors[0].Name += "x" },
		"dtype":   func(m *weights.Manifest) { m.Tensors[1].DType = "F16" },
		"shape":   func(m *weights.Manifest) { m.Tensors[1].Shape = []int64{1000, 300} },
		"alias":   func(m *weights.Manifest) { m.Tensors[1].Aliases = []string{"y"} },
		"missing": func(m *weights.Manifest) { m.Tensors = m.Tensors[1:] },
		"offset":  func(m *weights.Manifest) { m.Tensors[2].Offset += weights.Align },
	} {
		m := source(t, model(t, some, 1)).Manifest()
		change(m)
		if m.LayoutHash() == base.LayoutHash() {
			t.Errorf("a change of %s leaves the layout hash", name)
		}
	}
}

func TestManifestCheck(t *testing.T) {
	for want, change := range map[string]func(*weights.Manifest){
		"first multiple of 512":     func(m *weights.Manifest) { m.Tensors[1].Offset++ },
		"want names in order":       func(m *weights.Manifest) { m.Tensors[1].Name = m.Tensors[0].Name },
		"but shape":                 func(m *weights.Manifest) { m.Tensors[1].Bytes++ },
		"is not known":              func(m *weights.Manifest) { m.Tensors[1].DType = "X" },
		"negative size":             func(m *weights.Manifest) { m.Tensors[1].Shape[0] = -1 },
		"the last tensor ends at":   func(m *weights.Manifest) { m.Bytes++ },
		"behind the end of the com": func(m *weights.Manifest) { m.Bytes-- },
		"want 0 to":                 func(m *weights.Manifest) { m.Bytes = -1 },
		"not sorted":                func(m *weights.Manifest) { m.Tensors[1].Aliases = []string{"b", "a"} },
	} {
		m := source(t, model(t, some, 1)).Manifest()
		change(m)
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestDigestIsOfTheContent(t *testing.T) {
	load1 := func(tensors []safetensorstest.Tensor, seed byte) *weights.Component {
		return load(t, weights.Config{}, weights.Spec{Name: "m", Source: source(t, model(t, tensors, seed))}).Components()[0]
	}
	base, again, tuned := load1(some, 1), load1(some, 1), load1(some, 2)
	if digest(t, base) != digest(t, again) {
		t.Error("the same weights have two digests")
	}
	if digest(t, base) == digest(t, tuned) || base.Manifest().LayoutHash() != tuned.Manifest().LayoutHash() {
		t.Error("a fine-tune must have its base's layout and another digest")
	}
}

// The digest as its comment describes it, without the package.
func TestDigestIsAsDocumented(t *testing.T) {
	for _, size := range []units.Bytes{0, 1, 4 << 20, 4<<20 + 1, 9 << 20} {
		c := load(t, weights.Config{}, weights.Spec{Name: "x", Source: synthetic(t, 1, "x", size)}).Components()[0]
		b := all(t, c)
		root := binary.LittleEndian.AppendUint64([]byte{1}, uint64(size))
		for len(b) > 0 {
			n := min(len(b), 4<<20)
			leaf := sha256.Sum256(append([]byte{0}, b[:n]...))
			root, b = append(root, leaf[:]...), b[n:]
		}
		if want := weights.Hash(sha256.Sum256(root)); digest(t, c) != want {
			t.Errorf("%d bytes: digest %v, want %v", size, digest(t, c), want)
		}
	}
}

func TestDigestCanBeCancelled(t *testing.T) {
	c := load(t, weights.Config{}, weights.Spec{Name: "x", Source: synthetic(t, 1, "x", 64<<20)}).Components()[0]
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Digest(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	digest(t, c)
}

func TestWritable(t *testing.T) {
	src := synthetic(t, 1, "m", 9<<20+100)
	for name, c := range map[string]*weights.Component{
		"held":    load(t, weights.Config{}, weights.Spec{Name: "m", Source: src}).Components()[0],
		"spilled": load(t, weights.Config{Budget: 5 << 20}, weights.Spec{Name: "m", Source: src}).Components()[0],
	} {
		base := digest(t, c)
		w, err := c.Writable(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if w.ReadOnly() || w.FileBytes() != 0 || digest(t, w) != base || w.Name() != "m" {
			t.Errorf("%s: the copy is read-only %v, has %d file bytes, digest %v of %v", name, w.ReadOnly(), w.FileBytes(), digest(t, w), base)
		}
		w.Span(5000, 1)[0]++
		if digest(t, w) == base {
			t.Errorf("%s: a changed byte leaves the digest", name)
		}
		if !bytes.Equal(all(t, c)[:5000], all(t, w)[:5000]) || all(t, c)[5000] == all(t, w)[5000] {
			t.Errorf("%s: the copy is not the original with one byte changed", name)
		}
		w.Span(5000, 1)[0]--
		if digest(t, w) != base {
			t.Errorf("%s: the byte changed back gives another digest", name)
		}
		if _, err := w.Export(); !errors.Is(err, weights.ErrWritable) {
			t.Errorf("%s: the copy was exported: %v", name, err)
		}
	}
	w := load(t, weights.Config{}, weights.Spec{Name: "m", Source: src, Writable: true}).Components()[0]
	before := digest(t, w)
	w.Span(0, 1)[0]++
	if w.ReadOnly() || digest(t, w) == before {
		t.Error("a component that was loaded to be written cannot be changed")
	}
}

func TestSyntheticAtAnyOffset(t *testing.T) {
	whole := make([]byte, 10_000)
	if _, err := synthetic(t, 7, "unet", 10_000).ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(whole)).Draw(t, "off")
		n := rapid.IntRange(0, len(whole)-off).Draw(t, "n")
		s, err := weights.Synthetic(7, "unet", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, n)
		if _, err := s.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, whole[off:off+n]) {
			t.Fatalf("%d bytes at %d differ, %v", n, off, err)
		}
	})
	for _, other := range []weights.Source{synthetic(t, 8, "unet", 10_000), synthetic(t, 7, "vae", 10_000)} {
		p := make([]byte, len(whole))
		if _, err := other.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		same := 0
		for i := range p {
			if p[i] == whole[i] {
				same++
			}
		}
		if same > len(p)/100 {
			t.Errorf("another seed or name gives %d of %d bytes the same", same, len(p))
		}
	}
	// The first words, by the published algorithm: replays elsewhere depend on them.
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64([]byte("offhost synthetic weights 1\n"), 7), "unet"...))
	z := binary.LittleEndian.Uint64(sum[:]) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	if got := binary.LittleEndian.Uint64(whole[8:]); got != z^z>>31 {
		t.Errorf("word 1 is %#x, want %#x", got, z^z>>31)
	}
}
