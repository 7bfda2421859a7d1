package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// load is the transfer of a component's missing chunks to the device, lowest
// first. A component has at most one. Claim bytes are promised to it until their
// chunks are issued.
type load struct {
	c        *component
	demand   bool // calls or a constraint wait for it; else a prefetch
	chunks   int  // still to be issued
	claim    units.Bytes
	inFlight int
	weights  units.Bytes // arrived
	ahead    units.Bytes // of weights, before anyone waited
	alloc    units.Bytes
	request  uint32
	cause    Cause
}

// copyBack is a dirty chunk that waits to be copied back, and on whose behalf.
type copyBack struct {
	c       *component
	chunk   int
	request uint32
	cause   Cause
}

// setClaim changes how many bytes are promised to a load.
func (e *Engine) setClaim(l *load, n units.Bytes) {
	if l.demand {
		e.promised += n - l.claim
	} else {
		e.queued += n - l.claim
	}
	l.claim = n
}

// claimChunks sets how many chunks a load still has to issue, and promises it their
// bytes.
func (e *Engine) claimChunks(l *load, n int) {
	l.chunks = n
	e.setClaim(l, e.geo.lowestMissing(l.c, n))
}

// startLoad makes a demand load of everything that is missing, taking over what is
// queued or running.
func (e *Engine) startLoad(c *component, request uint32, cause Cause) {
	l := c.load
	if l == nil {
		l = &load{c: c, demand: true, request: request, cause: cause}
		c.load = l
		e.demand = append(e.demand, l)
	} else if !l.demand {
		e.setClaim(l, 0)
		e.ahead = slices.DeleteFunc(e.ahead, func(x *load) bool { return x == l })
		l.demand, l.request, l.cause = true, request, cause
		e.demand = append(e.demand, l)
	}
	e.claimChunks(l, e.geo.missingChunks(c))
	e.busy = true
}

// prefetch queues chunks more of c's missing chunks, which the caller knows to be
// missing and to fit.
func (e *Engine) prefetch(c *component, chunks int, request uint32, cause Cause) {
	l := c.load
	if l == nil {
		l = &load{c: c, request: request, cause: cause}
		c.load = l
		e.ahead = append(e.ahead, l)
	}
	e.claimChunks(l, l.chunks+chunks)
	e.busy = true
}

// cancel takes chunks from the end of c's load until at least bytes are no longer
// claimed, and returns how many are not.
func (e *Engine) cancel(c *component, bytes units.Bytes) units.Bytes {
	l := c.load
	before := l.claim
	for l.chunks > 0 && before-l.claim < bytes {
		e.claimChunks(l, l.chunks-1)
	}
	freed := before - l.claim
	e.finishIfOver(l)
	return freed
}

// drop cancels what is left of c's load, for which nobody waits any more. Chunks in
// flight still arrive, as those of a prefetch do.
func (e *Engine) drop(c *component) {
	l := c.load
	if l == nil {
		return
	}
	e.cancel(c, l.claim)
	if c.load == l && l.demand {
		l.demand = false
		e.demand = slices.DeleteFunc(e.demand, func(x *load) bool { return x == l })
		e.ahead = append(e.ahead, l)
	}
}

// finishIfOver closes a load of which nothing is left to issue or to arrive.
func (e *Engine) finishIfOver(l *load) {
	if l.chunks > 0 || l.inFlight > 0 {
		return
	}
	same := func(x *load) bool { return x == l }
	e.demand = slices.DeleteFunc(e.demand, same)
	e.ahead = slices.DeleteFunc(e.ahead, same)
	l.c.load = nil
	if l.alloc > 0 {
		e.record(Record{Kind: RecLoad, Request: l.request, Component: l.c.id, Weights: l.weights, Alloc: l.alloc,
			Ahead: l.ahead, Demand: l.demand, Cause: l.cause})
	}
	ev := e.componentEvent(abi.Loaded, l.c)
	ev.Amount, ev.Request = uint64(l.alloc), l.request
	e.say(ev, nil)
}

