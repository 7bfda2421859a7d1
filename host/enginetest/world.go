package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// What a Step is. From deliver on, a completion is handed to the engine.
const (
	begin = iota
	end
	call
	call2
	call3
	done
	done2
	surroundings
	loss
	tick
	lateAnswer
	deliver
	whats = 16
)

// timeout is how long the engine waits for silent devices.
const timeout = time.Second

// world is an engine and a device that a schedule happens to.
type world struct {
	*books
	s        Schedule
	cfg      host.Config
	e        *host.Engine
	dev      Device
	contents *contents
	now      time.Duration

	fault    func(host.Action) Fault
	injected map[host.OpID]host.Status
	silent   map[host.OpID]bool            // they never answer
	withheld map[host.OpID]bool            // their answers are kept back
	answers  map[host.OpID]host.Completion // that have come, not been delivered
	awaited  int
	gone     bool // the device is lost, whether the engine knows or not
	dying    bool // it is to be lost once what was asked of it is submitted

	open    []uint32 // requests
	request uint32
	call    host.CallID

	inputs   []host.Input
	policies map[int]wildPolicy // of the swaps among them
	acts     []string
}

// run lets a schedule happen. With fault, that decides what goes wrong.
func (b Bench) run(t rapid.TB, s Schedule, fault func(host.Action) Fault) {
	w := b.open(t, s, fault)
	defer w.dev.Close()
	for _, spec := range w.specs {
		w.step(host.Input{Kind: host.InRegister, Spec: spec})
	}
	for _, step := range w.s.Steps {
		w.now += time.Duration(step.Wait) * time.Millisecond
		w.do(step)
	}
	w.finishAll()
	w.repeat()
	w.doubtSilent()
	w.contents.close()
}

func (b Bench) open(t rapid.TB, s Schedule, fault func(host.Action) Fault) *world {
	s.Policy.scale = b.Scale
	specs, constraints := s.specs(b.Scale)
	bk := &books{t: t, specs: specs, chunk: chunkSize * b.Scale, gran: granularity * b.Scale, budget: units.Bytes(s.Budget) * b.Scale,
		pending: map[host.OpID]*bookedOp{}, calls: map[host.CallID]*bookedCall{}, keptBy: map[uint32]map[host.ID]bool{}}
	for i, p := range s.Parts {
		of := func(c uint8) bool { return p.Constraint == c || i > 0 && p.Child && s.Parts[0].Constraint == c }
		bk.parts = append(bk.parts, bookedPart{excluded: of(excluded), keep: of(kept),
			held: map[int]bool{}, valid: map[int]bool{}, dirty: map[int]bool{}, back: map[int]bool{}})
	}
	w := &world{books: bk, s: s, fault: fault, injected: map[host.OpID]host.Status{}, silent: map[host.OpID]bool{}, withheld: map[host.OpID]bool{},
		answers: map[host.OpID]host.Completion{}, policies: map[int]wildPolicy{}}
	if fault == nil {
		w.fault = w.scheduled
	}
	w.cfg = host.Config{Granularity: bk.gran, Chunk: bk.chunk, H2D: 1000, D2H: 1000, Budget: bk.budget, Constraints: constraints, HarmBound: s.HarmBound}
	if s.Silent {
		w.cfg.Timeout = timeout
	}
	w.e = w.engine()
	bk.dump = func() {
		if b.Dump != nil {
			t.Logf("%s", b.Dump(w.e))
		}
	}
	var err error
	// A device for the largest budget that there may be.
	most := units.Bytes(max(s.Budget, s.total()+40)) * b.Scale
	if w.dev, err = b.Open(World{Budget: most, Chunk: bk.chunk, Granularity: bk.gran, Components: specs, Fault: w.inject}); err != nil {
		t.Fatalf("opening a device: %v", err)
	}
	w.contents = newContents(bk, w.dev)
	return w
}

