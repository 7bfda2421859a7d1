package journal

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/report"
)

var rewrite = flag.Bool("rewrite", false, "write the example in FORMAT.md anew")

// members lists the members of a line's type by name, kind and those of every input
// left out.
func members(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if f.Type != reflect.TypeFor[lineHead]() && f.Type != reflect.TypeFor[lineTail]() {
				names = append(names, members(f.Type)...)
			}
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "kind" {
			names = append(names, name)
		}
	}
	return names
}

var inTicks = regexp.MustCompile("`([a-z0-9_ ]+)`")

// FORMAT.md lists the members that there are, no more and no fewer.
func TestFormatListsEveryMember(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]string{}
	kind := ""
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "kind" {
			continue
		}
		if k := strings.Trim(cells[1], " `"); k != "" {
			kind = k
			listed[kind] = nil
		}
		for _, m := range inTicks.FindAllStringSubmatch(cells[2], -1) {
			listed[kind] = append(listed[kind], m[1])
		}
	}
	want := map[string][]string{
		"every input": append(members(reflect.TypeFor[lineHead]()), members(reflect.TypeFor[lineTail]())...),
		"more":        members(reflect.TypeFor[lineTail]()),
		kindHeader:    members(reflect.TypeFor[headerLine]()),
		kindEnd:       members(reflect.TypeFor[endLine]()),
		"engine":      members(reflect.TypeFor[Engine]()),
		"policy":      members(reflect.TypeFor[Identity]()),
		"limits":      members(reflect.TypeFor[Limits]()),
		"pipeline":    members(reflect.TypeFor[Pipeline]()),
		"host":        members(reflect.TypeFor[report.Host]()),
		"measured":    members(reflect.TypeFor[report.Measured]()),
		"action":      members(reflect.TypeFor[actionLine]()),
	}
	for k := host.InRegister; k <= host.InTick; k++ {
		want[k.String()] = members(reflect.TypeOf(newLine(k)).Elem())
	}
	for _, lists := range []map[string][]string{listed, want} {
		for k := range lists {
			slices.Sort(lists[k])
		}
	}
	if d := cmp.Diff(want, listed); d != "" {
		t.Errorf("the code's members (-) are not FORMAT.md's (+):\n%s", d)
	}
}

// example is the journal of one call.
func example(t *testing.T) []byte {
	t.Helper()
	cfg := host.Config{Budget: 64, Chunk: 16, Granularity: 16}
	engine, err := EngineOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Trace: "one-call", Device: "sim", Engine: engine, Pipelines: []Pipeline{{Name: "p", Components: []int{0}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []host.Input{
		{Kind: host.InRegister, Spec: host.Spec{Name: "unet", Bytes: 20, ReadOnly: true, Parent: host.NoComponent}},
		{Kind: host.InBegin, Request: 1, Signature: signature("p")},
		{Kind: host.InCall, Call: 1, Request: 1},
		{Kind: host.InCompleted, Time: 700, Op: 1 << 32},
		{Kind: host.InCompleted, Time: 900, Op: 1<<32 + 1},
		{Kind: host.InDone, Time: 5000, Call: 1},
		{Kind: host.InEnd, Time: 5000, Request: 1},
	} {
		out, err := e.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&in, Identity{}, out); err != nil {
			t.Fatal(err)
		}
	}
	sum := e.DecisionsSHA256()
	if err := w.Close(End{DecisionsSHA256: hex.EncodeToString(sum[:])}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// The example in FORMAT.md is the journal of a run. After a change of the format, run
// go test ./host/journal -run Example -rewrite, and read the difference.
func TestFormatExample(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(page), "```json\n")
	shown, after, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	want := string(example(t))
	if *rewrite {
		if err := os.WriteFile("FORMAT.md", []byte(before+"```json\n"+want+"```"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		shown = want
	}
	if shown != want {
		t.Errorf("the example is not what is written:\n%s", cmp.Diff(shown, want))
	}
	r, err := NewReader(strings.NewReader(shown))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Replay(context.Background(), r, nil, nil); err != nil {
		t.Error(err)
	}
}
