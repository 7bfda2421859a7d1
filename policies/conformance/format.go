package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/offhost/offhost/abi"
)

var le = binary.LittleEndian

// Format is the name of the file format, and its version.
const Format = "offhost.events/1"

// Limits of a file.
const (
	MaxLine  = 1 << 20 // bytes
	MaxSteps = 1 << 17
	// MaxHeld is how many bytes of payloads and blobs a log may have in all: a line of fifty
	// bytes may stand for 64 KiB.
	MaxHeld = 64 << 20
	maxFile = 256 << 20 // bytes
	// MaxTold is how many events a log may tell in all, its cycle repeated.
	MaxTold = 1 << 24
	maxText = 1 << 12 // bytes of the header's texts
)

// A FormatError says where a log is wrong and what would be right.
type FormatError struct {
	Line int // from 1
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *FormatError) Unwrap() error { return e.Err }

// Kinds of lines that are no events.
const (
	kindLog     = "LOG"
	kindAttach  = "ATTACH"
	kindSave    = "SAVE"
	kindRestore = "RESTORE"
	kindRepeat  = "REPEAT"
)

// headerLine is the first line.
type headerLine struct {
	Kind   string `json:"kind"`
	Format string `json:"format"`
	Name   string `json:"name,omitzero"`
	Check  string `json:"check,omitzero"`
	Fault  string `json:"fault,omitzero"`
	Found  string `json:"found,omitzero"`
	SHA256 string `json:"sha256,omitzero"`
}

// eventLine is an event. What is left out is 0, or no component.
type eventLine struct {
	Kind      kindName      `json:"kind"`
	Flags     flagNames     `json:"flags,omitzero"`
	Component *uint32       `json:"component,omitzero"`
	Parent    *uint32       `json:"parent,omitzero"`
	Index     uint32        `json:"index,omitzero"`
	NameHash  hash          `json:"name_hash,omitzero"`
	Session   uint32        `json:"session,omitzero"`
	Request   uint32        `json:"request,omitzero"`
	Step      uint32        `json:"step,omitzero"`
	Steps     uint32        `json:"steps,omitzero"`
	Seq       uint64        `json:"seq,omitzero"`
	Time      uint64        `json:"time_ns,omitzero"`
	Bytes     uint64        `json:"bytes,omitzero"`
	Resident  uint64        `json:"resident,omitzero"`
	Free      uint64        `json:"free,omitzero"`
	Budget    uint64        `json:"budget,omitzero"`
	Foreign   uint64        `json:"foreign,omitzero"`
	Workspace uint64        `json:"workspace,omitzero"`
	LoadCost  uint64        `json:"load_cost_ns,omitzero"`
	Amount    uint64        `json:"amount,omitzero"`
	Reserved  uint32        `json:"reserved,omitzero"`
	Payload   *payload      `json:"payload,omitzero"`
	Beyond    []byte        `json:"beyond,omitzero"`
	Answer    []decisionObj `json:"answer,omitzero"`
}

// stateLine is ATTACH, SAVE or RESTORE.
type stateLine struct {
	Kind string `json:"kind"`
	Blob []byte `json:"blob,omitzero"`
}

// repeatLine is the last line of a log with a cycle.
type repeatLine struct {
	Kind   string `json:"kind"`
	Events int    `json:"events"`
	Times  int    `json:"times"`
	Fresh  bool   `json:"fresh,omitzero"`
}

// payload is one of its members; text and base64 may be repeated.
type payload struct {
	Text    *string      `json:"text,omitzero"`
	Order   []uint32     `json:"order,omitzero"`
	Refused *decisionObj `json:"refused,omitzero"`
	Code    uint32       `json:"code,omitzero"`
	Base64  []byte       `json:"base64,omitzero"`
	Times   int          `json:"times,omitzero"`
}

type decisionObj struct {
	Op        opName `json:"op"`
	Reason    uint16 `json:"reason,omitzero"`
	Component uint32 `json:"component"`
	Argument  uint64 `json:"argument,omitzero"`
}

// kindName is a kind of events as the ABI names it; KIND(n) for one that it does not know.
type kindName abi.Kind

func (k kindName) MarshalText() ([]byte, error) {
	if !known(abi.Kind(k)) {
		return fmt.Appendf(nil, "KIND(%d)", k), nil
	}
	return []byte(abi.Kind(k).String()), nil
}

func (k *kindName) UnmarshalText(text []byte) error {
	for known := abi.Config; known <= abi.Rejected; known++ {
		if known.String() == string(text) {
			*k = kindName(known)
			return nil
		}
	}
	n, ok := numbered(string(text), "KIND", 16)
	if !ok {
		return fmt.Errorf("%s is no kind of events: want CONFIG, COMPONENT, .. or, for one of a later version, KIND(99)", clip(text))
	}
	*k = kindName(n)
	return nil
}