// engine returns one as the schedule wants it.
func (w *world) engine() *host.Engine {
	p := w.s.Policy
	cfg := w.cfg
	cfg.Policy = &p
	e, err := host.New(cfg)
	if err != nil {
		w.t.Fatalf("the engine: %v", err)
	}
	return e
}

// scheduled is what goes wrong with the next action.
func (w *world) scheduled(a host.Action) Fault {
	if len(w.s.Faults) == 0 {
		return Fault{}
	}
	switch w.s.Faults[len(w.injected)%len(w.s.Faults)] {
	case noMemory:
		if a.Kind == host.ActCopyIn {
			return Fault{Status: host.OutOfMemory}
		}
	case failed:
		return Fault{Status: host.Failed}
	case slow:
		return Fault{Delay: 100 * time.Microsecond}
	case silent:
		return Fault{Silent: w.s.Silent}
	}
	return Fault{}
}

// inject is what the device asks.
func (w *world) inject(a host.Action) Fault {
	f := w.fault(a)
	if f.Status == host.Lost {
		w.dying = true
		f.Status = host.OK
	}
	w.injected[a.Op] = f.Status
	if f.Silent {
		w.silent[a.Op] = true
	}
	return f
}

// step feeds the engine and passes on what it wants done.
func (w *world) step(in host.Input) {
	in.Time = w.now
	w.inputs = append(w.inputs, in)
	out, err := w.e.Step(in)
	if err != nil {
		w.fatalf("step %v: %v", in.Kind, err)
	}
	var granted []host.CallID
	for _, a := range out.Actions {
		w.acts = append(w.acts, show(a))
		w.see(a, w.now)
		switch a.Kind {
		case host.ActCopyIn, host.ActCopyBack, host.ActRelease:
			w.dev.Submit(a)
			if !w.silent[a.Op] {
				w.awaited++
			}
		case host.ActGrant:
			granted = append(granted, a.Call)
		}
	}
	if w.dying {
		w.dying = false
		w.loseDevice()
	}
	if !w.gone {
		for _, k := range granted {
			w.contents.see(k, w.calls[k].c)
		}
	}
}

// await waits until the device has done all that it was asked and will answer.
func (w *world) await() {
	for ; w.awaited > 0; w.awaited-- {
		w.took(w.wait())
	}
	if h := w.contents.holder; h != nil && h.Used() > w.allocated {
		w.fatalf("the device has allocated %v, the books say %v", h.Used(), w.allocated)
	}
}

func (w *world) wait() host.Completion {
	c, ok := w.dev.Wait(host.Forever)
	if !ok {
		w.fatalf("the device has nothing in flight and owes %d answers", w.awaited)
	}
	return c
}

// took books what the device answered. The engine is not told yet.
func (w *world) took(c host.Completion) {
	a := w.pending[c.Op]
	if _, twice := w.answers[c.Op]; a == nil || twice || w.silent[c.Op] {
		w.fatalf("the device answers operation %d, which is not in flight", c.Op)
	}
	if w.gone {
		c.Status = host.Lost // or had been done before, by chance
	}
	switch {
	case c.Status == host.Lost && w.gone:
		if a.Kind == host.ActCopyBack {
			w.contents.unknown[place{a.Component, a.Chunk}] = true
		}
	case c.Status != w.injected[c.Op]:
		w.fatalf("%v of chunk %d of %d: %v, %v: want %v", a.Kind, a.Chunk, a.Component, c.Status, c.Err, w.injected[c.Op])
	case c.Status == host.OK:
		w.contents.copied(&a.Action)
	}
	w.answers[c.Op] = c
}

func (w *world) loseDevice() {
	w.gone = true
	w.dev.Lose()
	for op, c := range w.answers {
		c.Status = host.Lost
		w.answers[op] = c
	}
	w.doubtSilent()
}

