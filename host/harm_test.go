package host_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
)

// saboteur answers every event with lawful decisions at random: evictions, mostly,
// prefetches, and wishes.
type saboteur struct {
	*rand.Rand
	components int
	greed      int // of 100: how often it answers
}

func (s *saboteur) Decide(*abi.Event, []byte) ([]abi.Decision, error) {
	var ds []abi.Decision
	for c := range uint32(s.components) {
		if s.IntN(100) < s.greed {
			d := abi.Decision{Op: []abi.Op{abi.Evict, abi.Evict, abi.Prefetch, abi.Retain}[s.IntN(4)], Component: c}
			if d.Op == abi.Retain {
				d.Arg = abi.MaxRetain
			}
			ds = append(ds, d)
		}
	}
	return ds, nil
}

func (s *saboteur) Revive() (bool, error) { return false, nil }
func (s *saboteur) Suspend()              {}

// meter is a device that adds up what is moved while each request is open.
type meter struct {
	*sim.Device
	open  uint32
	moved map[uint32]units.Bytes
}

func (m *meter) Submit(a host.Action) {
	if a.Kind != host.ActRelease && m.open > 0 && (a.Request == m.open || a.Request == 0) {
		m.moved[m.open] += a.Alloc
	}
	m.Device.Submit(a)
}

type harmCase struct {
	specs   []host.Spec
	exclude []string
	budget  units.Bytes
	calls   [][]host.ID // by request
}

// run returns what each request moved, and how often the bound was met.
func (c *harmCase) run(t *testing.T, p host.Policy) (moved map[uint32]units.Bytes, met int) {
	const chunk = 1
	cfg := host.Config{Budget: c.budget, Chunk: chunk, Granularity: 1, HarmBound: true, Policy: p, Constraints: host.Constraints{Exclude: c.exclude}}
	e, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{Device: sim.New(sim.Config{H2D: 1000, D2H: 1000, Release: time.Microsecond}), moved: map[uint32]units.Bytes{}}
	d := host.Driver{Engine: e, Device: m, Observe: func(r *host.Record) {
		var harm *host.HarmError
		if r.Kind == host.RecFault && errors.As(r.Err, &harm) {
			met++
		}
	}}
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.specs {
		try(d.Step(host.Input{Kind: host.InRegister, Spec: s}))
	}
	id := host.CallID(0)
	for i, calls := range c.calls {
		m.open = uint32(i + 1)
		try(d.Step(host.Input{Kind: host.InBegin, Request: m.open}))
		for _, callee := range calls {
			id++
			try(d.Call(host.Input{Call: id, Component: callee, Request: m.open}))
			try(d.Compute(id, callee, 20*time.Millisecond)) // time to move five chunks
			try(d.Step(host.Input{Kind: host.InDone, Call: id}))
		}
		try(d.Step(host.Input{Kind: host.InEnd, Request: m.open}))
		m.open = 0
		try(d.Drain())
	}
	return m.moved, met
}

// Under the bound, a request moves at most twice what it moves under the floor alone
// and one budget, and then, until its end, what the floor moves and at most one budget
// more; of weights that calls change, another budget may have to be copied back. Two
// chunks each way are in flight when the bound is met. Chunks are a byte each: in larger
// ones, what the floor would have moved is reckoned up to a chunk too high an eviction.
func TestHarmIsBounded(t *testing.T) {
	met := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := harmCase{}
		var all, largest units.Bytes
		dirty := r.IntN(3) == 0
		for i := range 2 + r.IntN(5) {
			n := units.Bytes(1 + r.IntN(40))
			all, largest = all+n, max(largest, n)
			c.specs = append(c.specs, host.Spec{Name: string(rune('a' + i)), Bytes: n, ReadOnly: !dirty || r.IntN(2) == 0, Parent: host.NoComponent})
		}
		c.budget = largest + units.Bytes(r.IntN(int(all)))
		for range 3 {
			pattern := make([]host.ID, 1+r.IntN(4)) // a loop
			for i := range pattern {
				pattern[i] = host.ID(r.IntN(len(c.specs)))
			}
			var calls []host.ID
			for range 1 + r.IntN(12) {
				calls = append(calls, pattern...)
			}
			c.calls = append(c.calls, calls)
		}
		alone, none := c.run(t, nil)
		moved, n := c.run(t, &saboteur{r, len(c.specs), []int{10, 50, 100}[r.IntN(3)]})
		met += n
		if none != 0 {
			t.Fatalf("seed %d: the bound was met %d times without a policy", seed, none)
		}
		for q := uint32(1); q <= 3; q++ {
			most := 2*alone[q] + 2*c.budget + 4*1
			if dirty {
				most += c.budget
			}
			if moved[q] > most {
				t.Errorf("seed %d: request %d moved %d, want at most %d: %d alone, the budget is %d", seed, q, moved[q], most, alone[q], c.budget)
			}
		}
	}
	if met < 100 {
		t.Errorf("the bound was met %d times: too rarely to say anything", met)
	}
	t.Logf("the bound was met %d times", met)
}

// What is excluded takes room from the floor as well, called or not: a policy that never
// answers, under which the floor decides everything, does no harm.
func TestAPolicyThatDoesNothingDoesNoHarm(t *testing.T) {
	silent := &saboteur{rand.New(rand.NewPCG(0, 0)), 0, 0}
	specs := []host.Spec{
		{Name: "excluded", Bytes: 8, ReadOnly: true, Parent: host.NoComponent},
		{Name: "a", Bytes: 2, ReadOnly: true, Parent: host.NoComponent},
		{Name: "b", Bytes: 2, ReadOnly: true, Parent: host.NoComponent},
	}
	loop := slices.Repeat([]host.ID{1, 2}, 20)
	for name, calls := range map[string][]host.ID{"never called": loop, "called at the end": append(slices.Clone(loop), 0)} {
		c := harmCase{specs: specs, exclude: []string{"excluded"}, budget: 10, calls: [][]host.ID{calls, calls}}
		moved, met := c.run(t, silent)
		if met > 0 || moved[1] < 80 {
			t.Errorf("%s: the bound was met %d times, and the first request moved %d; want never, and at least 80", name, met, moved[1])
		}
	}
}
