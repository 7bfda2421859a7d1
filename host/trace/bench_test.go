package trace

import (
	"bytes"
	"io"
	"testing"
)

// BenchmarkReader reads call lines as recorders write them.
func BenchmarkReader(b *testing.B) {
	const lines = 1 << 16
	text := []byte(minimal + `{"kind":"begin","request":1,"pipeline":"q"}` + "\n")
	text = append(text, bytes.Repeat([]byte(`{"kind":"call","request":1,"component":"alone","compute_ns":2960526}`+"\n"), lines)...)
	text = append(text, `{"kind":"end","request":1}`...)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(text))
		if err != nil {
			b.Fatal(err)
		}
		var record Record
		for err == nil {
			err = r.Next(&record)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*lines/b.Elapsed().Seconds(), "lines/s")
}