// evict takes at least bytes (0: everything) from c: queued chunks of a prefetch
// first, then resident chunks, highest first, on behalf of a request. It returns the device memory that is
// free or will be.
func (e *Engine) evict(c *component, bytes units.Bytes, request uint32, cause Cause) units.Bytes {
	if bytes == 0 {
		bytes = c.resident + c.queued()
	}
	var freed, weights, clean units.Bytes
	if c.load != nil && !c.load.demand {
		freed += e.cancel(c, bytes)
	}
	was := c.resident
	for freed < bytes {
		i := c.highestResident()
		if i < 0 {
			break
		}
		alloc, w := e.geo.chunkAlloc(c, i), e.geo.chunkWeights(c, i)
		c.resident -= alloc
		c.leaving += alloc
		e.leaving += alloc
		freed += alloc
		weights += w
		if c.chunks[i]&dirtyBit != 0 {
			c.chunks[i] = copyingBack | dirtyBit
			c.dirty -= alloc
			e.backlog = append(e.backlog, copyBack{c, i, request, cause})
			c.back.chunks++
			e.busy = true
		} else {
			clean += w
			e.release(c, i, request, cause)
		}
	}
	if c.resident < was {
		e.record(Record{Kind: RecEvict, Request: request, Component: c.id, Weights: weights, Clean: clean,
			Alloc: was - c.resident, Cause: cause})
		ev := e.componentEvent(abi.Evicted, c)
		ev.Amount = uint64(was - c.resident)
		e.say(ev, nil)
	}
	return freed
}

// served returns the request on which something is booked that follows from an event
// of this one; what belongs to none is the only open request's, if there is one.
func (e *Engine) served(request uint32) uint32 {
	if request == 0 && len(e.requests) == 1 {
		return e.requests[0].id
	}
	return request
}

func (e *Engine) release(c *component, i int, request uint32, cause Cause) {
	c.chunks[i] = releasing
	e.act(Action{Kind: ActRelease, Component: c.id, Chunk: i, Alloc: e.geo.chunkAlloc(c, i), Request: request, Cause: cause})
}

// act issues a device action.
func (e *Engine) act(a Action) {
	a.Op = e.ops.open(op{kind: a.Kind, c: e.components[a.Component], chunk: a.Chunk, since: e.now, epoch: e.epoch, request: a.Request, cause: a.Cause})
	e.out.Actions = append(e.out.Actions, a)
}

// pump issues chunk copies while there is a place in flight and memory for them.
func (e *Engine) pump() {
	if e.lost {
		return
	}
	for e.copiesIn < inFlight {
		l, i := e.nextChunk()
		if l == nil {
			break
		}
		c := l.c
		alloc := e.geo.chunkAlloc(c, i)
		l.inFlight++
		e.copiesIn++
		c.chunks[i] = loading
		c.loading += alloc
		e.claimChunks(l, l.chunks-1)
		e.weights += alloc
		e.notePeak()
		e.moved(l.request, alloc)
		e.act(Action{Kind: ActCopyIn, Component: c.id, Chunk: i, Alloc: alloc, Weights: e.geo.chunkWeights(c, i), File: e.geo.chunkFile(c, i),
			Demand: l.demand, Request: l.request, Cause: l.cause})
	}
	for e.copiesBack < inFlight && len(e.backlog) > 0 {
		b := e.backlog[0]
		e.backlog = e.backlog[1:]
		e.copiesBack++
		e.moved(b.request, e.geo.chunkAlloc(b.c, b.chunk))
		e.act(Action{Kind: ActCopyBack, Component: b.c.id, Chunk: b.chunk, Alloc: e.geo.chunkAlloc(b.c, b.chunk),
			Weights: e.geo.chunkWeights(b.c, b.chunk), Request: b.request, Cause: b.cause})
	}
}

// notePeak keeps the most that weights and workspace took together.
func (e *Engine) notePeak() { e.counters.Peak = max(e.counters.Peak, e.weights+e.workspace) }

// moved books device memory that is filled or copied back on a request.
// What belongs to none counts against each that is open.
func (e *Engine) moved(request uint32, n units.Bytes) {
	if r := e.openRequest(request); r != nil {
		r.moved += n
		return
	}
	for _, r := range e.requests {
		r.moved += n
	}
}

// nextChunk picks the next chunk to copy in: of the oldest demand load that has
// one, else of the oldest prefetch; nil when none can go now. A demand load that
// waits for memory is not overtaken by prefetches.
func (e *Engine) nextChunk() (*load, int) {
	waits := false
	for _, l := range e.demand {
		if l.chunks == 0 {
			continue
		}
		i := l.c.lowestAbsent()
		if i < 0 { // its chunks are still on their way out
			waits = true
			continue
		}
		if e.used()+e.geo.chunkAlloc(l.c, i) > e.budget {
			return nil, 0
		}
		return l, i
	}
	if waits {
		return nil, 0
	}
	for _, l := range e.ahead {
		if l.chunks == 0 {
			continue
		}
		i := l.c.lowestAbsent()
		// A prefetch may not take the room that admitted calls were promised.
		if i < 0 || e.used()+e.promised+e.geo.chunkAlloc(l.c, i) > e.budget {
			continue
		}
		return l, i
	}
	return nil, 0
}

