package offhost

import (
	"unsafe"

	"github.com/offhost/offhost/abi/sdk/go/internal/window"
)

// A Component is what is known of one. What does not change is as its registration told it.
type Component struct {
	Bytes, Resident uint64 // its size; of it, the lowest chunks are on the device
	LoadCost        uint64 // time to bring all of it to the device, in nanoseconds
	NameHash        uint64
	Parent, Index   uint32
	calls           uint32 // whose Done is to come, of those whose Call was told
	refused         uint32 // 1 + the moment at which the host refused to evict it
	Flags           Flags  // as the host told them last
	Known           bool   // registered, and not removed
}

// A World is what events have told so far. The zero value knows nothing. Only Follow
// changes it.
type World struct {
	Components [MaxComponents]Component // by id
	End        uint32                   // ids from here on were never told of
	chunk      uint64                   // the bits that differ from defaultChunk's
	// A moment ends with every Begin, Call, Done and End: what the host refused in one may be
	// lawful in the next.
	moment uint32
}

const defaultChunk = 32 << 20

// pin is 0. On WebAssembly Go loads a parameter anew for each use, and keeps in a register
// what was computed from one.
var pin uintptr

// Follow brings the world up to date. Call it first, for every event, or not at all.
// False: it leaves the policy nothing to do (it is Rejected, of a later version, or about
// a component that cannot be).
func (w *World) Follow(e *Event) bool {
	w, e = (*World)(unsafe.Add(unsafe.Pointer(w), pin)), (*Event)(unsafe.Add(unsafe.Pointer(e), pin))
	kind := e.Kind
	switch kind {
	case Config, Rejected:
		w.told(e)
		return kind == Config
	case Begin, End:
		w.moment++
		return true
	case Enqueued, Idle:
		return true
	case Registered, Loaded, Evicted, Call, Done, Need, Pressure:
	default:
		return false
	}
	id := e.Component
	if id >= MaxComponents {
		return id == None && (kind == Need || kind == Pressure)
	}
	c := &w.Components[id]
	c.Flags, c.Resident = e.Flags, e.Resident
	switch kind {
	case Call:
		w.moment++
		c.calls++
	case Done:
		w.moment++
		if calls := c.calls; calls > 0 {
			c.calls = calls - 1
		}
	case Registered:
		w.End = max(w.End, id+1)
		c.Bytes, c.LoadCost = e.Bytes, e.LoadCost
		c.NameHash, c.Parent, c.Index = e.NameHash, e.Parent, e.Index
		c.Known = e.Flags&Removed == 0
		if !c.Known {
			c.Resident, c.calls = 0, 0
		}
	}
	return true
}

func (w *World) told(e *Event) {
	if n, ok := e.ConfigNumber("offhost.chunk_bytes"); ok && n > 0 {
		w.chunk = n ^ defaultChunk
	}
	if d, _, ok := e.Rejection(); ok && d.Op == Evict && d.Component < MaxComponents {
		w.Components[d.Component].refused = w.moment + 1
	}
}

// Free returns what is neither used nor promised of the budget, as the event says that is
// in the window.
func (*World) Free() uint64 { return (*Event)(window.Event()).Free }

// Budget returns the budget in bytes, as the event says that is in the window.
func (*World) Budget() uint64 { return (*Event)(window.Event()).Budget }

// Chunk returns the unit in which components move, in bytes.
func (w *World) Chunk() uint64 { return w.chunk ^ defaultChunk }

// Evictable reports whether a component has resident bytes that the host would let go
// now. What an event asks room for is for the caller to leave out.
func (w *World) Evictable(id uint32) bool {
	c := &w.Components[id]
	// A call uses it if its Call was told, whatever the flags were then, or if the flags say so:
	// it may have begun before this policy did.
	return c.Resident != 0 && c.Flags&(Pinned|InUse|Kept) == 0 && c.calls == 0 && c.refused != w.moment+1
}

// Frees returns what evicting so many bytes of a component frees: whole chunks from the
// last one down, which is shorter than the others.
func (w *World) Frees(id uint32, bytes uint64) uint64 {
	resident := w.Components[id].Resident
	if bytes == 0 {
		return 0
	}
	return resident - (resident-min(bytes, resident))/w.Chunk()*w.Chunk()
}

// EvictPart evicts as much of a component as is needed to free so many bytes, and
// returns what that frees: 0 if the answer is full. For 0 bytes it evicts nothing, where
// Answer.Evict would evict all. It is written to be inlined, which halves what it costs.
func (w *World) EvictPart(_ *Answer, id uint32, bytes uint64, reason uint16) uint64 {
	all, chunk := w.Components[id].Resident, w.chunk^defaultChunk
	kept := (all - min(bytes, all)) / chunk * chunk
	freed := all - kept
	if kept == 0 {
		all = 0
	}
	if answered < MaxDecisions && bytes > 0 {
		area[answered] = record{uint64(id)<<32 | uint64(reason)<<16 | uint64(Evict), all - kept}
		answered++
		return freed
	}
	return 0
}
