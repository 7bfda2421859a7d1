package journal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// roundRobin evicts components by turns and prefetches one when nothing moves. Now
// and then it fails. What it does depends on the events alone.
type roundRobin struct {
	step       uint32
	components uint32
	next       uint32
	learned    byte
}

func (p *roundRobin) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if ev.Kind == abi.Component {
		p.components = max(p.components, ev.Component+1)
	}
	p.learned++
	switch {
	case ev.Seq%97 == 96:
		return nil, errors.New("it failed")
	case ev.Kind == abi.Need:
		p.next += p.step
		return []abi.Decision{{Op: abi.Evict, Reason: 7, Component: p.next % p.components},
			{Op: abi.Evict, Component: (p.next + 1) % p.components, Arg: 1}}, nil
	case ev.Kind == abi.Idle && p.components > 0:
		return []abi.Decision{{Op: abi.Prefetch, Reason: 8, Component: ev.Component % p.components}, {Op: abi.Retain, Component: 0, Arg: 3}}, nil
	case ev.Kind == abi.Done:
		return []abi.Decision{{Op: abi.Prefetch, Reason: 9, Component: (ev.Component + 1) % p.components, Arg: ev.Free}}, nil
	}
	return nil, nil
}

func (p *roundRobin) Revive() (bool, error) { return p.learned%2 == 0, nil }
func (p *roundRobin) Suspend()              {}
func (p *roundRobin) Save() ([]byte, error) { return []byte{p.learned}, nil }
func (p *roundRobin) Restore(blob []byte) (accepted bool, _ error) {
	p.next = uint32(blob[0])
	return true, nil
}

// policies are those of the tests, by name: each time a new one.
func policies(id journal.Identity) (host.Policy, error) {
	switch id.Name {
	case "one by one":
		return &roundRobin{step: 1}, nil
	case "every third":
		return &roundRobin{step: 3}, nil
	}
	return nil, fmt.Errorf("no policy %q", id.Name)
}

