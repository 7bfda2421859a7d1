package trace

import (
	"errors"
	"fmt"
	"strings"
)

// ErrOnce says that a trace was to be read again but can be read only once.
var ErrOnce = errors.New("this trace can be read only once (a pipe): give a file to repeat its requests")

// An Error says where a trace is wrong and what would be right.
type Error struct {
	Line  int64  // from 1; 0 when the trace does not come from lines
	Field string // the member at fault; empty when it is the line as a whole
	Err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "field %s: ", e.Field)
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// bad makes an Error whose line the caller fills in.
func bad(field, format string, args ...any) *Error {
	return &Error{Field: field, Err: fmt.Errorf(format, args...)}
}

// clip shortens text that came from a trace before it goes into a message, and
// quotes it, so that no control character reaches a terminal.
func clip[T string | []byte](s T) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q...", string(s[:most]))
	}
	return fmt.Sprintf("%q", string(s))
}
