package safetensors_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/safetensors"
)

// The files of testdata were written by other writers, and golden.txt from what those
// were given: testdata/make says how.
func TestFilesByOtherWriters(t *testing.T) {
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	golden := map[string]map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		path, rest, _ := strings.Cut(lines.Text(), " ")
		// Names are JSON, as Python and Rust print it; they may have spaces.
		var name string
		d := json.NewDecoder(strings.NewReader(rest))
		if err := d.Decode(&name); err != nil {
			t.Fatalf("%q: %v", rest, err)
		}
		if golden[path] == nil {
			golden[path] = map[string]string{}
		}
		golden[path][name] = strings.TrimSpace(rest[d.InputOffset():])
	}
	if len(golden) != 11 {
		t.Fatalf("golden.txt lists %d files, want 11", len(golden))
	}
	for path, want := range golden {
		f, err := safetensors.Open(filepath.Join("testdata", path))
		if err != nil {
			t.Error(err)
			continue
		}
		got := map[string]string{}
		for i := range f.Tensors {
			got[f.Tensors[i].Name] = listing(t, &f.Tensors[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", path, diff)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func listing(t *testing.T, x *safetensors.Tensor) string {
	shape, err := json.Marshal(x.Shape)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(x, 0, x.Bytes)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %x", x.DType, shape, sum.Sum(nil))
}

func TestModelsByOtherWriters(t *testing.T) {
	for _, c := range []struct {
		path, file string // under testdata
		files      int
		tensors    []string
		aliases    map[string]string
	}{
		{"transformers", "transformers/model.safetensors.index.json", 3,
			[]string{"embed.weight", "layers.0.norm.weight", "layers.0.up.weight", "layers.1.norm.weight",
				"layers.1.up.weight", "layers.2.norm.weight", "layers.2.up.weight"},
			map[string]string{"lm_head.weight": "embed.weight"}},
		{"transformers/model.safetensors.index.json", "transformers/model.safetensors.index.json", 3, nil,
			map[string]string{"lm_head.weight": "embed.weight"}},
		{"diffusers", "diffusers/diffusion_pytorch_model.safetensors.index.fp16.json", 2,
			[]string{"blocks.0.attn.weight", "blocks.1.attn.weight", "blocks.2.attn.weight", "blocks.3.attn.weight"}, nil},
		{"single", "single/diffusion_pytorch_model.safetensors", 1, []string{"conv.weight"}, nil},
		{"single/diffusion_pytorch_model.fp16.safetensors", "single/diffusion_pytorch_model.fp16.safetensors", 1, []string{"conv.weight"}, nil},
		{"metadata", "metadata.safetensors", 1, []string{"shared.weight"}, map[string]string{"head.weight": "shared.weight"}},
		{"metadata.safetensors", "metadata.safetensors", 1, nil, map[string]string{"head.weight": "shared.weight"}},
	} {
		m, err := safetensors.OpenModel(filepath.Join("testdata", c.path))
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Path != filepath.Join("testdata", c.file) || len(m.Files) != c.files {
			t.Errorf("%s: opened %s and %d files, want %s and %d", c.path, m.Path, len(m.Files), c.file, c.files)
		}
		var names []string
		for _, x := range m.Tensors {
			names = append(names, x.Name)
			if m.Tensor(x.Name) != x {
				t.Errorf("%s: tensor %q is not found by its name", c.path, x.Name)
			}
		}
		if c.tensors != nil && !cmp.Equal(names, c.tensors) {
			t.Errorf("%s has tensors %q, want %q", c.path, names, c.tensors)
		}
		if !cmp.Equal(m.Aliases, c.aliases) {
			t.Errorf("%s has aliases %v, want %v", c.path, m.Aliases, c.aliases)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
