package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
)

const header = `{"kind":"LOG","format":"offhost.events/1"}` + "\n"

// Every field, every form of a payload and every act is written and read again.
func TestALogIsReadAsItWasWritten(t *testing.T) {
	refused := make([]byte, abi.RejectedSize)
	abi.PutRejected(refused, abi.Decision{Op: 77, Reason: 8, Component: 9, Arg: math.MaxUint64}, 6)
	full := abi.Event{Kind: abi.Need, Flags: 1<<16 - 1, Component: 1, Parent: 2, Index: 3, NameHash: math.MaxUint64 - 1, Session: 4, Request: 5, Step: 6, Steps: 7,
		Seq: 1<<53 + 1, Time: math.MaxUint64, Bytes: 8, Resident: 9, Free: 10, Budget: 11, Foreign: 12, Workspace: 13, LoadCost: 14, Amount: 15, Reserved: 16}
	none := abi.Event{Kind: abi.Config, Component: abi.None, Parent: abi.None}
	with := func(kind abi.Kind, payload []byte) Step {
		ev := none
		ev.Kind = kind
		return Step{Event: ev, Payload: payload}
	}
	log := &Log{Name: "n\x1b<>&", Check: "answers", Fault: "trap", Found: "\"", SHA256: "ab", Cycle: 2, Times: 3, Steps: []Step{
		{Act: Attach}, {Act: Save}, {Act: Restore}, {Act: Restore, Blob: []byte{}}, {Act: Restore, Blob: []byte{0, 255}},
		{Event: full, Payload: []byte("x"), Beyond: bytes.Repeat([]byte{1}, 128), Answer: []abi.Decision{{Op: abi.Evict, Component: 1}, {Op: 9, Reason: 1, Component: abi.None, Arg: 1}}},
		with(abi.Config, []byte("a=b\n")), with(abi.Config, []byte("\xff\x00")), with(abi.Config, bytes.Repeat([]byte("ab"), 100)), with(abi.Component, make([]byte, abi.MaxPayload)),
		with(abi.Begin, []byte{1, 0, 0, 0, 255, 255, 255, 255}), with(abi.Begin, []byte{1, 0, 0}), with(abi.Rejected, refused), with(abi.Rejected, refused[:23]),
		with(0, nil), with(99, nil), {Event: abi.Event{Kind: math.MaxUint16}},
	}}
	var b bytes.Buffer
	if _, err := log.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, err := ReadLog(&b)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if d := cmp.Diff(log, got); d != "" {
		t.Errorf("(-written +read)\n%s%s", d, text)
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Error("a control character is written as it is")
	}
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	event := `{"kind":"IDLE"}` + "\n"
	long := strings.Repeat("x", MaxLine)
	for _, c := range []struct{ text, says string }{
		{"", `line 1: want a first line {"kind":"LOG"`},
		{"\n", "line 1: want a first line"},
		{event, "line 1: want a first line"},
		{`{"kind":"LOG","format":"offhost.events/2"}`, `line 1: format is "offhost.events/2"`},
		{`{"kind":"LOG","format":"offhost.events/1","by":1}`, `line 1: member "by" is not known here`},
		{`{"kind":"LOG","format":"offhost.events/1","name":"` + strings.Repeat("n", 5000) + `"}`, "line 1: a text of 5000 bytes, want at most 4096"},
		{header + header, "line 2: LOG stands on the first line alone"},
		{header + "no JSON", `line 2: want one JSON object a line, with a member "kind"`},
		{header + `{"seq":1}`, `line 2: want one JSON object a line, with a member "kind"`},
		{header + `[1]`, "line 2: want one JSON object"},
		{header + `{"kind":"IDLE"} x`, "line 2: want one JSON object"},
		{header + `{"kind":"SLEEP"}`, `line 2: member "kind": "SLEEP" is no kind of events`},
		{header + `{"kind":"KIND(65536)"}`, "is no kind of events"},
		{header + `{"kind":"IDLE","sequence":1}`, `line 2: member "sequence" is not known here`},
		{header + `{"kind":"IDLE","seq":1,"seq":2}`, "line 2: want one JSON object"},
		{header + `{"kind":"IDLE","seq":-1}`, `line 2: member "seq"`},
		{header + `{"kind":"IDLE","seq":18446744073709551616}`, `line 2: member "seq"`},
		{header + `{"kind":"IDLE","seq":1.5}`, `line 2: member "seq"`},
		{header + `{"kind":"IDLE","seq":"1"}`, `line 2: member "seq"`},
		{header + `{"kind":"IDLE","component":4294967296}`, `line 2: member "component"`},
		{header + `{"kind":"IDLE","flags":["DIRT"]}`, `line 2: member "flags": "DIRT" is no flag`},
		{header + `{"kind":"IDLE","flags":["BIT(16)"]}`, "is no flag"},
		{header + `{"kind":"IDLE","flags":"DIRTY"}`, `line 2: member "flags"`},
		{header + `{"kind":"IDLE","name_hash":"12"}`, `line 2: member "name_hash": "12": want 16 hexadecimal digits`},
		{header + `{"kind":"IDLE","beyond":"%%"}`, `line 2: member "beyond"`},
		{header + `{"kind":"IDLE","beyond":"` + strings.Repeat("AAAA", 43) + `"}`, "line 2: 129 bytes beyond the event, at most 128"},
		{header + `{"kind":"IDLE","payload":{}}`, "line 2: payload: want one of text"},
		{header + `{"kind":"IDLE","payload":{"text":"a","base64":"AA=="}}`, "line 2: payload: want one of text"},
		{header + `{"kind":"IDLE","payload":{"text":"a","code":1}}`, "line 2: payload: code goes with refused"},
		{header + `{"kind":"IDLE","payload":{"order":[1],"times":2}}`, "line 2: payload: times is 2"},
		{header + `{"kind":"IDLE","payload":{"text":"ab","times":65536}}`, "line 2: payload of 131072 bytes, at most 65536"},
		{header + `{"kind":"IDLE","payload":{"text":"ab","times":-1}}`, "line 2: payload: times is -1"},
		{header + `{"kind":"REJECTED","payload":{"refused":{"op":"keep","component":1}}}`, `"keep" is no operation`},
		{header + `{"kind":"SAVE","blob":"AA=="}`, "line 2: SAVE has no blob"},
		{header + `{"kind":"RESTORE","blob":"` + strings.Repeat("A", 4*30000) + `"}`, "line 2: a blob of 90000 bytes, at most 65536"},
		{header + `{"kind":"REPEAT","events":1,"times":1}`, "line 2: REPEAT of 1 events: want 1 to the 0 before it"},
		{header + event + `{"kind":"REPEAT","events":1,"times":0}`, "line 3: REPEAT 0 times"},
		{header + event + `{"kind":"REPEAT","events":1,"times":16777216}`, "line 3: REPEAT 16777216 times"},
		{header + event + `{"kind":"SAVE"}` + "\n" + `{"kind":"REPEAT","events":2,"times":1}`, "line 4: REPEAT of steps that are no events"},
		{header + event + `{"kind":"REPEAT","events":1,"times":1}` + "\n" + event, "line 4: something follows the REPEAT line"},
		{header + strings.Repeat(event, MaxSteps+1), fmt.Sprintf("line %d: more than 131072 steps", MaxSteps+2)},
		{header + long, "line 2: longer than 1048576 bytes"},
		{header + `{"kind":"IDLE","` + long[:1000] + `":1}`, `xxx"... is not known here`},
	} {
		_, err := ReadLog(strings.NewReader(c.text))
		var at *FormatError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.80q: got %v, want %q", c.text, err, c.says)
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("%.80q: an error of %d bytes: %q", c.text, len(err.Error()), err)
		}
	}
}

