package enginetest

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// books are an account of the world that is kept from actions and completions alone.
type books struct {
	t         rapid.TB
	specs     []host.Spec
	chunk     units.Bytes
	gran      units.Bytes
	budget    units.Bytes
	foreign   units.Bytes
	allocated units.Bytes
	workspace units.Bytes
	parts     []bookedPart
	pending   map[host.OpID]*bookedOp
	order     []host.OpID
	calls     map[host.CallID]*bookedCall
	keptBy    map[uint32]map[host.ID]bool
	lost      bool   // the device, as far as the engine knows
	epoch     int    // how often it was
	dump      func() // what the engine knows
}

// bookedPart is what is known of a component: sets of its chunks.
type bookedPart struct {
	excluded, keep bool
	held           map[int]bool // their memory is allocated
	valid          map[int]bool // they hold the weights
	dirty          map[int]bool
	back           map[int]bool // copied back, to be released
}

type bookedOp struct {
	host.Action
	since time.Duration
	epoch int
	late  bool // given up by a tick
}

type bookedCall struct {
	c         host.ID
	request   uint32
	workspace units.Bytes
	granted   bool
	epoch     int // of the device, when it was granted
}

func (b *books) fatalf(format string, args ...any) {
	b.t.Helper()
	b.dump()
	b.t.Fatalf(format, args...)
}

func (b *books) alloc(n units.Bytes) units.Bytes { return (n + b.gran - 1) / b.gran * b.gran }

// chunks is how many a component has.
func (b *books) chunks(c host.ID) int {
	return int((b.alloc(b.specs[c].Bytes) + b.chunk - 1) / b.chunk)
}

// chunkAlloc is what chunk i of a component takes.
func (b *books) chunkAlloc(c host.ID, i int) units.Bytes {
	return min(b.chunk, b.alloc(b.specs[c].Bytes)-units.Bytes(i)*b.chunk)
}

func (b *books) leased(c host.ID) bool {
	for _, k := range b.calls {
		if k.c == c && k.granted && k.epoch == b.epoch {
			return true
		}
	}
	return false
}

// see checks an action against the rules and books it.
func (b *books) see(a host.Action, now time.Duration) {
	switch a.Kind {
	case host.ActCopyIn:
		b.seeCopyIn(a)
	case host.ActCopyBack, host.ActRelease:
		b.seeLeave(a)
	case host.ActGrant:
		b.seeGrant(a)
		return
	case host.ActRefuse:
		if a.Err == nil || a.Err.Error() == "" {
			b.fatalf("call %d is refused without a reason", a.Call)
		}
		var r *host.Refusal
		if errors.As(a.Err, &r) && r.Short() <= 0 {
			b.fatalf("call %d is refused, but its numbers fit: %v", a.Call, a.Err)
		}
		delete(b.calls, a.Call)
		return
	default:
		return
	}
	if b.lost {
		b.fatalf("%v of chunk %d of %d is sent to a device that is lost", a.Kind, a.Chunk, a.Component)
	}
	in, out := 0, 0
	for _, p := range b.pending {
		if !p.late && p.Kind == host.ActCopyIn {
			in++
		} else if !p.late && p.Kind == host.ActCopyBack {
			out++
		}
	}
	if a.Kind == host.ActCopyIn && in >= 2 || a.Kind == host.ActCopyBack && out >= 2 {
		b.fatalf("%v with two copies in flight", a.Kind)
	}
	b.pending[a.Op] = &bookedOp{Action: a, since: now, epoch: b.epoch}
	b.order = append(b.order, a.Op)
}

func (b *books) seeCopyIn(a host.Action) {
	p := &b.parts[a.Component]
	if p.held[a.Chunk] {
		b.fatalf("chunk %d of %d is loaded while its memory is in use", a.Chunk, a.Component)
	}
	p.held[a.Chunk] = true
	b.allocated += a.Alloc
	b.checkBudget("an allocation")
	for i := range a.Chunk {
		if !p.held[i] {
			b.fatalf("chunk %d of %d is loaded before chunk %d", a.Chunk, a.Component, i)
		}
	}
}

