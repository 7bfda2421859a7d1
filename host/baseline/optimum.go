package baseline

import (
	"container/heap"
	"fmt"
	"math"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Optimum moves the fewest bytes to the device that any rule could, knowing the
// whole trace: each call loads what it misses, and makes room by evicting, to the
// byte, what is used again furthest ahead. Weights that can be taken away by the
// byte are pages of one byte, and for pages furthest next use is optimal (Belady),
// also when calls need several components at once and room changes with their
// workspace: a byte that stays can be exchanged for one that is used later.
// What is entered, and what is called, loses nothing.
//
// It is an optimum of bytes to the device alone. What calls have changed is copied
// back when it is evicted, but does not weigh in the choice, so another rule may copy
// less back; and its time is that of loading on demand, so one that loads ahead may
// stall less.
//
// It must see the whole trace before it can decide, so it keeps one. Calls of the
// same component in a row are one run, of 16 bytes.
type Optimum struct {
	header *trace.Header
	config Config

	runs     [][]run // in pieces of runsPiece
	n        int
	works    []units.Bytes // different workspaces
	workAt   map[units.Bytes]uint16
	account  account
	nesting  nesting
	overflow bool
}

// Limits of what an Optimum keeps: 128 MiB of runs, 64 Ki different workspaces.
const (
	MaxRuns       = 8 << 20
	MaxWorkspaces = 1 << 16

	runsPiece = 1 << 16
)

// A run is what happens to one component without anything happening to others.
type run struct {
	request   uint32 // position of the account of the request that began it
	next      uint32 // the component's next run; never for none
	component uint16
	workspace uint16 // position in works
	kind      trace.Kind
}

const never = math.MaxUint32

// NewOptimum begins with nothing on the device. It keeps h.
func NewOptimum(h *trace.Header, c Config) *Optimum {
	return &Optimum{header: h, config: c, workAt: map[units.Bytes]uint16{}, nesting: nesting{}}
}

// Add takes the trace's next record. The records must be a trace's, in order.
func (o *Optimum) Add(r *trace.Record) {
	if r.Kind == trace.Begin {
		o.nesting[r.Request] = &open{position: o.account.begin()}
		return
	}
	q := o.nesting[r.Request]
	switch r.Kind {
	case trace.Call:
		o.append(q, r.Component, r.Kind, o.config.workspace(r))
	case trace.Enter:
		f := frame{r.Component, o.config.workspace(r)}
		q.entered = append(q.entered, f)
		o.append(q, f.component, r.Kind, f.workspace)
	case trace.Exit:
		last := len(q.entered) - 1
		f := q.entered[last]
		q.entered = q.entered[:last]
		o.append(q, f.component, r.Kind, f.workspace)
	case trace.End:
		delete(o.nesting, r.Request)
	}
	o.account.compute = plus(o.account.compute, r.Compute)
}

func (o *Optimum) append(q *open, component int, kind trace.Kind, workspace units.Bytes) {
	at, known := o.workAt[workspace]
	if !known {
		if len(o.works) == MaxWorkspaces {
			o.overflow = true
		}
		if o.overflow {
			return
		}
		at = uint16(len(o.works))
		o.works = append(o.works, workspace)
		o.workAt[workspace] = at
	}
	next := run{request: q.position, component: uint16(component), workspace: at, kind: kind}
	if o.n > 0 && kind == trace.Call {
		// Nothing happens between two calls of the same component: the first one's
		// request has loaded it.
		last := *o.at(o.n - 1)
		last.request = next.request
		if last == next {
			return
		}
	}
	if o.n == MaxRuns {
		o.overflow = true
		o.runs = nil
	}
	if o.overflow {
		return
	}
	if o.n%runsPiece == 0 {
		o.runs = append(o.runs, make([]run, 0, runsPiece))
	}
	piece := &o.runs[o.n/runsPiece]
	*piece = append(*piece, next)
	o.n++
}

func (o *Optimum) at(i int) *run { return &o.runs[i/runsPiece][i%runsPiece] }

// Result decides over the records so far. It is called once, after the last Add.
func (o *Optimum) Result() Result {
	if o.overflow {
		return Result{Name: OptimumName, Note: fmt.Sprintf("the optimum is not computed: the trace has more than %d runs of calls or %d different workspaces", MaxRuns, MaxWorkspaces)}
	}
	last := make([]uint32, len(o.header.Components))
	for i := range last {
		last[i] = never
	}
	for i := o.n - 1; i >= 0; i-- {
		r := o.at(i)
		r.next = last[r.component]
		last[r.component] = uint32(i)
	}
	s := newSchedule(o)
	for i := range o.n {
		if r := o.at(i); !s.step(r) {
			return Result{Name: OptimumName, Note: fmt.Sprintf("the optimum is not computed: a call of %q needs %s at once with its workspace and what is entered around it, the budget is %s",
				o.header.Components[r.component].Name, s.least(r).Decimal(), o.config.Budget)}
		}
	}
	return o.account.result(OptimumName, s.peak, o.config.Budget)
}

// A schedule is the state of the device while an Optimum decides.
type schedule struct {
	o        *Optimum
	resident []units.Bytes
	leases   []int // calls and enters in progress
	dirty    []bool
	victims  victims
	used     units.Bytes // by weights
	held     units.Bytes // by the workspace of entered components
	peak     units.Bytes
}

func newSchedule(o *Optimum) *schedule {
	n := len(o.header.Components)
	s := &schedule{o: o, resident: make([]units.Bytes, n), leases: make([]int, n), dirty: make([]bool, n)}
	s.victims = victims{next: make([]uint32, n), place: make([]int, n)}
	for i := range s.victims.place {
		s.victims.place[i] = absent
	}
	return s
}

// step lets one run happen. It returns false when there is no room for it.
func (s *schedule) step(r *run) bool {
	c, work := int(r.component), s.o.works[r.workspace]
	if r.kind == trace.Exit {
		s.held -= work
		s.release(r)
		return true
	}
	s.leases[c]++
	s.victims.remove(c)
	missing := s.o.header.Components[c].Bytes - s.resident[c]
	back, ok := s.evict(s.used + missing + s.held + work - s.o.config.Budget)
	if !ok {
		return false
	}
	s.used += missing
	s.resident[c] += missing
	s.peak = max(s.peak, s.used+s.held+work)
	config := &s.o.config
	s.o.account.add(r.request, missing, back,
		plus(copyTime(config.D2H, config.Latency, back), copyTime(config.H2D, config.Latency, missing)))
	if r.kind == trace.Enter {
		s.held += work
	} else {
		s.release(r)
	}
	return true
}

// release ends a call: its component may be evicted again.
func (s *schedule) release(r *run) {
	c := int(r.component)
	s.leases[c]--
	s.dirty[c] = !s.o.header.Components[c].ReadOnly
	s.victims.next[c] = r.next
	if s.leases[c] == 0 {
		heap.Push(&s.victims, c)
	}
}

// evict makes room for so many bytes more, and returns how many of them must be
// copied back. It returns false when it cannot.
func (s *schedule) evict(short units.Bytes) (back units.Bytes, ok bool) {
	for short > 0 {
		if s.victims.Len() == 0 {
			return back, false
		}
		c := s.victims.order[0]
		n := min(short, s.resident[c])
		s.resident[c] -= n
		s.used -= n
		short -= n
		if s.dirty[c] {
			back = plus(back, n)
		}
		if s.resident[c] == 0 {
			s.victims.remove(c)
		}
	}
	return back, true
}

// least is the room that r cannot do without.
func (s *schedule) least(r *run) units.Bytes {
	n := s.held + s.o.works[r.workspace]
	for c, leases := range s.leases {
		if leases > 0 {
			n += s.o.header.Components[c].Bytes
		}
	}
	return n
}

// victims are the components that may be evicted, the one used furthest ahead
// first; among those never used again, the first in the header.
type victims struct {
	order []int    // a heap of components
	place []int    // of each component in order, absent for none
	next  []uint32 // use of each component
}

const absent = -1

func (v *victims) Len() int { return len(v.order) }

func (v *victims) Less(i, j int) bool {
	a, b := v.order[i], v.order[j]
	if v.next[a] != v.next[b] {
		return v.next[a] > v.next[b]
	}
	return a < b
}

func (v *victims) Swap(i, j int) {
	v.order[i], v.order[j] = v.order[j], v.order[i]
	v.place[v.order[i]], v.place[v.order[j]] = i, j
}

func (v *victims) Push(c any) {
	v.place[c.(int)] = len(v.order)
	v.order = append(v.order, c.(int))
}

func (v *victims) Pop() any {
	last := len(v.order) - 1
	c := v.order[last]
	v.order = v.order[:last]
	v.place[c] = absent
	return c
}

func (v *victims) remove(c int) {
	if v.place[c] != absent {
		heap.Remove(v, v.place[c])
	}
}
