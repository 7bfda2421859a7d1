package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// request is an open request.
type request struct {
	id, session uint32
	step, steps uint32
	kept        []*component
	maxWork     units.Bytes // largest workspace so far, with that of the calls around
	moved       units.Bytes // device memory filled and copied back
	floorMoved  units.Bytes // what the floor would have, with HarmBound
	harmed      bool        // the floor finishes it
}

// call is an open call: it waits to be admitted, then for its weights, then runs.
type call struct {
	id        CallID
	c         *component
	r         *request // nil outside requests
	workspace units.Bytes
	since     time.Duration
	seq       uint64 // number of its CALL event
	step      uint32 // position in its request
	admitted  bool
	granted   bool
}

func (k *call) request() uint32 {
	if k.r == nil {
		return 0
	}
	return k.r.id
}

// cause is that of what the host does because of the call.
func (k *call) cause() Cause { return Cause{By: ByHost, Event: k.seq, For: k.c.id} }

// A Refusal says why a call cannot be granted, with the numbers. All sizes are
// allocated bytes.
type Refusal struct {
	Component string
	Needs     units.Bytes // the component
	Workspace units.Bytes
	Budget    units.Bytes
	Excluded  units.Bytes // held by constraints
	Kept      units.Bytes
	InUse     units.Bytes // leased by calls that cannot end before this one
	Working   units.Bytes // workspace of those calls
	Foreign   units.Bytes
	Stuck     units.Bytes // lost or not evictable on the device
}

// Short is how much larger the budget would have to be.
func (r *Refusal) Short() units.Bytes {
	return r.Needs + r.Workspace + r.Excluded + r.Kept + r.InUse + r.Working + r.Foreign + r.Stuck - r.Budget
}

func (r *Refusal) Error() string {
	var b strings.Builder
	// All in powers of 1000, so that the numbers can be added up.
	fmt.Fprintf(&b, "component %q needs %s", r.Component, r.Needs.Decimal())
	if r.Workspace > 0 {
		fmt.Fprintf(&b, " and %s of workspace", r.Workspace.Decimal())
	}
	var held []string
	for _, h := range []struct {
		n   units.Bytes
		why string
	}{
		{r.Excluded, "excluded from offloading"}, {r.Kept, "kept during the request"},
		{r.InUse, "in use by calls that wait for this one"}, {r.Working, "their workspace"},
		{r.Foreign, "used by others"}, {r.Stuck, "stuck on the device"},
	} {
		if h.n > 0 {
			held = append(held, h.n.Decimal()+" "+h.why)
		}
	}
	if len(held) > 0 {
		fmt.Fprintf(&b, " beside %s", strings.Join(held, ", "))
	}
	fmt.Fprintf(&b, "; the budget is %s, %s short", r.Budget.Decimal(), r.Short().Decimal())
	switch {
	case r.Excluded+r.Kept > 0:
		b.WriteString(": raise --budget or shorten --exclude and --keep")
	default:
		b.WriteString(": raise --budget or split the component into blocks")
	}
	return b.String()
}

// A DeviceError says that the device failed a call's transfer.
type DeviceError struct {
	Component string // empty: the device as a whole
	What      string
	Err       error // ErrLost, or nil
}

func (d *DeviceError) Unwrap() error { return d.Err }

// Reason is the short name under which faults are counted.
func (d *DeviceError) Reason() string { return "device" }

func (d *DeviceError) Error() string {
	if d.Component == "" {
		return d.What
	}
	return fmt.Sprintf("component %q: %s", d.Component, d.What)
}

