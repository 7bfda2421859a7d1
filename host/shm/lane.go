package shm

import (
	"sync"
	"time"

	"github.com/offhost/offhost/host"
)

// job is an action, or a call's compute, on its way.
type job struct {
	action    host.Action
	c         *component
	k         *chunk
	fault     Fault
	err       error // it is known to fail
	submitted time.Duration
	least     time.Duration // that a compute takes
	copied    time.Duration // when the bytes of a copy were all there
	epoch     uint32
	halt      <-chan struct{} // closed when it is to end early
	stream    *stream         // what comes from a file, nil when nothing does
}

// lane is a queue of jobs that are done one after the other by one goroutine: first those
// that somebody waits for.
type lane struct {
	mu            sync.Mutex
	more          sync.Cond
	urgent, ahead []*job
	closed        bool
	alarm         *alarm // of its goroutine
}

func (l *lane) init() (err error) {
	l.more.L = &l.mu
	l.alarm, err = newAlarm()
	return err
}

func (l *lane) push(j *job, urgent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if urgent {
		l.urgent = append(l.urgent, j)
	} else {
		l.ahead = append(l.ahead, j)
	}
	l.more.Signal()
}

// pop returns the next job, nil when the lane is closed.
func (l *lane) pop() *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && len(l.urgent)+len(l.ahead) == 0 {
		l.more.Wait()
	}
	if l.closed {
		return nil
	}
	q := &l.urgent
	if len(*q) == 0 {
		q = &l.ahead
	}
	j := (*q)[0]
	*q = (*q)[1:]
	return j
}

func (l *lane) run(work func(*job)) {
	for j := l.pop(); j != nil; j = l.pop() {
		work(j)
	}
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.more.Broadcast()
}
