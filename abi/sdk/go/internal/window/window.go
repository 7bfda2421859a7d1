// Package window holds the memory that a policy lends to its host. The SDK's packages
// share it; nothing else can.
package window

import "unsafe"

// Sizes of a window's parts, in bytes: SPEC.md, section 2.
const (
	Max          = 67840
	Min          = 4096
	EventArea    = 256
	decisionArea = 2048
	maxPayload   = 64 << 10
)

// The window is static: what a garbage collector manages may be given back.
var (
	words [Max / 8]uint64
	size  uint32
)

// Lend returns where the window is, nil if the host wants one of another size.
func Lend(bytes uint32) unsafe.Pointer {
	if bytes < Min || bytes > Max || bytes%8 != 0 {
		return nil
	}
	size = bytes
	return unsafe.Pointer(&words)
}

// Event returns where the event is.
func Event() unsafe.Pointer { return unsafe.Pointer(&words) }

// Answer returns where the answer begins.
func Answer() unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(&words), max(size, Min)-decisionArea)
}

// Room returns how many bytes of payload fit.
func Room() uint32 {
	if size == 0 {
		return 0
	}
	return size - EventArea - decisionArea
}

// Payload returns the first n bytes of the payload, or as many as there are.
func Payload(n uint32) []byte {
	if room := Room(); n > room {
		n = room
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&words), EventArea)), n)
}

// Blob returns where saved state is written.
func Blob() []byte { return Payload(maxPayload) }
