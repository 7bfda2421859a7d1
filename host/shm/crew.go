package shm

import (
	"sync"
	"sync/atomic"
)

// crew is a number of goroutines that help with the pieces of a chunk.
type crew struct {
	tasks chan func()
}

func newCrew(n int, owner *sync.WaitGroup) *crew {
	c := &crew{tasks: make(chan func())}
	for range n {
		owner.Go(func() {
			for f := range c.tasks {
				f()
			}
		})
	}
	return c
}

func (c *crew) close() { close(c.tasks) }

// each does the pieces from first to n, in parallel by as many as are idle, and returns
// the first error; pieces after it may be left out. The caller helps.
func (c *crew) each(first, n int, do func(i int) error) error {
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		busy   sync.WaitGroup
	)
	next.Store(int64(first))
	work := func() {
		for failed.Load() == nil {
			i := int(next.Add(1) - 1)
			if i >= n {
				return
			}
			if err := do(i); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
	}
	help := func() { defer busy.Done(); work() }
	for idle := true; idle && n-first > 1; {
		busy.Add(1)
		select {
		case c.tasks <- help:
		default:
			idle = false
			busy.Done()
		}
	}
	work()
	busy.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
