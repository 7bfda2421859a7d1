package weights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/offhost/offhost/host/units"
)

// A Component is the weights of one component in host memory, or its highest bytes
// there and the rest in files. Its methods may be called by several goroutines at
// once, until Close; who writes to a span keeps readers away from it.
type Component struct {
	name     string
	manifest *Manifest
	held     *arena      // of the bytes from fileBytes on
	rest     io.ReaderAt // of the bytes below, and of all when held is not mapped

	fileBytes units.Bytes
	writable  bool

	mu     sync.Mutex
	cached *Hash // of a read-only component
}

// Name is the component's name.
func (c *Component) Name() string { return c.name }

// Manifest says what lies where. It must not be changed.
func (c *Component) Manifest() *Manifest { return c.manifest }

// Bytes is the component's size, the zeros between tensors included.
func (c *Component) Bytes() units.Bytes { return c.manifest.Bytes }

// FileBytes is how many of the lowest bytes are not held in memory, but read from
// where they came from each time.
func (c *Component) FileBytes() units.Bytes { return c.fileBytes }

// ReadOnly reports whether the bytes can not be changed.
func (c *Component) ReadOnly() bool { return !c.writable }

// Span is n bytes from an offset on as they lie in host memory, until Close; nil when
// they do not all lie there or are not all in the component. Those of a read-only
// component must not be written: that is a fault that ends the process.
func (c *Component) Span(off, n int64) []byte {
	low := int64(c.fileBytes)
	if off < low || n < 0 || n > int64(c.manifest.Bytes)-off {
		return nil
	}
	if n == 0 {
		return []byte{}
	}
	return c.held.mem[off-low : off-low+n : off-low+n]
}

// ReadAt reads bytes wherever they lie.
func (c *Component) ReadAt(p []byte, off int64) (int, error) {
	n, end := clamp(p, off, c.manifest)
	if n == 0 {
		return 0, end
	}
	p = p[:n]
	below := max(0, min(int64(n), int64(c.fileBytes)-off))
	if below > 0 {
		if got, err := c.rest.ReadAt(p[:below], off); got < int(below) {
			return got, fmt.Errorf("component %q: %w", c.name, unexpected(err))
		}
	}
	copy(p[below:], c.Span(off+below, int64(n)-below))
	return n, end
}

// unexpected is an error of reading bytes that were there before.
func unexpected(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Digest identifies the content: it is the same wherever the bytes lie and from which
// files they came. That of a read-only component is computed once, when it is first
// asked for; that of a written one each time.
func (c *Component) Digest(ctx context.Context) (Hash, error) {
	if c.writable {
		return c.digest(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cached == nil {
		h, err := c.digest(ctx)
		if err != nil {
			return Hash{}, err
		}
		c.cached = &h
	}
	return *c.cached, nil
}

// Writable makes a private copy, all in memory, whose spans may be written. It is
// the caller's to close and not part of a store or its budget.
func (c *Component) Writable(ctx context.Context) (*Component, error) {
	all, err := fill(ctx, []Spec{{Name: c.name, Source: packed{c}, Writable: true}}, []units.Bytes{0}, Config{})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// packed makes a component a source.
type packed struct{ c *Component }

func (p packed) Manifest() *Manifest                     { return p.c.manifest }
func (p packed) ReadAt(b []byte, off int64) (int, error) { return p.c.ReadAt(b, off) }

// Errors of Export.
var (
	ErrWritable   = errors.New("its bytes may still change: only read-only components are exported")
	ErrFileBacked = errors.New("a part of it lies in files: only components that are held whole are exported")
)

// Export returns a descriptor of the component's memory for another process, which
// the caller closes. Nobody can change the memory, its size or its seals any more.
func (c *Component) Export() (*os.File, error) {
	var f *os.File
	err := ErrWritable
	switch {
	case c.writable:
	case c.fileBytes > 0:
		err = ErrFileBacked
	default:
		f, err = c.held.export()
	}
	if err != nil {
		return nil, fmt.Errorf("component %q: %w", c.name, err)
	}
	return f, nil
}

// Memory returns a descriptor of the bytes from FileBytes on, for a process of this
// program's own that moves them: unlike an exported one, it may be of memory that is still
// written, and of a part of the component. It cannot shrink. The caller closes it.
func (c *Component) Memory() (*os.File, error) {
	f, err := c.held.duplicate()
	if err != nil {
		return nil, fmt.Errorf("component %q: %w", c.name, err)
	}
	return f, nil
}

// Receive makes a component of a descriptor that came from another process, and of
// the manifest that came with it. It takes the file over and closes it on an error.
// What is sealed against shrinking is mapped, read-only; anything else is never
// mapped, only read: all its bytes are FileBytes. Unless it is sealed against writing
// too, the other process may still change it.
func Receive(name string, f *os.File, m *Manifest) (*Component, error) {
	c := &Component{name: name, manifest: m, rest: f}
	err := m.Check()
	if err == nil {
		c.held, err = receive(f, m.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("component %q: %w", name, errors.Join(err, f.Close()))
	}
	if c.held.mem == nil {
		c.fileBytes = m.Bytes
	}
	return c, nil
}

// Close gives the component's memory back. Spans must not be used any more. Those of
// a store are closed by it.
func (c *Component) Close() error { return c.held.close() }

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
