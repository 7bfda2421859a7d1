//go:build unix

package runtime

import (
	"context"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// withMemory makes instances that are started with ctx keep their linear memory in
// an address range of its largest size. Growing then neither copies nor moves it,
// which otherwise is the slowest thing that fuel can buy. What the memory has grown to
// is there at once, as a page that comes into being when it is touched takes a
// microsecond or more and no fuel; what it has not grown to does not exist. The range is
// given back when the instance is closed, and by discard where none has come of it: of an
// instance that fails to begin, as one whose data do not fit does, wazero frees nothing.
func withMemory(ctx context.Context) (_ context.Context, discard func()) {
	var memory experimental.LinearMemory // a module has one at most
	allocate := func(least, most uint64) experimental.LinearMemory {
		memory = reserve(least, most)
		return memory
	}
	discard = func() {
		if memory != nil {
			memory.Free()
		}
	}
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(allocate)), discard
}

const (
	// hugeAbove is the size from which on a memory is asked to be in huge pages: it
	// comes into being several times as fast, and no load waits for the address of its
	// page. A smaller one fits in a cache with the addresses of its pages.
	hugeAbove = 512 << 10
	smallPage = 4 << 10 // no system has smaller ones
)

func reserve(_, most uint64) experimental.LinearMemory {
	m, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return &heapMemory{} // address space is short: grow by copying
	}
	return &mappedMemory{all: m}
}

type mappedMemory struct {
	all  []byte
	size int
}

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
	if m.size <= hugeAbove && size > hugeAbove {
		wantHugePages(m.all)
	}
	for at := m.size; at < int(size); at += smallPage {
		m.all[at] = 0 // as it is
	}
	m.size = max(m.size, int(size))
	return m.all[:size:size]
}

func (m *mappedMemory) Free() {
	// Unmapping what was mapped cannot fail; if it did, it would leak and no more.
	_ = unix.Munmap(m.all)
	m.all = nil
}

type heapMemory struct{ b []byte }

func (m *heapMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.b)) {
		m.b = append(m.b, make([]byte, size-uint64(len(m.b)))...)
	}
	return m.b
}

func (m *heapMemory) Free() { m.b = nil }
