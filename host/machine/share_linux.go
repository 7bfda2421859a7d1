package machine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func access(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
}

// share makes a page of sealed memory and passes it to itself.
func share() Sharing {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Since Linux 6.3 an administrator may refuse memory that could be executed
	// (vm.memfd_noexec=2); before it, the flag is unknown.
	fd, err := unix.MemfdCreate("offhost", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("offhost", flags)
	}
	if err != nil {
		err = os.NewSyscallError("memfd_create", err)
		return Sharing{err, err, err}
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(os.Getpagesize())); err != nil {
		err = os.NewSyscallError("ftruncate", err)
		return Sharing{err, err, err}
	}
	return Sharing{Seals: trySeals(fd), Passing: tryPassing(fd)}
}

const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL

// trySeals seals fd, whose size is a page, and tries to break each seal: a kernel in
// user space may accept one that it does not keep.
func trySeals(fd int) error {
	page := os.Getpagesize()
	mapped, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(mapped)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("fcntl(F_ADD_SEALS)", err)
	}
	mapped[0] = 1 // the owner's mapping stays writable

	if err := unix.Ftruncate(fd, 0); err == nil {
		return errors.New("a file sealed against shrinking shrank")
	}
	if err := unix.Ftruncate(fd, int64(2*page)); err == nil {
		return errors.New("a file sealed against growing grew")
	}
	if _, err := unix.Pwrite(fd, []byte{2}, 0); err == nil {
		return errors.New("a file sealed against writing was written to")
	}
	if m, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		unix.Munmap(m)
		return errors.New("a file sealed against writing was mapped to be written to")
	}
	read, err := unix.Mmap(fd, 0, page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap of a sealed file", err)
	}
	defer unix.Munmap(read)
	if read[0] != 1 {
		return fmt.Errorf("a mapping shows %d, want the 1 that another wrote", read[0])
	}
	return nil
}

// tryPassing sends fd over a socket pair and looks whether what arrives is the same
// file. Nothing waits: what one end sent, the other has.
func tryPassing(fd int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	var received []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return fmt.Errorf("SCM_RIGHTS: %w", err)
		}
		received = append(received, fds...)
	}
	for _, fd := range received {
		defer unix.Close(fd)
	}
	if len(received) != 1 {
		return fmt.Errorf("SCM_RIGHTS: %d descriptors arrived, want 1", len(received))
	}
	var sent, got unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &sent), unix.Fstat(received[0], &got)); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if sent.Dev != got.Dev || sent.Ino != got.Ino {
		return errors.New("SCM_RIGHTS: another file arrived than was sent")
	}
	return nil
}
