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
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/offhost/offhost/host"
)

// A Writer writes a journal. It keeps a reader's rules, so that what it wrote can be
// read. After an error every call returns it again. It is not safe for concurrent use.
type Writer struct {
	to      *bufio.Writer
	sum     hash.Hash // of all that was written
	check   *checker
	line    bytes.Buffer
	encoder *jsontext.Encoder
	lines   [host.InTick + 1]inputLine // one of each kind, used again
	entry   Entry
	actions []actionLine
	count   int64 // of lines
	err     error
}

// NewWriter writes a journal's header to w. The caller closes the Writer, and then w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	j := &Writer{to: bufio.NewWriterSize(w, 1<<16), sum: sha256.New(), check: newChecker()}
	j.encoder = jsontext.NewEncoder(&j.line)
	if h.Host != nil {
		p := *h.Host
		p.Weights = shown(p.Weights)
		h.Host = &p
	}
	if err := j.check.header(&h); err != nil {
		return nil, fmt.Errorf("journal header: %w", j.at(err))
	}
	if err := j.write(&headerLine{Kind: kindHeader, Schema: Schema, Header: h}); err != nil {
		return nil, fmt.Errorf("journal header: %w", err)
	}
	return j, nil
}

// Write writes an input that the engine took, the identity of the policy that it
// brings if it is a swap, and what followed. It keeps nothing of them.
func (j *Writer) Write(in *host.Input, swap Identity, out *host.Output) error {
	if j.err == nil {
		j.err = j.input(in, swap, out)
	}
	return j.err
}

func (j *Writer) input(in *host.Input, swap Identity, out *host.Output) error {
	x := &j.entry
	x.Input, x.Swap, x.Actions = *in, swap, x.Actions[:0]
	for i := range out.Actions {
		x.Actions = append(x.Actions, actionOf(&out.Actions[i]))
	}
	if err := j.check.entry(x); err != nil {
		return fmt.Errorf("journal: %v: %w", in.Kind, j.at(err))
	}
	j.actions = j.actions[:0]
	for i := range x.Actions {
		j.actions = append(j.actions, actionLine{})
		j.actions[i].put(&x.Actions[i])
	}
	l := j.lines[in.Kind]
	if l == nil {
		l = newLine(in.Kind)
		j.lines[in.Kind] = l
	}
	*l.top() = lineHead{Kind: in.Kind.String(), Time: int64(in.Time)}
	l.put(in, &swap)
	rest := j.actions
	*l.bottom(), rest = someActions(rest)
	if err := j.write(l); err != nil {
		return err
	}
	for len(rest) > 0 {
		more := &moreLine{Kind: kindMore}
		more.lineTail, rest = someActions(rest)
		if err := j.write(more); err != nil {
			return err
		}
	}
	return nil
}

// someActions are those that go on one line, and the rest.
func someActions(all []actionLine) (lineTail, []actionLine) {
	n := min(len(all), maxOnLine)
	return lineTail{Actions: all[:n], More: n < len(all)}, all[n:]
}

var errClosed = errors.New("the journal is closed")

// Close writes the last line, with which the journal is whole, and what is buffered.
// Text that is too long or does not print is mended.
func (j *Writer) Close(end End) error {
	if j.err != nil {
		return j.err
	}
	j.err = errClosed
	end.Inputs, end.Error = j.check.number, shown(end.Error)
	notes := make([]string, 0, len(end.Notes))
	for _, n := range end.Notes {
		notes = append(notes, shown(n))
	}
	end.Notes = notes[:min(len(notes), MaxNotes)]
	if err := j.check.end(&end); err != nil {
		return fmt.Errorf("journal: %w", j.at(err))
	}
	none := strings.Repeat("0", sumDigits)
	if err := j.encode(&endLine{Kind: kindEnd, End: end, SHA256: none}); err != nil {
		return err
	}
	line := j.line.Bytes()
	digits := line[len(line)-len(afterSum)-sumDigits:][:sumDigits]
	j.sum.Write(line[:len(line)-len(afterSum)-sumDigits])
	hex.Encode(digits, j.sum.Sum(nil))
	if _, err := j.to.Write(line); err != nil {
		return err
	}
	return j.to.Flush()
}

// The end of a journal: the checksum's digits and what is after them.
const (
	sumDigits = 2 * sha256.Size
	afterSum  = "\"}\n"
)

func (j *Writer) write(line any) error {
	if err := j.encode(line); err != nil {
		return err
	}
	j.sum.Write(j.line.Bytes())
	_, err := j.to.Write(j.line.Bytes())
	return err
}

// encode makes a line of a value, its end included.
func (j *Writer) encode(line any) error {
	j.count++
	j.line.Reset()
	j.encoder.Reset(&j.line)
	if err := json.MarshalEncode(j.encoder, line); err != nil {
		return fmt.Errorf("journal: line %d cannot be written: %w", j.count, err)
	}
	if n := j.line.Len() - 1; n > MaxLine {
		return fmt.Errorf("journal: line %d has %d bytes: want at most %d", j.count, n, MaxLine)
	}
	return nil
}

// at puts the line to come into an error.
func (j *Writer) at(err *Error) *Error {
	err.Line = j.count + 1
	return err
}

// shown mends text that a person is to read.
func shown(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), MaxText)], "?")
	return strings.Map(func(r rune) rune {
		if checkText("", string(r)) != nil {
			return '?'
		}
		return r
	}, s)
}