func (e *Engine) openRequest(id uint32) *request {
	for _, r := range e.requests {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (e *Engine) begin(in *Input) error {
	if in.Request == 0 {
		return fmt.Errorf("request 0: want a number from 1")
	}
	if e.openRequest(in.Request) != nil {
		return fmt.Errorf("request %d: already open", in.Request)
	}
	for _, id := range in.Order {
		if int(id) >= len(e.components) {
			return fmt.Errorf("request %d: component %d of the declared order is not registered", in.Request, id)
		}
	}
	r := &request{id: in.Request, session: in.Session, steps: in.Steps}
	e.requests = append(e.requests, r)
	e.attach()
	e.record(Record{Kind: RecBegin, Request: r.id, Component: NoComponent, Cause: Cause{Event: e.seq, For: NoComponent}})
	payload, cut := orderPayload(in.Order)
	ev := plainEvent(abi.Begin)
	ev.Request, ev.Session, ev.Steps, ev.NameHash = r.id, r.session, r.steps, in.Signature
	if cut {
		ev.Flags |= abi.FlagTruncated
	}
	e.say(ev, payload)
	return nil
}

func (e *Engine) end(id uint32) error {
	r := e.openRequest(id)
	if r == nil {
		return fmt.Errorf("request %d: not open", id)
	}
	for _, k := range e.calls {
		if k.r == r {
			return fmt.Errorf("request %d: call %d of %q is still open", id, k.id, k.c.Name)
		}
	}
	for _, c := range r.kept {
		c.kept--
		if c.kept == 0 {
			e.sayComponent(c)
		}
	}
	e.requests = slices.DeleteFunc(e.requests, func(x *request) bool { return x == r })
	e.record(Record{Kind: RecEnd, Request: id, Component: NoComponent, Cause: Cause{Event: e.seq, For: NoComponent}})
	ev := plainEvent(abi.End)
	ev.Request, ev.Session, ev.Step, ev.Steps = id, r.session, r.step, r.steps
	e.say(ev, nil)
	return nil
}

func (e *Engine) call(in *Input) error {
	if int(in.Component) >= len(e.components) {
		return fmt.Errorf("call %d: component %d is not registered", in.Call, in.Component)
	}
	if in.Call <= e.lastCall {
		return fmt.Errorf("call %d: the last one was %d, want a larger number", in.Call, e.lastCall)
	}
	if in.Workspace < 0 || in.Workspace > units.MaxBytes {
		return fmt.Errorf("call %d: workspace of %d bytes: want 0 to %d", in.Call, in.Workspace, units.MaxBytes)
	}
	var r *request
	if in.Request != 0 {
		if r = e.openRequest(in.Request); r == nil {
			return fmt.Errorf("call %d: request %d is not open", in.Call, in.Request)
		}
	}
	if r == nil {
		e.attach() // within a request, its BEGIN was the occasion
	}
	e.lastCall = in.Call
	e.callSeq++
	k := e.newCall()
	*k = call{id: in.Call, c: e.components[in.Component], r: r, workspace: in.Workspace, since: e.now}
	if r != nil {
		r.step++
		k.step = r.step
		r.maxWork = max(r.maxWork, k.workspace+e.working())
	}
	e.calls = append(e.calls, k)
	e.waiting++
	if e.cfg.HarmBound {
		moved := e.harm(k)
		if r != nil {
			r.floorMoved += moved
		}
	}
	k.seq = e.say(e.callEvent(abi.Call, k), nil)
	k.c.lastUse = k.seq
	return nil
}

func (e *Engine) done(id CallID) error {
	i := slices.IndexFunc(e.calls, func(k *call) bool { return k.id == id })
	if i < 0 {
		return fmt.Errorf("call %d: not open", id)
	}
	k := e.calls[i]
	if !k.granted {
		return fmt.Errorf("call %d of %q: not granted yet", id, k.c.Name)
	}
	e.calls = slices.Delete(e.calls, i, i+1)
	e.workspace -= k.workspace
	k.c.leases--
	k.c.stuck = false                              // copying back may be tried again
	if !k.c.ReadOnly && k.c.dirty < k.c.resident { // less is resident when the device was lost meanwhile
		for i := range k.c.chunks {
			if k.c.chunks[i]&stateMask == resident {
				k.c.chunks[i] |= dirtyBit
			}
		}
		k.c.dirty = k.c.resident
	}
	e.record(Record{Kind: RecDone, Request: k.request(), Component: k.c.id, Call: k.id, Cause: k.cause()})
	k.c.lastUse = e.say(e.callEvent(abi.Done, k), nil)
	e.spare = append(e.spare, k)
	return nil
}

// working is the workspace of the calls that are admitted.
func (e *Engine) working() units.Bytes {
	var n units.Bytes
	for _, k := range e.calls {
		if k.admitted {
			n += k.workspace
		}
	}
	return n
}

// newCall returns a call that has ended, or a new one: a replay makes millions.
func (e *Engine) newCall() *call {
	if n := len(e.spare); n > 0 {
		k := e.spare[n-1]
		e.spare = e.spare[:n-1]
		return k
	}
	return new(call)
}

// shortfall is how many bytes have to leave before k can be admitted.
func (e *Engine) shortfall(k *call) units.Bytes {
	need := k.c.missing() + k.workspace
	if k.c.load != nil {
		need -= k.c.load.claim // set aside already
	}
	return need - e.avail()
}

// evictable is how many bytes could be taken from everything but c.
func (e *Engine) evictable(c *component) units.Bytes {
	var n units.Bytes
	for _, x := range e.components {
		if x != c {
			n += x.evictable()
		}
	}
	return n
}

// admit goes through the waiting calls in the order of arrival and promises room to
// each for which room can be made now.
func (e *Engine) admit() {
	if e.waiting == 0 {
		return
	}
	for i := 0; i < len(e.calls); i++ {
		k := e.calls[i]
		if k.admitted {
			continue
		}
		if e.lost {
			e.refuse(k, errLost(k.c))
			i--
			continue
		}
		if k.c.late > 0 {
			e.refuse(k, &DeviceError{Component: k.c.Name, What: "the device has lost a part of it, or has not answered for it"})
			i--
			continue
		}
		if short := e.shortfall(k); short > 0 {
			if short > e.evictable(k.c) {
				continue
			}
			e.makeRoom(k)
			if e.shortfall(k) > 0 {
				continue // what a policy prefetched meanwhile is in the way: the next round frees it
			}
		}
		e.promise(k)
	}
}

// promise admits a call: it leases its component, and its bytes are set aside.
func (e *Engine) promise(k *call) {
	k.admitted = true
	e.waiting--
	c := k.c
	c.leases++
	e.promised += k.workspace
	if c.missing() > 0 || c.load != nil {
		e.startLoad(c, k.request(), k.cause())
	}
	if c.keep && k.r != nil && !slices.Contains(k.r.kept, c) {
		k.r.kept = append(k.r.kept, c)
		c.kept++
		if c.kept == 1 {
			e.sayComponent(c)
		}
	}
	e.watchThrash(k)
}

// grant starts every admitted call whose bytes are there and whose workspace is
// free.
func (e *Engine) grant() {
	for _, k := range e.calls {
		if !k.admitted || k.granted || k.c.resident < k.c.alloc {
			continue
		}
		if e.used()+k.workspace > e.budget {
			continue // bytes on their way out are still in the way
		}
		k.granted = true
		e.promised -= k.workspace
		e.workspace += k.workspace
		e.notePeak()
		e.record(Record{Kind: RecCall, Request: k.request(), Component: k.c.id, Call: k.id, Stall: e.now - k.since, Cause: k.cause()})
		e.out.Actions = append(e.out.Actions, Action{Kind: ActGrant, Component: k.c.id, Call: k.id, Request: k.request(), Cause: k.cause()})
	}
}

// refuse ends a call that was not granted.
func (e *Engine) refuse(k *call, err error) {
	e.calls = slices.DeleteFunc(e.calls, func(x *call) bool { return x == k })
	if k.admitted {
		k.c.leases--
		e.promised -= k.workspace
		if k.c.leases == 0 && !k.c.pinned {
			e.drop(k.c)
		}
	} else {
		e.waiting--
	}
	e.record(Record{Kind: RecRefuse, Request: k.request(), Component: k.c.id, Call: k.id, Err: err, Cause: k.cause()})
	e.out.Actions = append(e.out.Actions, Action{Kind: ActRefuse, Component: k.c.id, Call: k.id, Request: k.request(), Err: err, Cause: k.cause()})
	// A refused call has a CALL event and no grant: DONE closes it for the policy.
	e.say(e.callEvent(abi.Done, k), nil)
}

// untangle refuses calls that could never be admitted: those too large even when
// everything else has ended, and the youngest of those that wait for each other.
func (e *Engine) untangle() {
	for e.waiting > 0 {
		k, why := e.hopeless()
		if k == nil {
			return
		}
		e.refuse(k, why)
	}
}

// hopeless plays the future at its best: every request that is not waiting ends
// and returns what it holds, then every waiting call that fits runs, and so on. It
// returns the youngest call that still does not fit.
func (e *Engine) hopeless() (*call, *Refusal) {
	ended := func(k *call, over map[*request]bool, alone map[*call]bool) bool {
		if k.r != nil {
			return over[k.r]
		}
		return alone[k]
	}
	over, alone := map[*request]bool{}, map[*call]bool{}
	waits := map[*request]bool{}
	for _, k := range e.calls {
		if !k.admitted && k.r != nil {
			waits[k.r] = true
		}
	}
	for _, r := range e.requests {
		over[r] = !waits[r]
	}
	for _, k := range e.calls {
		alone[k] = k.r == nil && k.admitted
	}
	for changed := true; changed; {
		changed = false
		blocked := map[*request]bool{}
		for _, k := range e.calls {
			if k.admitted || ended(k, over, alone) {
				continue
			}
			fits := e.bookings(k, func(x *call) bool { return ended(x, over, alone) }, func(r *request) bool { return over[r] }).Short() <= 0
			switch {
			case !fits && k.r != nil:
				blocked[k.r] = true
			case fits && k.r == nil:
				alone[k], changed = true, true
			}
		}
		for r := range waits {
			if !over[r] && !blocked[r] {
				over[r], changed = true, true
			}
		}
	}
	for i := len(e.calls) - 1; i >= 0; i-- {
		k := e.calls[i]
		if k.admitted || ended(k, over, alone) {
			continue
		}
		why := e.bookings(k, func(x *call) bool { return ended(x, over, alone) }, func(r *request) bool { return over[r] })
		if why.Short() > 0 {
			return k, why
		}
	}
	return nil, nil
}

// Lack returns what a call that was not admitted lacks as things stand, if no other
// call or request ends; nil when it lacks nothing.
func (e *Engine) Lack(id CallID) *Refusal {
	for _, k := range e.calls {
		if k.id != id || k.admitted {
			continue
		}
		never := e.bookings(k, func(*call) bool { return false }, func(*request) bool { return false })
		if never.Short() > 0 {
			return never
		}
	}
	return nil
}

// bookings adds up what k needs and what nothing can move while k waits, if the
// calls and requests that the functions name have ended.
func (e *Engine) bookings(k *call, callOver func(*call) bool, requestOver func(*request) bool) *Refusal {
	r := &Refusal{Component: k.c.Name, Needs: k.c.alloc, Workspace: k.workspace, Budget: e.budget, Foreign: e.foreign}
	inUse := map[*component]bool{}
	for _, x := range e.calls {
		if x == k || !x.admitted || callOver(x) {
			continue
		}
		inUse[x.c] = true
		r.Working += x.workspace
	}
	for _, x := range e.components {
		if x == k.c {
			continue
		}
		kept := slices.ContainsFunc(e.requests, func(q *request) bool {
			return !requestOver(q) && slices.Contains(q.kept, x)
		})
		switch {
		case x.pinned:
			r.Excluded += x.alloc
		case inUse[x]:
			r.InUse += x.alloc
		case kept:
			r.Kept += x.resident + x.loading
		case x.stuck:
			r.Stuck += x.resident + x.loading
		default:
			r.Stuck += x.lateIn
		}
	}
	r.Stuck += e.ops.lostBytes
	return r
}