// The page's example is read, and it shows all that there is.
func TestThePageIsTrue(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	log, err := ReadLog(strings.NewReader(example))
	if err != nil || len(log.Steps) != 8 {
		t.Errorf("the example: %d steps, %v", len(log.Steps), err)
	}
	for _, c := range Checks() {
		if !bytes.Contains(page, []byte("`"+c.Name+"`")) {
			t.Errorf("the page does not name the check %s", c.Name)
		}
	}
}

// What can be read is written so that it is read again; nothing panics.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte(header))
	golden, err := os.ReadFile("testdata/golden/flux-img2img-8bit.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden[:4000])
	f.Add([]byte(header + `{"kind":"KIND(99)","flags":["BIT(12)"],"component":0,"name_hash":"00000000000000ff","beyond":"AA==","payload":{"text":"a","times":3}}` + "\n" +
		`{"kind":"BEGIN","payload":{"order":[1,2]}}` + "\n" + `{"kind":"REJECTED","payload":{"refused":{"op":"evict","component":1},"code":5}}` + "\n" +
		`{"kind":"SAVE"}` + "\n" + `{"kind":"RESTORE","blob":"AA=="}` + "\n" + `{"kind":"IDLE"}` + "\n" + `{"kind":"REPEAT","events":1,"times":4,"fresh":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		log, err := ReadLog(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if _, err := log.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again, err := ReadLog(&b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		var c bytes.Buffer
		if _, err := again.WriteTo(&c); err != nil {
			t.Fatal(err)
		}
		var d bytes.Buffer
		if _, err := log.WriteTo(&d); err != nil || !bytes.Equal(c.Bytes(), d.Bytes()) {
			t.Errorf("written twice: %v\n%s\n%s", err, d.String(), c.String())
		}
		coherent(log.Steps)
	})
}

// A short file does not stand for more than memory has room for.
func TestALogHasRoomInMemory(t *testing.T) {
	line := `{"kind":"IDLE","payload":{"text":"x","times":65536}}` + "\n"
	if _, err := ReadLog(strings.NewReader(header + strings.Repeat(line, MaxHeld/abi.MaxPayload))); err != nil {
		t.Error(err)
	}
	var wrong *FormatError
	_, err := ReadLog(strings.NewReader(header + strings.Repeat(line, MaxHeld/abi.MaxPayload+9)))
	if want := MaxHeld/abi.MaxPayload + 2; !errors.As(err, &wrong) || wrong.Line != want || !strings.Contains(err.Error(), "payloads and blobs of more than") {
		t.Errorf("got %v, want line %d to be refused", err, want)
	}
}
