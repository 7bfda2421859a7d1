package safetensors_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/safetensors"
	"github.com/offhost/offhost/host/safetensors/safetensorstest"
)

func zeros(_ string, p []byte, _ int64) { clear(p) }

func bytesTensor(name string) safetensorstest.Tensor {
	return safetensorstest.Tensor{Name: name, DType: "U8", Shape: []int64{4}}
}

func TestModelIsRefused(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const index = "model.safetensors.index.json"
	const shard1, shard2 = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) // from a good model of two shards, a and b
		want string
	}{
		{"missing shard", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, shard2)) }, shard2 + `": stat`},
		{"missing index", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, index)) }, "has 2 files of a model but not its index"},
		{"nothing there", func(t *testing.T, dir string) {
			for _, name := range []string{index, shard1, shard2} {
				os.Remove(filepath.Join(dir, name))
			}
		}, "has no safetensors file"},
		{"shard cut short", func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, shard2), 90) }, "cut short"},
		{"tensor not in its shard", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": shard1, "b": shard2, "c": shard2}, nil)
		}, `tensor "c" is not in "` + shard2 + `", where the index has it`},
		{"tensor in another shard", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": shard2, "b": shard1}, nil)
		}, `tensor "a" is in "` + shard1 + `", but the index has it in "` + shard2 + `"`},
		{"tensor not in the index", func(t *testing.T, dir string) {
			safetensorstest.Write(t, filepath.Join(dir, shard2), []safetensorstest.Tensor{bytesTensor("b"), bytesTensor("c")}, nil, zeros)
		}, `tensor "c" of "` + shard2 + `" is not in the index`},
		{"tensor in two shards", func(t *testing.T, dir string) {
			safetensorstest.Write(t, filepath.Join(dir, shard2), []safetensorstest.Tensor{bytesTensor("a"), bytesTensor("b")}, nil, zeros)
		}, `tensor "a" is in "` + shard1 + `" and in "` + shard2 + `": want each tensor once`},
		{"alias of two tensors", func(t *testing.T, dir string) {
			safetensorstest.Write(t, filepath.Join(dir, shard1), []safetensorstest.Tensor{bytesTensor("a")}, map[string]string{"c": "a"}, zeros)
			safetensorstest.Write(t, filepath.Join(dir, shard2), []safetensorstest.Tensor{bytesTensor("b")}, map[string]string{"c": "b"}, zeros)
		}, `"c" is another name of tensor "b", and of "a" elsewhere`},
		{"path upwards", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": "../" + shard1}, nil)
		}, "without a directory"},
		{"path downwards", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": "sub/" + shard1}, nil)
		}, "without a directory"},
		{"path of Windows", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": `..\` + shard1}, nil)
		}, "without a directory"},
		{"absolute path", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": "/etc/x.safetensors"}, nil)
		}, "without a directory"},
		{"pickle", func(t *testing.T, dir string) {
			safetensorstest.WriteIndex(t, filepath.Join(dir, index), map[string]string{"a": "pytorch_model.bin"}, nil)
		}, "want the name of a .safetensors file"},
		{"empty index", func(t *testing.T, dir string) { write(t, filepath.Join(dir, index), "{}") }, "names no tensor"},
		{"index that is no JSON", func(t *testing.T, dir string) { write(t, filepath.Join(dir, index), "x") }, "not JSON"},
		{"index cut short", func(t *testing.T, dir string) { write(t, filepath.Join(dir, index), `{"weight_map":{"a"`) }, "ends early"},
		{"tensor twice in the index", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, index), `{"weight_map":{"a":"`+shard1+`","a":"`+shard2+`"}}`)
		}, `name "a" is given twice`},
		{"weight map of numbers", func(t *testing.T, dir string) { write(t, filepath.Join(dir, index), `{"weight_map":{"a":1}}`) }, `tensor "a": want a string`},
		{"two models", func(t *testing.T, dir string) {
			safetensorstest.Write(t, filepath.Join(dir, "other.safetensors"), nil, nil, zeros)
		}, "has several models: give one of " + index + ", other.safetensors"},
		{"two variants", func(t *testing.T, dir string) {
			os.Rename(filepath.Join(dir, index), filepath.Join(dir, "model.safetensors.index.fp16.json"))
			safetensorstest.Write(t, filepath.Join(dir, "model.fp8.safetensors"), nil, nil, zeros)
		}, "has several models: give one of model.fp8.safetensors, model.safetensors.index.fp16.json"},
		{"shards beside a model", func(t *testing.T, dir string) {
			os.Rename(filepath.Join(dir, index), filepath.Join(dir, "away"))
			safetensorstest.Write(t, filepath.Join(dir, "model.safetensors"), nil, nil, zeros)
		}, "no index beside them names (" + shard1 + ", " + shard2 + "), and model.safetensors: want one file, or an index with its shards"},
		{"shards of another model", func(t *testing.T, dir string) {
			safetensorstest.Write(t, filepath.Join(dir, "part-00001-of-00002.safetensors"), nil, nil, zeros)
		}, "(part-00001-of-00002.safetensors), and " + index},
		{"parts without an index", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, index))
			os.Rename(filepath.Join(dir, shard1), filepath.Join(dir, "part-00001.safetensors"))
			os.Rename(filepath.Join(dir, shard2), filepath.Join(dir, "part-00002.safetensors"))
		}, "has several models: give one of part-00001.safetensors, part-00002.safetensors"},
		{"file beside the directory", func(t *testing.T, dir string) {
			safetensorstest.Write(t, dir+".safetensors", nil, nil, zeros)
		}, "both "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "unet")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			safetensorstest.WriteSharded(t, dir, []safetensorstest.Tensor{bytesTensor("a"), bytesTensor("b")}, 1, zeros)
			m, err := safetensors.OpenModel(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			c.make(t, dir)
			before := descriptors(t)
			if _, err = safetensors.OpenModel(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant an error with %q", err, c.want)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors are open, %d before", after, before)
			}
		})
	}
}

