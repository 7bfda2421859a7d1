package host_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
)

// failsAt is a policy with saved state that fails at one event, counted from when it
// was told the state.
type failsAt struct {
	event    int
	told     int
	restored bool
}

func (p *failsAt) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if !p.restored {
		return nil, nil
	}
	if p.told++; p.told == p.event {
		return nil, errors.New("it fails")
	}
	return nil, nil
}

func (p *failsAt) Revive() (bool, error) { return false, nil }
func (p *failsAt) Suspend()              {}
func (p *failsAt) Save() ([]byte, error) { return nil, nil }
func (p *failsAt) Restore(b []byte) (bool, error) {
	p.restored = true
	return string(b) == "state", nil
}

// A fault within a hundred events of a restore is laid at the door of the state, one
// after that is not, and neither is the second of two.
func TestAFaultSoonAfterARestoreCondemnsTheState(t *testing.T) {
	for _, c := range []struct {
		fails  int
		blob   string
		forget int
	}{
		{1, "state", 1}, {100, "state", 1}, {101, "state", 0}, {1, "not taken", 0},
	} {
		e, err := host.New(host.Config{Budget: 16, Chunk: 8, Granularity: 2})
		if err != nil {
			t.Fatal(err)
		}
		forgotten, faults := 0, 0
		step := func(in host.Input) {
			out, err := e.Step(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				switch r.Kind {
				case host.RecForget:
					forgotten++
				case host.RecFault:
					faults++
				}
			}
		}
		step(host.Input{Kind: host.InSwap, Policy: &failsAt{event: c.fails}, Blob: []byte(c.blob)})
		for r := range uint32(60) { // two events each
			step(host.Input{Kind: host.InBegin, Request: r + 1})
			step(host.Input{Kind: host.InEnd, Request: r + 1})
		}
		if forgotten != c.forget || faults != 1 {
			t.Errorf("restored %q, a fault at event %d: forgotten %d times after %d faults, want %d after 1", c.blob, c.fails, forgotten, faults, c.forget)
		}
	}
}

