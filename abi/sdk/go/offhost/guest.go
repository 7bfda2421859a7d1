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
	write(copy(line[:len(line)-1], text))
}

// LogNumbers logs a line in which each {} is the next of the numbers, in decimal; what is
// beyond 255 bytes is cut. It allocates nothing.
func LogNumbers(text string, numbers ...uint64) {
	size := 0
	put := func(b byte) {
		if size < len(line)-1 {
			line[size] = b
			size++
		}
	}
	for i := 0; i < len(text); i++ {
		if len(numbers) == 0 || text[i] != '{' || i+1 == len(text) || text[i+1] != '}' {
			put(text[i])
			continue
		}
		n, unit := numbers[0], uint64(1)
		for n/unit >= 10 {
			unit *= 10
		}
		for ; unit > 0; unit /= 10 {
			put('0' + byte(n/unit%10))
		}
		numbers = numbers[1:]
		i++
	}
	write(size)
}

func write(size int) {
	line[size] = '\n'
	list = [2]uint32{uint32(uintptr(unsafe.Pointer(&line))), uint32(size + 1)}
	fdWrite(2, unsafe.Pointer(&list), 1, unsafe.Pointer(&written))
}
