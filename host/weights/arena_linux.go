package weights

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/host/units"
)

// An arena is shared memory of a fixed size: a memfd. It is filled with WriteAt and
// then mapped. To fill it through a mapping would be slower by half: a page that a
// fault brings in is cleared before it is written, one that pwrite brings in is not.
type arena struct {
	file *os.File
	mem  []byte // nil until it is mapped
	size int64
}

// maxMemfdName is the kernel's limit, less "memfd:" that it puts in front.
const maxMemfdName = 249 - len("memfd:")

// readOnlySeals keep a descriptor that left the process from changing what is mapped
// here, or from cutting it short, which would be SIGBUS. F_SEAL_WRITE is not among
// them: it forbids mappings that could be made writable, and a driver that pins the
// memory may need one.
const readOnlySeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL

func newArena(name string, size units.Bytes) (*arena, error) {
	name = strings.ReplaceAll("offhost "+name, "\x00", "?")
	name = name[:min(len(name), maxMemfdName)]
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("shared memory: memfd_create: %w", err)
	}
	a := &arena{file: os.NewFile(uintptr(fd), name), size: int64(size)}
	if err := a.file.Truncate(a.size); err != nil {
		return nil, errors.Join(fmt.Errorf("shared memory of %v: %w", size, err), a.close())
	}
	return a, nil
}

func (a *arena) WriteAt(p []byte, off int64) (int, error) {
	n, err := a.file.WriteAt(p, off)
	if err != nil {
		err = fmt.Errorf("shared memory: %w", err)
	}
	return n, err
}

// finish maps the arena when it is filled, and makes it read-only unless it is to be
// written: for good, or, with later, when it is exported.
func (a *arena) finish(writable, later bool) error {
	if a.size > 0 {
		mem, err := unix.Mmap(int(a.file.Fd()), 0, int(a.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("shared memory: mmap of %v: %w", units.Bytes(a.size), err)
		}
		a.mem = mem
	}
	seals := readOnlySeals
	switch {
	case writable:
		seals &^= unix.F_SEAL_FUTURE_WRITE
	case later:
		seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	}
	if _, err := unix.FcntlInt(a.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("shared memory: seal: %w", err)
	}
	if writable || a.size == 0 {
		return nil
	}
	if err := unix.Mprotect(a.mem, unix.PROT_READ); err != nil {
		return fmt.Errorf("shared memory: mprotect: %w", err)
	}
	return nil
}

// export returns a descriptor of its own for an arena that is read-only, sealed.
func (a *arena) export() (*os.File, error) {
	// It may be sealed already, against further seals too.
	_, _ = unix.FcntlInt(a.file.Fd(), unix.F_ADD_SEALS, readOnlySeals)
	seals, err := unix.FcntlInt(a.file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("shared memory: seals: %w", err)
	}
	if seals&readOnlySeals != readOnlySeals {
		return nil, fmt.Errorf("shared memory has seals %#x: want at least %#x before it leaves the process", seals, readOnlySeals)
	}
	return a.duplicate()
}

// duplicate returns a descriptor of its own.
func (a *arena) duplicate() (*os.File, error) {
	fd, err := unix.FcntlInt(a.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("shared memory: dup: %w", err)
	}
	return os.NewFile(uintptr(fd), a.file.Name()), nil
}

// lock keeps the last n bytes from being swapped out.
func (a *arena) lock(n int64) error {
	from := (int64(len(a.mem)) - n) &^ int64(os.Getpagesize()-1)
	if n <= 0 || from < 0 {
		return nil
	}
	return unix.Mlock(a.mem[from:])
}

// close gives the memory back: nothing may use a span of it any more.
func (a *arena) close() error {
	var err error
	if a.mem != nil {
		err = unix.Munmap(a.mem)
		a.mem = nil
	}
	return errors.Join(err, a.file.Close())
}

// receive maps a descriptor that came from another process where that is safe, or
// returns an arena without mapping. It is safe when nobody can cut the file short and
// every byte of it is memory that is there already: else touching it could be SIGBUS,
// or take memory that no budget knows of.
func receive(f *os.File, size units.Bytes) (*arena, error) {
	a := &arena{file: f, size: int64(size)}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return nil, fmt.Errorf("received descriptor: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("received descriptor has mode %#o: want shared memory or a file", stat.Mode)
	}
	if stat.Size < a.size {
		return nil, fmt.Errorf("received descriptor has %d bytes: want the %d of its manifest", stat.Size, size)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return nil, fmt.Errorf("received descriptor: %w", err)
	}
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	sealed := err == nil && seals&unix.F_SEAL_SHRINK != 0
	filled := int64(stat.Blocks)*512 >= a.size
	if !sealed || !filled || fs.Type != unix.TMPFS_MAGIC || a.size == 0 {
		return a, nil
	}
	if a.mem, err = unix.Mmap(int(f.Fd()), 0, int(a.size), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("received descriptor: mmap of %v: %w", size, err)
	}
	return a, nil
}
