package conformance

import (
	"context"
	"log/slog"
	"slices"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// A Told is what came of one event of a log.
type Told struct {
	Step    int // the step's index in the log
	Event   abi.Event
	Payload []byte
	Answer  []abi.Decision
	Said    []string // what the module logged, escaped
	Fault   *runtime.Fault
}

// A listener is a log that keeps what a policy says, while it is on.
type listener struct {
	on   bool
	said []string
}

var _ slog.Handler = (*listener)(nil)

// Enabled implements slog.Handler.
func (l *listener) Enabled(context.Context, slog.Level) bool { return l.on }

// Handle implements slog.Handler.
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if r.Message == runtime.SaysMessage {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "text" {
				l.said = append(l.said, a.Value.String())
			}
			return true
		})
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *listener) WithGroup(string) slog.Handler { return l }

// tellAll tells a log, without the rounds of its cycle, and see what came of each event.
func (b *bench) tellAll(log *Log, l *listener, see func(*Told)) error {
	l.on = true
	defer func() { l.on = false }()
	return b.follow(manner{}, repeated(log, 0), func(r *reply) bool {
		said := l.said
		l.said = nil
		if r.step.Act == Tell || len(said) > 0 || r.fault != nil {
			see(&Told{Step: r.index, Event: *r.event, Payload: r.step.Payload, Answer: slices.Clone(r.answer), Said: said, Fault: r.fault})
		}
		return true
	})
}
