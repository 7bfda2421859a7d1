//go:build wasip1 || tinygo.wasm

package offhost

import "unsafe"

//go:wasmimport wasi_snapshot_preview1 fd_write
//go:noescape
func fdWrite(fd int32, list unsafe.Pointer, n uint32, written unsafe.Pointer) uint32

// What fd_write is given is static: addresses of a goroutine's stack may change.
var (
	line    [256]byte
	list    [2]uint32 // address and length
	written uint32
)

// Log logs a line of at most 255 bytes; the rest is cut. The host takes 4 an event.
func Log(text string) {
	n := copy(line[:len(line)-1], text)
	line[n] = '\n'
	list = [2]uint32{uint32(uintptr(unsafe.Pointer(&line))), uint32(n + 1)}
	fdWrite(2, unsafe.Pointer(&list), 1, unsafe.Pointer(&written))
}