// completed takes the device's word on an action.
func (e *Engine) completed(id OpID, st Status) error {
	x := e.ops.at(id)
	if x == nil {
		return fmt.Errorf("operation %d: not outstanding", id)
	}
	if st == Lost && !e.lost && x.epoch == e.epoch {
		// While it is outstanding: what is in flight leaves the books below, once.
		if err := e.lose(); err != nil {
			return err
		}
	}
	o := e.ops.close(id)
	if o.epoch != e.epoch {
		st = Lost
	}
	c, i := o.c, o.chunk
	alloc, weights := e.geo.chunkAlloc(c, i), e.geo.chunkWeights(c, i)
	if o.late {
		e.unexpire(&o, alloc)
	}
	switch o.kind {
	case ActCopyIn:
		e.copiesIn--
		l := c.load
		l.inFlight--
		c.loading -= alloc
		if st == OK {
			c.chunks[i] = resident
			c.top = max(c.top, i+1)
			c.resident += alloc
			l.alloc += alloc
			l.weights += weights
			if !l.demand {
				l.ahead += weights
			}
			e.finishIfOver(l)
			return nil
		}
		c.chunks[i] = absent
		c.low = min(c.low, i)
		e.weights -= alloc
		if st == Lost {
			if l.demand { // since the device was restored
				e.claimChunks(l, l.chunks+1)
			}
			e.finishIfOver(l)
			return nil
		}
		e.loadFailed(l, i, st)
	case ActCopyBack:
		e.copiesBack--
		if st == Lost {
			e.copiedBack(&o, 0, 0)
			e.gone(c, i, alloc)
			return nil
		}
		if st == OK {
			e.copiedBack(&o, weights, alloc)
			e.release(c, i, o.request, o.cause)
			return nil
		}
		// The only valid copy is on the device: it stays, and so does the component.
		c.chunks[i] = resident | dirtyBit
		c.top = max(c.top, i+1)
		c.leaving -= alloc
		e.leaving -= alloc
		c.resident += alloc
		c.dirty += alloc
		c.stuck = true
		e.copiedBack(&o, 0, 0)
		if l := c.load; l != nil { // it need not be loaded again
			e.claimChunks(l, min(l.chunks, e.geo.missingChunks(c)))
			e.finishIfOver(l)
		}
		e.deviceFault(c, fmt.Sprintf("chunk %d could not be copied back (%v): it stays on the device", i, st))
		e.sayComponent(c)
	case ActRelease:
		if st == OK || st == Lost {
			e.gone(c, i, alloc)
			return nil
		}
		c.leaving -= alloc
		e.leaving -= alloc
		c.chunks[i] = lost
		c.late++
		e.ops.lostBytes += alloc
		what := fmt.Sprintf("chunk %d could not be released (%v): its memory is lost", i, st)
		e.deviceFault(c, what)
		e.abandon(c, what)
	}
	return nil
}

// gone books that a chunk has left the device.
func (e *Engine) gone(c *component, i int, alloc units.Bytes) {
	c.leaving -= alloc
	e.leaving -= alloc
	c.chunks[i] = absent
	c.low = min(c.low, i)
	e.weights -= alloc
}

// copiedBack counts a chunk that was, and records those of one request when the last
// of them or another's comes.
func (e *Engine) copiedBack(o *op, weights, alloc units.Bytes) {
	b := &o.c.back
	if b.weights > 0 && (b.request != o.request || b.cause != o.cause) {
		e.recordBack(o.c)
	}
	b.request, b.cause = o.request, o.cause
	b.weights += weights
	b.alloc += alloc
	if b.chunks--; b.chunks == 0 && b.alloc > 0 {
		e.recordBack(o.c)
	}
}

func (e *Engine) recordBack(c *component) {
	b := &c.back
	e.record(Record{Kind: RecCopyBack, Request: b.request, Component: c.id, Weights: b.weights, Alloc: b.alloc, Cause: b.cause})
	b.weights, b.alloc = 0, 0
}

// deviceFault records what the device could not do.
func (e *Engine) deviceFault(c *component, what string) {
	e.record(Record{Kind: RecFault, Component: c.id, Err: &DeviceError{Component: c.Name, What: what}, Cause: Cause{By: ByHost, Event: e.seq, For: c.id}})
}

// loadFailed deals with a chunk that did not arrive. Out of memory is news about
// the budget: the chunk is tried again within what is left. Any other failure ends
// the transfer and the calls that wait for it.
func (e *Engine) loadFailed(l *load, i int, st Status) {
	c := l.c
	if st == OutOfMemory && l.demand && (c.leases > 0 || c.pinned) {
		e.foreign += e.geo.chunkAlloc(c, i)
		e.claimChunks(l, l.chunks+1)
		e.out.Actions = append(e.out.Actions, Action{Kind: ActTrim, Component: c.id, Cause: Cause{By: ByHost, Event: e.seq, For: c.id}})
		return
	}
	what := fmt.Sprintf("copying chunk %d to the device: %v", i, st)
	e.deviceFault(c, what)
	e.abandon(c, what)
}

