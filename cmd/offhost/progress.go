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
	p.say(func(since time.Duration) string {
		return fmt.Sprintf("loading weights: %.0f %%, %s of %s, %v", 100*float64(done)/float64(max(total, 1)), done.Decimal(), total.Decimal(),
			units.BytesPerSecond(rate(done, since)))
	})
}

// say shows what text makes of the time that has passed.
func (p *progress) say(text func(since time.Duration) string) {
	now := time.Now()
	if p.to == nil || now.Sub(p.begun) < patience || now.Sub(p.last) < interval {
		return
	}
	p.last, p.shown = now, true
	fmt.Fprintf(p.to, "\r%s\x1b[K", text(now.Sub(p.begun)))
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
