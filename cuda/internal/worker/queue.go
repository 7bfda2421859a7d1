//go:build cuda

package worker

import "sync"

// queue is a line of work of any length.
type queue[T any] struct {
	mu     sync.Mutex
	more   *sync.Cond
	items  []T
	closed bool
}

func (q *queue[T]) init() { q.more = sync.NewCond(&q.mu) }

func (q *queue[T]) push(x T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, x)
	q.more.Signal()
}

// pop waits for the next; false when there is none any more.
func (q *queue[T]) pop() (x T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	if len(q.items) == 0 {
		return x, false
	}
	x = q.items[0]
	q.items = q.items[1:]
	return x, true
}

// finish lets what is in line be done, and nothing more.
func (q *queue[T]) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}

// close drops what is in line.
func (q *queue[T]) close() {
	if q.more == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.closed = nil, true
	q.more.Broadcast()
}