// numbered reads the form NAME(n).
func numbered(text, name string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(text, name+"(")
	digits, ok2 := strings.CutSuffix(digits, ")")
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, ok && ok2 && err == nil
}

// flagNames are flags as the ABI names them; BIT(n) for one that it does not know.
type flagNames abi.Flags

var flagTexts = [...]string{"RESIDENT", "PINNED", "IN_USE", "DIRTY", "LOOP_HINT", "KEPT", "READ_ONLY", "REMOVED", "TRUNCATED", "THRASH"}

func (f flagNames) MarshalJSON() ([]byte, error) {
	names := []string{}
	for bit := range 16 {
		switch {
		case f&(1<<bit) == 0:
		case bit < len(flagTexts):
			names = append(names, flagTexts[bit])
		default:
			names = append(names, fmt.Sprintf("BIT(%d)", bit))
		}
	}
	return json.Marshal(names)
}

func (f *flagNames) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	for _, name := range names {
		bit := slices.Index(flagTexts[:], name)
		if n, ok := numbered(name, "BIT", 8); ok && n < 16 {
			bit = int(n)
		}
		if bit < 0 {
			return fmt.Errorf("%s is no flag: want any of %s, or BIT(10) to BIT(15)", clip(name), strings.Join(flagTexts[:], ", "))
		}
		*f |= 1 << bit
	}
	return nil
}

// opName is an operation as the ABI names it; op(n) for one that it does not know.
type opName abi.Op

func (o opName) MarshalText() ([]byte, error) { return []byte(abi.Op(o).String()), nil }

func (o *opName) UnmarshalText(text []byte) error {
	for known := abi.Evict; known <= abi.Prefetch; known++ {
		if known.String() == string(text) {
			*o = opName(known)
			return nil
		}
	}
	n, ok := numbered(string(text), "op", 16)
	if !ok {
		return fmt.Errorf("%s is no operation: want evict, retain or prefetch", clip(text))
	}
	*o = opName(n)
	return nil
}

// hash is a number in 16 hexadecimal digits.
type hash uint64

func (h hash) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

func (h *hash) UnmarshalText(text []byte) error {
	var b [8]byte
	if len(text) != 16 {
		return fmt.Errorf("%s: want 16 hexadecimal digits", clip(text))
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("%s: want 16 hexadecimal digits", clip(text))
	}
	*h = hash(binary.BigEndian.Uint64(b[:]))
	return nil
}

