package shm

import (
	"fmt"
	"sync"
)

// alignment is what address ranges of at least this size start at a multiple of: page
// tables of whole 2 MiB are moved by one pointer.
const alignment = 2 << 20

// pool is the device's memory: blocks of the sizes that chunks have. What is given back
// stays populated for the next that needs this size, since clearing fresh memory takes
// ten times as long as filling it; all blocks together never exceed the budget.
type pool struct {
	budget int64
	moves  bool // mappings can be moved with their page tables

	mu   sync.Mutex
	used int64
	idle int64
	free map[int64][]*block // by size; the last one was used last
}

func newPool(budget int64) *pool {
	return &pool{budget: budget, moves: canMove(), free: map[int64][]*block{}}
}

// take returns a block of a size, or an error when the budget or the system has none.
func (p *pool) take(size int64) (*block, error) {
	p.mu.Lock()
	if p.used+size > p.budget {
		defer p.mu.Unlock()
		return nil, fmt.Errorf("%d bytes do not fit beside %d in use: the device has %d", size, p.used, p.budget)
	}
	p.used += size
	if free := p.free[size]; len(free) > 0 {
		b := free[len(free)-1]
		p.free[size] = free[:len(free)-1]
		p.idle -= size
		p.mu.Unlock()
		return b, nil
	}
	p.shrink(p.budget - p.used)
	p.mu.Unlock()
	b, err := newBlock(size)
	if err != nil {
		p.mu.Lock()
		p.used -= size
		p.mu.Unlock()
	}
	return b, err
}

// put takes a block back.
func (p *pool) put(b *block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= b.size
	p.idle += b.size
	p.free[b.size] = append(p.free[b.size], b)
}

// lose takes a block back that cannot be used again.
func (p *pool) lose(b *block) {
	b.destroy()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= b.size
}

// trim destroys idle blocks until at most keep bytes of them are left.
func (p *pool) trim(keep int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shrink(keep)
}

func (p *pool) shrink(keep int64) {
	for size, free := range p.free {
		for p.idle > keep && len(free) > 0 {
			free[0].destroy()
			free = free[1:]
			p.idle -= size
		}
		p.free[size] = free
	}
}

// populate fills the pool with blocks of a size.
func (p *pool) populate(size int64) error {
	for p.used+p.idle+size <= p.budget {
		b, err := newBlock(size)
		if err != nil {
			return err
		}
		p.idle += size
		p.free[size] = append(p.free[size], b)
	}
	return nil
}

// held is how much memory chunks and idle blocks take.
func (p *pool) held() (used, idle int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.idle
}
