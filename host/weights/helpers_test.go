package weights_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/offhost/offhost/host/safetensors"
	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

// fill makes bytes that tell the tensor and the position apart.
func fill(seed byte) safetensorstest.Fill {
	return func(name string, p []byte, off int64) {
		for i := range p {
			at := off + int64(i)
			p[i] = seed + name[len(name)-1]*31 + byte(at) + byte(at>>8)*7 + byte(at>>16)*13
		}
	}
}

func tensor(name string, dtype safetensors.DType, shape ...int64) safetensorstest.Tensor {
	return safetensorstest.Tensor{Name: name, DType: dtype, Shape: shape}
}

// some is a model with what is awkward: sizes that are not aligned, nothing at all,
// and names that are not in the order of the file.
var some = []safetensorstest.Tensor{
	tensor("blocks.1.w", "BF16", 300, 1000), tensor("blocks.0.w", "BF16", 300, 1000), tensor("blocks.0.b", "F32", 3),
	tensor("blocks.10.w", "U8", 5<<20), tensor("empty", "F16", 0, 3), tensor("norm", "F4", 2), tensor("proj.w", "F32", 700, 1111),
}

// model opens a model that was written into a new directory.
func model(t testing.TB, tensors []safetensorstest.Tensor, seed byte) *safetensors.Model {
	t.Helper()
	dir := t.TempDir()
	safetensorstest.WriteSharded(t, dir, tensors, 3, fill(seed))
	return openModel(t, dir)
}

func openModel(t testing.TB, path string) *safetensors.Model {
	t.Helper()
	m, err := safetensors.OpenModel(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func source(t testing.TB, m *safetensors.Model) weights.Source {
	t.Helper()
	s, err := weights.FromModel(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func synthetic(t testing.TB, seed uint64, name string, size units.Bytes) weights.Source {
	t.Helper()
	s, err := weights.Synthetic(seed, name, size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t testing.TB, cfg weights.Config, specs ...weights.Spec) *weights.Store {
	t.Helper()
	s, err := weights.Load(context.Background(), specs, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func digest(t testing.TB, c *weights.Component) weights.Hash {
	t.Helper()
	h, err := c.Digest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// all reads a component as its device would, wherever it lies.
func all(t testing.TB, c *weights.Component) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, int64(c.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packed is what a component of a model must hold, made without the package.
func packed(tensors []safetensorstest.Tensor, m *weights.Manifest, seed byte) []byte {
	b := make([]byte, m.Bytes)
	for _, x := range m.Tensors {
		for _, y := range tensors {
			if x.Name == y.Name {
				fill(seed)(y.Name, b[x.Offset:x.Offset+y.Bytes()], 0)
			}
		}
	}
	return b
}

func testdata(path string) string { return filepath.Join("../safetensors/testdata", path) }

func truncate(t testing.TB, path string, by int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-by); err != nil {
		t.Fatal(err)
	}
}
