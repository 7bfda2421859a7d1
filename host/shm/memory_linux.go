package shm

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blockName is what the system shows for a block's descriptor and mapping.
const blockName = "offhost-chunk"

const (
	readWrite = unix.PROT_READ | unix.PROT_WRITE
	nothing   = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	move      = unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED | unix.MREMAP_DONTUNMAP
)

// space is a range of addresses behind which nothing lies until a block is placed there.
type space struct {
	mem  []byte
	base unsafe.Pointer // of the whole reservation
	size uintptr
}

// reserve takes an aligned range of addresses out of use.
func reserve(n int64) (*space, error) {
	if n == 0 {
		return &space{}, nil
	}
	s := &space{size: uintptr(n) + alignment}
	var err error
	if s.base, err = unix.MmapPtr(-1, 0, nil, s.size, unix.PROT_NONE, nothing); err != nil {
		return nil, fmt.Errorf("reserving %d bytes of addresses: %w", n, err)
	}
	s.mem = unsafe.Slice((*byte)(aligned(s.base)), n)
	return s, nil
}

func aligned(p unsafe.Pointer) unsafe.Pointer {
	return unsafe.Add(p, -uintptr(p)%alignment)
}

func (s *space) release() error {
	if s.base == nil {
		return nil
	}
	base := s.base
	s.base, s.mem = nil, nil
	return unix.MunmapPtr(base, s.size)
}

// block is populated memory with a descriptor. It is mapped once, at home while it is
// idle; where mappings cannot be moved, it is mapped a second time where it is needed.
type block struct {
	size int64
	fd   int
	home unsafe.Pointer
	base unsafe.Pointer // of the reservation that home lies in
	room uintptr
}

func newBlock(size int64) (_ *block, err error) {
	b := &block{size: size, fd: -1}
	defer func() {
		if err != nil {
			b.destroy()
			err = fmt.Errorf("a chunk of %d bytes: %w", size, err)
		}
	}()
	b.room = uintptr(size)
	if size >= alignment {
		b.room += alignment
	}
	if b.base, err = unix.MmapPtr(-1, 0, nil, b.room, unix.PROT_NONE, nothing); err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	b.home = b.base
	if size >= alignment {
		b.home = aligned(b.base)
	}
	if b.fd, err = unix.MemfdCreate(blockName, unix.MFD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	// Memory that the system does not have is an error here, and a signal later.
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fallocate(b.fd, 0, 0, size)
	}
	if err != nil {
		return nil, os.NewSyscallError("fallocate", err)
	}
	return b, os.NewSyscallError("mmap", b.mapAt(b.home))
}

func (b *block) mapAt(p unsafe.Pointer) error {
	_, err := unix.MmapPtr(b.fd, 0, p, uintptr(b.size), readWrite, unix.MAP_SHARED|unix.MAP_FIXED|unix.MAP_POPULATE)
	return err
}

// place makes a block appear at a range of its size. Moved page tables spare a fault per
// page, or the walk that populating a second mapping takes.
func (b *block) place(at []byte, moves bool) error {
	p := unsafe.Pointer(unsafe.SliceData(at))
	if !moves {
		return os.NewSyscallError("mmap", b.mapAt(p))
	}
	_, err := unix.MremapPtr(b.home, uintptr(b.size), p, uintptr(b.size), move)
	return os.NewSyscallError("mremap", err)
}

// leave makes it disappear from there, without a moment in which the addresses are free
// for others. It is false when the block cannot be used again.
func (b *block) leave(at []byte, moves bool) (reusable bool, err error) {
	p := unsafe.Pointer(unsafe.SliceData(at))
	reusable = true
	if moves {
		_, err := unix.MremapPtr(p, uintptr(b.size), b.home, uintptr(b.size), move)
		reusable = err == nil
	}
	_, err = unix.MmapPtr(-1, 0, p, uintptr(b.size), unix.PROT_NONE, nothing|unix.MAP_FIXED)
	return reusable, os.NewSyscallError("mmap", err)
}

func (b *block) destroy() {
	if b.base != nil {
		_ = unix.MunmapPtr(b.base, b.room) // fails only for a range that is none
		b.base = nil
	}
	if b.fd >= 0 {
		_ = unix.Close(b.fd)
		b.fd = -1
	}
}

// canMove reports whether mappings of shared memory can be moved and leave their place
// taken: since Linux 5.13.
var canMove = sync.OnceValue(func() bool {
	size := os.Getpagesize()
	b, err := newBlock(int64(size))
	if err != nil {
		return false
	}
	defer b.destroy()
	s, err := reserve(int64(size))
	if err != nil {
		return false
	}
	defer s.release()
	return b.place(s.mem, true) == nil
})
