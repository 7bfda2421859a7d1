package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// minimal is the smallest header that requests may follow.
const minimal = `{"kind":"trace","format":"offhost.trace/1","name":"t"}
{"kind":"component","name":"parent","bytes":10,"workspace_bytes":3,"read_only":true}
{"kind":"component","name":"child","bytes":5,"read_only":false,"parent":"parent","index":0}
{"kind":"component","name":"alone","bytes":7,"read_only":true}
{"kind":"pipeline","name":"p","components":["parent"],"offload_seq":["parent"]}
{"kind":"pipeline","name":"q","components":["alone","parent"]}
`

func readAll(text string) (*Header, []Record, error) {
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	var records []Record
	for {
		var record Record
		if err := r.Next(&record); err == io.EOF {
			return r.Header(), records, nil
		} else if err != nil {
			return r.Header(), records, err
		}
		records = append(records, record)
	}
}

func TestReader(t *testing.T) {
	header, records, err := readAll(minimal +
		`{"kind":"begin","request":1,"pipeline":"p","steps":3}` + "\n" +
		`{"kind":"enter","component":"parent"}` + "\n" +
		` { "compute_ns" : 9 , "workspace_bytes" : 4 , "component" : "\u0063hild" , "kind" : "call" } ` + "\r\n" +
		`{"kind":"begin","request":7,"pipeline":"q"}` + "\n" +
		`{"kind":"call","request":7,"component":"parent","compute_ns":1}` + "\n" +
		`{"kind":"exit","request":1,"component":"parent"}` + "\n" +
		`{"kind":"end","request":1}` + "\n" +
		`{"kind":"call","component":"alone","compute_ns":2}` + "\n" +
		`{"kind":"end","request":7}`)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader := &Header{
		Name: "t",
		Components: []Component{
			{Name: "parent", Bytes: 10, Workspace: 3, ReadOnly: true, Parent: NoComponent},
			{Name: "child", Bytes: 5, Parent: 0},
			{Name: "alone", Bytes: 7, ReadOnly: true, Parent: NoComponent},
		},
		Pipelines: []Pipeline{
			{Name: "p", Components: []int{0}, OffloadSeq: []int{0}},
			{Name: "q", Components: []int{2, 0}},
		},
	}
	if d := cmp.Diff(wantHeader, header); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	want := []Record{
		{Kind: Begin, Line: 7, Request: 1, Component: NoComponent, Steps: 3},
		{Kind: Enter, Line: 8, Request: 1, Component: 0, Workspace: 3},
		{Kind: Call, Line: 9, Request: 1, Component: 1, Compute: 9, Workspace: 4},
		{Kind: Begin, Line: 10, Request: 7, Pipeline: 1, Component: NoComponent},
		{Kind: Call, Line: 11, Request: 7, Pipeline: 1, Component: 0, Compute: 1, Workspace: 3},
		{Kind: Exit, Line: 12, Request: 1, Component: 0},
		{Kind: End, Line: 13, Request: 1, Component: NoComponent},
		{Kind: Call, Line: 14, Request: 7, Pipeline: 1, Component: 2, Compute: 2},
		{Kind: End, Line: 15, Request: 7, Pipeline: 1, Component: NoComponent},
	}
	if d := cmp.Diff(want, records); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

// A device and sources are optional, and text may be any that prints.
func TestReaderHeaderOptions(t *testing.T) {
	header, _, err := readAll(`{"kind":"trace","format":"offhost.trace/1","name":"ünï \"code\"","description":"d"}
{"kind":"source","what":"w","source":"s"}
{"kind":"device","name":"gpu","memory_bytes":1,"h2d_bytes_per_second":2,"d2h_bytes_per_second":3,"pageable_bytes_per_second":4}
{"kind":"component","name":"c","bytes":1}
{"kind":"source","what":"w","value":"v","source":"s","trust":"low"}
{"kind":"pipeline","name":"p","components":["c"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Header{
		Name: `ünï "code"`, Description: "d",
		Device:     Device{Name: "gpu", Memory: 1, H2D: 2, D2H: 3, Pageable: 4},
		Components: []Component{{Name: "c", Bytes: 1, ReadOnly: true, Parent: NoComponent}},
		Pipelines:  []Pipeline{{Name: "p", Components: []int{0}}},
		Sources:    []Source{{What: "w", From: "s"}, {What: "w", Value: "v", From: "s", Low: true}},
	}
	if d := cmp.Diff(want, header); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
}

// Errors name the line, the field and what is right.
func TestReaderErrors(t *testing.T) {
	const first = `{"kind":"trace","format":"offhost.trace/1","name":"t"}` + "\n"
	const component = `{"kind":"component","name":"c","bytes":1}` + "\n"
	const began = minimal + `{"kind":"begin","request":1,"pipeline":"p"}` + "\n"
	const entered = began + `{"kind":"enter","component":"parent"}` + "\n"
	for _, test := range []struct{ name, trace, want string }{
		{"empty", "", `the trace is empty: want a trace record: unexpected EOF`},
		{"blank line", first + "\n", `line 2: the line is empty: want one JSON object a line`},
		{"not JSON", "offload\n", `line 1: want one JSON object a line: `},
		{"an array", "[]\n", `line 1: want one JSON object a line, found "[]"`},
		{"two objects", `{"kind":"trace"}{}` + "\n", `line 1: something follows the JSON object: want one object a line`},
		{"bad UTF-8", "{\"kind\":\"\xff\"}\n", `line 1: field "kind": want a JSON value: jsontext: invalid UTF-8`},
		{"no kind", "{}\n", `line 1: field kind: is missing: want a string`},
		{"kind is a number", `{"kind":1}` + "\n", `line 1: field kind: want a string, found a whole number`},
		{"many members", "{" + strings.Repeat(`"a":1,`, 17) + `"b":2}`, `line 1: more than 16 members`},
		{"not a trace", component, `line 1: field kind: is "component": want the first line to be a trace record, {"kind":"trace","format":"offhost.trace/1",...}`},
		{"other version", `{"kind":"trace","format":"offhost.trace/2","name":"t"}`, `line 1: field format: is "offhost.trace/2": want "offhost.trace/1"`},
		{"second trace record", first + first, `line 2: field kind: a second trace record: want it on the first line only`},
		{"no components", first, `line 1: the header ends without a component: want at least one`},
		{"no pipelines", first + component, `line 2: the header ends without a pipeline: want at least one`},
		{"unknown field", first + `{"kind":"component","name":"c","size":1,"bytes":1}`, `line 2: field "size": is not known here: want kind, name, bytes, workspace_bytes, read_only, parent, index`},
		{"field twice", first + `{"kind":"component","name":"c","bytes":1,"bytes":2}`, `line 2: field "bytes": is given twice: want it once`},
		{"field missing", first + `{"kind":"component","name":"c"}`, `line 2: field bytes: is missing: want a whole number from 1 to 9007199254740991`},
		{"no bytes", first + `{"kind":"component","name":"c","bytes":0}`, `line 2: field bytes: is 0: want 1 to 9007199254740991`},
		{"negative", first + `{"kind":"component","name":"c","bytes":-5}`, `line 2: field bytes: is -5: want 1 to 9007199254740991`},
		{"fraction", first + `{"kind":"component","name":"c","bytes":1.5}`, `line 2: field bytes: want a whole number from 1 to 9007199254740991, found a number with a fraction, an exponent or too many digits`},
		{"2^53", first + `{"kind":"component","name":"c","bytes":9007199254740992}`, `line 2: field bytes: is 9007199254740992: want 1 to 9007199254740991`},
		{"sum", first + component + `{"kind":"component","name":"d","bytes":9007199254740991}`, `line 3: field bytes: brings the components' sum above 9007199254740991 bytes`},
		{"name twice", first + component + component, `line 3: field name: "c" is the name of an earlier component: want another`},
		{"name empty", first + `{"kind":"component","name":"","bytes":1}`, `line 2: field name: has 0 bytes: want a name of 1 to 255`},
		{"name long", first + `{"kind":"component","name":"` + strings.Repeat("x", 256) + `","bytes":1}`, `line 2: field name: has 256 bytes: want a name of 1 to 255`},
		{"name with escape", first + `{"kind":"component","name":"a\u001b[31m","bytes":1}`, `line 2: field name: has the character U+001B, which does not print: "a\x1b[31m"`},
		{"name with a direction override", first + `{"kind":"component","name":"a\u202eb","bytes":1}`, `line 2: field name: has the character U+202E, which does not print: "a\u202eb"`},
		{"read_only", first + `{"kind":"component","name":"c","bytes":1,"read_only":"yes"}`, `line 2: field read_only: want true or false, found a string`},
		{"unknown parent", first + component + `{"kind":"component","name":"d","bytes":1,"parent":"e","index":0}`, `line 3: field parent: "e" is not an earlier component`},
		{"own parent", first + component + `{"kind":"component","name":"d","bytes":1,"parent":"d","index":0}`, `line 3: field parent: "d" is not an earlier component`},
		{"grandparent", minimal + `{"kind":"component","name":"d","bytes":1,"parent":"child","index":0}`, `line 7: field parent: "child" has a parent itself: want one level only`},
		{"index missing", first + component + `{"kind":"component","name":"d","bytes":1,"parent":"c"}`, `line 3: field index: is missing: want a whole number from 0 to 4095`},
		{"index skips", first + component + `{"kind":"component","name":"d","bytes":1,"parent":"c","index":1}`, `line 3: field index: is 1: want 0, the next child of "c"`},
		{"index alone", first + `{"kind":"component","name":"d","bytes":1,"index":0}`, `line 2: field index: is given without a parent: want both or neither`},
		{"empty pipeline", first + component + `{"kind":"pipeline","name":"p"}`, `line 3: field components: is empty: want every component that the pipeline may call`},
		{"pipeline's component unknown", first + component + `{"kind":"pipeline","name":"p","components":["d"]}`, `line 3: field components: "d" is not an earlier component`},
		{"pipeline's component is no string", first + component + `{"kind":"pipeline","name":"p","components":[["c"]]}`, `line 3: field components: want a list of at most 4096 strings, found another kind of value`},
		{"pipeline lists a child", minimal + `{"kind":"pipeline","name":"r","components":["child"]}`, `line 7: field components: "child" is a child: want its parent "parent" alone`},
		{"pipeline lists twice", first + component + `{"kind":"pipeline","name":"p","components":["c","c"]}`, `line 3: field components: "c" is given twice: want it once`},
		{"offload_seq beyond the components", minimal + `{"kind":"pipeline","name":"r","components":["alone"],"offload_seq":["parent"]}`, `line 7: field offload_seq: want each of the pipeline's components at most once, and no others`},
		{"pipeline twice", minimal + `{"kind":"pipeline","name":"p","components":["alone"]}`, `line 7: field name: "p" is the name of an earlier pipeline: want another`},
		{"trust", first + `{"kind":"source","what":"w","source":"s","trust":"high"}`, `line 2: field trust: is "high": want "ok" or "low"`},
		{"source without a source", first + `{"kind":"source","what":"w","source":""}`, `line 2: want a source record to name both the figure and its source`},
		{"second device", first + strings.Repeat(`{"kind":"device","name":"d"}`+"\n", 2), `line 3: a second device record: want at most one`},

		{"unknown kind", began + `{"kind":"cal\u0007l"}`, `line 8: field kind: is "cal\al": want begin, call, enter, exit or end (in the header trace, device, component, pipeline or source)`},
		{"journal record", began + `{"kind":"input"}`, `line 8: field kind: "input" belongs to a journal, not to a trace: want begin, call, enter, exit or end`},
		{"header record after a request", began + component, `line 8: field kind: a component record after the first request: want it in the header`},
		{"begin without a number", minimal + `{"kind":"begin","pipeline":"p"}`, `line 7: field request: is missing: want a whole number from 1 to 4294967294`},
		{"request 0", minimal + `{"kind":"begin","request":0,"pipeline":"p"}`, `line 7: field request: is 0: want 1 to 4294967294`},
		{"request 2^32-1", minimal + `{"kind":"begin","request":4294967295,"pipeline":"p"}`, `line 7: field request: is 4294967295: want 1 to 4294967294`},
		{"request again", began + `{"kind":"begin","request":1,"pipeline":"p"}`, `line 8: field request: is 1, and request 1 has begun before: want a larger number`},
		{"unknown pipeline", minimal + `{"kind":"begin","request":1,"pipeline":"r"}`, `line 7: field pipeline: "r" is not in the header`},
		{"call outside requests", minimal + `{"kind":"call","component":"parent","compute_ns":1}`, `line 7: field request: is missing while 0 requests are open: want the number of one`},
		{"call between two requests", began + `{"kind":"begin","request":2,"pipeline":"p"}` + "\n" + `{"kind":"call","component":"parent","compute_ns":1}`, `line 9: field request: is missing while 2 requests are open: want the number of one`},
		{"call of a closed request", began + `{"kind":"call","request":3,"component":"parent","compute_ns":1}`, `line 8: field request: 3 is not open: want a request that has begun and not ended`},
		{"call of an unknown component", began + `{"kind":"call","component":"d","compute_ns":1}`, `line 8: field component: "d" is not in the header`},
		{"call of another pipeline's component", began + `{"kind":"call","component":"alone","compute_ns":1}`, `line 8: field component: "alone" is not in pipeline "p": want one of its components or their children`},
		{"call without a time", began + `{"kind":"call","component":"child"}`, `line 8: field compute_ns: is missing: want a whole number from 0 to 86400000000000`},
		{"call of more than a day", began + `{"kind":"call","component":"child","compute_ns":86400000000001}`, `line 8: field compute_ns: is 86400000000001: want 0 to 86400000000000`},
		{"end inside a component", entered + `{"kind":"end","request":1}`, `line 9: request 1 ends inside "parent": want an exit first`},
		{"exit of what was not entered", began + `{"kind":"exit","component":"parent"}`, `line 8: field component: "parent" is not what request 1 entered last: want an enter first`},
		{"exit in the wrong order", entered + `{"kind":"enter","component":"child"}` + "\n" + `{"kind":"exit","component":"parent"}`, `line 10: field component: "parent" is not what request 1 entered last: want "child"`},
		{"enter twice", entered + `{"kind":"enter","component":"parent"}`, `line 9: field component: "parent" is entered already in request 1: want its exit first`},
		{"call of what is entered", entered + `{"kind":"call","component":"parent","compute_ns":1}`, `line 9: field component: "parent" is entered already in request 1: want its exit first`},
		{"exit with a time", entered + `{"kind":"exit","component":"parent","compute_ns":1}`, `line 9: field "compute_ns": is not known here: want kind, request, component`},
		{"breaks off", entered, `line 8: the trace ends while request 1 (begun at line 7) is open: want its end: unexpected EOF`},
		{"long line", minimal + `{"kind":"` + strings.Repeat("x", MaxLine), `line 7: the line is longer than 1048576 bytes`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := readAll(test.trace)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("error\n got %v\nwant %s", err, test.want)
			}
			var typed *Error
			if !errors.As(err, &typed) {
				t.Fatalf("a %T: want a *trace.Error", err)
			}
		})
	}
}

