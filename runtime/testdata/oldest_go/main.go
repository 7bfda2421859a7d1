//go:build wasip1

// A policy in Go, the largest kind of guest: it remembers when each component was
// called last, and when room is needed evicts the oldest ones until it is enough. It
// saves what it remembers. It allocates nothing once it runs: a garbage collection
// costs some millions of fuel, more than an event has.
//
// GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o oldest_go.wasm main.go
package main

import (
	"encoding/binary"
	"unsafe"
)

const (
	eventArea    = 256
	decisionArea = 2048
	kindCall     = 7
	kindNeed     = 10
)

var (
	window     []byte
	components [256]struct {
		called, resident uint64
		taken            bool
	}
)

func main() {}

//go:wasmexport offhost_v1_buffer
func buffer(size uint32) uint32 {
	words := make([]uint64, size/8) // aligned
	window = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	return uint32(uintptr(unsafe.Pointer(&window[0])))
}

//go:wasmexport offhost_v1_event
func event(_ uint32) int32 {
	le := binary.LittleEndian
	kind, id := le.Uint16(window), le.Uint32(window[4:])
	if id >= uint32(len(components)) {
		return 0
	}
	components[id].resident = le.Uint64(window[64:])
	if kind == kindCall {
		components[id].called = le.Uint64(window[40:])
	}
	if kind != kindNeed {
		return 0
	}
	for i := range components {
		components[i].taken = uint32(i) == id || components[i].resident == 0
	}
	answer := window[len(window)-decisionArea:]
	amount, n := le.Uint64(window[112:]), int32(0)
	for ; amount > 0 && n < 128; n++ {
		oldest := -1
		for i := range components {
			if c := &components[i]; !c.taken && (oldest < 0 || c.called < components[oldest].called) {
				oldest = i
			}
		}
		if oldest < 0 {
			break
		}
		components[oldest].taken = true
		freed := min(amount, components[oldest].resident)
		amount -= freed
		le.PutUint16(answer, 1) // evict
		le.PutUint16(answer[2:], 0)
		le.PutUint32(answer[4:], uint32(oldest))
		le.PutUint64(answer[8:], freed)
		answer = answer[16:]
	}
	return n
}

//go:wasmexport offhost_v1_save
func save() int32 {
	blob := window[eventArea:eventArea]
	for i := range components {
		blob = binary.LittleEndian.AppendUint64(blob, components[i].called)
	}
	return int32(len(blob))
}

//go:wasmexport offhost_v1_restore
func restore(n uint32) int32 {
	if n != uint32(8*len(components)) {
		return 1
	}
	for i := range components {
		components[i].called = binary.LittleEndian.Uint64(window[eventArea+8*i:])
	}
	return 0
}
