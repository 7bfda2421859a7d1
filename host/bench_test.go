package host_test

import (
	"fmt"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// mute hears everything and answers nothing.
type mute struct{}

func (mute) Decide(*abi.Event, []byte) ([]abi.Decision, error) { return nil, nil }
func (mute) Suspend()                                          {}
func (mute) Revive() (bool, error)                             { return false, nil }

// resident returns an engine in an open request with n components that are all
// resident, and the last call's number.
func resident(b testing.TB, n int, policy host.Policy) (*host.Engine, host.CallID) {
	e, err := host.New(host.Config{Budget: 1 << 40, H2D: 25e9, D2H: 25e9, Policy: policy})
	if err != nil {
		b.Fatal(err)
	}
	step := func(in host.Input) *host.Output {
		out, err := e.Step(in)
		if err != nil {
			b.Fatal(err)
		}
		return out
	}
	for i := range n {
		step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: fmt.Sprint(i), Bytes: 400 * units.MB, ReadOnly: true, Parent: host.NoComponent}})
	}
	step(host.Input{Kind: host.InBegin, Request: 1})
	var id host.CallID
	for i := range n {
		id++
		pending := append([]host.Action(nil), step(host.Input{Kind: host.InCall, Call: id, Component: host.ID(i), Request: 1}).Actions...)
		for len(pending) > 0 {
			a := pending[0]
			pending = pending[1:]
			if a.Kind == host.ActCopyIn {
				pending = append(pending, step(host.Input{Kind: host.InCompleted, Op: a.Op}).Actions...)
			}
		}
		step(host.Input{Kind: host.InDone, Call: id})
	}
	return e, id
}

// call is one call of what is resident, from CALL to DONE.
func call(b testing.TB, e *host.Engine, id host.CallID, c host.ID) {
	out, err := e.Step(host.Input{Kind: host.InCall, Call: id, Component: c, Request: 1, Workspace: units.MB})
	if err != nil || len(out.Actions) != 1 || out.Actions[0].Kind != host.ActGrant {
		b.Fatalf("call %d: %v, %v, want a grant", id, out, err)
	}
	if _, err := e.Step(host.Input{Kind: host.InDone, Call: id}); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCallOfWhatIsResident(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy host.Policy
	}{{"alone", nil}, {"policy", mute{}}} {
		b.Run(c.name, func(b *testing.B) {
			e, id := resident(b, 64, c.policy)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id++
				call(b, e, id, host.ID(i%64))
			}
		})
	}
}

func TestACallOfWhatIsResidentAllocatesNothing(t *testing.T) {
	e, id := resident(t, 64, mute{})
	if n := testing.AllocsPerRun(1000, func() {
		id++
		call(t, e, id, host.ID(id%64))
	}); n != 0 {
		t.Errorf("%v allocations a call, want none", n)
	}
}

// Each call loads 13 chunks and drops as many.
func BenchmarkCallThatMakesRoom(b *testing.B) {
	e, err := host.New(host.Config{Budget: 800 * units.MB, H2D: 25e9, D2H: 25e9})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 64 {
		if _, err := e.Step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: fmt.Sprint(i), Bytes: 400 * units.MB, ReadOnly: true, Parent: host.NoComponent}}); err != nil {
			b.Fatal(err)
		}
	}
	var pending []host.Action
	take := func(in host.Input) {
		out, err := e.Step(in)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range out.Actions {
			if a.Op != 0 {
				pending = append(pending, a)
			}
		}
	}
	var id host.CallID
	b.ReportAllocs()
	for b.Loop() {
		id++
		take(host.Input{Kind: host.InCall, Call: id, Component: host.ID(id % 64)})
		for i := 0; i < len(pending); i++ {
			take(host.Input{Kind: host.InCompleted, Op: pending[i].Op})
		}
		pending = pending[:0]
		take(host.Input{Kind: host.InDone, Call: id})
	}
}
