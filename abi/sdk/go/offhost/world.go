package offhost

// A Component is what is known of one.
type Component struct {
	Bytes, Resident uint64 // its size; of it, the lowest chunks are on the device
	LoadCost        uint64 // time to bring all of it to the device, in nanoseconds
	NameHash        uint64
	Parent, Index   uint32
	calls, epoch    uint32 // in flight; of that epoch only
	refused         uint32 // 1 + the moment at which the host refused to evict it
	Flags           Flags  // as the host told them last
	Known           bool   // registered, and not removed
}

// A World is what events have told so far. The zero value knows nothing. Only Follow
// changes it.
type World struct {
	Components [MaxComponents]Component // by id
	End        uint32                   // ids from here on were never told of
	Free       uint64                   // of the budget, what is neither used nor promised
	Budget     uint64
	chunk      uint64 // 0: not told
	// Requests that are open. When none is, an epoch ends: a call whose Done never came (it
	// began before this policy did) does not protect a component for ever.
	requests, epoch uint32
	// A moment ends with every Begin, Call, Done and End: what the host refused in one may be
	// lawful in the next.
	moment uint32
}

// Follow brings the world up to date. Call it first, for every event, or not at all.
// False: the event says nothing to a policy (it is Config or Rejected, of a later
// version, or about a component that cannot be).
func (w *World) Follow(e *Event) bool {
	w.Free, w.Budget = e.Free, e.Budget
	switch e.Kind {
	case Config:
		if n, ok := e.ConfigNumber("offhost.chunk_bytes"); ok {
			w.chunk = n
		}
		return false
	case Rejected:
		if d, _, ok := e.Rejection(); ok && d.Op == Evict && d.Component < MaxComponents {
			w.Components[d.Component].refused = w.moment + 1
		}
		return false
	case Begin:
		w.moment++
		w.requests++
		return true
	case End:
		w.moment++
		if w.requests > 0 {
			w.requests--
		}
		if w.requests == 0 {
			w.epoch++
		}
		return true
	case Enqueued, Idle:
		return true
	case Need, Pressure:
		if e.Component == None {
			return true
		}
	case Call, Done:
		w.moment++
	case Registered, Loaded, Evicted:
	default:
		return false
	}
	if e.Component >= MaxComponents {
		return false
	}
	c := &w.Components[e.Component]
	w.End = max(w.End, e.Component+1)
	c.Flags, c.Bytes, c.Resident, c.LoadCost = e.Flags, e.Bytes, e.Resident, e.LoadCost
	switch e.Kind {
	case Call:
		if c.epoch != w.epoch {
			c.calls = 0
		}
		c.epoch = w.epoch
		c.calls++
	case Done:
		if c.epoch == w.epoch && c.calls > 0 {
			c.calls--
		}
	case Registered:
		c.NameHash, c.Parent, c.Index = e.NameHash, e.Parent, e.Index
		c.Known = e.Flags&Removed == 0
		if !c.Known {
			c.Resident, c.calls = 0, 0
		}
	}
	return true
}

// Chunk returns the unit in which components move, in bytes.
func (w *World) Chunk() uint64 {
	if w.chunk == 0 {
		return 32 << 20
	}
	return w.chunk
}

// Evictable reports whether a component has resident bytes that the host would let go
// now. What an event asks room for is for the caller to leave out.
func (w *World) Evictable(id uint32) bool {
	c := &w.Components[id]
	if c.Resident == 0 || c.refused == w.moment+1 || c.Flags&(Pinned|Kept) != 0 {
		return false
	}
	return c.calls == 0 || c.epoch != w.epoch
}

// Frees returns what evicting so many bytes of a component frees: whole chunks from the
// last one down, which is shorter than the others.
func (w *World) Frees(id uint32, bytes uint64) uint64 {
	resident := w.Components[id].Resident
	if bytes >= resident {
		return resident
	}
	chunk := w.Chunk()
	return resident - (resident-bytes)/chunk*chunk
}

// EvictPart evicts as much of a component as is needed to free so many bytes, and
// returns what that frees: 0 if the answer is full.
func (w *World) EvictPart(a *Answer, id uint32, bytes uint64, reason uint16) uint64 {
	freed := w.Frees(id, bytes)
	arg := freed
	if freed == w.Components[id].Resident {
		arg = 0
	}
	if !a.Evict(id, arg, reason) {
		return 0
	}
	return freed
}
