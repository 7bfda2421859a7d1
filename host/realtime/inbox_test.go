package realtime

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offhost/offhost/host"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewInbox()
		some := func() bool { return true }
		none := func() bool { return false }
		if c, ok := b.Wait(host.Forever, none); ok || b.Elapsed() != 0 {
			t.Errorf("nothing in flight: %+v after %v", c, b.Elapsed())
		}
		if c, ok := b.Wait(time.Second, none); ok || b.Elapsed() != time.Second {
			t.Errorf("until a second: %+v after %v", c, b.Elapsed())
		}
		go func() {
			time.Sleep(time.Second)
			b.Put(host.Completion{Op: 1})
		}()
		if c, ok := b.Wait(host.Forever, some); !ok || c.Op != 1 || c.Time != 2*time.Second {
			t.Errorf("what comes a second later: %+v, %v", c, ok)
		}
		b.Put(host.Completion{Op: 2})
		time.Sleep(time.Second)
		if b.Now() != 3*time.Second {
			t.Errorf("now is %v", b.Now())
		}
		// What was done in time is told late, at a time that does not go back.
		if c, ok := b.Wait(time.Second, some); !ok || c.Op != 2 || c.Time != 3*time.Second {
			t.Errorf("what was there: %+v, %v", c, ok)
		}
		if _, ok := b.Wait(time.Second, some); ok || b.Elapsed() != 3*time.Second {
			t.Errorf("a time that is past is waited for, until %v", b.Elapsed())
		}
		time.AfterFunc(time.Second, b.Close)
		if c, ok := b.Wait(host.Forever, some); ok || b.Elapsed() != 4*time.Second {
			t.Errorf("closed: %+v after %v", c, b.Elapsed())
		}
		b.Put(host.Completion{Op: 3})
		if c, ok := b.Wait(5*time.Second, some); ok || b.Elapsed() != 4*time.Second {
			t.Errorf("after the end: %+v, %v", c, b.Elapsed())
		}
	})
}

// Whatever is counted as in flight is told, once, in time's order.
func TestNothingIsMissed(t *testing.T) {
	b := NewInbox()
	const workers, each = 8, 500
	var inFlight atomic.Int64
	inFlight.Store(workers * each)
	var busy sync.WaitGroup
	defer busy.Wait()
	for w := range workers {
		busy.Go(func() {
			for i := range each {
				b.Put(host.Completion{Op: host.OpID(w*each + i + 1)})
				inFlight.Add(-1)
			}
		})
	}
	told := map[host.OpID]bool{}
	last := time.Duration(0)
	for {
		c, ok := b.Wait(host.Forever, func() bool { return inFlight.Load() > 0 })
		if !ok {
			break
		}
		if told[c.Op] || c.Time < last {
			t.Fatalf("%+v after %v", c, last)
		}
		told[c.Op], last = true, c.Time
	}
	if len(told) != workers*each {
		t.Errorf("%d of %d were told", len(told), workers*each)
	}
}