func TestReaderLimits(t *testing.T) {
	head := `{"kind":"trace","format":"offhost.trace/1","name":"t"}` + "\n"
	components := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"kind":"component","name":"c%d","bytes":1}`+"\n", i)
		}
		return b.String()
	}
	pipeline := `{"kind":"pipeline","name":"p","components":["c0"]}` + "\n"
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", i+1)
		}
		return b.String()
	}
	for _, test := range []struct {
		name, trace, want string
	}{
		{"components", head + components(MaxComponents) + pipeline, ""},
		{"more components", head + components(MaxComponents+1) + pipeline, "line 4098: more than 4096 components"},
		{"more pipelines", head + components(1) + repeat(MaxPipelines+1, `{"kind":"pipeline","name":"p%d","components":["c0"]}`), "line 259: more than 256 pipelines"},
		{"more sources", head + repeat(MaxSources+1, `{"kind":"source","what":"%d","source":"s"}`), "line 1026: more than 1024 sources"},
		{"more requests open", head + components(1) + pipeline + repeat(MaxOpen+1, `{"kind":"begin","request":%d,"pipeline":"p"}`), "line 260: more than 256 requests are open"},
		{"a line of 1 MiB", head + components(1) + pipeline + strings.Repeat(" ", MaxLine-2) + "{}", "line 4: field kind: is missing"},
		{"longer computing", head + components(1) + pipeline + `{"kind":"begin","request":1,"pipeline":"p"}` + "\n" +
			strings.Repeat(`{"kind":"call","component":"c0","compute_ns":86400000000000}`+"\n", 105),
			"line 109: field compute_ns: brings the sum over all calls above 9007199254740991"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := readAll(test.trace)
			if test.want == "" && err == nil {
				return
			}
			if err == nil || test.want == "" || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("error\n got %v\nwant %s", err, test.want)
			}
		})
	}
}

// After an error or the end, Next says the same again.
func TestReaderStops(t *testing.T) {
	r, err := NewReader(strings.NewReader(minimal + `{"kind":"end","request":1}` + "\n" + `{"kind":"begin","request":1,"pipeline":"p"}`))
	if err != nil {
		t.Fatal(err)
	}
	var record Record
	first := r.Next(&record)
	if second := r.Next(&record); first == nil || first != second {
		t.Errorf("errors %v, then %v: want the same", first, second)
	}
}

// Whatever reads is written and read again as the same trace.
func FuzzReader(f *testing.F) {
	f.Add(minimal)
	f.Add(minimal + `{"kind":"begin","request":2,"pipeline":"q","steps":1}
{"kind":"begin","request":9,"pipeline":"p"}
{"kind":"enter","request":9,"component":"parent","compute_ns":4}
{"kind":"call","request":2,"component":"alone","compute_ns":1,"workspace_bytes":2}
{"kind":"end","request":2}
{"kind":"exit","component":"parent"}
{"kind":"end","request":9}`)
	f.Add(`{"kind":"trace","format":"offhost.trace/1","name":"\u00fc\\","description":"x"}
{"kind":"device","name":"d","memory_bytes":3}
{"kind":"component","name":"c","bytes":1}
{"kind":"pipeline","name":"p","components":["c"]}
{"kind":"source","what":"w","value":"v","source":"s","trust":"low"}`)
	f.Fuzz(func(t *testing.T, text string) {
		header, records, err := readAll(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, header)
		if err != nil {
			t.Fatalf("header does not write: %v", err)
		}
		for i := range records {
			if err := w.Write(&records[i]); err != nil {
				t.Fatalf("record %d does not write: %v", i, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		header2, records2, err := readAll(out.String())
		if err != nil {
			t.Fatalf("does not read again: %v", err)
		}
		for i := range records {
			records[i].Line = 0
		}
		for i := range records2 {
			records2[i].Line = 0
		}
		if d := cmp.Diff(header, header2); d != "" {
			t.Errorf("header differs:\n%s", d)
		}
		if d := cmp.Diff(records, records2); d != "" {
			t.Errorf("records differ:\n%s", d)
		}
	})
}