// doubtSilent books that nobody knows which of the copies back that never answer were done.
func (w *world) doubtSilent() {
	for op := range w.silent {
		if a := w.pending[op]; a != nil && a.Kind == host.ActCopyBack {
			w.contents.unknown[place{a.Component, a.Chunk}] = true
		}
	}
}

// told books that the engine learns of a loss with the next input.
func (w *world) told() {
	if !w.lost {
		w.books.lose()
	}
}

// hand delivers an answer.
func (w *world) hand(op host.OpID) {
	c := w.answers[op]
	delete(w.answers, op)
	delete(w.withheld, op)
	a := w.pending[op]
	st := c.Status
	if st == host.Lost && a.epoch == w.epoch {
		w.told()
	}
	if a.epoch != w.epoch {
		st = host.Lost
	}
	if st == host.OutOfMemory {
		w.foreign = 0 // the engine's own guess, which it may not exceed either, is not known here
	}
	w.finish(op, st)
	w.step(host.Input{Kind: host.InCompleted, Op: op, Status: c.Status})
}

// ready are the answers that may be delivered, in the order of the actions.
func (w *world) ready(withheld bool) []host.OpID {
	w.await()
	var ops []host.OpID
	for _, op := range w.order {
		if _, ok := w.answers[op]; ok && w.withheld[op] == withheld {
			ops = append(ops, op)
		}
	}
	return ops
}

func (w *world) do(s Step) {
	switch s.What {
	case begin:
		w.request++
		w.open = append(w.open, w.request)
		w.keptBy[w.request] = map[host.ID]bool{}
		w.step(host.Input{Kind: host.InBegin, Request: w.request, Signature: uint64(w.request % 3)})
	case end:
		w.end()
	case call, call2, call3:
		w.newCall(s)
	case done, done2:
		w.done(s.A)
	case surroundings:
		w.surround(s)
	case loss:
		w.lossOrReturn(s)
	case tick:
		if d, ok := w.e.Deadline(); ok {
			w.tick(d)
		}
	case lateAnswer:
		if ops := w.ready(true); len(ops) > 0 {
			w.hand(ops[s.A%len(ops)])
		}
	default:
		ops := w.ready(false)
		if len(ops) == 0 {
			return
		}
		op := ops[s.A%len(ops)]
		if w.s.Silent && s.B%31 == 0 {
			w.withheld[op] = true
			return
		}
		w.hand(op)
	}
}

func (w *world) newCall(s Step) {
	w.call++
	scale := w.gran / granularity
	c := &bookedCall{c: host.ID(s.A % len(w.specs)), workspace: units.Bytes(s.B%13) * scale}
	if len(w.open) > 0 && s.C%6 > 0 {
		c.request = w.open[s.C/6%len(w.open)]
	}
	w.calls[w.call] = c
	w.step(host.Input{Kind: host.InCall, Call: w.call, Component: c.c, Request: c.request, Workspace: c.workspace})
	if w.lost && w.calls[w.call] != nil {
		w.fatalf("call %d is not refused by a device that is lost", w.call)
	}
}

// done lets a granted call compute and end; false when there is none.
func (w *world) done(which int) bool {
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
	id := ids[which%len(ids)]
	k := w.calls[id]
	if k.epoch == w.epoch {
		w.compute(id, k)
	}
	delete(w.calls, id)
	w.workspace -= k.workspace
	if p := &w.parts[k.c]; !w.specs[k.c].ReadOnly {
		for i := range p.valid {
			p.dirty[i] = true
		}
	}
	w.step(host.Input{Kind: host.InDone, Call: id})
	return true
}

// compute lets a call use its weights. One that finds the device lost tells the engine.
func (w *world) compute(id host.CallID, k *bookedCall) {
	w.await()
	if !w.gone {
		w.contents.see(id, k.c)
	}
	w.dev.Compute(id, k.c, 0)
	c := w.wait()
	switch {
	case c.Call != id:
		w.fatalf("the device answers %+v: want the end of call %d", c, id)
	case w.gone && c.Err == nil:
		w.fatalf("call %d has used a device that is lost", id)
	case w.gone:
		if !w.lost {
			w.told()
			w.step(host.Input{Kind: host.InLost})
		}
	case c.Err != nil:
		w.fatalf("call %d: %v", id, c.Err)
	default:
		w.contents.changed(k.c)
	}
}