// WriteTo writes the log. It implements io.WriterTo.
func (l *Log) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	put := func(line any) error {
		text, err := json.Marshal(line, jsontext.EscapeForHTML(false))
		if err != nil {
			return err
		}
		b.Write(text)
		return b.WriteByte('\n')
	}
	if err := put(headerLine{kindLog, Format, l.Name, l.Check, l.Fault, l.Found, l.SHA256}); err != nil {
		return 0, err
	}
	for i := range l.Steps {
		if err := put(lineOf(&l.Steps[i])); err != nil {
			return 0, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if l.Times > 0 {
		if err := put(repeatLine{kindRepeat, l.Cycle, l.Times, l.Fresh}); err != nil {
			return 0, err
		}
	}
	return b.WriteTo(w)
}

func lineOf(s *Step) any {
	switch s.Act {
	case Attach:
		return stateLine{Kind: kindAttach}
	case Save:
		return stateLine{Kind: kindSave}
	case Restore:
		return stateLine{Kind: kindRestore, Blob: s.Blob}
	}
	ev := &s.Event
	l := eventLine{
		Kind: kindName(ev.Kind), Flags: flagNames(ev.Flags), Index: ev.Index, NameHash: hash(ev.NameHash), Session: ev.Session,
		Request: ev.Request, Step: ev.Step, Steps: ev.Steps, Seq: ev.Seq, Time: ev.Time, Bytes: ev.Bytes, Resident: ev.Resident,
		Free: ev.Free, Budget: ev.Budget, Foreign: ev.Foreign, Workspace: ev.Workspace, LoadCost: ev.LoadCost, Amount: ev.Amount,
		Reserved: ev.Reserved, Payload: payloadOf(ev.Kind, s.Payload), Beyond: s.Beyond,
	}
	if ev.Component != abi.None {
		l.Component = &ev.Component
	}
	if ev.Parent != abi.None {
		l.Parent = &ev.Parent
	}
	for _, d := range s.Answer {
		l.Answer = append(l.Answer, objectOf(d))
	}
	return l
}

func objectOf(d abi.Decision) decisionObj {
	return decisionObj{opName(d.Op), d.Reason, d.Component, d.Arg}
}

func (o decisionObj) decision() abi.Decision {
	return abi.Decision{Op: abi.Op(o.Op), Reason: o.Reason, Component: o.Component, Arg: o.Argument}
}

// payloadOf chooses the form that says most.
func payloadOf(kind abi.Kind, b []byte) *payload {
	switch {
	case len(b) == 0:
		return nil
	case kind == abi.Begin && len(b)%4 == 0:
		p := &payload{}
		for ; len(b) > 0; b = b[4:] {
			p.Order = append(p.Order, le.Uint32(b))
		}
		return p
	case kind == abi.Rejected && len(b) == abi.RejectedSize && le.Uint32(b[20:]) == 0:
		d, _ := abi.AppendDecisions(nil, b, 1) // one, and there are bytes for it
		o := objectOf(d[0])
		return &payload{Refused: &o, Code: le.Uint32(b[16:])}
	}
	p := &payload{}
	if n := period(b); n < len(b) {
		p.Times, b = len(b)/n, b[:n]
	}
	if utf8.Valid(b) {
		text := string(b)
		p.Text = &text
	} else {
		p.Base64 = b
	}
	return p
}

// period is the least length, of a few, of a beginning that b repeats.
func period(b []byte) int {
	for n := 1; n <= 16 && n < len(b); n++ {
		if len(b)%n == 0 && bytes.Equal(b[n:], b[:len(b)-n]) {
			return n
		}
	}
	return len(b)
}

// ReadLog reads a log from its beginning to its end. An error about the log itself is a
// *FormatError.
func ReadLog(r io.Reader) (*Log, error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxFile+1))
	lines.Buffer(make([]byte, 0, 4096), MaxLine)
	l := &Log{}
	n, size, held := 0, 0, 0
	wrong := func(format string, args ...any) error {
		return &FormatError{Line: max(n, 1), Err: fmt.Errorf(format, args...)}
	}
	for lines.Scan() {
		n++
		if size += len(lines.Bytes()) + 1; size > maxFile {
			return nil, wrong("more than %d bytes up to here", maxFile)
		}
		if l.Times > 0 {
			return nil, wrong("something follows the %s line: want nothing", kindRepeat)
		}
		line := lines.Bytes()
		if n == 1 {
			if err := l.readHeader(line); err != nil {
				return nil, wrong("%w", err)
			}
			continue
		}
		if len(l.Steps) == MaxSteps {
			return nil, wrong("more than %d steps", MaxSteps)
		}
		steps := len(l.Steps)
		if err := l.readStep(line); err != nil {
			return nil, wrong("%w", err)
		}
		for _, s := range l.Steps[steps:] {
			if held += len(s.Payload) + len(s.Blob); held > MaxHeld {
				return nil, wrong("payloads and blobs of more than %d bytes up to here", MaxHeld)
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		n++
		return nil, wrong("longer than %d bytes", MaxLine)
	} else if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, wrong("want a first line {\"kind\":%q,\"format\":%q}", kindLog, Format)
	}
	return l, nil
}

func (l *Log) readHeader(line []byte) error {
	var h headerLine
	if kindOf(line) != kindLog {
		return fmt.Errorf("want a first line {\"kind\":%q,\"format\":%q}", kindLog, Format)
	}
	if err := decode(line, &h); err != nil {
		return err
	}
	if h.Format != Format {
		return fmt.Errorf("format is %s, want %q: another version may have written this", clip(h.Format), Format)
	}
	for _, text := range []string{h.Name, h.Check, h.Fault, h.Found, h.SHA256} {
		if len(text) > maxText {
			return fmt.Errorf("a text of %d bytes, want at most %d", len(text), maxText)
		}
	}
	l.Name, l.Check, l.Fault, l.Found, l.SHA256 = h.Name, h.Check, h.Fault, h.Found, h.SHA256
	return nil
}

func (l *Log) readStep(line []byte) error {
	switch kind := kindOf(line); kind {
	case "":
		return errors.New("want one JSON object a line, with a member \"kind\"")
	case kindLog:
		return fmt.Errorf("%s stands on the first line alone", kindLog)
	case kindRepeat:
		return l.readRepeat(line)
	case kindAttach, kindSave, kindRestore:
		var s stateLine
		if err := decode(line, &s); err != nil {
			return err
		}
		acts := map[string]Act{kindAttach: Attach, kindSave: Save, kindRestore: Restore}
		if s.Blob != nil && kind != kindRestore {
			return fmt.Errorf("%s has no blob", kind)
		}
		if len(s.Blob) > abi.MaxPayload {
			return fmt.Errorf("a blob of %d bytes, at most %d", len(s.Blob), abi.MaxPayload)
		}
		l.Steps = append(l.Steps, Step{Act: acts[kind], Blob: s.Blob})
		return nil
	}
	var e eventLine
	if err := decode(line, &e); err != nil {
		return err
	}
	s, err := e.step()
	l.Steps = append(l.Steps, s)
	return err
}

