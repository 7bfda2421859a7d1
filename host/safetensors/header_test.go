package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/safetensors"
	"github.com/offhost/offhost/host/safetensors/safetensorstest"
)

func TestHeaderIsRefused(t *testing.T) {
	one := func(entry string) []byte { return safetensorstest.Raw(`{"a":{`+entry+`}}`, make([]byte, 16)) }
	two := func(a, b string) []byte {
		return safetensorstest.Raw(fmt.Sprintf(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[%s]},"b":{"dtype":"U8","shape":[8],"data_offsets":[%s]}}`, a, b), make([]byte, 16))
	}
	length := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), `{"a":{}}`...)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string // in the error
	}{
		{"empty", nil, "has 0 bytes"},
		{"shorter than its length", make([]byte, 7), "has 7 bytes"},
		{"2 GB of header", length(2 << 30), "said to have 2147483648 bytes: want at most 100000000"},
		{"64 bits of header", length(math.MaxUint64), "said to have 18446744073709551615 bytes"},
		{"the most of header, not there", length(100_000_000), "only 8 follow"},
		{"one byte too much", length(9), "only 8 follow"},
		{"no header", length(0), "the JSON text ends early"},
		{"not JSON", safetensorstest.Raw("pickle", nil), "not JSON"},
		{"a list", safetensorstest.Raw("[]", nil), "want a JSON object, have a ["},
		{"cut short", safetensorstest.Raw(`{"a":{"dtype":"U8"`, nil), "ends early"},
		{"more than one object", safetensorstest.Raw("{}{}", nil), "more follows"},
		{"no UTF-8", safetensorstest.Raw("{\"\xff\":{}}", nil), "UTF-8"},
		{"duplicate name", safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, nil), `name "a" is given twice`},
		{"the same name, escaped", safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, nil), `name "a" is given twice`},
		{"duplicate metadata", safetensorstest.Raw(`{"__metadata__":{"x":"1","x":"2"}}`, nil), `name "x" is given twice`},
		{"metadata that is no text", safetensorstest.Raw(`{"__metadata__":{"x":1}}`, nil), `"x": want a string`},
		{"metadata that is a list", safetensorstest.Raw(`{"__metadata__":[]}`, nil), "want a JSON object"},
		{"long name", safetensorstest.Raw(`{"`+strings.Repeat("n", 5000)+`":{}}`, nil), "has 5000 bytes: want at most 4096"},
		{"tensor that is a number", safetensorstest.Raw(`{"a":1}`, nil), `tensor "a": want a JSON object`},
		{"unknown dtype", one(`"dtype":"Q4_0","shape":[16],"data_offsets":[0,16]`), `dtype "Q4_0" is not known: want one of BOOL, U8, I8`},
		{"dtype in small letters", one(`"dtype":"u8","shape":[16],"data_offsets":[0,16]`), `dtype "u8" is not known`},
		{"no dtype", one(`"shape":[16],"data_offsets":[0,16]`), `dtype "" is not known`},
		{"no shape", one(`"dtype":"U8","data_offsets":[0,16]`), "has no shape"},
		{"no offsets", one(`"dtype":"U8","shape":[16]`), "has 0 data_offsets"},
		{"one offset", one(`"dtype":"U8","shape":[16],"data_offsets":[0]`), "has 1 data_offsets"},
		{"three offsets", one(`"dtype":"U8","shape":[16],"data_offsets":[0,8,16]`), "longer than 2"},
		{"member of another version", one(`"dtype":"U8","shape":[16],"data_offsets":[0,16],"stride":[1]`), `"stride": is not known`},
		{"member twice", one(`"dtype":"U8","dtype":"I8","shape":[16],"data_offsets":[0,16]`), `name "dtype" is given twice`},
		{"negative size", one(`"dtype":"U8","shape":[-16],"data_offsets":[0,16]`), `"-16": want a whole number`},
		{"size with a fraction", one(`"dtype":"U8","shape":[16.0],"data_offsets":[0,16]`), `"16.0": want a whole number`},
		{"size as text", one(`"dtype":"U8","shape":["16"],"data_offsets":[0,16]`), `"16": want a whole number`},
		{"size of 65 bits", one(`"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,16]`), "want a whole number"},
		{"shape that overflows", one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]`), "more bits than"},
		{"bits that overflow", one(`"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,16]`), "more bits than"},
		{"65 dimensions", one(`"dtype":"U8","shape":[` + strings.Repeat("1,", 64) + `16],"data_offsets":[0,16]`), "longer than 64"},
		{"deep", one(`"dtype":"U8","shape":` + strings.Repeat("[", 100000)), "want a whole number"},
		{"part of a byte", one(`"dtype":"F4","shape":[31],"data_offsets":[0,16]`), "has 124 bits: want whole bytes"},
		{"more than the shape", one(`"dtype":"U8","shape":[15],"data_offsets":[0,16]`), "takes 16 bytes by its data_offsets, but shape [15] of U8 takes 15"},
		{"less than the shape", one(`"dtype":"F32","shape":[4,4],"data_offsets":[0,16]`), "of F32 takes 64"},
		{"backwards", one(`"dtype":"U8","shape":[16],"data_offsets":[16,0]`), "ends at 0, before it begins at 16"},
		{"past the end", two("0,8", "9,17"), `"b" ends at 17, but there are only 16`},
		{"far past the end", two("0,8", "9223372036854775799,9223372036854775807"), "ends at 9223372036854775807"},
		{"overlap", two("0,8", "4,12"), `"b" begins at 4, inside of tensor "a", which ends at 8`},
		{"the same bytes", two("0,8", "0,8"), "begins at 0, inside"},
		{"hole before", safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}`, make([]byte, 16)), `no tensor takes bytes 0 to 8 of the data, before tensor "a"`},
		{"hole between", safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}`, make([]byte, 16)), `no tensor takes bytes 4 to 8 of the data, before tensor "b"`},
		{"hole after", one(`"dtype":"U8","shape":[8],"data_offsets":[0,8]`), "no tensor takes bytes 8 to 16, the end"},
		{"empty tensor inside of another", safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}`, make([]byte, 16)), "inside of tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := safetensors.Open(path)
			if err == nil {
				f.Close()
				t.Fatal("it was taken")
			}
			var e *safetensors.Error
			if !errors.As(err, &e) || e.Path != path || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant a *safetensors.Error of %s with %q", err, path, c.want)
			}
			if len(err.Error()) > len(path)+600 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

// What the reference library takes is taken.
func TestHeaderIsTaken(t *testing.T) {
	for name, file := range map[string][]byte{
		"nothing":                safetensorstest.Raw("{}", nil),
		"spaces around":          safetensorstest.Raw("\t\n{} \r\n", nil),
		"null metadata":          safetensorstest.Raw(`{"__metadata__":null}`, nil),
		"not in order":           safetensorstest.Raw(`{"b":{"data_offsets":[2,4],"dtype":"F16","shape":[]},"a":{"shape":[1,2],"dtype":"I8","data_offsets":[0,2]}}`, make([]byte, 4)),
		"empty between":          safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e":{"dtype":"F64","shape":[9,0],"data_offsets":[1,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, make([]byte, 2)),
		"the largest empty one":  safetensorstest.Raw(`{"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`, nil),
		"an empty name":          safetensorstest.Raw(`{"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, make([]byte, 1)),
		"two elements in a byte": safetensorstest.Raw(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, make([]byte, 1)),
	} {
		if _, _, err := safetensors.Header(bytes.NewReader(file), int64(len(file))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTensorReadAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	safetensorstest.Write(t, path, []safetensorstest.Tensor{{Name: "a", DType: "U8", Shape: []int64{10}}, {Name: "b", DType: "U8", Shape: []int64{10}}}, nil,
		func(name string, p []byte, off int64) {
			for i := range p {
				p[i] = name[0] + byte(off) + byte(i)
			}
		})
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &f.Tensors[1]
	p := make([]byte, 4)
	for _, c := range []struct {
		off  int64
		want string
		err  error
	}{{0, "bcde", nil}, {6, "hijk", nil}, {8, "jk", io.EOF}, {10, "", io.EOF}, {math.MaxInt64, "", io.EOF}} {
		n, err := b.ReadAt(p, c.off)
		if string(p[:n]) != c.want || err != c.err {
			t.Errorf("at %d: %q, %v, want %q, %v", c.off, p[:n], err, c.want, c.err)
		}
	}
	if _, err := b.ReadAt(p, -1); err == nil {
		t.Error("a negative offset was taken")
	}
	if err := os.Truncate(path, f.Bytes-5); err != nil {
		t.Fatal(err)
	}
	if n, err := b.ReadAt(p, 4); !errors.Is(err, io.ErrUnexpectedEOF) || n != 0 {
		t.Errorf("of a file cut short: %d bytes, %v, want an error that wraps io.ErrUnexpectedEOF", n, err)
	}
}

// A header of any text is put before some data, with a length that may be wrong: a
// fuzzer that had to find the right length would not get into the text.
func FuzzHeader(f *testing.F) {
	for _, pattern := range []string{"testdata/*.safetensors", "testdata/*/*.safetensors"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			n := 8 + binary.LittleEndian.Uint64(b)
			f.Add(b[8:n], uint16(len(b)-int(n)), int64(0))
		}
	}
	f.Add([]byte(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F4","shape":[2,1],"data_offsets":[4,5]}}`), uint16(5), int64(0))
	f.Add([]byte(`{"__metadata__":null}`), uint16(0), int64(0))
	f.Add([]byte(`{}`), uint16(1), int64(1))
	f.Fuzz(func(t *testing.T, text []byte, data uint16, lie int64) {
		file := safetensorstest.Raw(string(text), make([]byte, data))
		binary.LittleEndian.PutUint64(file, uint64(int64(len(text))+lie))
		tensors, metadata, err := safetensors.Header(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		// What was taken covers the file's end, tensor by tensor, each as large as
		// its shape says, and comes back the same when it is written anew.
		dataAt := 8 + int64(len(text)) + lie
		at := dataAt
		var again []safetensorstest.Tensor
		names := map[string]bool{"__metadata__": true}
		for _, x := range tensors {
			w := safetensorstest.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape}
			if x.Offset != at || w.Bytes() != x.Bytes || names[x.Name] {
				t.Fatalf("tensor %q at %d with %d bytes: want a new name, %d and %d", x.Name, x.Offset, x.Bytes, at, w.Bytes())
			}
			names[x.Name] = true
			at += x.Bytes
			again = append(again, w)
		}
		if at != int64(len(file)) {
			t.Fatalf("tensors end at %d of %d", at, len(file))
		}
		written := safetensorstest.Raw(safetensorstest.Header(again, metadata), file[dataAt:])
		tensors2, metadata2, err := safetensors.Header(bytes.NewReader(written), int64(len(written)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range tensors2 {
			tensors2[i].Offset -= int64(len(written) - len(file))
		}
		if len(metadata)+len(metadata2) > 0 && !cmp.Equal(metadata, metadata2) {
			t.Fatal(cmp.Diff(metadata, metadata2))
		}
		if !same(tensors, tensors2) {
			t.Fatalf("read %v, written and read again %v", tensors, tensors2)
		}
	})
}

func same(a, b []safetensors.Tensor) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].DType != b[i].DType || a[i].Offset != b[i].Offset || a[i].Bytes != b[i].Bytes || !cmp.Equal(a[i].Shape, b[i].Shape) {
			return false
		}
	}
	return true
}
