// Package safetensorstest writes safetensors files for tests and benchmarks: right
// ones of any size, and parts to make wrong ones from. Nothing else uses it.
package safetensorstest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/offhost/offhost/host/safetensors"
)

// A Fill makes the bytes of a tensor from an offset on.
type Fill func(tensor string, p []byte, off int64)

// A Tensor is to be written; tensors lie one after the other.
type Tensor struct {
	Name  string
	DType safetensors.DType
	Shape []int64
}

// Bytes is the tensor's size.
func (t Tensor) Bytes() int64 {
	n := t.DType.Bits()
	for _, dim := range t.Shape {
		n *= dim
	}
	return n / 8
}

// Raw is a file of a header's text, whatever it says, and data.
func Raw(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// Header is the text of a header in which the tensors follow each other.
func Header(tensors []Tensor, metadata map[string]string) string {
	entries := map[string]any{}
	if metadata != nil {
		entries["__metadata__"] = metadata
	}
	at := int64(0)
	for _, t := range tensors {
		entries[t.Name] = map[string]any{"dtype": t.DType, "shape": append([]int64{}, t.Shape...), "data_offsets": []int64{at, at + t.Bytes()}}
		at += t.Bytes()
	}
	b, err := json.Marshal(entries)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%-*s", (len(b)+7)/8*8, b)
}

// Write writes a file.
func Write(t testing.TB, path string, tensors []Tensor, metadata map[string]string, fill Fill) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(Raw(Header(tensors, metadata), nil)); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for _, x := range tensors {
		for off := int64(0); off < x.Bytes(); off += int64(len(piece)) {
			p := piece[:min(int64(len(piece)), x.Bytes()-off)]
			fill(x.Name, p, off)
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// WriteSharded writes a directory of files with at most so many tensors each, and
// their index, under the names that transformers uses.
func WriteSharded(t testing.TB, dir string, tensors []Tensor, each int, fill Fill) {
	t.Helper()
	shards := slices.Collect(slices.Chunk(tensors, each))
	weightMap := map[string]string{}
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		Write(t, filepath.Join(dir, name), shard, map[string]string{"format": "pt"}, fill)
		for _, x := range shard {
			weightMap[x.Name] = name
		}
	}
	WriteIndex(t, filepath.Join(dir, "model.safetensors.index.json"), weightMap, nil)
}

// WriteIndex writes an index.
func WriteIndex(t testing.TB, path string, weightMap map[string]string, metadata map[string]string) {
	t.Helper()
	all := map[string]any{"total_size": 0}
	for name, value := range maps.All(metadata) {
		all[name] = value
	}
	b, err := json.Marshal(map[string]any{"metadata": all, "weight_map": weightMap})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
