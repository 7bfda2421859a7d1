// The lru of ../../../lru/go as one would write it without the SDK.
package main

import (
	"encoding/binary"
	"unsafe"
)

type component struct {
	resident            uint64
	calls, refused      uint32
	older, newer, flags uint16
	listed              bool
}

var (
	words          [67840 / 8]uint64
	window         []byte
	components     [4096]component
	answered       uint32
	oldest, newest uint16
	chunk          uint64 = 32 << 20
	moment         uint32 = 1
	le                    = binary.LittleEndian
)

func main() {}

func unlist(id uint32) {
	c := &components[id]
	if !c.listed {
		return
	}
	if c.older != 0 {
		components[c.older-1].newer = c.newer
	} else {
		oldest = c.newer
	}
	if c.newer != 0 {
		components[c.newer-1].older = c.older
	} else {
		newest = c.older
	}
	c.listed = false
}

func touch(id uint32) {
	this := uint16(id) + 1
	if newest == this {
		return
	}
	unlist(id)
	c := &components[id]
	c.older, c.newer, c.listed = newest, 0, true
	if newest != 0 {
		components[newest-1].newer = this
	} else {
		oldest = this
	}
	newest = this
}

func need(asking uint32, missing uint64) {
	for i := oldest; i != 0 && missing > 0 && answered < 128; i = components[i-1].newer {
		c := &components[i-1]
		if uint32(i-1) == asking || c.resident == 0 || c.refused == moment || c.flags&0x26 != 0 || c.calls != 0 {
			continue
		}
		freed := c.resident
		if missing < freed {
			freed -= (freed - missing) / chunk * chunk
		}
		d := window[uint32(len(window))-2048+16*answered:]
		answered++
		arg := freed
		if freed == c.resident {
			arg = 0
		}
		le.PutUint32(d, 0x10001)
		le.PutUint32(d[4:], uint32(i-1))
		le.PutUint64(d[8:], arg)
		missing -= min(missing, freed)
	}
}

func configure(text []byte) {
	const key = "offhost.chunk_bytes="
	for i := 0; i+len(key) < len(text); i++ {
		if string(text[i:i+len(key)]) == key {
			chunk = 0
			for _, d := range text[i+len(key):] {
				if d == '\n' {
					return
				}
				chunk = chunk*10 + uint64(d-'0')
			}
		}
	}
}

//go:wasmexport offhost_v1_buffer
func buffer(size uint32) uint32 {
	if size > 67840 {
		return 0
	}
	window = unsafe.Slice((*byte)(unsafe.Pointer(&words)), size)
	return uint32(uintptr(unsafe.Pointer(&words)))
}

//go:wasmexport offhost_v1_event
func event(size uint32) int32 {
	answered = 0
	if size < 128 {
		return 0
	}
	kind, flags, id := le.Uint16(window), le.Uint16(window[2:]), le.Uint32(window[4:])
	switch kind {
	case 1:
		configure(window[256 : 256+min(le.Uint32(window[120:]), uint32(len(window)-2304))])
		return 0
	case 6, 9:
		moment++
		return 0
	case 13:
		if id := le.Uint32(window[260:]); id < 4096 {
			components[id].refused = moment
		}
		return 0
	case 10:
		if id >= 4096 {
			need(id, le.Uint64(window[112:]))
			return int32(answered)
		}
	case 2, 3, 4, 7, 8:
	default:
		return 0
	}
	if id >= 4096 {
		return 0
	}
	c := &components[id]
	c.flags = flags
	switch kind {
	case 2:
		if flags&0x80 != 0 {
			c.resident, c.calls = 0, 0
			unlist(id)
		}
	case 3, 4:
		c.resident = le.Uint64(window[64:])
		if c.resident != 0 && !c.listed {
			touch(id)
		}
	case 7:
		moment++
		c.calls++
		touch(id)
	case 8:
		moment++
		if c.calls > 0 {
			c.calls--
		}
		touch(id)
	case 10:
		need(id, le.Uint64(window[112:]))
	}
	return int32(answered)
}
