package shm

import (
	"fmt"
	"io"
	"sync"

	"github.com/offhost/offhost/host"
)

const (
	// readSize is how much of a file is read at a time: enough that a disk is busy with
	// it; a whole piece, so that its checksum is known when it has come.
	readSize = piece
	// readAhead is how many reads may be done before their bytes are copied.
	readAhead = 3
)

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// stream brings the lowest bytes of a chunk from a file. Reading begins when the copy is
// submitted, so that the file is read while the copy before it runs.
type stream struct {
	length int64
	blocks chan read
	stop   chan struct{}
}

// read is a part of a stream.
type read struct {
	buf *[readSize]byte
	n   int
	err error
}

// feed starts the stream of a job, if a part of its chunk is in a file.
func (d *Device) feed(j *job) {
	if j.err != nil || j.fault.Status != host.OK {
		return
	}
	n := int64(j.action.File)
	if j.c.Source.Span(j.k.off+n, j.k.size-n) == nil {
		n = j.k.size
	}
	if n == 0 {
		return
	}
	s := &stream{length: n, blocks: make(chan read, readAhead), stop: make(chan struct{})}
	j.stream = s
	d.workers.Go(func() { s.run(j.c, j.k.off, j.halt) })
}

func (s *stream) run(c *component, off int64, halt <-chan struct{}) {
	defer close(s.blocks)
	for at := int64(0); at < s.length; {
		r := read{buf: buffers.Get().(*[readSize]byte)}
		r.n = int(min(readSize, s.length-at))
		r.err = c.read(r.buf[:r.n], off+at)
		select {
		case s.blocks <- r:
		case <-s.stop:
			return
		case <-halt:
			return
		}
		if r.err != nil {
			return
		}
		at += int64(r.n)
	}
}

// close ends a stream that may not be needed to its end.
func (s *stream) close() {
	if s == nil {
		return
	}
	close(s.stop)
	for r := range s.blocks {
		buffers.Put(r.buf)
	}
}

// read fills p with the weights from off.
func (c *component) read(p []byte, off int64) error {
	n, err := c.Source.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("component %q: reading bytes %d to %d of the weights: %w", c.Name, off, off+int64(len(p)), err)
}
