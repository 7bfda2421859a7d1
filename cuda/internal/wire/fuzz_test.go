package wire

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// FuzzParse: whatever comes, it is refused or keeps the limits, and then it can be sent.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"hello":{"version":1,"components":1,"chunk":33554432,"granularity":2097152}}`,
		`{"component":{"name":"a","bytes":5,"file":5,"read_only":true}}`,
		`{"act":{"op":1,"kind":"copy in","component":0,"chunk":0,"slot":-1}}`,
		`{"act":{"op":1,"kind":"read","component":0,"chunk":0,"slot":3}}`,
		`{"compute":{"call":1,"component":0,"least_ns":5}}`,
		`{"ready":{"library":"x","driver":12040,"gpu":{"name":"a","uuid":"b","total":1}}}`,
		`{"done":{"op":1,"status":2,"err":"x"}}`, `{"failed":{"err":"x"}}`, `{"memory":{"free":4}}`,
		`{"layout":{"parts":2,"chunk":4,"granularity":2}}`, `{"part":{"component":0,"name":"a","bytes":3}}`,
		`{"map":{"component":0,"list":[{"index":0,"generation":1}]}}`, `{"unmap":{"component":0,"list":[{"index":0,"generation":1}]}}`,
		`{"want":{"component":1}}`, `{"refused":"no"}`, `{"hello":{"version":1,"gpu":"GPU-1"}}`, `{}`, `{"hello":null}`,
	} {
		f.Add([]byte(text), uint8(0))
	}
	f.Add([]byte(`{"ring":{}}`), uint8(1))
	f.Add([]byte(`{"client":{}}`), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, files uint8) {
		for _, m := range []Message{&ToWorker{}, &FromWorker{}, &ToClient{}, &FromClient{}} {
			if Parse(text, m, int(files)) != nil {
				continue
			}
			if files > MaxFiles {
				t.Fatalf("%q is taken with %d descriptors", text, files)
			}
			if _, err := json.Marshal(m); err != nil {
				t.Fatalf("%q was read and cannot be written: %v", text, err)
			}
			switch x := m.(type) {
			case *ToWorker:
				if a := x.Act; a != nil && (a.Component < 0 || a.Chunk < 0 || a.Slot < NoSlot || a.Slot >= MaxSlots) {
					t.Fatalf("%q is taken", text)
				}
			case *ToClient:
				if c := x.Map; c != nil && len(c.List) != int(files) {
					t.Fatalf("%q is taken with %d descriptors", text, files)
				}
			}
		}
	})
}