// end ends a request without open calls; false when there is none.
func (w *world) end() bool {
	for i, r := range w.open {
		busy := false
		for _, k := range w.calls {
			busy = busy || k.request == r
		}
		if !busy {
			w.open = slices.Delete(w.open, i, i+1)
			delete(w.keptBy, r)
			w.step(host.Input{Kind: host.InEnd, Request: r})
			return true
		}
	}
	return false
}

// surround changes the policy, the budget, or what others use.
func (w *world) surround(s Step) {
	scale := w.gran / granularity
	switch {
	case s.A%3 == 0:
		p := randomPolicy(rand.New(rand.NewPCG(uint64(s.B), uint64(s.C))), len(w.specs))
		p.scale = scale
		w.policies[len(w.inputs)] = p
		w.step(host.Input{Kind: host.InSwap, Policy: &p, Trial: s.C % 13, Handover: s.B%2 == 0})
	case !w.s.Faulty:
	case s.B%5 == 0:
		w.budget = units.Bytes(leastBudget+s.C%(w.s.total()+40-leastBudget+1)) * scale
		w.step(host.Input{Kind: host.InBudget, Bytes: w.budget})
	default:
		w.foreign = units.Bytes(s.C%21) * scale
		w.step(host.Input{Kind: host.InForeign, Bytes: w.foreign})
	}
}

// lossOrReturn takes the device away, with or without a word, or brings it back.
func (w *world) lossOrReturn(s Step) {
	switch {
	case w.lost && w.gone:
		w.await()
		if err := w.dev.Restore(); err != nil {
			w.fatalf("restoring the device: %v", err)
		}
		w.gone, w.lost = false, false
		w.step(host.Input{Kind: host.InRestored})
	case w.gone || !w.s.Loses || s.A%2 == 0:
	default:
		w.loseDevice()
		if s.B%3 > 0 {
			w.told()
			w.step(host.Input{Kind: host.InLost})
		}
	}
}

// tick lets the time pass until d and tells the engine.
func (w *world) tick(d time.Duration) {
	w.now = max(w.now, d)
	for _, p := range w.pending {
		p.late = p.late || p.since+timeout <= w.now
	}
	w.step(host.Input{Kind: host.InTick})
}

// finishAll is rule 4: with everything delivered and every granted call and its request
// ended, no call is left waiting.
func (w *world) finishAll() {
	for range 100000 {
		if ops := w.ready(false); len(ops) > 0 {
			w.hand(ops[0])
			continue
		}
		if w.done(0) || w.end() {
			continue
		}
		if d, ok := w.e.Deadline(); ok && len(w.calls) > 0 {
			w.tick(d)
			continue
		}
		break
	}
	if len(w.calls) > 0 {
		w.fatalf("%d calls neither granted nor refused", len(w.calls))
	}
}

// repeat is rule 6: the same inputs give the same actions.
func (w *world) repeat() {
	e := w.engine()
	var again []string
	for i, in := range w.inputs {
		if p, ok := w.policies[i]; ok {
			in.Policy = &p
		}
		out, err := e.Step(in)
		if err != nil {
			w.fatalf("step %v, again: %v", in.Kind, err)
		}
		for _, a := range out.Actions {
			again = append(again, show(a))
		}
	}
	if !slices.Equal(w.acts, again) || w.e.DecisionsSHA256() != e.DecisionsSHA256() {
		w.fatalf("the same inputs gave other actions")
	}
}

// show prints an action, but for the state that a policy to discard is in.
func show(a host.Action) string {
	a.Policy = nil
	return fmt.Sprint(a)
}