func (l *Log) readRepeat(line []byte) error {
	var r repeatLine
	if err := decode(line, &r); err != nil {
		return err
	}
	switch n := len(l.Steps); {
	case r.Events < 1 || r.Events > n:
		return fmt.Errorf("%s of %d events: want 1 to the %d before it", kindRepeat, r.Events, n)
	case r.Times < 1 || r.Times > (MaxTold-n)/r.Events:
		return fmt.Errorf("%s %d times: want at least once, and at most %d events in all", kindRepeat, r.Times, MaxTold)
	case slices.ContainsFunc(l.Steps[n-r.Events:], func(s Step) bool { return s.Act != Tell || s.Event.Kind == abi.Config }):
		return fmt.Errorf("%s of steps that are no events, or CONFIG: want events", kindRepeat)
	}
	l.Cycle, l.Times, l.Fresh = r.Events, r.Times, r.Fresh
	return nil
}

func (e *eventLine) step() (Step, error) {
	s := Step{Beyond: e.Beyond, Event: abi.Event{
		Kind: abi.Kind(e.Kind), Flags: abi.Flags(e.Flags), Component: abi.None, Parent: abi.None, Index: e.Index, NameHash: uint64(e.NameHash),
		Session: e.Session, Request: e.Request, Step: e.Step, Steps: e.Steps, Seq: e.Seq, Time: e.Time, Bytes: e.Bytes, Resident: e.Resident,
		Free: e.Free, Budget: e.Budget, Foreign: e.Foreign, Workspace: e.Workspace, LoadCost: e.LoadCost, Amount: e.Amount, Reserved: e.Reserved,
	}}
	if e.Component != nil {
		s.Event.Component = *e.Component
	}
	if e.Parent != nil {
		s.Event.Parent = *e.Parent
	}
	if most := abi.EventArea - abi.EventSize; len(e.Beyond) > most {
		return s, fmt.Errorf("%d bytes beyond the event, at most %d", len(e.Beyond), most)
	}
	if len(e.Answer) > abi.MaxDecisions {
		return s, fmt.Errorf("an answer of %d decisions, at most %d", len(e.Answer), abi.MaxDecisions)
	}
	for _, o := range e.Answer {
		s.Answer = append(s.Answer, o.decision())
	}
	if e.Payload == nil {
		return s, nil
	}
	var err error
	s.Payload, err = e.Payload.bytes()
	return s, err
}

func (p *payload) bytes() ([]byte, error) {
	var b []byte
	forms := 0
	if p.Text != nil {
		b = []byte(*p.Text)
		forms++
	}
	if p.Base64 != nil {
		b = p.Base64
		forms++
	}
	repeatable := forms == 1
	if p.Order != nil {
		for _, id := range p.Order {
			b = le.AppendUint32(b, id)
		}
		forms++
	}
	if p.Refused != nil {
		b = make([]byte, abi.RejectedSize)
		abi.PutRejected(b, p.Refused.decision(), abi.RejectCode(p.Code))
		forms++
	}
	switch {
	case forms != 1:
		return nil, errors.New("payload: want one of text, base64, order, and refused with code")
	case p.Code != 0 && p.Refused == nil:
		return nil, errors.New("payload: code goes with refused")
	case p.Times < 0 || p.Times > 0 && !repeatable || p.Times > abi.MaxPayload:
		return nil, fmt.Errorf("payload: times is %d: want 1 to %d, of text or base64", p.Times, abi.MaxPayload)
	}
	times := max(p.Times, 1)
	if len(b)*times > abi.MaxPayload {
		return nil, fmt.Errorf("payload of %d bytes, at most %d", len(b)*times, abi.MaxPayload)
	}
	return bytes.Repeat(b, times), nil
}

// kindOf is the kind of a line, empty if it has none.
func kindOf(line []byte) string {
	var l struct {
		Kind string         `json:"kind"`
		Rest jsontext.Value `json:",inline"`
	}
	if json.Unmarshal(line, &l) != nil {
		return ""
	}
	return l.Kind
}

// decode takes a line apart. Members that it may not have, or has twice, are errors.
func decode(line []byte, into any) error {
	err := json.Unmarshal(line, into, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		field := strings.TrimPrefix(string(semantic.JSONPointer), "/")
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return fmt.Errorf("member %s is not known here", clip(field))
		case semantic.Err != nil:
			return fmt.Errorf("member %s: %w", clip(field), semantic.Err)
		case field != "":
			return fmt.Errorf("member %s: want another value than %s", clip(field), clip(string(semantic.JSONValue)))
		}
		return errors.New("want one JSON object a line")
	}
	if err != nil {
		return fmt.Errorf("want one JSON object a line: %w", err)
	}
	return nil
}

// clip shortens and quotes what came from a file before it goes into a message.
func clip[T string | []byte](s T) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q...", string(s[:most]))
	}
	return fmt.Sprintf("%q", string(s))
}