// Variants of a model in the same directory are passed over, with their shards, and named.
func TestVariantsArePassedOver(t *testing.T) {
	for _, c := range []struct {
		name         string
		files        []string
		index        map[string][]string
		want, passed string
	}{
		{"alone", []string{"x.fp16.safetensors"}, nil, "x.fp16.safetensors", ""},
		{"beside a file", []string{"x.safetensors", "x.fp16.safetensors", "x.fp8.safetensors"}, nil, "x.safetensors", "x.fp16.safetensors x.fp8.safetensors"},
		{"with shards", []string{"x.safetensors", "x.fp16-00001-of-00001.safetensors"},
			map[string][]string{"x.safetensors.index.fp16.json": {"x.fp16-00001-of-00001.safetensors"}}, "x.safetensors", "x.safetensors.index.fp16.json"},
		{"an index of files with any name", []string{"a.safetensors", "b.safetensors"},
			map[string][]string{"x.safetensors.index.json": {"a.safetensors", "b.safetensors"}}, "x.safetensors.index.json", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range c.files {
				safetensorstest.Write(t, filepath.Join(dir, name), []safetensorstest.Tensor{bytesTensor(name)}, nil, zeros)
			}
			for name, shards := range c.index {
				of := map[string]string{}
				for _, shard := range shards {
					of[shard] = shard // a tensor has its file's name
				}
				safetensorstest.WriteIndex(t, filepath.Join(dir, name), of, nil)
			}
			m, err := safetensors.OpenModel(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if got := filepath.Base(m.Path); got != c.want || strings.Join(m.Passed, " ") != c.passed {
				t.Errorf("%s, passed over %q; want %s, %q", got, m.Passed, c.want, c.passed)
			}
		})
	}
}

func TestShardAloneIsRefused(t *testing.T) {
	_, err := safetensors.OpenModel("testdata/transformers/model-00001-of-00003.safetensors")
	if err == nil || !strings.Contains(err.Error(), "is one file of several: give the index") {
		t.Error(err)
	}
}

func TestOpenWhatIsNoFile(t *testing.T) {
	if _, err := safetensors.OpenModel("testdata/none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.safetensors") {
		t.Errorf("%v: want both paths that were tried", err)
	}
	if _, err := safetensors.Open("testdata"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Error(err)
	}
	if _, err := safetensors.Open("/dev/zero"); runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), "is a device")) {
		t.Error(err)
	}
}

// Whatever an index says, only files beside it are opened.
func FuzzIndex(f *testing.F) {
	for _, path := range []string{"testdata/transformers/model.safetensors.index.json", "testdata/diffusers/diffusion_pytorch_model.safetensors.index.fp16.json"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(`{"weight_map":{"a":"../b.safetensors","c":"/d.safetensors"},"x":[[{}]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		shards, of, err := safetensors.Index(text)
		if err != nil {
			return
		}
		for _, shard := range shards {
			if dir, base := filepath.Split(shard); dir != "" || base != shard || shard == ".." || strings.ContainsAny(shard, "/\\") {
				t.Errorf("the index names %q", shard)
			}
		}
		if len(of) == 0 || len(shards) == 0 || !slices.IsSorted(shards) {
			t.Errorf("%d tensors, files %q", len(of), shards)
		}
		for _, shard := range of {
			if _, ok := slices.BinarySearch(shards, shard); !ok {
				t.Errorf("%q is not among the files %q", shard, shards)
			}
		}
	})
}

// descriptors counts what the process has open; where there is no /proc nothing leaks.
func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return len(entries)
}
