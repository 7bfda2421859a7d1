// Package wire is what processes that share a GPU say to each other, and how it travels:
// messages in JSON over a Unix socket that keeps their bounds, with descriptors beside
// them. The host speaks it with its worker (message.go), and a worker with the clients
// that it gives chunks to (share.go).
//
// A peer may be hostile: a message has a limit, what is not known in it is refused, and so
// is what makes no sense (Check). Descriptors that come with a message that is refused are
// closed.
package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// A Conn is a socket of whole messages. Send and Receive may be called at the same time,
// each by one goroutine.
type Conn struct {
	c   *net.UnixConn
	buf []byte
	oob []byte

	sender int
}

// NewConn takes a connected socket of type SOCK_SEQPACKET over.
func NewConn(f *os.File) (*Conn, error) {
	defer f.Close()
	if err := IsSocket(f); err != nil {
		return nil, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &Conn{c: c.(*net.UnixConn), buf: make([]byte, MaxMessage+1), oob: make([]byte, unix.CmsgSpace(4*MaxFiles)+unix.CmsgSpace(unix.SizeofUcred))}, nil
}

// Pair returns the two ends of a new socket, which no child inherits by itself.
func Pair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// Gone reports whether an error of Send says that the peer has ended.
func Gone(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) }

// IsSocket returns an error for a descriptor that NewConn does not take.
func IsSocket(f *os.File) error {
	kind, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return fmt.Errorf("descriptor %s is not a socket of type SOCK_SEQPACKET", f.Name())
	}
	domain, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_UNIX {
		return fmt.Errorf("descriptor %s is not a socket of the Unix domain", f.Name())
	}
	return nil
}

// Close ends the connection: a Receive in progress fails.
func (c *Conn) Close() error { return c.c.Close() }

// Identify lets the kernel say who sends each message. A socket's own credentials are
// those of whoever made it, who may have given it away.
func (c *Conn) Identify() error {
	raw, err := c.c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	return errors.Join(err, failed)
}

// Sender is the process that sent the last message that was received, 0 when that is not
// known.
func (c *Conn) Sender() int { return c.sender }

// Send sends a message. The descriptors stay the caller's.
func (c *Conn) Send(m Message, files ...*os.File) error {
	if err := m.Check(len(files)); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("sending %d bytes: a message has at most %d", len(b), MaxMessage)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	_, _, err = c.c.WriteMsgUnix(b, oob, nil)
	return err
}

// SendWithin is Send to a peer that may not listen: it fails after a time.
func (c *Conn) SendWithin(most time.Duration, m Message, files ...*os.File) error {
	if err := c.c.SetWriteDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	return c.Send(m, files...)
}

// Receive waits for a message; io.EOF when the peer has closed. The descriptors become
// the caller's, and are not inherited.
func (c *Conn) Receive(m Message) ([]*os.File, error) {
	n, oobn, flags, _, err := c.c.ReadMsgUnix(c.buf, c.oob)
	if errors.Is(err, syscall.ECONNRESET) {
		// A peer that died with something unread resets the connection. That is told once,
		// before what it had sent itself.
		n, oobn, flags, _, err = c.c.ReadMsgUnix(c.buf, c.oob)
	}
	if err != nil {
		files, _ := c.received(c.oob[:oobn]) // of a message without a byte
		closeAll(files)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
			err = io.EOF
		}
		return nil, err
	}
	files, err := c.received(c.oob[:oobn])
	switch {
	case err != nil:
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || n > MaxMessage:
		err = fmt.Errorf("a message of more than %d bytes or %d descriptors", MaxMessage, MaxFiles)
	default:
		err = Parse(c.buf[:n], m, len(files))
	}
	if err != nil {
		closeAll(files)
		return nil, fmt.Errorf("receiving: %w", err)
	}
	return files, nil
}

func (c *Conn) received(oob []byte) (files []*os.File, err error) {
	c.sender = 0
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if cred, err := unix.ParseUnixCredentials(&list[i]); err == nil {
			c.sender = int(cred.Pid)
			continue
		}
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
