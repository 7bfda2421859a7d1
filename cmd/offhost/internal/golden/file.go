// Package golden is a policy's decisions on a trace as a file that people review: written
// by one run, compared with another. It knows the file's form and how to compare; the
// command line runs the trace and is the only one to use it.
//
// A file is lines of text, UTF-8. First a line with the form's name, then settings, one
// "key value" a line, then an empty line, then decisions. Lines that begin with # say
// something to people.
//
//	offhost.decisions/1
//	trace   ./loop.jsonl
//	budget  2GiB
//
//	1.3  NEED  unet  evict  text_encoder  256MiB  1
//
// A decision says where it was made (the request and in it the call that began last), what
// event it answers and which component that was about, what is to be done with which
// component, how much of it, and the policy's reason code. A decision that the host refused
// is told again, with the event REJECTED and why in place of the component; a void answer is
// a line with the event FAULT. Numbers of events are not in it: they would all change with
// one decision more, and a reviewer would see nothing else.
package golden

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is the first line of every file.
const Format = "offhost.decisions/1"

// Limits on what is read.
const (
	MaxLine     = 4 << 10 // bytes
	MaxSettings = 1 << 10 // lines
	MaxLines    = 1 << 20 // decisions
)

// A File is the decisions of a run and the settings that it was made under.
type File struct {
	Remarks  []string // lines before the first that is none, with their #
	Settings []Setting
	Lines    []Line
}

// A Setting is one line of the header. Keys may occur more than once.
type Setting struct{ Key, Value string }

// A Line is one decision, or what became of one.
type Line struct {
	Request, Call uint32 // the request and in it the call that began last, from 1; 0 before the first
	Event         string // such as NEED, or one of the two below
	About         string // the component that the event is about, or why it was refused; empty: none
	Op            string // evict, retain, prefetch; empty with Fault
	Component     string
	Amount        string // a size, all, or a number of calls
	Reason        uint16
}

// Events that are none of the policy's.
const (
	Rejected = "REJECTED" // the host refused the decision
	Fault    = "FAULT"    // the answer was void
)

// nothing stands where there is no text.
const nothing = "-"

func (l *Line) String() string {
	at := fmt.Sprintf("%d.%d", l.Request, l.Call)
	if l.Event == Fault {
		return fmt.Sprintf("%-6s  %s", at, Fault)
	}
	return fmt.Sprintf("%-6s  %s", at, l.Words())
}

// Words are those of the line's decision, without where it was made.
func (l *Line) Words() string {
	return fmt.Sprintf("%-8s  %-16s  %-8s  %-16s  %8s  %d", l.Event, word(l.About), l.Op, word(l.Component), l.Amount, l.Reason)
}

// word writes text as one word: quoted when it has spaces, or could be taken for
// something else.
func word(s string) string {
	if s == "" {
		return nothing
	}
	if s == nothing || strings.ContainsAny(s, " \"#\\") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}

// Write writes a file. A setting that Parse would not read as it is, is an error.
func (f *File) Write(w io.Writer) error {
	b := bufio.NewWriter(w) // its error comes back from Flush
	for _, r := range f.Remarks {
		fmt.Fprintln(b, r)
	}
	fmt.Fprintln(b, Format)
	width := 0
	for _, s := range f.Settings {
		width = max(width, len(s.Key))
	}
	for _, s := range f.Settings {
		line := fmt.Sprintf("%-*s  %s", width, s.Key, s.Value)
		if s.Value == "" || s.Value != strings.TrimSpace(s.Value) || strings.ContainsRune(s.Value, '\n') || !utf8.ValidString(s.Value) || len(line) > MaxLine {
			return fmt.Errorf("setting %s: a file has no place for %.80q: want one line of at most %d bytes, without spaces around it", s.Key, s.Value, MaxLine-width-2)
		}
		fmt.Fprintln(b, line)
	}
	fmt.Fprintln(b)
	fmt.Fprintf(b, "#%-5s  %-8s  %-16s  %-8s  %-16s  %8s  %s\n", "call", "event", "about", "decision", "component", "amount", "reason")
	for i := range f.Lines {
		fmt.Fprintln(b, f.Lines[i].String())
	}
	return b.Flush()
}

// A ParseError says what is wrong with a file and where.
type ParseError struct {
	Line int // from 1
	Err  error
}

func (e *ParseError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *ParseError) Unwrap() error { return e.Err }

