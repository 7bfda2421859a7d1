package trace

import (
	"bytes"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// An object is one line of a trace taken apart: a JSON object whose members are
// strings, integers, booleans and lists of strings. Fields are taken by name;
// what nobody took is then unknown or given twice.
type object struct {
	members [maxMembers]member
	n       int
	taken   uint32 // bit i: members[i] was taken
	decoder jsontext.Decoder
	input   bytes.Reader
}

// maxMembers is more than any kind of record has.
const maxMembers = 16

type member struct {
	name  []byte
	value valueKind
	text  []byte // of a string
	num   int64
	list  []string
}

type valueKind uint8

const (
	aString valueKind = iota + 1
	aNumber           // an integer that an int64 holds
	aTrue
	aFalse
	aList   // of strings
	anAlien // a JSON value that no record uses
	aFigure // a number that is no int64
)

func (v valueKind) String() string {
	return [...]string{aString: "a string", aNumber: "a whole number", aTrue: "true", aFalse: "false",
		aList: "a list of strings", anAlien: "another kind of value", aFigure: "a number with a fraction, an exponent or too many digits"}[v]
}

// parse takes a line apart. Members given twice are left to rest, which knows the
// fields. The members are valid until the next parse.
func (o *object) parse(line []byte) *Error {
	o.n, o.taken = 0, 0
	if len(bytes.TrimSpace(line)) == 0 {
		return bad("", "the line is empty: want one JSON object a line")
	}
	o.input.Reset(line)
	d := &o.decoder
	d.Reset(&o.input, jsontext.AllowDuplicateNames(true))
	token, err := d.ReadToken()
	if err != nil {
		return bad("", "want one JSON object a line: %w", err)
	}
	if token.Kind() != '{' {
		return bad("", "want one JSON object a line, found %s", clip(line))
	}
	for d.PeekKind() != '}' {
		if o.n == maxMembers {
			return bad("", "more than %d members: no kind of record has so many", maxMembers)
		}
		m := &o.members[o.n]
		name, err := d.ReadValue()
		if err != nil {
			return bad("", "want one JSON object a line: %w", err)
		}
		if m.name, err = jsontext.AppendUnquote(m.name[:0], name); err != nil {
			return bad("", "want one JSON object a line: %w", err)
		}
		if err := m.decode(d); err != nil {
			return bad(clip(m.name), "want a JSON value: %w", err)
		}
		o.n++
	}
	if _, err := d.ReadToken(); err != nil {
		return bad("", "want one JSON object a line: %w", err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return bad("", "something follows the JSON object: want one object a line")
	}
	return nil
}

func (m *member) decode(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '{':
		m.value = anAlien
		return d.SkipValue()
	case '[':
		return m.decodeList(d)
	}
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch value.Kind() {
	case '"':
		m.value = aString
		m.text, err = jsontext.AppendUnquote(m.text[:0], value)
		return err
	case 't':
		m.value = aTrue
	case 'f':
		m.value = aFalse
	case '0':
		m.value = aNumber
		if m.num, err = strconv.ParseInt(string(value), 10, 64); err != nil {
			m.value = aFigure
		}
	default:
		m.value = anAlien
	}
	return nil
}

func (m *member) decodeList(d *jsontext.Decoder) error {
	m.value, m.list = aList, nil
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if d.PeekKind() != '"' || len(m.list) == MaxComponents {
			m.value = anAlien
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		m.list = append(m.list, token.String())
	}
	_, err := d.ReadToken()
	return err
}

// take returns the member called name and marks it taken, or nil.
func (o *object) take(name string) *member {
	for i := range o.n {
		if string(o.members[i].name) == name {
			o.taken |= 1 << i
			return &o.members[i]
		}
	}
	return nil
}

// text takes a string that must be there.
func (o *object) text(name string) ([]byte, *Error) {
	m := o.take(name)
	switch {
	case m == nil:
		return nil, bad(name, "is missing: want a string")
	case m.value != aString:
		return nil, bad(name, "want a string, found %s", m.value)
	}
	return m.text, nil
}

// number takes an integer from low to high; def when it is not there and def is
// not negative, else its absence is an error.
func (o *object) number(name string, low, high, def int64) (int64, *Error) {
	m := o.take(name)
	switch {
	case m == nil && def >= 0:
		return def, nil
	case m == nil:
		return 0, bad(name, "is missing: want a whole number from %d to %d", low, high)
	case m.value != aNumber:
		return 0, bad(name, "want a whole number from %d to %d, found %s", low, high, m.value)
	case m.num < low || m.num > high:
		return 0, bad(name, "is %d: want %d to %d", m.num, low, high)
	}
	return m.num, nil
}

// flag takes a boolean; def when it is not there.
func (o *object) flag(name string, def bool) (bool, *Error) {
	m := o.take(name)
	switch {
	case m == nil:
		return def, nil
	case m.value != aTrue && m.value != aFalse:
		return false, bad(name, "want true or false, found %s", m.value)
	}
	return m.value == aTrue, nil
}

// strings takes a list of strings; nil when it is not there.
func (o *object) strings(name string) ([]string, *Error) {
	m := o.take(name)
	switch {
	case m == nil:
		return nil, nil
	case m.value != aList:
		return nil, bad(name, "want a list of at most %d strings, found %s", MaxComponents, m.value)
	}
	return m.list, nil
}

// rest returns an error when a member was not taken; fields are those that the
// record may have.
func (o *object) rest(fields string) *Error {
	if o.taken == 1<<o.n-1 {
		return nil
	}
	for i := range o.n {
		if o.taken&(1<<i) != 0 {
			continue
		}
		name := o.members[i].name
		for j := range i {
			if bytes.Equal(o.members[j].name, name) {
				return bad(clip(name), "is given twice: want it once")
			}
		}
		return bad(clip(name), "is not known here: want %s", fields)
	}
	return nil
}