// abandon ends c's transfer and refuses the calls that wait for it.
func (e *Engine) abandon(c *component, what string) {
	e.drop(c)
	for _, k := range slices.Clone(e.calls) {
		if k.c == c && k.admitted && !k.granted {
			e.refuse(k, &DeviceError{Component: c.Name, What: what})
		}
	}
}

// expire gives up waiting for actions that are older than the timeout: their
// memory counts as lost and their place in flight as free until the device answers
// after all.
func (e *Engine) expire() {
	if e.cfg.Timeout == 0 {
		return
	}
	for o := e.ops.oldest(); o != nil && o.since+e.cfg.Timeout <= e.now; o = e.ops.oldest() {
		o.late = true
		what := fmt.Sprintf("the device did not answer within %v (%v of chunk %d)", e.cfg.Timeout, o.kind, o.chunk)
		alloc := e.geo.chunkAlloc(o.c, o.chunk)
		o.c.late++
		e.deviceFault(o.c, what)
		switch o.kind {
		case ActCopyIn:
			e.copiesIn--
			o.c.lateIn += alloc
		case ActCopyBack:
			e.copiesBack--
			fallthrough
		default:
			o.c.leaving -= alloc
			e.leaving -= alloc
			e.ops.lostBytes += alloc
		}
		e.abandon(o.c, what)
	}
}

// unexpire undoes what expire did, since the device has answered after all.
func (e *Engine) unexpire(o *op, alloc units.Bytes) {
	o.c.late--
	switch o.kind {
	case ActCopyIn:
		e.copiesIn++
		o.c.lateIn -= alloc
	case ActCopyBack:
		e.copiesBack++
		fallthrough
	default:
		o.c.leaving += alloc
		e.leaving += alloc
		e.ops.lostBytes -= alloc
	}
}

// rest tells the policy once when the copy queue has run empty.
func (e *Engine) rest() {
	if e.busy && e.copiesIn+e.copiesBack+len(e.backlog)+len(e.demand)+len(e.ahead) == 0 {
		e.busy = false
		e.say(plainEvent(abi.Idle), nil)
	}
}

// op is a device action in flight.
type op struct {
	kind    ActionKind
	c       *component
	chunk   int
	since   time.Duration
	epoch   uint32 // of the device
	request uint32 // that it serves
	cause   Cause
	late    bool // given up, not answered yet
	open    bool
	turn    uint32
}

// opTable holds the actions in flight. An OpID is a slot and the number of times
// it was used, so that a completion that comes twice is noticed.
type opTable struct {
	slots     []op
	free      []uint32
	byAge     []OpID      // those that are open, in the order of opening, and some that are over or late
	lostBytes units.Bytes // device memory that will never come back, as far as is known
}

func (t *opTable) open(o op) OpID {
	var s uint32
	if n := len(t.free); n > 0 {
		s, t.free = t.free[n-1], t.free[:n-1]
		o.turn = t.slots[s].turn + 1
	} else {
		s = uint32(len(t.slots))
		t.slots = append(t.slots, op{})
		o.turn = 1
	}
	o.open = true
	t.slots[s] = o
	id := OpID(o.turn)<<32 | OpID(s)
	if len(t.byAge) > 64+2*(len(t.slots)-len(t.free)) {
		t.byAge = slices.DeleteFunc(t.byAge, func(id OpID) bool { return t.at(id) == nil })
	}
	t.byAge = append(t.byAge, id)
	return id
}

// at returns the action of an ID, nil when it is over.
func (t *opTable) at(id OpID) *op {
	s := uint32(id)
	if int(s) >= len(t.slots) || !t.slots[s].open || t.slots[s].turn != uint32(id>>32) {
		return nil
	}
	return &t.slots[s]
}

// oldest is the one that was opened first and is neither over nor late, nil when
// there is none.
func (t *opTable) oldest() *op {
	for len(t.byAge) > 0 {
		if o := t.at(t.byAge[0]); o != nil && !o.late {
			return o
		}
		t.byAge = t.byAge[1:]
	}
	return nil
}

// close ends an action that is open.
func (t *opTable) close(id OpID) op {
	o := t.at(id)
	o.open = false
	t.free = append(t.free, uint32(id))
	return *o
}

// outstanding reports whether an action on a chunk is in flight.
func (t *opTable) outstanding(c *component, chunk int) bool {
	for i := range t.slots {
		if o := &t.slots[i]; o.open && o.c == c && o.chunk == chunk {
			return true
		}
	}
	return false
}