// State that comes with a swap is restored when the policy takes over, so that what it
// makes of it does not depend on how long its trial was.
func TestStateIsRestoredWhenATrialIsOver(t *testing.T) {
	e, err := host.New(host.Config{Budget: 16, Chunk: 8, Granularity: 2})
	if err != nil {
		t.Fatal(err)
	}
	p := &keeper{}
	for i, in := range []host.Input{
		{Kind: host.InSwap, Policy: p, Trial: 2, Blob: []byte("state")},
		{Kind: host.InBegin, Request: 1},
		{Kind: host.InEnd, Request: 1},
	} {
		if p.state != "" {
			t.Fatalf("restored before input %d, during the trial", i+1)
		}
		if _, err := e.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	if p.state != "state" {
		t.Errorf("restored %q when it took over, want the state", p.state)
	}
}

// keeper counts what becomes of it.
type keeper struct {
	host.Policy
	state     string
	suspended int
}

func (k *keeper) Decide(*abi.Event, []byte) ([]abi.Decision, error) { return nil, nil }
func (k *keeper) Revive() (bool, error)                             { return true, nil }
func (k *keeper) Suspend()                                          { k.suspended++ }
func (k *keeper) Save() ([]byte, error)                             { return []byte(k.state), nil }
func (k *keeper) Restore(b []byte) (bool, error)                    { k.state = string(b); return true, nil }

// However many policies take over, the engine holds the one that decides and the one
// before it; all others are given back, each once, and state passes from each to the next.
func TestExchangedPoliciesAreGivenBackOnce(t *testing.T) {
	const swaps = 1000
	first := &keeper{state: "handed on"}
	e, err := host.New(host.Config{Budget: 16, Chunk: 8, Granularity: 2, Policy: first})
	if err != nil {
		t.Fatal(err)
	}
	given := map[host.Policy]int{}
	step := func(in host.Input) {
		out, err := e.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Actions {
			if a.Kind == host.ActDiscard {
				given[a.Policy]++
			}
		}
	}
	step(host.Input{Kind: host.InBegin, Request: 1})
	all := []*keeper{first}
	for i := range swaps {
		k := &keeper{}
		all = append(all, k)
		step(host.Input{Kind: host.InSwap, Policy: k, Handover: true, Trial: i % 2})
		step(host.Input{Kind: host.InEnqueued, Request: 2}) // an event, which ends a trial of one
		if got := all[len(all)-1].state; got != "handed on" {
			t.Fatalf("policy %d was handed %q", i+2, got)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(all), func(k *keeper) bool { return given[k] == 1 })
	if len(kept) != 2 || kept[1] != all[swaps] || kept[0] != all[swaps-1] || len(given) != swaps-1 {
		t.Errorf("%d of %d were given back once, %d are held; want all but the last two", len(given), swaps+1, len(kept))
	}
	for i, k := range all {
		want := 1
		if i == swaps {
			want = 0
		}
		if k.suspended != want {
			t.Fatalf("policy %d was suspended %d times, want %d", i+1, k.suspended, want)
		}
	}
	if c := e.Counters(); c.Swaps != swaps || c.SwapsRefused != 0 || c.Faults != 0 {
		t.Errorf("counted %d swaps, %d refused, %d faults", c.Swaps, c.SwapsRefused, c.Faults)
	}
}

// fragile fails at every call while it is broken, and remembers which events it was told.
type fragile struct {
	keeper
	broken  bool
	configs int // how often it was told everything anew
	told    []uint64
}

func (f *fragile) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	f.told = append(f.told, ev.Seq)
	if ev.Kind == abi.Config {
		f.configs++
	}
	if f.broken && ev.Kind == abi.Call {
		return nil, errors.New("it fails")
	}
	return nil, nil
}

// A previous policy that decides while the chosen one is left alone ends with a swap. When
// the new one fails in its turn, it is told the present state before it decides again.
func TestAPolicyInReserveNeverDecidesFromWhatWas(t *testing.T) {
	a, b, c := &fragile{}, &fragile{broken: true}, &fragile{}
	e, err := host.New(host.Config{Budget: 16, Chunk: 8, Granularity: 2, Policy: a})
	if err != nil {
		t.Fatal(err)
	}
	step := func(in host.Input) {
		if _, err := e.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	id := host.CallID(0)
	request := func(number uint32) {
		step(host.Input{Kind: host.InBegin, Request: number})
		for range 3 {
			id++
			step(host.Input{Kind: host.InCall, Call: id, Request: number})
			step(host.Input{Kind: host.InDone, Call: id})
		}
		step(host.Input{Kind: host.InEnd, Request: number})
	}
	step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: "x", Parent: host.NoComponent}})
	request(1) // a decides
	step(host.Input{Kind: host.InSwap, Policy: b})
	request(2) // b fails three times
	request(3) // a stands in for it
	if a.configs != 2 {
		t.Fatalf("a was told everything anew %d times, want at first and to stand in", a.configs)
	}
	step(host.Input{Kind: host.InSwap, Policy: c})
	told := len(a.told)
	request(4) // c decides
	c.broken = true
	request(5) // c fails three times
	if len(a.told) != told {
		t.Errorf("a was told events %d in the middle of a request, after %d: want nothing before it knows what happened between", a.told[told:], a.told[told-1])
	}
	request(6)
	if a.configs != 3 || len(a.told) == told {
		t.Errorf("a was told everything anew %d times, want a third time to stand in for c", a.configs)
	}
	if a.suspended != 2 {
		t.Errorf("a was suspended %d times, want once for each that took over", a.suspended)
	}
}

// enlivened is a policy with instances: it counts how often each was told CONFIG, which is
// the first that one is told.
type enlivened struct {
	running bool
	events  int // of the instance
	wrong   int // CONFIGs that were not its first event
	configs int
}

func (p *enlivened) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if ev.Kind == abi.Config {
		p.configs++
		if p.events > 0 {
			p.wrong++
		}
	}
	p.events++
	if ev.Kind == abi.Begin {
		return nil, errors.New("it gives up")
	}
	return nil, nil
}

func (p *enlivened) Revive() (bool, error) {
	fresh := !p.running
	p.running = true
	return fresh, nil
}

func (p *enlivened) Suspend() { p.running, p.events = false, 0 }

// A policy that gives up keeps its instance. After a quarantine, in which it was told
// nothing, it has a new one.
func TestConfigIsTheFirstEventOfAnInstance(t *testing.T) {
	p := &enlivened{}
	e, err := host.New(host.Config{Budget: 16, Chunk: 8, Granularity: 2, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	var now time.Duration
	for r := range uint32(12) {
		for _, kind := range []host.InputKind{host.InBegin, host.InEnd} {
			if _, err := e.Step(host.Input{Kind: kind, Time: now, Request: r + 1}); err != nil {
				t.Fatal(err)
			}
		}
		now += 10 * time.Second
	}
	if p.configs != 2 || p.wrong > 0 {
		t.Errorf("told CONFIG %d times, %d of them not as an instance's first event; want twice, as the first", p.configs, p.wrong)
	}
}
