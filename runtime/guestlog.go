package runtime

import (
	"log/slog"
	"strconv"
)

// Limits of what a policy logs, beside Limits.LogBytes.
const (
	maxLogLine    = 256 // bytes; longer lines are broken
	maxEventLines = 4   // lines during one event
)

// A guestLog carries what a policy writes to its standard output and error to the
// host's log: whole lines, escaped, so many an event, so many bytes in all.
type guestLog struct {
	logger *slog.Logger
	left   int // bytes that may still be logged
	lines  int // lines that the current event may still log
	line   []byte
	full   bool // the end was announced
}

// write takes b as far as the limits allow and drops the rest.
func (l *guestLog) write(b []byte) {
	for _, c := range b {
		if l.left == 0 || l.lines == 0 {
			l.announce()
			return
		}
		l.left--
		if c != '\n' {
			l.line = append(l.line, c)
		}
		if c == '\n' || len(l.line) == maxLogLine {
			l.flush()
		}
	}
}

func (l *guestLog) flush() {
	if len(l.line) == 0 {
		return
	}
	l.lines--
	text := strconv.Quote(string(l.line))
	l.logger.Info("policy says", "text", text[1:len(text)-1])
	l.line = l.line[:0]
}

func (l *guestLog) announce() {
	if l.left > 0 || l.full {
		return
	}
	l.full = true
	l.logger.Warn("policy has logged as much as it may, the rest is dropped")
}