// Parse reads a file. check is asked of each setting whether there may be one of its key,
// and told whether there is one already. What is wrong with the file is a *ParseError.
func Parse(r io.Reader, check func(key string, again bool) error) (*File, error) {
	p := &parser{file: &File{}, check: check}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, MaxLine+1), MaxLine+1)
	for lines.Scan() {
		p.line++
		if err := p.read(strings.TrimRight(lines.Text(), " \t\r")); err != nil {
			return nil, &ParseError{p.line, err}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, &ParseError{p.line + 1, fmt.Errorf("longer than %d bytes, want a setting or a decision", MaxLine)}
	}
	if lines.Err() != nil {
		return nil, lines.Err()
	}
	if p.part == remarks {
		return nil, &ParseError{max(p.line, 1), fmt.Errorf("the file ends before the line %s", Format)}
	}
	return p.file, nil
}

// part of a file is what the next line belongs to.
type part int

const (
	remarks part = iota
	settings
	decisions
)

type parser struct {
	file  *File
	check func(key string, again bool) error
	line  int
	part  part
}

func (p *parser) read(line string) error {
	if !utf8.ValidString(line) {
		return errors.New("not valid UTF-8")
	}
	if strings.HasPrefix(line, "#") {
		if p.part == remarks {
			if len(p.file.Remarks) == MaxSettings {
				return fmt.Errorf("more than %d lines of remarks", MaxSettings)
			}
			p.file.Remarks = append(p.file.Remarks, line)
		}
		return nil
	}
	switch p.part {
	case remarks:
		if line != Format {
			return fmt.Errorf("%.80q: want %s", line, Format)
		}
		p.part = settings
	case settings:
		if line == "" {
			p.part = decisions
			return nil
		}
		if len(p.file.Settings) == MaxSettings {
			return fmt.Errorf("more than %d settings", MaxSettings)
		}
		key, value, _ := strings.Cut(line, " ")
		if value = strings.TrimSpace(value); key == "" || value == "" {
			return fmt.Errorf("%.80q: want a setting and its value, as in \"budget  2GiB\", or an empty line after the last", line)
		}
		again := slices.ContainsFunc(p.file.Settings, func(s Setting) bool { return s.Key == key })
		if err := p.check(key, again); err != nil {
			return err
		}
		p.file.Settings = append(p.file.Settings, Setting{key, value})
	case decisions:
		if line == "" {
			return nil
		}
		if len(p.file.Lines) == MaxLines {
			return fmt.Errorf("more than %d decisions", MaxLines)
		}
		l, err := parseLine(line)
		if err != nil {
			return err
		}
		p.file.Lines = append(p.file.Lines, l)
	}
	return nil
}

const form = `as in "1.3  NEED  unet  evict  text_encoder  256MiB  1"`

func parseLine(text string) (l Line, err error) {
	words, err := split(text)
	if err != nil {
		return l, err
	}
	if len(words) < 2 || words[1] != Fault && len(words) != 7 || words[1] == Fault && len(words) != 2 {
		return l, fmt.Errorf("%.80q has %d words, want seven, %s", text, len(words), form)
	}
	request, call, _ := strings.Cut(words[0], ".")
	if l.Request, err = number[uint32](request, 32); err == nil {
		l.Call, err = number[uint32](call, 32)
	}
	if err != nil {
		return l, fmt.Errorf("%.80q: want a request and the number of a call in it, %s", words[0], form)
	}
	if l.Event = words[1]; l.Event == Fault {
		return l, nil
	}
	if l.Event == "" || strings.Trim(l.Event, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789()") != "" {
		return l, fmt.Errorf("event %.80q: want one in capitals, %s", l.Event, form)
	}
	l.About, l.Op, l.Component, l.Amount = words[2], words[3], words[4], words[5]
	if !operation.MatchString(l.Op) {
		return l, fmt.Errorf("%.80q: want evict, retain or prefetch, %s", l.Op, form)
	}
	if l.Component == "" {
		return l, fmt.Errorf("no component to %s: want one, %s", l.Op, form)
	}
	if l.Amount == "" || strings.Trim(l.Amount, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return l, fmt.Errorf("amount %.80q: want a size, all or a number of calls, %s", l.Amount, form)
	}
	if l.Reason, err = number[uint16](words[6], 16); err != nil {
		return l, fmt.Errorf("reason %.80q: want a number from 0 to 65535, %s", words[6], form)
	}
	return l, nil
}

// operation is what there is to do, or what a void answer has in its place.
var operation = regexp.MustCompile(`^(evict|retain|prefetch|op\([0-9]{1,5}\))$`)

// number reads digits in the one form in which they are written.
func number[T uint16 | uint32](s string, bits int) (T, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = strconv.ErrSyntax
	}
	return T(n), err
}

// split cuts a line into its words, some of which may be quoted.
func split(line string) (words []string, err error) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words, nil
		}
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			text := line[:end]
			if text == nothing {
				text = ""
			}
			words, line = append(words, text), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("%.80q: a quote is not closed", line)
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", quoted, err)
		}
		words, line = append(words, text), line[len(quoted):]
	}
}
