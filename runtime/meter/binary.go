package meter

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Reasons for which a module is refused. Every error of this package wraps one of
// them.
var (
	ErrMalformed   = errors.New("malformed module")
	ErrUnsupported = errors.New("unsupported module")
	ErrTooLarge    = errors.New("module too large")
)

// A reader decodes the WebAssembly binary format. Its first error sticks: later
// reads return zero values, so that a caller checks once per loop and once at the
// end.
type reader struct {
	b     []byte
	off   int   // next byte
	end   int   // bound of the section or body being read
	fn    int   // function index for messages, or -1
	names names // of functions, for messages
	err   error
	name  string // what is being read, for messages
}

func (r *reader) fail(kind error, format string, args ...any) {
	if r.err != nil {
		return
	}
	where := r.name
	if r.fn >= 0 {
		where = fmt.Sprintf("function %d", r.fn)
		if name := r.names.of(r.fn); name != "" {
			where += " " + strconv.QuoteToGraphic(name)
		}
	}
	r.err = fmt.Errorf("%w: %s, byte %#x: %s", kind, where, r.off, fmt.Sprintf(format, args...))
}

func (r *reader) left() int { return r.end - r.off }

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.off >= r.end {
		r.fail(ErrMalformed, "ends too early")
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.left() {
		r.fail(ErrMalformed, "%d bytes wanted, %d are left", n, r.left())
		return nil
	}
	b := r.b[r.off : r.off+n]
	r.off += n
	return b
}

// u32 reads an unsigned LEB128 number of at most 5 bytes.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; ; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && c > 0x0f {
			r.fail(ErrMalformed, "number is longer than 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// signed reads a signed LEB128 number of the given width: 32, 33 or 64 bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; ; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		v |= int64(c&0x7f) << shift
		if rest := bits - shift; rest <= 7 {
			// The bits beyond the width have to repeat the sign.
			sign := int8(c<<1) >> rest // the sign bit and what is above it
			if c >= 0x80 || (sign != 0 && sign != -1) {
				r.fail(ErrMalformed, "number is longer than %d bits", bits)
				return 0
			}
		}
		if c < 0x80 {
			if shift+7 < 64 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// count reads the length of a vector whose entries take at least size bytes each.
// Nothing is ever allocated for entries that cannot be there.
func (r *reader) count(what string, size, limit int) int {
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.fail(ErrMalformed, "%d %s do not fit in %d bytes", n, what, r.left())
		return 0
	}
	if int(n) > limit {
		r.fail(ErrTooLarge, "%d %s, at most %d are allowed", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) text(what string, limit int) string {
	b := r.bytes(r.count("bytes of "+what, 1, limit))
	if !utf8.Valid(b) {
		r.fail(ErrMalformed, "%s is not UTF-8", what)
		return ""
	}
	return string(b)
}

// sub returns a reader of the next n bytes and moves past them.
func (r *reader) sub(n int, name string) *reader {
	s := &reader{b: r.b, off: r.off, end: r.off, fn: -1, name: name}
	if b := r.bytes(n); b != nil {
		s.end = s.off + n
	}
	s.err = r.err
	return s
}

// done reports the reader's error, or that bytes were left over.
func (r *reader) done() error {
	if r.err == nil && r.left() != 0 {
		r.fail(ErrMalformed, "%d bytes too many", r.left())
	}
	return r.err
}

func appendU(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func appendText(b []byte, s string) []byte {
	return append(appendU(b, uint64(len(s))), s...)
}

func appendSection(b []byte, id byte, body []byte) []byte {
	b = appendU(append(b, id), uint64(len(body)))
	return append(b, body...)
}
