// Package state adds the exports by which a policy's learned state is kept from one
// instance to the next. A policy that learns nothing should not import it: the host lends
// a window of 66 KiB to one that has them.
package state

import (
	"unsafe"

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

// A Writer writes integers, little-endian, one after the other, to at most 64 KiB. There is
// one blob, in the window, which every Writer and Reader stands for.
type Writer struct{}

// A Reader reads what a Writer wrote.
type Reader struct{}

// The blob is at fixed addresses, as all in a policy should be.
var (
	writer  Writer
	reader  Reader
	at, end uint32
	short   bool // something did not fit, or was not there
)

// take returns the place of the next n bytes, nil if they are not there.
func take(n uint32) unsafe.Pointer {
	if short || n > end-at {
		short = true
		return nil
	}
	at += n
	return unsafe.Add(window.Event(), window.EventArea+at-n)
}

// Bytes returns the place of the next n bytes, to be filled in, or nil if they do not fit.
func (*Writer) Bytes(n int) []byte { return slice(n) }

// Uint32 writes 4 bytes.
func (*Writer) Uint32(v uint32) {
	if p := take(4); p != nil {
		*(*uint32)(p) = v // WebAssembly is little-endian and knows no alignment
	}
}

// Uint64 writes 8 bytes.
func (*Writer) Uint64(v uint64) {
	if p := take(8); p != nil {
		*(*uint64)(p) = v
	}
}

// Bytes returns the next n bytes, or nil if they are not there.
func (*Reader) Bytes(n int) []byte { return slice(n) }

// Uint32 reads 4 bytes; 0 if they are not there.
func (*Reader) Uint32() uint32 {
	if p := take(4); p != nil {
		return *(*uint32)(p)
	}
	return 0
}

// Uint64 reads 8 bytes; 0 if they are not there.
func (*Reader) Uint64() uint64 {
	if p := take(8); p != nil {
		return *(*uint64)(p)
	}
	return 0
}

// Len returns how many bytes are left.
func (*Reader) Len() int { return int(end - at) }

// Short reports whether something was read that is not there.
func (*Reader) Short() bool { return short }

func slice(n int) []byte {
	p := take(uint32(min(uint64(n), 1<<32-1))) // what is negative is far too much
	if p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(p), n)
}

func save() int32 {
	if keeper == nil {
		return 0
	}
	at, end, short = 0, uint32(len(window.Blob())), false
	keeper.Save(&writer)
	if short {
		return 0
	}
	return int32(at)
}

func restore(n uint32) int32 {
	if keeper == nil || n > window.Room() {
		return 1
	}
	at, end, short = 0, n, false
	if !keeper.Restore(&reader) || short {
		return 1
	}
	return 0
}
