package safetensors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A Tensor is one tensor of a file.
type Tensor struct {
	Name   string
	DType  DType
	Shape  []int64 // empty for a scalar
	Offset int64   // of its first byte, from the beginning of the file
	Bytes  int64

	file *File
}

// ReadAt reads from the tensor's bytes, which begin at 0. That the file has become
// shorter is an error that wraps io.ErrUnexpectedEOF; reading past the tensor's end
// is io.EOF, as always.
func (t *Tensor) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("tensor %s: offset %d is negative", clip(t.Name), off)
	}
	rest := max(0, t.Bytes-off)
	short := int64(len(p)) > rest
	if short {
		p = p[:rest]
	}
	if err := readFull(t.file.r, p, t.Offset+off); err != nil {
		return 0, &Error{t.file.Path, fmt.Errorf("tensor %s: %w", clip(t.Name), err)}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// File is the file in which the tensor lies.
func (t *Tensor) File() *File { return t.file }

// A File is an open safetensors file. Its methods and those of its tensors may be
// called by several goroutines at once, until Close.
type File struct {
	Path     string
	Bytes    int64    // when it was opened
	Tensors  []Tensor // in the order in which they lie in it
	Metadata map[string]string

	r *os.File
}

// Open opens a file and checks its header. Data is read when it is asked for.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	h, err := readHeader(f, info.Size())
	if err != nil {
		return nil, errors.Join(&Error{path, err}, f.Close())
	}
	file := &File{Path: path, Bytes: info.Size(), Tensors: h.tensors, Metadata: h.metadata, r: f}
	for i := range file.Tensors {
		file.Tensors[i].file = file
	}
	return file, nil
}

// Close closes the file: its tensors can be read no more.
func (f *File) Close() error { return f.r.Close() }

// OS is the open file itself, for advice on how it will be read.
func (f *File) OS() *os.File { return f.r }

// open refuses what is no regular file before it opens it: a pipe would block.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{path, fmt.Errorf("is a %s: want a regular file", kind(info.Mode()))}
	}
	return os.Open(path)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// readFull fills p. That less is there is an error: sizes were checked before.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return fmt.Errorf("the file ends at byte %d, it was longer when it was opened: %w", off+int64(n), io.ErrUnexpectedEOF)
	}
	return err
}
