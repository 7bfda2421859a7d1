package host_test

import (
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// evicts is a policy that answers the news of waiting requests, one after the other.
type evicts struct {
	answers [][]abi.Decision
}

func (p *evicts) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if ev.Kind != abi.Enqueued || len(p.answers) == 0 {
		return nil, nil
	}
	answer := p.answers[0]
	p.answers = p.answers[1:]
	return answer, nil
}

func (p *evicts) Revive() (bool, error) { return false, nil }
func (p *evicts) Suspend()              {}

// What was copied back before the device was lost is recorded, also when the rest of an
// eviction never began to be.
func TestWhatWasCopiedBackBeforeALossIsRecorded(t *testing.T) {
	const a, b = host.ID(0), host.ID(1)
	p := &evicts{[][]abi.Decision{
		{{Op: abi.Evict, Component: uint32(a), Arg: 1}, {Op: abi.Evict, Component: uint32(b)}},
		{{Op: abi.Evict, Component: uint32(a)}},
	}}
	e, err := host.New(host.Config{Budget: 4, Chunk: 1, Granularity: 1, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	var inFlight []host.Action
	back := map[host.ID]units.Bytes{}
	step := func(in host.Input) {
		out, err := e.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.Actions {
			switch x.Kind {
			case host.ActCopyIn, host.ActCopyBack, host.ActRelease:
				inFlight = append(inFlight, x)
			}
		}
		for _, r := range out.Records {
			if r.Kind == host.RecCopyBack {
				back[r.Component] += r.Weights
			}
		}
	}
	complete := func() {
		first := inFlight[0]
		inFlight = inFlight[1:]
		step(host.Input{Kind: host.InCompleted, Op: first.Op})
	}
	for i, name := range []string{"a", "b"} { // two chunks each, changed by a call
		step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: name, Bytes: 2, Parent: host.NoComponent}})
		step(host.Input{Kind: host.InCall, Call: host.CallID(i + 1), Component: host.ID(i)})
		complete()
		complete()
		step(host.Input{Kind: host.InDone, Call: host.CallID(i + 1)})
	}
	step(host.Input{Kind: host.InEnqueued, Request: 1})
	step(host.Input{Kind: host.InEnqueued, Request: 2})
	complete() // a's first chunk is back; both of b's are in flight, a's other one waits
	step(host.Input{Kind: host.InLost})
	for len(inFlight) > 0 {
		complete()
	}
	if back[a] != 1 || back[b] != 0 {
		t.Errorf("recorded as copied back: %v of a, %v of b; want 1 B and 0 B", back[a], back[b])
	}
}
