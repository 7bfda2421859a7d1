package trace

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/units"
)

// What a Writer writes is the canonical form: one spelling for each trace.
func TestWriter(t *testing.T) {
	const want = `{"kind":"trace","format":"offhost.trace/1","name":"n","description":"d"}
{"kind":"device","name":"gpu","memory_bytes":1,"pageable_bytes_per_second":4}
{"kind":"component","name":"a \"b\"","bytes":10,"workspace_bytes":3,"read_only":true}
{"kind":"component","name":"c","bytes":5,"read_only":false,"parent":"a \"b\"","index":0}
{"kind":"pipeline","name":"p","components":["a \"b\""],"offload_seq":["a \"b\""]}
{"kind":"source","what":"w","value":"v","source":"s","trust":"low"}
{"kind":"begin","request":1,"pipeline":"p","steps":2}
{"kind":"enter","component":"a \"b\"","compute_ns":8}
{"kind":"call","component":"c","compute_ns":0,"workspace_bytes":9}
{"kind":"exit","component":"a \"b\""}
{"kind":"begin","request":2,"pipeline":"p"}
{"kind":"call","request":2,"component":"a \"b\"","compute_ns":6}
{"kind":"end","request":1}
{"kind":"call","component":"c","compute_ns":7}
{"kind":"end","request":2}
`
	header, records, err := readAll(want)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	w, err := NewWriter(&got, header)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := w.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("wrote\n%swant\n%s", got.String(), want)
	}
}

// A Writer refuses what a Reader would refuse.
func TestWriterErrors(t *testing.T) {
	valid := func() *Header {
		return &Header{
			Name:       "t",
			Components: []Component{{Name: "c", Bytes: 1, Parent: NoComponent}},
			Pipelines:  []Pipeline{{Name: "p", Components: []int{0}}},
		}
	}
	for _, test := range []struct {
		name   string
		header func(*Header)
		write  []Record
		want   string
	}{
		{"name", func(h *Header) { h.Name = "\n" }, nil, `trace header: field name: has the character U+000A, which does not print: "\n"`},
		{"bytes", func(h *Header) { h.Components[0].Bytes = units.MaxBytes + 1 }, nil, "trace header: field bytes: is 9007199254740992: want 1 to 9007199254740991"},
		{"parent", func(h *Header) { h.Components[0].Parent = 5 }, nil, "trace header: field parent: want the name of an earlier component"},
		{"reference", func(h *Header) { h.Pipelines[0].Components[0] = 9 }, nil, "trace header: field components: want the names of earlier components"},
		{"device without a name", func(h *Header) { h.Device.Memory = 1 }, nil, "trace header: field name: has 0 bytes: want a name of 1 to 255"},
		{"request", nil, []Record{{Kind: Begin}}, "field request: is 0: want 1 to 4294967294"},
		{"pipeline", nil, []Record{{Kind: Begin, Request: 1, Pipeline: 4}}, "field pipeline: want one that the header declares"},
		{"component", nil, []Record{{Kind: Begin, Request: 1}, {Kind: Call, Request: 1, Component: -3}}, "field component: want one that the header declares"},
		{"compute", nil, []Record{{Kind: Begin, Request: 1}, {Kind: Call, Request: 1, Compute: -1}}, "field compute_ns: is -1: want 0 to 86400000000000"},
		{"kind", nil, []Record{{Kind: Begin, Request: 1}, {Kind: 77, Request: 1}}, "field kind: kind(77) is not a kind of record"},
		{"open at the end", nil, []Record{{Kind: Begin, Request: 1}}, "the trace ends while request 1 is open: want its end: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := valid()
			if test.header != nil {
				test.header(header)
			}
			w, err := NewWriter(io.Discard, header)
			for i := range test.write {
				if err == nil {
					err = w.Write(&test.write[i])
				}
			}
			if err == nil {
				err = w.Close()
			}
			if err == nil || err.Error() != test.want {
				t.Fatalf("error\n got %v\nwant %s", err, test.want)
			}
		})
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errDisk }

var errDisk = errors.New("disk full")

func TestWriterReportsTheDisk(t *testing.T) {
	header, _, err := readAll(minimal)
	if err != nil {
		t.Fatal(err)
	}
	header.Description = strings.Repeat("x", MaxText)
	w, err := NewWriter(brokenDisk{}, header)
	if err == nil {
		err = w.Close()
	}
	if !errors.Is(err, errDisk) {
		t.Errorf("error %v: want %v", err, errDisk)
	}
}
