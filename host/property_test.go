package host_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// The rules that the engine never breaks, whatever a policy says and a device does:
// random components, calls, budgets, answers and faults, checked against books that
// the test keeps by itself from the actions alone. A failure prints the seed that
// replays it (-rapid.seed).

// wildPolicy answers at random: sensible, unlawful and malformed decisions, errors,
// lost instances. What it says depends on its seed and the event alone, so that a
// second run hears the same.
type wildPolicy struct {
	seed       uint64
	components int
	wildness   int // 0 to 100: how often it says anything
	dead       bool
	suspended  bool
}

func (p *wildPolicy) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if p.suspended {
		panic("a suspended policy is told something")
	}
	r := rand.New(rand.NewPCG(p.seed, ev.Seq<<8|uint64(ev.Kind)))
	if r.IntN(100) >= p.wildness {
		return nil, nil
	}
	if r.IntN(40) == 0 {
		return nil, errors.New("the policy failed")
	}
	var ds []abi.Decision
	for range r.IntN(4) {
		d := abi.Decision{Op: abi.Op(1 + r.IntN(3)), Component: uint32(r.IntN(p.components)), Reason: uint16(r.IntN(9))}
		if r.IntN(2) == 0 {
			d.Arg = uint64(r.IntN(64))
		}
		if r.IntN(50) == 0 {
			d.Op, d.Component = abi.Op(r.IntN(6)), r.Uint32()
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func (p *wildPolicy) Suspend() { p.suspended = true }

func (p *wildPolicy) Save() ([]byte, error) {
	if p.seed%3 == 0 {
		return nil, errors.New("cannot save")
	}
	return []byte{byte(p.seed)}, nil
}

func (p *wildPolicy) Restore(blob []byte) (bool, error) {
	if blob[0]%5 == 0 {
		return false, errors.New("cannot restore")
	}
	return blob[0]%2 == 0, nil
}

func (p *wildPolicy) Revive() (bool, error) {
	r := rand.New(rand.NewPCG(p.seed, 77))
	if p.dead {
		return false, errors.New("dead")
	}
	if p.suspended {
		p.suspended = false
		return true, nil
	}
	return r.IntN(2) == 0, nil
}

// books are the test's own account of the world, from actions alone.
type books struct {
	t         *rapid.T
	specs     []host.Spec
	geo       func(units.Bytes) units.Bytes
	chunk     units.Bytes
	budget    units.Bytes
	foreign   units.Bytes
	allocated units.Bytes
	workspace units.Bytes
	held      []map[int]bool // chunks whose memory is allocated
	valid     []map[int]bool // chunks that hold the weights
	dirty     []map[int]bool
	back      []map[int]bool // copied back, to be released
	pending   map[host.OpID]host.Action
	order     []host.OpID
	dump      func() string
	late      map[host.OpID]bool // given up by a tick
	calls     map[host.CallID]*bookedCall
	keptBy    map[uint32]map[host.ID]bool
	exclude   map[host.ID]bool
	keep      map[host.ID]bool
}

type bookedCall struct {
	c         host.ID
	request   uint32
	workspace units.Bytes
	granted   bool
}

func (b *books) leased(c host.ID) bool {
	for _, k := range b.calls {
		if k.c == c && k.granted {
			return true
		}
	}
	return false
}

func (b *books) see(a host.Action) {
	switch a.Kind {
	case host.ActCopyIn:
		if b.held[a.Component][a.Chunk] {
			b.t.Fatalf("chunk %d of %d is loaded while its memory is in use", a.Chunk, a.Component)
		}
		b.held[a.Component][a.Chunk] = true
		b.allocated += a.Alloc
		b.checkBudget("an allocation")
		for i := range a.Chunk {
			if !b.held[a.Component][i] {
				b.t.Fatalf("chunk %d of %d is loaded before chunk %d", a.Chunk, a.Component, i)
			}
		}
	case host.ActCopyBack, host.ActRelease:
		if !b.valid[a.Component][a.Chunk] && !b.back[a.Component][a.Chunk] {
			b.t.Fatalf("%v of chunk %d of %d, which is not resident", a.Kind, a.Chunk, a.Component)
		}
		if b.leased(a.Component) {
			b.t.Fatalf("%v of a chunk of %d, which a call uses", a.Kind, a.Component)
		}
		if b.exclude[a.Component] {
			b.t.Fatalf("%v of a chunk of %d, which is excluded", a.Kind, a.Component)
		}
		if !b.back[a.Component][a.Chunk] {
			for r, kept := range b.keptBy {
				if kept[a.Component] {
					b.t.Fatalf("%v of a chunk of %d, which request %d keeps", a.Kind, a.Component, r)
				}
			}
		}
		if a.Kind == host.ActCopyBack {
			if b.specs[a.Component].ReadOnly {
				b.t.Fatalf("read-only bytes of %d are copied back", a.Component)
			}
			delete(b.valid[a.Component], a.Chunk)
			b.back[a.Component][a.Chunk] = true
		} else {
			if b.dirty[a.Component][a.Chunk] {
				b.t.Fatalf("chunk %d of %d is dirty and dropped", a.Chunk, a.Component)
			}
			delete(b.valid[a.Component], a.Chunk)
			delete(b.back[a.Component], a.Chunk)
		}
	case host.ActGrant:
		k := b.calls[a.Call]
		if k == nil || k.granted {
			b.t.Fatalf("grant of call %d, which does not wait", a.Call)
		}
		n := int((b.geo(b.specs[k.c].Bytes) + b.chunk - 1) / b.chunk)
		if len(b.valid[k.c]) != n {
			b.t.Fatalf("call %d starts with %d of %d chunks", a.Call, len(b.valid[k.c]), n)
		}
		k.granted = true
		b.workspace += k.workspace
		b.checkBudget("a grant")
		if k.request != 0 && b.keep[k.c] {
			b.keptBy[k.request][k.c] = true
		}
		return
	case host.ActRefuse:
		if a.Err == nil || a.Err.Error() == "" {
			b.t.Fatalf("call %d is refused without a reason", a.Call)
		}
		var r *host.Refusal
		if errors.As(a.Err, &r) && r.Short() <= 0 {
			b.t.Fatalf("call %d is refused, but its numbers fit: %v\n%s", a.Call, a.Err, b.dump())
		}
		delete(b.calls, a.Call)
		return
	case host.ActTrim, host.ActDiscard:
		return
	}
	in, out := 0, 0
	for op, p := range b.pending {
		if !b.late[op] && p.Kind == host.ActCopyIn {
			in++
		} else if !b.late[op] && p.Kind == host.ActCopyBack {
			out++
		}
	}
	if a.Kind == host.ActCopyIn && in >= 2 || a.Kind == host.ActCopyBack && out >= 2 {
		b.t.Fatalf("%v with two copies in flight", a.Kind)
	}
	b.pending[a.Op] = a
	b.order = append(b.order, a.Op)
}

func (b *books) checkBudget(what string) {
	if sum := b.allocated + b.workspace + b.foreign; sum > b.budget {
		b.t.Fatalf("%s brings %v in use above the budget %v", what, sum, b.budget)
	}
}

// finish completes one action of the device.
func (b *books) finish(id host.OpID, st host.Status) {
	a := b.pending[id]
	delete(b.pending, id)
	b.order = slices.DeleteFunc(b.order, func(x host.OpID) bool { return x == id })
	switch a.Kind {
	case host.ActCopyIn:
		if st == host.OK {
			b.valid[a.Component][a.Chunk] = true
			delete(b.dirty[a.Component], a.Chunk)
		} else {
			delete(b.held[a.Component], a.Chunk)
			b.allocated -= a.Alloc
		}
	case host.ActCopyBack:
		if st == host.OK {
			delete(b.dirty[a.Component], a.Chunk)
		} else {
			delete(b.back[a.Component], a.Chunk)
			b.valid[a.Component][a.Chunk] = true
		}
	case host.ActRelease:
		if st == host.OK {
			delete(b.held[a.Component], a.Chunk)
			b.allocated -= a.Alloc
		}
	}
}

type world struct {
	*books
	e      *host.Engine
	now    time.Duration
	inputs []host.Input
	acts   []string
}

func (w *world) step(in host.Input) {
	in.Time = w.now
	w.inputs = append(w.inputs, in)
	out, err := w.e.Step(in)
	if err != nil {
		w.t.Fatalf("step %v: %v", in.Kind, err)
	}
	for _, a := range out.Actions {
		w.acts = append(w.acts, show(a))
		w.see(a)
	}
}

func (w *world) complete(i int, st host.Status) {
	id := w.order[i]
	w.finish(id, st)
	w.step(host.Input{Kind: host.InCompleted, Op: id, Status: st})
}

func TestRulesHoldUnderRandomEventsAndFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const gran, chunk = 2, 8
		n := rapid.IntRange(1, 7).Draw(t, "components")
		specs := make([]host.Spec, n)
		b := &books{t: t, specs: specs, chunk: chunk, pending: map[host.OpID]host.Action{}, late: map[host.OpID]bool{}, calls: map[host.CallID]*bookedCall{},
			keptBy: map[uint32]map[host.ID]bool{}, exclude: map[host.ID]bool{}, keep: map[host.ID]bool{},
			geo: func(n units.Bytes) units.Bytes { return (n + gran - 1) / gran * gran }}
		cfg := host.Config{Granularity: gran, Chunk: chunk, H2D: 1000, D2H: 1000}
		var total units.Bytes
		for i := range specs {
			specs[i] = host.Spec{Name: fmt.Sprintf("c%d", i), Bytes: units.Bytes(rapid.IntRange(0, 60).Draw(t, "bytes")),
				ReadOnly: rapid.IntRange(0, 3).Draw(t, "readOnly") > 0, Parent: host.NoComponent}
			if i > 0 && rapid.IntRange(0, 4).Draw(t, "child") == 0 && specs[0].Parent == host.NoComponent {
				specs[i].Parent = 0
			}
			total += specs[i].Bytes
			for range 4 {
				b.held, b.valid, b.dirty, b.back = grow(b.held, i), grow(b.valid, i), grow(b.dirty, i), grow(b.back, i)
			}
			switch rapid.IntRange(0, 9).Draw(t, "constraint") {
			case 0:
				cfg.Exclude = append(cfg.Exclude, specs[i].Name)
			case 1:
				cfg.Keep = append(cfg.Keep, specs[i].Name)
			}
		}
		for i, s := range specs {
			for _, x := range cfg.Exclude {
				b.exclude[host.ID(i)] = b.exclude[host.ID(i)] || s.Name == x || s.Parent == 0 && x == "c0"
			}
			for _, x := range cfg.Keep {
				b.keep[host.ID(i)] = b.keep[host.ID(i)] || s.Name == x || s.Parent == 0 && x == "c0"
			}
		}
		cfg.Budget = units.Bytes(rapid.IntRange(8, int(total)+40).Draw(t, "budget"))
		b.budget = cfg.Budget
		faulty := rapid.Bool().Draw(t, "faulty device")
		loses := faulty && rapid.Bool().Draw(t, "lost completions")
		if loses {
			cfg.Timeout = time.Second
		}
		policy := wildPolicy{seed: rapid.Uint64().Draw(t, "policy"), components: n,
			wildness: rapid.SampledFrom([]int{0, 10, 60, 100}).Draw(t, "wildness"), dead: rapid.IntRange(0, 9).Draw(t, "dead") == 0}
		cfg.HarmBound = rapid.Bool().Draw(t, "harm bound")
		first := policy
		cfg.Policy = &first
		e, err := host.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{books: b, e: e}
		b.dump = e.Dump
		for _, s := range specs {
			w.step(host.Input{Kind: host.InRegister, Spec: s})
		}

		var open []uint32
		var request uint32
		var id host.CallID
		lost := map[host.OpID]bool{}
		status := func() host.Status {
			if !faulty {
				return host.OK
			}
			switch rapid.IntRange(0, 12).Draw(t, "status") {
			case 0:
				return host.OutOfMemory
			case 1:
				return host.Failed
			}
			return host.OK
		}
		alive := func() []int {
			var live []int
			for i, op := range w.order {
				if !lost[op] {
					live = append(live, i)
				}
			}
			return live
		}
		completeOne := func() bool {
			live := alive()
			if len(live) == 0 {
				return false
			}
			i := live[rapid.IntRange(0, len(live)-1).Draw(t, "which")]
			st := status()
			if st == host.OutOfMemory {
				if w.pending[w.order[i]].Kind != host.ActCopyIn {
					st = host.OK
				} else {
					w.foreign = 0 // the engine's own guess, which it may not exceed either, is not known here
				}
			}
			if loses && rapid.IntRange(0, 30).Draw(t, "lose") == 0 {
				lost[w.order[i]] = true
				return true
			}
			w.complete(i, st)
			return true
		}
		finish := func() bool {
			var ids []host.CallID
			for k, c := range w.calls {
				if c.granted {
					ids = append(ids, k)
				}
			}
			if len(ids) == 0 {
				return false
			}
			slices.Sort(ids)
			k := ids[rapid.IntRange(0, len(ids)-1).Draw(t, "done")]
			c := w.calls[k]
			delete(w.calls, k)
			w.workspace -= c.workspace
			if !specs[c.c].ReadOnly {
				for i := range w.valid[c.c] {
					w.dirty[c.c][i] = true
				}
			}
			w.step(host.Input{Kind: host.InDone, Call: k})
			return true
		}

		end := func() bool {
			for i, r := range open {
				if !slices.ContainsFunc(openCalls(w.calls), func(c *bookedCall) bool { return c.request == r }) {
					open = slices.Delete(open, i, i+1)
					delete(w.keptBy, r)
					w.step(host.Input{Kind: host.InEnd, Request: r})
					return true
				}
			}
			return false
		}

		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now += time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				request++
				open = append(open, request)
				w.keptBy[request] = map[host.ID]bool{}
				w.step(host.Input{Kind: host.InBegin, Request: request, Signature: uint64(request % 3)})
			case 1:
				end()
			case 2, 3, 4:
				id++
				c := &bookedCall{c: host.ID(rapid.IntRange(0, n-1).Draw(t, "callee")), workspace: units.Bytes(rapid.IntRange(0, 12).Draw(t, "workspace"))}
				if len(open) > 0 && rapid.IntRange(0, 5).Draw(t, "inside") > 0 {
					c.request = open[rapid.IntRange(0, len(open)-1).Draw(t, "request")]
				}
				w.calls[id] = c
				w.step(host.Input{Kind: host.InCall, Call: id, Component: c.c, Request: c.request, Workspace: c.workspace})
			case 5, 6:
				finish()
			case 7:
				if rapid.IntRange(0, 2).Draw(t, "swap") == 0 {
					other := wildPolicy{seed: rapid.Uint64().Draw(t, "other policy"), components: n,
						wildness: rapid.SampledFrom([]int{0, 60, 100}).Draw(t, "its wildness"), dead: rapid.IntRange(0, 9).Draw(t, "its death") == 0}
					w.step(host.Input{Kind: host.InSwap, Policy: &other, Trial: rapid.IntRange(0, 12).Draw(t, "trial"), Handover: rapid.Bool().Draw(t, "handover")})
				} else if faulty && rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
					w.budget = units.Bytes(rapid.IntRange(8, int(total)+40).Draw(t, "new budget"))
					w.step(host.Input{Kind: host.InBudget, Bytes: w.budget})
				} else if faulty {
					w.foreign = units.Bytes(rapid.IntRange(0, 20).Draw(t, "foreign"))
					w.step(host.Input{Kind: host.InForeign, Bytes: w.foreign})
				}
			default:
				completeOne()
			}
		}

		// Rule 4: with everything delivered and every granted call and its request
		// ended, no call is left waiting.
		for range 100000 {
			if live := alive(); len(live) > 0 {
				w.complete(live[0], host.OK)
				continue
			}
			if finish() || end() {
				continue
			}
			if d, ok := w.e.Deadline(); ok && len(w.calls) > 0 {
				w.now = max(w.now, d)
				for _, op := range w.order {
					w.late[op] = true // every one left is lost, and all are older
				}
				w.step(host.Input{Kind: host.InTick})
				continue
			}
			break
		}
		if len(w.calls) > 0 {
			t.Fatalf("%d calls neither granted nor refused:\n%s", len(w.calls), e.Dump())
		}

		// Rule 6: the same inputs give the same actions.
		second := policy
		cfg.Policy = &second
		e2, err := host.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var again []string
		for _, in := range w.inputs {
			out, err := e2.Step(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range out.Actions {
				again = append(again, show(a))
			}
		}
		if !reflect.DeepEqual(w.acts, again) || e.DecisionsSHA256() != e2.DecisionsSHA256() {
			t.Fatal("the same inputs gave other actions")
		}
	})
}

// show prints an action, but for the state that a policy to discard is in.
func show(a host.Action) string {
	a.Policy = nil
	return fmt.Sprint(a)
}

func grow(m []map[int]bool, i int) []map[int]bool {
	for len(m) <= i {
		m = append(m, map[int]bool{})
	}
	return m
}

func openCalls(m map[host.CallID]*bookedCall) []*bookedCall {
	var v []*bookedCall
	for _, c := range m {
		v = append(v, c)
	}
	return v
}
