package journal

import (
	"fmt"
	"strings"
	"time"

	"github.com/offhost/offhost/host"
)

// An Error says where a journal is wrong and what would be right.
type Error struct {
	Line  int64  // from 1
	Field string // the member at fault; empty when it is the line as a whole
	Err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d: ", e.Line)
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

func firstError(errs ...*Error) *Error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// clip shortens text that came from a journal before it goes into a message, and
// quotes it, so that no control character reaches a terminal.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// A Difference is the first place at which an engine did not do again what a journal
// says that it did.
type Difference struct {
	Input    int64 // as Entry.Number; 0: at the end
	Line     int64
	Time     time.Duration
	Kind     host.InputKind
	Recorded string // what the journal says, in its own terms
	Came     string // what came of it now
}

func (d *Difference) Error() string {
	if d.Input == 0 {
		return fmt.Sprintf("line %d: recorded %s, now %s", d.Line, d.Recorded, d.Came)
	}
	return fmt.Sprintf("line %d, input %d (%v at %v): recorded %s, now %s", d.Line, d.Input, d.Kind, d.Time, d.Recorded, d.Came)
}
