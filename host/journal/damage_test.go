package journal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
)

// readAll reads a journal to its end without feeding anything.
func readAll(file string) error {
	r, err := journal.NewReader(strings.NewReader(file))
	if err != nil {
		return err
	}
	var x journal.Entry
	for {
		if err := r.Next(&x); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// seal makes a journal's checksum right.
func seal(file string) string {
	const name = `,"sha256":"`
	at := strings.LastIndex(file, name)
	if at < 0 {
		return file
	}
	at += len(name)
	sum := sha256.Sum256([]byte(file[:at]))
	return file[:at] + hex.EncodeToString(sum[:]) + "\"}\n"
}

// A byte that changed makes a journal refused: it does not pass, and not for a
// difference in what the engine did either.
func TestNoByteChangesUnnoticed(t *testing.T) {
	file, _ := lossy(t, 3, "one by one", 3)
	if _, _, err := feed(file, nil); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		bit := i % 8
		file[i] ^= 1 << bit
		_, _, err := feed(file, nil)
		var broken *journal.Error
		if !errors.As(err, &broken) {
			t.Fatalf("byte %d, bit %d: %v: want an *Error", i, bit, err)
		}
		if journal.Sniff(file) != (i >= len(`{"kind":"journal",`)) {
			t.Fatalf("byte %d, bit %d: Sniff says %v", i, bit, journal.Sniff(file))
		}
		file[i] ^= 1 << bit
	}
}

// A journal that breaks off anywhere is refused, and so is one that goes on.
func TestItsEndIsItsEnd(t *testing.T) {
	file, _ := lossy(t, 3, "", 2)
	for i := range file {
		if _, _, err := feed(file[:i], nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v: want it to break off", i, len(file), err)
		}
	}
	if err := readAll(string(file) + "\n"); err == nil || !strings.Contains(err.Error(), "something follows the journal's end") {
		t.Errorf("%v: want it to say that something follows", err)
	}
}

// A run that ended early may not know its decisions' hash; its journal is whole.
func TestARunThatEndedEarly(t *testing.T) {
	for _, end := range []journal.End{{Error: "the device failed"}, {}} {
		var file bytes.Buffer
		w, err := journal.NewWriter(&file, journal.Header{Engine: journal.Engine{Budget: 1, Chunk: 1, Granularity: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(end); (err == nil) != (end.Error != "") {
			t.Fatalf("error %q: %v", end.Error, err)
		}
		if end.Error == "" {
			continue
		}
		r, _, err := feed(file.Bytes(), nil)
		if err != nil || r.End().Error != end.Error {
			t.Errorf("%v: want a journal of a run that ended by %q", err, end.Error)
		}
	}
}

// What was changed by someone who mended the checksum is found where the engine does
// otherwise.
func TestTheFirstDifferenceIsNamed(t *testing.T) {
	original, _ := lossy(t, 3, "one by one", 96)
	file := string(original)
	for _, test := range []struct{ name, from, to, want string }{
		{"an action", `"do":"release"`, `"do":"copy back"`, `: recorded {"do":"copy back",`},
		{"a chunk", `"chunk":1,`, `"chunk":2,`, `"chunk":2,`},
		{"a reason", `"reason":9`, `"reason":6`, `"reason":6`},
		{"an action more", `"op":4294967296}`, `"op":4294967296,"actions":[{"do":"trim"}]}`, `: recorded {"do":"trim"}, now no more than 0 actions`},
		{"a configuration", `"budget_bytes":1000`, `"budget_bytes":500`, `recorded `},
		{"an operation", `"op":4294967296}`, `"op":4294967299}`, `recorded that the engine took it, now that it refuses it: completed: operation 4294967299: not outstanding`},
		{"the decisions", `"decisions_sha256":"` + file[strings.LastIndex(file, "decisions_sha256")+19:][:64], `"decisions_sha256":"` + strings.Repeat("0", 64), `recorded decisions_sha256 0000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(file, test.from) {
				t.Fatalf("the journal has no %s", test.from)
			}
			_, _, err := feed([]byte(seal(strings.Replace(file, test.from, test.to, 1))), nil)
			var d *journal.Difference
			if !errors.As(err, &d) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v: want a difference with %s", err, test.want)
			}
			t.Log(err)
		})
	}
}

// Hostile journals are refused, with the line and what would be right.
func TestRefused(t *testing.T) {
	const (
		head = `{"kind":"journal","schema":"offhost.journal/1","engine":{"budget_bytes":100,"chunk_bytes":4,"granularity_bytes":2}`
		a    = `{"kind":"register","time_ns":5,"name":"a","bytes":9}` + "\n"
		r1   = `{"kind":"begin","time_ns":5,"request":1,"signature":"0"}` + "\n"
		c1   = `{"kind":"call","time_ns":5,"call":1,"request":1,"component":0}` + "\n"
	)
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "#", strconv.Itoa(i+1)) + "\n")
		}
		return b.String()
	}
	engine := func(members string) string {
		return `{"kind":"journal","schema":"offhost.journal/1","engine":{` + members + "}}\n"
	}
	for _, test := range []struct{ name, journal, want string }{
		{"nothing", "", "line 1: the journal breaks off"},
		{"a trace", `{"kind":"trace","format":"offhost.trace/1","name":"t"}` + "\n", `line 1: field kind: is "trace": want the first line to be a journal record`},
		{"another version", `{"kind":"journal","schema":"offhost.journal/2"}` + "\n", `line 1: field schema: want "offhost.journal/1" first`},
		{"an unknown member", head + `,"budget":1}` + "\n", `line 1: field "/budget": want a line as FORMAT.md has it`},
		{"a member twice", head + `,"trace":"a","trace":"b"}` + "\n", `line 1: field "/trace": want a line as FORMAT.md has it`},
		{"no budget", engine(`"chunk_bytes":4,"granularity_bytes":2`), "line 1: field engine.budget_bytes: is 0: want 1 to 9007199254740991"},
		{"a negative budget", engine(`"budget_bytes":-1,"chunk_bytes":4,"granularity_bytes":2`), "line 1: field engine.budget_bytes: is -1"},
		{"a budget beyond 64 bits", engine(`"budget_bytes":92233720368547758070`), `line 1: field "/engine/budget_bytes": want a line`},
		{"a crooked chunk", engine(`"budget_bytes":100,"chunk_bytes":5,"granularity_bytes":2`), "line 1: field engine: chunk 5 B: want a multiple"},
		{"a chunk of nothing", engine(`"budget_bytes":100,"granularity_bytes":2`), "line 1: field engine.chunk_bytes: is 0"},
		{"a negative link", engine(`"budget_bytes":100,"chunk_bytes":4,"granularity_bytes":2,"h2d_bytes_per_second":-5`), "line 1: field engine.h2d_bytes_per_second: is -5"},
		{"no pattern", engine(`"budget_bytes":100,"chunk_bytes":4,"granularity_bytes":2,"keep":["["]`), `line 1: field engine.keep: "[" is not a pattern`},
		{"large saved state", engine(`"budget_bytes":100,"chunk_bytes":4,"granularity_bytes":2,"blob":"` + strings.Repeat("AAAA", 1<<15) + `"`), "line 1: field engine.blob: has 98304 bytes"},
		{"a digest that is none", head + `,"policy":{"name":"p","sha256":"12"}}` + "\n", "line 1: field policy.sha256: "},
		{"a name that does not print", head + `,"trace":"\u001b[2J"}` + "\n", "line 1: field trace: has the character U+001B"},
		{"a pipeline's component", head + `,"pipelines":[{"name":"p","components":[4096]}]}` + "\n", "line 1: field pipelines.components: is 4096"},
		{"deep nesting", head + `,"trace":` + strings.Repeat("[", 20000) + "\n", `line 1: field `},
		{"a long line", strings.Repeat(" ", journal.MaxLine+2), "line 1: the line is longer than 8388608 bytes"},
		{"an empty line", head + "}\n\n", `line 2: field kind: is "": want that of an input`},
		{"an unknown kind", head + "}\n" + `{"kind":"what"}` + "\n", `line 2: field kind: is "what"`},
		{"a header twice", head + "}\n" + head + "}\n", `line 2: field kind: is "journal"`},
		{"a member of another kind", head + "}\n" + `{"kind":"tick","time_ns":1,"op":2}` + "\n", `line 2: field "/op": want a line`},
		{"time goes back", head + "}\n" + a + `{"kind":"tick","time_ns":4}` + "\n", "line 3: field time_ns: is 4: want 5 to"},
		{"time too far", head + "}\n" + `{"kind":"tick","time_ns":4611686018427387905}` + "\n", "line 2: field time_ns: is 4611686018427387905"},
		{"a fraction", head + "}\n" + `{"kind":"tick","time_ns":1.5}` + "\n", `line 2: field "/time_ns": want a line`},
		{"weights beyond all", head + "}\n" + `{"kind":"register","time_ns":0,"name":"a","bytes":9007199254740991}` + "\n", "line 2: field bytes: is 9007199254740991"},
		{"an unknown parent", head + "}\n" + `{"kind":"register","time_ns":0,"name":"a","bytes":1,"parent":0}` + "\n", "line 2: field parent: is 0: want an earlier component"},
		{"components", head + "}\n" + repeat(4097, `{"kind":"register","time_ns":0,"name":"c#","bytes":1}`), "line 4098: more than 4096 components"},
		{"requests", head + "}\n" + repeat(257, `{"kind":"begin","time_ns":0,"request":#,"signature":"0"}`), "line 258: more than 256 requests are open"},
		{"calls", head + "}\n" + a + r1 + repeat(1025, `{"kind":"call","time_ns":5,"call":#,"request":1,"component":0}`), "line 1028: more than 1024 calls are open"},
		{"a call of nothing", head + "}\n" + r1 + c1, "line 3: field component: is 0: want one of the 0"},
		{"an older call", head + "}\n" + a + r1 + c1 + c1, "line 5: field call: is 1, the last one was 1"},
		{"a call of no request", head + "}\n" + a + c1, "line 3: field request: 1 is not open"},
		{"the end of what waits", head + "}\n" + a + r1 + c1 + `{"kind":"done","time_ns":5,"call":1}` + "\n", "line 5: field call: 1 was not granted"},
		{"the end of a request in use", head + "}\n" + a + r1 + c1 + `{"kind":"end","time_ns":5,"request":1}` + "\n", "line 5: field request: 1 is not open, or has 1 open calls"},
		{"workspace below nothing", head + "}\n" + a + r1 + `{"kind":"call","time_ns":5,"call":1,"request":1,"component":0,"workspace_bytes":-1}` + "\n", "line 4: field workspace_bytes: is -1"},
		{"a status", head + "}\n" + `{"kind":"completed","time_ns":5,"op":1,"status":"fine"}` + "\n", `line 2: field status: is "fine": want "out of memory"`},
		{"a swap to nobody", head + "}\n" + `{"kind":"swap","time_ns":5,"policy":{"name":""}}` + "\n", "line 2: field policy: is missing"},
		{"an action of no kind", head + "}\n" + `{"kind":"tick","time_ns":5,"actions":[{"do":"dance"}]}` + "\n", `line 2: field do: is "dance"`},
		{"an action on nothing", head + "}\n" + `{"kind":"tick","time_ns":5,"actions":[{"do":"trim","component":1}]}` + "\n", "line 2: field actions.component: is 1"},
		{"an answer to nobody", head + "}\n" + `{"kind":"tick","time_ns":5,"actions":[{"do":"grant","call":1}]}` + "\n", "line 2: field actions.call: 1 does not wait"},
		{"more that does not come", head + "}\n" + `{"kind":"tick","time_ns":5,"more":true}` + "\n" + a, `line 3: field kind: is "register": want "more"`},
		{"more that was not announced", head + "}\n" + `{"kind":"more"}` + "\n", `line 2: field kind: is "more"`},
		{"an end without a checksum", head + "}\n" + `{"kind":"close","inputs":0}` + "\n", "line 2: field sha256: want a checksum"},
		{"a number of inputs", seal(head + "}\n" + `{"kind":"close","inputs":1,"decisions_sha256":"` + strings.Repeat("0", 64) + `","sha256":"`), "line 2: field inputs: is 1, and 0 came before"},
		{"a figure below nothing", seal(head + "}\n" + `{"kind":"close","inputs":0,"decisions_sha256":"` + strings.Repeat("0", 64) +
			`","measured":{"h2d_bytes":-1},"sha256":"`), "line 2: field measured: has the figure -1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := readAll(test.journal)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("error\n got %.300v\nwant %s", err, test.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// An input that causes more actions than a line has goes on on the next.
func TestManyActions(t *testing.T) {
	cfg := host.Config{Budget: 10000, Chunk: 1, Granularity: 1}
	engine, err := journal.EngineOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := journal.NewWriter(&file, journal.Header{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	var todo []host.Action
	step := func(in host.Input) {
		t.Helper()
		out, err := e.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(out.Actions))
		if err := w.Write(&in, journal.Identity{}, out); err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Actions {
			if a.Op != 0 {
				todo = append(todo, a)
			}
		}
	}
	for _, name := range []string{"a", "b"} {
		step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: name, Bytes: 10000, ReadOnly: true, Parent: host.NoComponent}})
	}
	for c := range host.ID(2) {
		step(host.Input{Kind: host.InCall, Call: host.CallID(c + 1), Component: c})
		for len(todo) > 0 {
			op := todo[0].Op
			todo = todo[1:]
			step(host.Input{Kind: host.InCompleted, Op: op})
		}
		step(host.Input{Kind: host.InDone, Call: host.CallID(c + 1)})
	}
	sum := e.DecisionsSHA256()
	if err := w.Close(journal.End{DecisionsSHA256: hex.EncodeToString(sum[:])}); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file.Bytes(), []byte(`{"kind":"more"`)); most < 10000 || n != 2 {
		t.Errorf("%d actions on 1+%d lines: want 10000 on 1+2", most, n)
	}
	r, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Replay(context.Background(), r, nil, nil); err != nil {
		t.Error(err)
	}
}

// A writer writes nothing that a reader would refuse.
func TestTheWriterRefuses(t *testing.T) {
	good := journal.Header{Engine: journal.Engine{Budget: 1, Chunk: 1, Granularity: 1}}
	w, err := journal.NewWriter(io.Discard, good)
	if err != nil {
		t.Fatal(err)
	}
	none := &host.Output{}
	first := w.Write(&host.Input{Kind: host.InEnd, Request: 1}, journal.Identity{}, none)
	if want := "journal: end: line 2: field request: 1 is not open"; first == nil || !strings.HasPrefix(first.Error(), want) {
		t.Errorf("error\n got %v\nwant %s", first, want)
	}
	if second := w.Write(&host.Input{Kind: host.InTick}, journal.Identity{}, none); second != first {
		t.Errorf("then %v: want the same", second)
	}
	bad := good
	bad.Trace = "\x1b"
	if _, err := journal.NewWriter(io.Discard, bad); err == nil {
		t.Error("a name that does not print was written")
	}
	broken := errors.New("the disk is full")
	if w, err = journal.NewWriter(failing{broken}, good); err == nil {
		err = w.Close(journal.End{DecisionsSHA256: strings.Repeat("0", 64)})
	}
	if !errors.Is(err, broken) {
		t.Errorf("%v: want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Text for people is mended rather than refused, so that a journal gets its end.
func TestTextIsMended(t *testing.T) {
	var file bytes.Buffer
	w, err := journal.NewWriter(&file, journal.Header{Engine: journal.Engine{Budget: 1, Chunk: 1, Granularity: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(journal.End{DecisionsSHA256: strings.Repeat("0", 64), Error: "a\x1bb\xff" + strings.Repeat("ü", 4096), Notes: make([]string, 40)}); err != nil {
		t.Fatal(err)
	}
	r, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Next(new(journal.Entry)); err != io.EOF {
		t.Fatal(err)
	}
	if e := r.End(); !strings.HasPrefix(e.Error, "a?b?ü") || len(e.Error) > journal.MaxText || len(e.Notes) != journal.MaxNotes {
		t.Errorf("%d bytes, %d notes: %.20q", len(e.Error), len(e.Notes), e.Error)
	}
}
