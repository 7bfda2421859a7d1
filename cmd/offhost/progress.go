package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/offhost/offhost/host/units"
)

// A progress is a line on a terminal that says how far something is. It appears when that
// takes long enough to wonder.
type progress struct {
	to          io.Writer // nil: nobody watches
	begun, last time.Time
	shown       bool
}

const (
	patience = 300 * time.Millisecond
	interval = 100 * time.Millisecond
)

func newProgress(to io.Writer) *progress {
	now := time.Now()
	return &progress{to: to, begun: now, last: now}
}

// show is for the loading of weights.
func (p *progress) show(done, total units.Bytes) {
	if p.due() {
		p.line("loading weights: %.0f %%, %s of %s, %v", 100*float64(done)/float64(max(total, 1)), done.Decimal(), total.Decimal(),
			units.BytesPerSecond(rate(done, time.Since(p.begun))))
	}
}

// count is for anything that is counted.
func (p *progress) count(what string, done, total int) {
	if p.due() {
		p.line("%s: %d of %d", what, done, total)
	}
}

func (p *progress) due() bool {
	now := time.Now()
	return p.to != nil && now.Sub(p.begun) >= patience && now.Sub(p.last) >= interval
}

func (p *progress) line(format string, args ...any) {
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.to, "\r"+format+"\x1b[K", args...)
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}

// terminal returns w if a person watches it, nil otherwise.
func terminal(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return w
		}
	}
	return nil
}