func module(t testing.TB, name string) replay.Module {
	t.Helper()
	if name == "" {
		return replay.Module{}
	}
	p, err := policies(journal.Identity{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return replay.Module{Policy: p, Info: report.Policy{Name: name, ABI: "test"}, Schema: "test"}
}

func config(t testing.TB, name string, n int64, budget units.Bytes) replay.Config {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.OpenRequests(open, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return replay.Config{Source: s, Budget: budget, H2D: 25e9, D2H: 25e9, Pageable: 6e9, Latency: sim.DefaultLatency}
}

// record runs a replay and returns its journal and report.
func record(t testing.TB, c replay.Config) ([]byte, *report.Report) {
	t.Helper()
	var file bytes.Buffer
	c.Record = &replay.Recording{To: &file, Offhost: "test"}
	r, err := replay.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Record.Whole() {
		t.Fatal("the journal is not whole")
	}
	return file.Bytes(), r
}

// feed feeds a journal to a new engine.
func feed(file []byte, observe journal.Observer) (*journal.Reader, *host.Engine, error) {
	r, err := journal.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	e, err := journal.Replay(context.Background(), r, policies, observe)
	return r, e, err
}

// A journal of a run, fed back, gives every action again, the same records for the
// report, and the same decisions.
func TestFedBackItGivesEveryActionAgain(t *testing.T) {
	for _, test := range []struct {
		trace    string
		requests int64
		budget   units.Bytes
		policy   string
		swaps    []replay.Swap
		set      func(*replay.Config)
	}{
		{trace: "flux-bf16", requests: 3, budget: 25 * units.GB},
		{trace: "flux-bf16", requests: 3, budget: 26 * units.GB, policy: "one by one"},
		{trace: "flux-bf16-blocks", requests: 2, budget: 12 * units.GB, policy: "every third", set: func(c *replay.Config) { c.HarmBound = true }},
		{trace: "three-pipelines", requests: 6, budget: 24 * units.GiB, policy: "one by one",
			swaps: []replay.Swap{{At: 900, Name: "every third"}, {At: 2000, Name: "one by one", Trial: 40}}},
		{trace: "sdxl-controlnet", requests: 2, budget: 8 * units.GB, policy: "every third", set: func(c *replay.Config) {
			c.Exclude, c.Keep = []string{"vae"}, []string{"text*"}
			c.PolicyConfig = map[string]string{"threshold": "ü\t3"}
			c.FileBytes, c.File = []units.Bytes{1e6}, 1e9
		}},
	} {
		t.Run(test.trace+" "+test.policy, func(t *testing.T) {
			c := config(t, test.trace, test.requests, test.budget)
			c.Policy = module(t, test.policy)
			for _, s := range test.swaps {
				s.Load = func() (replay.Module, error) { return module(t, s.Name), nil }
				c.Swaps = append(c.Swaps, s)
			}
			if test.set != nil {
				test.set(&c)
			}
			file, want := record(t, c)
			stall, faults := int64(0), int64(0)
			r, e, err := feed(file, func(_ *host.Engine, _ *journal.Entry, out *host.Output) error {
				for _, rec := range out.Records {
					stall += int64(rec.Stall)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			n := e.Counters()
			faults = n.Faults
			if r.End().Inputs != want.Inputs || stall != want.StallNS || faults != want.Faults || n.Decisions != want.Decisions || n.Swaps != want.Swaps {
				t.Errorf("%d inputs, %d ns of stall, %d faults, %d decisions, %d swaps; want %d, %d, %d, %d, %d",
					r.End().Inputs, stall, faults, n.Decisions, n.Swaps, want.Inputs, want.StallNS, want.Faults, want.Decisions, want.Swaps)
			}
			if test.policy != "" && (want.Decisions == 0 || want.Faults == 0) {
				t.Errorf("%d decisions and %d faults: the test wants some of both", want.Decisions, want.Faults)
			}
			if want.Swaps != int64(len(test.swaps)) {
				t.Errorf("%d swaps: the test wants %d", want.Swaps, len(test.swaps))
			}
			t.Logf("%d inputs, %d bytes each", want.Inputs, int64(len(file))/want.Inputs)
		})
	}
}

// faulty is a simulated device that fails now and then.
type faulty struct {
	*sim.Device
	random *rand.Rand
	lost   bool
	seen   [host.Lost + 1]int
	kinds  map[host.OpID]host.ActionKind
}

func (d *faulty) Submit(a host.Action) {
	d.kinds[a.Op] = a.Kind
	d.Device.Submit(a)
}

func (d *faulty) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := d.Device.Wait(until)
	if !ok || c.Call != 0 {
		return c, ok
	}
	switch n := d.random.IntN(40); {
	case d.lost || n == 0:
		c.Status, d.lost = host.Lost, true
	case n == 1:
		c.Status = host.Failed
	case n == 2 && d.kinds[c.Op] == host.ActCopyIn:
		c.Status = host.OutOfMemory
	}
	d.seen[c.Status]++
	return c, ok
}

func (d *faulty) Gone() bool { return d.lost }

func (d *faulty) Restore() error {
	d.lost = false
	return nil
}

// fragile is a device that can be gone as a whole, and comes back empty.
type fragile interface {
	host.Worker
	Gone() bool
	Restore() error
}

// lossy runs random calls on a simulated device that fails, and returns the journal.
func lossy(t testing.TB, seed uint64, policy string, calls host.CallID) (file []byte, device *faulty) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	device = &faulty{Device: sim.New(sim.Config{H2D: 1e9, D2H: 1e9, Latency: 1000, Release: 500}), random: random, kinds: map[host.OpID]host.ActionKind{}}
	return ordeal(t, random, 1, device, policy, seed%2 == 0, calls), device
}

// parts are the components that an ordeal calls.
func parts(scale units.Bytes) (list []host.Spec) {
	for i := range 5 {
		list = append(list, host.Spec{Name: fmt.Sprint("c", i), Bytes: units.Bytes(100+60*i) * scale, ReadOnly: i%2 == 0, Parent: host.NoComponent})
	}
	return list
}

// ordeal runs random calls on a device that fails, eight in a request, and writes the
// journal. Its granularity is 16 bytes times the scale.
func ordeal(t testing.TB, random *rand.Rand, scale units.Bytes, device fragile, policy string, harmBound bool, calls host.CallID) []byte {
	t.Helper()
	id := journal.Identity{Name: policy}
	conf := host.Config{Budget: 1000 * scale, Chunk: 64 * scale, Granularity: 16 * scale, H2D: 1e9, D2H: 1e9, Latency: 1000, Timeout: time.Millisecond,
		Constraints: host.Constraints{Exclude: []string{"c0"}, Keep: []string{"c1"}}, HarmBound: harmBound}
	engine, err := journal.EngineOf(conf)
	if err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		if conf.Policy, err = policies(id); err != nil {
			t.Fatal(err)
		}
	}
	e, err := host.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := journal.NewWriter(&b, journal.Header{Trace: "random", Device: "faulty", Engine: engine, Policy: id, Pipelines: []journal.Pipeline{{Name: "p", Components: []int{0, 1, 2, 3, 4}}}})
	if err != nil {
		t.Fatal(err)
	}
	swap := journal.Identity{}
	d := &host.Driver{Engine: e, Device: device, Journal: func(in *host.Input, out *host.Output) error {
		id := journal.Identity{}
		if in.Kind == host.InSwap {
			id = swap
		}
		return w.Write(in, id, out)
	}}
	step := func(in host.Input) {
		t.Helper()
		if err := d.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	for _, spec := range parts(scale) {
		step(host.Input{Kind: host.InRegister, Spec: spec})
	}
	var call host.CallID
	for r := uint32(0); call < calls; r++ {
		step(host.Input{Kind: host.InEnqueued, Request: r + 1, Signature: abi.NameHash("p")})
		step(host.Input{Kind: host.InBegin, Request: r + 1, Signature: abi.NameHash("p"), Steps: 8, Order: []host.ID{1, 2, 3}})
		for range min(8, calls-call) {
			call++
			c := host.ID(random.IntN(5))
			if random.IntN(20) == 0 {
				step(host.Input{Kind: host.InBudget, Bytes: units.Bytes(700+random.IntN(500)) * scale})
			}
			step(host.Input{Kind: host.InForeign, Bytes: units.Bytes(random.IntN(60)) * scale})
			err := d.Call(host.Input{Call: call, Request: r + 1, Component: c, Workspace: units.Bytes(random.IntN(90)) * scale})
			if err == nil {
				if err := d.Compute(call, c, time.Duration(random.IntN(5000))); err != nil && !device.Gone() {
					t.Fatal(err)
				}
				step(host.Input{Kind: host.InDone, Call: call})
			} else if lack := new(host.Refusal); errors.As(err, &lack) && e.Lack(call) != nil {
				t.Fatalf("call %d still waits: %v", call, err) // the schedule is to leave none
			}
			lost := device.Gone()
			if lost || random.IntN(50) == 0 {
				// It may have been told by a completion already.
				_ = d.Step(host.Input{Kind: host.InLost})
				if err := d.Drain(); err != nil {
					t.Fatal(err)
				}
				if lost {
					if err := device.Restore(); err != nil {
						t.Fatal(err)
					}
				}
				step(host.Input{Kind: host.InRestored})
			}
			step(host.Input{Kind: host.InTick})
			if policy != "" && random.IntN(30) == 0 {
				swap = journal.Identity{Name: "every third", SHA256: hex.EncodeToString(make([]byte, 32))}
				p, _ := policies(swap)
				step(host.Input{Kind: host.InSwap, Policy: p, Trial: random.IntN(3), Handover: random.IntN(2) == 0, Blob: []byte{byte(r)}})
			}
		}
		step(host.Input{Kind: host.InEnd, Request: r + 1})
	}
	if err := d.Drain(); err != nil {
		t.Fatal(err)
	}
	sum := e.DecisionsSHA256()
	if err := w.Close(journal.End{DecisionsSHA256: hex.EncodeToString(sum[:]), Measured: &report.Measured{H2DBytes: 1}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Failed, lost and impossible actions are inputs like all others.
func TestFaultsComeAgain(t *testing.T) {
	var seen [host.Lost + 1]int
	for seed := range uint64(40) {
		for _, policy := range []string{"", "one by one"} {
			file, device := lossy(t, seed, policy, 96)
			if _, _, err := feed(file, nil); err != nil {
				t.Fatalf("seed %d, policy %q: %v", seed, policy, err)
			}
			for i, n := range device.seen {
				seen[i] += n
			}
		}
	}
	for s, n := range seen {
		if n < 20 {
			t.Errorf("%d actions ended as %v: want more for the test to mean anything", n, host.Status(s))
		}
	}
}

// What is written is read again: header, entries, end.
func TestWhatIsWrittenIsRead(t *testing.T) {
	parent := host.ID(0)
	inputs := []journal.Entry{
		{Input: host.Input{Kind: host.InRegister, Spec: host.Spec{Name: "ü", Bytes: 5, FileBytes: 2, ReadOnly: true, Parent: host.NoComponent}}},
		{Input: host.Input{Kind: host.InRegister, Time: 1, Spec: host.Spec{Name: "b", Bytes: units.MaxBytes / 2, Parent: parent, Index: 3}}},
		{Input: host.Input{Kind: host.InEnqueued, Time: 1, Request: 7, Session: 2, Signature: 1<<64 - 1}},
		{Input: host.Input{Kind: host.InBegin, Time: 1, Request: 7, Session: 2, Signature: 1 << 63, Steps: 4, Order: []host.ID{1, 0}}},
		{Input: host.Input{Kind: host.InCall, Time: 1, Request: 7, Call: 1 << 62, Component: 1, Workspace: 9}, Actions: []journal.Action{
			{Kind: host.ActCopyIn, Op: 1<<64 - 1, Component: 0, Chunk: 3, Alloc: 8, Weights: 5, File: 2, Demand: true, Request: 7,
				Cause: host.Cause{By: host.ByPolicy, Policy: 2, Reason: 65535, Event: 1<<64 - 1, For: 1}},
			{Kind: host.ActCopyBack, Op: 2, Component: 1, Cause: host.Cause{By: host.ByFloor, For: host.NoComponent}},
			{Kind: host.ActRelease, Op: 3, Component: 0, Cause: host.Cause{For: 0}},
			{Kind: host.ActTrim, Component: 1, Cause: host.Cause{For: 1}},
			{Kind: host.ActGrant, Call: 1 << 62, Component: 1, Request: 7, Cause: host.Cause{Event: 5, For: 1}},
		}},
		{Input: host.Input{Kind: host.InDone, Time: 2, Call: 1 << 62}},
		{Input: host.Input{Kind: host.InCall, Time: 2, Call: 1<<62 + 1}, Actions: []journal.Action{
			{Kind: host.ActRefuse, Call: 1<<62 + 1, Error: "too large: \"ü\"\n", Cause: host.Cause{For: 0}}}},
		{Input: host.Input{Kind: host.InEnd, Time: 2, Request: 7}},
		{Input: host.Input{Kind: host.InBudget, Time: 2, Bytes: 1}},
		{Input: host.Input{Kind: host.InForeign, Time: 2}},
		{Input: host.Input{Kind: host.InSwap, Time: 2, Trial: 3, Handover: true, Blob: []byte{0, 255}}, Swap: journal.Identity{Name: "p", SHA256: hex.EncodeToString(make([]byte, 32)), ABI: "1"},
			Actions: []journal.Action{{Kind: host.ActDiscard, Component: host.NoComponent, Cause: host.Cause{For: host.NoComponent}}}},
		{Input: host.Input{Kind: host.InSwap, Time: 2, Blob: []byte{}}, Swap: journal.Identity{Name: "q"}},
		{Input: host.Input{Kind: host.InCompleted, Time: 3, Op: 1<<64 - 1}},
		{Input: host.Input{Kind: host.InCompleted, Time: 3, Op: 2, Status: host.OutOfMemory}},
		{Input: host.Input{Kind: host.InCompleted, Time: 3, Op: 3, Status: host.Failed}},
		{Input: host.Input{Kind: host.InCompleted, Time: 3, Op: 4, Status: host.Lost}},
		{Input: host.Input{Kind: host.InLost, Time: 3}},
		{Input: host.Input{Kind: host.InRestored, Time: 3}},
		{Input: host.Input{Kind: host.InTick, Time: journal.MaxTime}},
	}
	head := journal.Header{Offhost: "v1", Trace: "t", Device: "shm", Scale: "1/64",
		Engine: journal.Engine{Budget: 1 << 30, Chunk: 64, Granularity: 16, H2D: 1, D2H: 2, Latency: 3, File: 4, Exclude: []string{"a*"}, Keep: []string{"b"},
			HarmBound: true, Timeout: 5, PolicyConfig: "k=ü\n", Blob: []byte{1, 2}},
		Policy:    journal.Identity{Name: "p", SHA256: hex.EncodeToString(make([]byte, 32)), ABI: "1"},
		Limits:    journal.Limits{Fuel: 1<<64 - 1, Refill: 2, StartFuel: 3, StackBytes: 4, MemoryPages: 5, MaxPayload: 6, LogBytes: 7, Seed: 1<<64 - 1, Interpreter: true},
		Pipelines: []journal.Pipeline{{Name: "p", Components: []int{0, 1}, OffloadSeq: []int{1}}},
		Pageable:  6, Baselines: []string{"lru"},
		Host: &report.Host{HeldBytes: 1, FileBytes: 2, PinnedBytes: 3, BudgetBytes: 4, Weights: "synthetic"},
	}
	end := journal.End{DecisionsSHA256: hex.EncodeToString(make([]byte, 32)), Measured: &report.Measured{H2DBytesPerSecond: 1, VerifiedBytes: 2},
		SwapsRefused: 1, Notes: []string{"a note"}, Error: "it failed"}
	var file bytes.Buffer
	w, err := journal.NewWriter(&file, head)
	if err != nil {
		t.Fatal(err)
	}
	number := int64(1)
	for i := range inputs {
		x := &inputs[i]
		out := &host.Output{}
		for _, a := range x.Actions {
			b := host.Action{Kind: a.Kind, Op: a.Op, Component: a.Component, Chunk: a.Chunk, Alloc: a.Alloc, Weights: a.Weights, File: a.File,
				Demand: a.Demand, Call: a.Call, Request: a.Request, Cause: a.Cause}
			if a.Error != "" {
				b.Err = errors.New(a.Error)
			}
			out.Actions = append(out.Actions, b)
		}
		if err := w.Write(&x.Input, x.Swap, out); err != nil {
			t.Fatal(err)
		}
		x.Line, x.Number = int64(i+2), number
		if x.Input.Kind != host.InSwap {
			number++
		}
	}
	if err := w.Close(end); err != nil {
		t.Fatal(err)
	}
	end.Inputs = number - 1
	r, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&head, r.Header()); d != "" {
		t.Errorf("header:\n%s", d)
	}
	var x journal.Entry
	for i := range inputs {
		if err := r.Next(&x); err != nil {
			t.Fatal(err)
		}
		if x.Actions = append([]journal.Action(nil), x.Actions...); len(x.Actions) == 0 {
			x.Actions = nil
		}
		if d := cmp.Diff(inputs[i], x); d != "" {
			t.Errorf("entry %d:\n%s", i, d)
		}
	}
	if err := r.Next(&x); err != io.EOF {
		t.Fatal(err)
	}
	if d := cmp.Diff(&end, r.End()); d != "" {
		t.Errorf("end:\n%s", d)
	}
}
