package runtime

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// SaysMessage is the message under which the host's log has what a policy says: a line each,
// the attribute text.
const SaysMessage = "policy says"

// Limits of what a policy logs, beside Limits.LogBytes.
const (
	maxLogLine    = 256 // bytes; longer lines are broken
	maxEventLines = 4   // lines that are logged of one event
	maxLastLines  = 12  // lines after them that are kept, the last ones, in case that the event ends in a fault
)

// A guestLog carries what a policy writes to its standard output and error to the host's
// log: whole lines, escaped, so many an event, so many bytes in all. What it wrote before it
// failed, such as a panic's text and trace, is often the only word on why it did: of an
// event that ends in a fault the last lines are logged, too, and are part of the fault.
type guestLog struct {
	logger *slog.Logger
	left   int  // bytes that may still be logged
	full   bool // the end was announced

	event uint64 // the number of the current event, if told
	told  bool   // lines belong to an event
	line  []byte // that has not ended
	lines int    // of the event that have ended
	first [maxEventLines][]byte
	last  [maxLastLines][]byte // the line n after the first ones is at n % maxLastLines
}

// begin says that what comes belongs to an event; or, if that is not told, to a start.
func (l *guestLog) begin(event uint64, told bool) { l.event, l.told, l.lines = event, told, 0 }

func (l *guestLog) write(b []byte) {
	for _, c := range b {
		if c != '\n' {
			l.line = append(l.line, c)
		}
		if c == '\n' || len(l.line) == maxLogLine {
			l.flush()
		}
	}
}

// flush ends a line.
func (l *guestLog) flush() {
	if len(l.line) == 0 {
		return
	}
	if n := l.lines - maxEventLines; n < 0 {
		l.first[l.lines] = append(l.first[l.lines][:0], l.line...)
		l.log(l.line)
	} else {
		kept := &l.last[n%maxLastLines]
		*kept = append((*kept)[:0], l.line...)
	}
	l.lines++
	l.line = l.line[:0]
}

// log logs a line, or what of it there is room for.
func (l *guestLog) log(line []byte) {
	if n := min(len(line), l.left); n > 0 {
		args := []any{"text", escaped(line[:n])}
		if l.told {
			args = append([]any{"event", l.event}, args...)
		}
		l.logger.Info(SaysMessage, args...)
	}
	if l.left -= min(len(line)+1, l.left); l.left == 0 && !l.full { // a line has an end, too
		l.full = true
		l.logger.Warn("policy has logged as much as it may, the rest is dropped")
	}
}

// fail ends an event that has failed: it logs the last of its lines and returns the first
// and the last ones, escaped.
func (l *guestLog) fail() (said []string) {
	l.flush()
	for i := range min(l.lines, maxEventLines) {
		said = append(said, escaped(l.first[i]))
	}
	from := max(l.lines-maxEventLines-maxLastLines, 0)
	if from > 0 {
		said = append(said, fmt.Sprintf("(%d lines)", from))
	}
	for n := from; n < l.lines-maxEventLines; n++ {
		line := l.last[n%maxLastLines]
		said = append(said, escaped(line))
		l.log(line)
	}
	l.lines = 0
	return said
}

// escaped is a line with what does not print escaped; a tab, with which traces are indented,
// is four spaces.
func escaped(line []byte) string {
	text := strconv.Quote(strings.ReplaceAll(string(line), "\t", "    "))
	return text[1 : len(text)-1]
}
