// Package state adds the exports by which a policy's learned state is kept from one
// instance to the next. A policy that learns nothing should not import it: the host lends
// a window of 66 KiB to one that has them.
package state

import "github.com/offhost/offhost/abi/sdk/go/internal/window"

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

func (w *Writer) put(v uint64, bytes int) {
	if w.full = w.full || len(w.area)-w.at < bytes; w.full {
		return
	}
	for i := range bytes {
		w.area[w.at+i] = byte(v >> (8 * i))
	}
	w.at += bytes
}

// Uint32 writes 4 bytes.
func (w *Writer) Uint32(v uint32) { w.put(uint64(v), 4) }

// Uint64 writes 8 bytes.
func (w *Writer) Uint64(v uint64) { w.put(v, 8) }

// A Reader reads what a Writer wrote.
type Reader struct {
	rest  []byte
	short bool
}

func (r *Reader) get(bytes int) (v uint64) {
	if r.short = r.short || len(r.rest) < bytes; r.short {
		return 0
	}
	for i := range bytes {
		v |= uint64(r.rest[i]) << (8 * i)
	}
	r.rest = r.rest[bytes:]
	return v
}

// Uint32 reads 4 bytes; 0 if they are not there.
func (r *Reader) Uint32() uint32 { return uint32(r.get(4)) }

// Uint64 reads 8 bytes; 0 if they are not there.
func (r *Reader) Uint64() uint64 { return r.get(8) }

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
