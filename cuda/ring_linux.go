package cuda

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ring is shared memory in slots of a chunk's size.
type ring struct {
	file  *os.File
	mem   []byte
	chunk int64
	free  chan int
}

func newRing(n int, chunk int64) (*ring, error) {
	fd, err := unix.MemfdCreate("offhost-ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	r := &ring{file: os.NewFile(uintptr(fd), "ring"), chunk: chunk, free: make(chan int, n)}
	size := int64(n) * chunk
	if err := r.file.Truncate(size); err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl(F_ADD_SEALS)", err), r.file.Close())
	}
	if r.mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(os.NewSyscallError("mmap", err), r.file.Close())
	}
	for i := range n {
		r.free <- i
	}
	return r, nil
}

// take waits for a slot; false when end is closed before there is one.
func (r *ring) take(end <-chan struct{}) (int, bool) {
	select {
	case i := <-r.free:
		return i, true
	case <-end:
		return 0, false
	}
}

func (r *ring) put(i int) { r.free <- i }

// slot is the first n bytes of one.
func (r *ring) slot(i int, n int64) []byte {
	at := int64(i) * r.chunk
	return r.mem[at : at+n : at+n]
}

func (r *ring) close() error { return errors.Join(unix.Munmap(r.mem), r.file.Close()) }
