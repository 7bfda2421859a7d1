// Package state adds the exports by which a policy's learned state is kept from one
// instance to the next. A policy that learns nothing should not import it: the host lends
// a window of 66 KiB to one that has them.
package state

import (
	"encoding/binary"

	"github.com/offhost/offhost/abi/sdk/go/internal/window"
)

// A Keeper is a policy that learns.
type Keeper interface {
	// Save writes what was learned. If it does not fit, nothing is saved.
	Save(to *Writer)
	// Restore takes what Save wrote, perhaps of another version; false to decline it.
	Restore(from *Reader) bool
}

var keeper Keeper

// Keep says whose state the module's is. It is to be called by an init function.
func Keep(k Keeper) { keeper = k }

// A Writer writes integers, little-endian, one after the other, to at most 64 KiB.
type Writer struct {
	area []byte
	at   int
	full bool
}

// Bytes returns the place of the next n bytes, to be filled in, or nil if they do not fit.
// Where there is much to write it costs less fuel than integers one by one.
func (w *Writer) Bytes(n int) []byte {
	if w.full = w.full || len(w.area)-w.at < n; w.full {
		return nil
	}
	w.at += n
	return w.area[w.at-n : w.at]
}

// Uint32 writes 4 bytes.
func (w *Writer) Uint32(v uint32) {
	if b := w.Bytes(4); b != nil {
		binary.LittleEndian.PutUint32(b, v)
	}
}

// Uint64 writes 8 bytes.
func (w *Writer) Uint64(v uint64) {
	if b := w.Bytes(8); b != nil {
		binary.LittleEndian.PutUint64(b, v)
	}
}

// A Reader reads what a Writer wrote.
type Reader struct {
	rest  []byte
	short bool
}

// Bytes returns the next n bytes, or nil if they are not there.
func (r *Reader) Bytes(n int) []byte {
	if r.short = r.short || len(r.rest) < n; r.short {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Uint32 reads 4 bytes; 0 if they are not there.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads 8 bytes; 0 if they are not there.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.rest) }

// Short reports whether something was read that is not there.
func (r *Reader) Short() bool { return r.short }

// Static, so that neither escapes to the heap.
var (
	writer Writer
	reader Reader
)

func save() int32 {
	if keeper == nil {
		return 0
	}
	writer = Writer{area: window.Blob()}
	keeper.Save(&writer)
	if writer.full {
		return 0
	}
	return int32(writer.at)
}

func restore(n uint32) int32 {
	if keeper == nil || n > window.Room() {
		return 1
	}
	reader = Reader{rest: window.Payload(n)}
	if !keeper.Restore(&reader) || reader.short {
		return 1
	}
	return 0
}
