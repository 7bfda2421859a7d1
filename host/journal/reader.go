package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Reader reads a journal once, from its start to its end. It is not safe for
// concurrent use.
type Reader struct {
	from   *bufio.Reader
	long   []byte // a line that is longer than from's buffer
	line   int64
	sum    hash.Hash
	check  *checker
	header Header
	end    *End
	spare  []actionLine
	err    error
}

// NewReader reads a journal's header from r. An error about the journal itself is an
// *Error.
func NewReader(r io.Reader) (*Reader, error) {
	j := &Reader{from: bufio.NewReaderSize(r, 1<<16), sum: sha256.New(), check: newChecker()}
	line, err := j.readLine()
	if err != nil {
		return nil, err
	}
	var h headerLine
	switch kind := kindOfLine(line); {
	case kind != kindHeader:
		return nil, j.at(bad("kind", "is %s: want the first line to be a journal record, {\"kind\":%q,\"schema\":%q,...}", clip(kind), kindHeader, Schema))
	case !bytes.HasPrefix(line, []byte(`{"kind":"`+kindHeader+`","schema":"`+Schema+`"`)):
		return nil, j.at(bad("schema", "want %q first: this may be another version's journal", Schema))
	}
	if err := decode(line, &h); err != nil {
		return nil, j.at(err)
	}
	if err := j.check.header(&h.Header); err != nil {
		return nil, j.at(err)
	}
	j.sum.Write(line)
	j.header = h.Header
	return j, nil
}

// Header returns what the journal says before its first input.
func (j *Reader) Header() *Header { return &j.header }

// End returns what the last line says; nil before Next has returned io.EOF.
func (j *Reader) End() *End { return j.end }

// Next reads the next entry, which is valid until the one after. It returns io.EOF
// after a last line whose checksum is right; an error that wraps io.ErrUnexpectedEOF
// when the journal breaks off. After an error every call returns it again.
func (j *Reader) Next(x *Entry) error {
	if j.err == nil {
		j.err = j.next(x)
	}
	return j.err
}

func (j *Reader) next(x *Entry) error {
	line, err := j.readLine()
	if err != nil {
		return err
	}
	name := kindOfLine(line)
	if name == kindEnd {
		return j.last(line)
	}
	kind := kindOf(name)
	if kind == 0 {
		return j.at(bad("kind", "is %s: want that of an input, or %q at the end", clip(name), kindEnd))
	}
	j.sum.Write(line)
	l := newLine(kind)
	l.bottom().Actions = j.spare[:0]
	if err := decode(line, l); err != nil {
		return j.at(err)
	}
	x.Line, x.Actions = j.line, x.Actions[:0]
	if err := inputOf(l, kind, &x.Input, &x.Swap); err != nil {
		return j.at(err)
	}
	if err := j.actions(x, l.bottom()); err != nil {
		return err
	}
	if err := j.check.entry(x); err != nil {
		return j.at(err)
	}
	return nil
}

// actions takes over a line's actions and those of the lines that continue it.
func (j *Reader) actions(x *Entry, tail *lineTail) error {
	for {
		if n := len(x.Actions) + len(tail.Actions); n > maxActions {
			return j.at(bad("actions", "are %d and more: want at most %d", n, maxActions))
		}
		for i := range tail.Actions {
			x.Actions = append(x.Actions, Action{})
			if err := tail.Actions[i].get(&x.Actions[len(x.Actions)-1]); err != nil {
				return j.at(err)
			}
		}
		j.spare = tail.Actions
		if !tail.More {
			return nil
		}
		line, err := j.readLine()
		if err != nil {
			return err
		}
		if name := kindOfLine(line); name != kindMore {
			return j.at(bad("kind", "is %s: want %q, which the line before announces", clip(name), kindMore))
		}
		j.sum.Write(line)
		more := moreLine{lineTail: lineTail{Actions: j.spare[:0]}}
		if err := decode(line, &more); err != nil {
			return j.at(err)
		}
		tail = &more.lineTail
	}
}

// last takes the last line, and makes sure that it is.
func (j *Reader) last(line []byte) error {
	cut := len(line) - len(afterSum) - sumDigits
	if cut < 0 || !bytes.HasSuffix(line, []byte(afterSum)) || !bytes.HasSuffix(line[:cut], []byte(`,"sha256":"`)) {
		return j.at(bad("sha256", "want a checksum of %d digits as the last member, and the line's end", sumDigits))
	}
	j.sum.Write(line[:cut])
	if got := hex.EncodeToString(j.sum.Sum(nil)); got != string(line[cut:][:sumDigits]) {
		return j.at(bad("sha256", "is %s, and what comes before it has %s: the journal was changed, want it as it was written",
			clip(string(line[cut:][:sumDigits])), clip(got)))
	}
	var end endLine
	if err := decode(line, &end); err != nil {
		return j.at(err)
	}
	if err := j.check.end(&end.End); err != nil {
		return j.at(err)
	}
	if _, err := j.from.ReadByte(); err == nil {
		j.line++
		return j.at(bad("", "something follows the journal's end: want nothing"))
	} else if err != io.EOF {
		return j.at(bad("", "cannot be read: %w", err))
	}
	j.end = &end.End
	return io.EOF
}

// readLine returns the next line with its end, valid until the one after.
func (j *Reader) readLine() ([]byte, error) {
	j.line++
	j.long = j.long[:0]
	for {
		part, err := j.from.ReadSlice('\n')
		if len(j.long)+len(part) > MaxLine+1 {
			return nil, j.at(bad("", "the line is longer than %d bytes", MaxLine))
		}
		switch {
		case err == nil && len(j.long) == 0:
			return part, nil
		case err == nil:
			j.long = append(j.long, part...)
			return j.long, nil
		case errors.Is(err, bufio.ErrBufferFull):
			j.long = append(j.long, part...)
		case err == io.EOF:
			return nil, j.at(bad("", "the journal breaks off: want a last line of kind %q: %w", kindEnd, io.ErrUnexpectedEOF))
		default:
			return nil, j.at(bad("", "cannot be read: %w", err))
		}
	}
}

// at puts the current line into an error.
func (j *Reader) at(err *Error) *Error {
	err.Line = j.line
	return err
}

// kindOfLine is the kind of a line, "" when it does not begin with one.
func kindOfLine(line []byte) string {
	rest, ok := bytes.CutPrefix(line, []byte(`{"kind":"`))
	if !ok {
		return ""
	}
	kind, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return ""
	}
	return string(kind)
}

// decode takes a line apart. Members that the line may not have are errors.
func decode(line []byte, into any) *Error {
	err := json.Unmarshal(line, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var field jsontext.Pointer
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		field = semantic.JSONPointer
		if semantic.Err != nil {
			err = semantic.Err
		} else {
			err = fmt.Errorf("a %v does not fit here", semantic.JSONKind)
		}
	case errors.As(err, &syntactic):
		field = syntactic.JSONPointer
		err = syntactic.Err
	}
	name := ""
	if field != "" {
		name = clip(string(field))
	}
	return bad(name, "want a line as FORMAT.md has it: %w", err)
}