func (b *books) seeLeave(a host.Action) {
	p := &b.parts[a.Component]
	switch {
	case !p.valid[a.Chunk] && !p.back[a.Chunk]:
		b.fatalf("%v of chunk %d of %d, which is not resident", a.Kind, a.Chunk, a.Component)
	case b.leased(a.Component):
		b.fatalf("%v of a chunk of %d, which a call uses", a.Kind, a.Component)
	case p.excluded:
		b.fatalf("%v of a chunk of %d, which is excluded", a.Kind, a.Component)
	}
	if !p.back[a.Chunk] {
		for r, kept := range b.keptBy {
			if kept[a.Component] {
				b.fatalf("%v of a chunk of %d, which request %d keeps", a.Kind, a.Component, r)
			}
		}
	}
	delete(p.valid, a.Chunk)
	if a.Kind == host.ActCopyBack {
		if b.specs[a.Component].ReadOnly {
			b.fatalf("read-only bytes of %d are copied back", a.Component)
		}
		p.back[a.Chunk] = true
		return
	}
	if p.dirty[a.Chunk] {
		b.fatalf("chunk %d of %d is dirty and dropped", a.Chunk, a.Component)
	}
	delete(p.back, a.Chunk)
}

func (b *books) seeGrant(a host.Action) {
	k := b.calls[a.Call]
	if k == nil || k.granted {
		b.fatalf("grant of call %d, which does not wait", a.Call)
	}
	if n := b.chunks(k.c); len(b.parts[k.c].valid) != n {
		b.fatalf("call %d starts with %d of %d chunks", a.Call, len(b.parts[k.c].valid), n)
	}
	if b.lost {
		b.fatalf("call %d starts on a device that is lost", a.Call)
	}
	k.granted, k.epoch = true, b.epoch
	b.workspace += k.workspace
	b.checkBudget("a grant")
	if k.request != 0 && b.parts[k.c].keep {
		b.keptBy[k.request][k.c] = true
	}
}

func (b *books) checkBudget(what string) {
	if sum := b.allocated + b.workspace + b.foreign; sum > b.budget {
		b.fatalf("%s brings %v in use above the budget %v", what, sum, b.budget)
	}
}

// finish books that an action of the device has ended.
func (b *books) finish(id host.OpID, st host.Status) {
	a := b.pending[id]
	delete(b.pending, id)
	b.order = slices.DeleteFunc(b.order, func(x host.OpID) bool { return x == id })
	p := &b.parts[a.Component]
	if st == host.Lost {
		delete(p.back, a.Chunk)
		delete(p.dirty, a.Chunk)
		b.free(a.Component, a.Chunk)
		return
	}
	switch a.Kind {
	case host.ActCopyIn:
		if st == host.OK {
			p.valid[a.Chunk] = true
			delete(p.dirty, a.Chunk)
		} else {
			b.free(a.Component, a.Chunk)
		}
	case host.ActCopyBack:
		if st == host.OK {
			delete(p.dirty, a.Chunk)
		} else {
			delete(p.back, a.Chunk)
			p.valid[a.Chunk] = true
		}
	case host.ActRelease:
		if st == host.OK {
			b.free(a.Component, a.Chunk)
		}
	}
}

func (b *books) free(c host.ID, i int) {
	delete(b.parts[c].held, i)
	b.allocated -= b.chunkAlloc(c, i)
}

// lose books that the engine knows that the device is lost: only what is in flight still
// counts as on it.
func (b *books) lose() {
	b.lost = true
	b.epoch++
	inFlight := map[host.ID]map[int]bool{}
	for _, p := range b.pending {
		if inFlight[p.Component] == nil {
			inFlight[p.Component] = map[int]bool{}
		}
		inFlight[p.Component][p.Chunk] = true
	}
	for c := range b.parts {
		p := &b.parts[c]
		clear(p.valid)
		for i := range p.held {
			if !inFlight[host.ID(c)][i] {
				delete(p.dirty, i)
				delete(p.back, i)
				b.free(host.ID(c), i)
			}
		}
	}
}
