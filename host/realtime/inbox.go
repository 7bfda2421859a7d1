// Package realtime is what devices that work in real time have in common: a clock that
// begins with the device, and completions that a host waits for. Devices use it; it knows
// none of them.
package realtime

import (
	"sync"
	"time"

	"github.com/offhost/offhost/host"
)

// An Inbox has what a device completed and its host was not told yet. Its clock, on which
// completions have their times, never goes back, also not behind what was told. Its methods
// may be called from any goroutine, Wait and Now from one at a time.
type Inbox struct {
	start time.Time
	wake  chan struct{} // something was put in, or the inbox closed

	mu     sync.Mutex
	list   []host.Completion
	last   time.Duration // that was told
	closed bool
}

// NewInbox returns an empty one, whose clock begins.
func NewInbox() *Inbox { return &Inbox{start: time.Now(), wake: make(chan struct{}, 1)} }

// Elapsed is the time since the clock began.
func (b *Inbox) Elapsed() time.Duration { return time.Since(b.start) }

// Put adds a completion, which happens now. Whatever the device counts as in flight must
// count it until then. A closed inbox takes nothing.
func (b *Inbox) Put(c host.Completion) {
	b.mu.Lock()
	c.Time = b.Elapsed()
	if !b.closed {
		b.list = append(b.list, c)
	}
	b.mu.Unlock()
	b.signal()
}

// Close empties the inbox for good and ends a Wait.
func (b *Inbox) Close() {
	b.mu.Lock()
	b.closed, b.list = true, nil
	b.mu.Unlock()
	b.signal()
}

func (b *Inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Now is the clock's time for the host: what it is told from then on is not earlier.
func (b *Inbox) Now() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = max(b.last, b.Elapsed())
	return b.last
}

// Wait is host.Device's, for a device of which inFlight says whether anything will
// complete. What completed while nobody waited is returned even when until is past, so
// that a host that was held up does not give up what was done in time.
func (b *Inbox) Wait(until time.Duration, inFlight func() bool) (host.Completion, bool) {
	for {
		more := until != host.Forever || inFlight() // asked first: what completes then is in the list
		c, ok, closed := b.next()
		if ok {
			return c, true
		}
		left := until - b.Now()
		if closed || !more || left <= 0 {
			return host.Completion{}, false
		}
		if until == host.Forever {
			<-b.wake
			continue
		}
		timer := time.NewTimer(left)
		select {
		case <-b.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (b *Inbox) next() (c host.Completion, ok, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == 0 {
		return c, false, b.closed
	}
	c, b.list = b.list[0], b.list[1:]
	c.Time = max(c.Time, b.last)
	b.last = c.Time
	return c, true, false
}
