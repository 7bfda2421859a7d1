//go:build unix

package runtime

import (
	"context"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// withMemory makes instances that are started with ctx keep their linear memory in
// an address range of its largest size. Growing then neither copies nor moves it,
// which otherwise is the slowest thing that fuel can buy, and only pages that are
// touched exist. The range is given back when the instance is closed.
func withMemory(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(reserve))
}

func reserve(_, most uint64) experimental.LinearMemory {
	m, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return &heapMemory{} // address space is short: grow by copying
	}
	return &mappedMemory{m}
}

type mappedMemory struct{ all []byte }

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
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
