package host_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
)

// answerer is a policy that is one function.
type answerer func(*abi.Event) []abi.Decision

func (f answerer) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) { return f(ev), nil }
func (answerer) Revive() (bool, error)                                    { return false, nil }
func (answerer) Suspend()                                                 {}

// begin returns an engine with components of 8 chunks each, in an open request.
func begin(t *testing.T, cfg host.Config, names ...string) *host.Engine {
	t.Helper()
	cfg.Chunk, cfg.Granularity = 8, 8
	e, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if _, err := e.Step(host.Input{Kind: host.InRegister, Spec: host.Spec{Name: n, Bytes: 64, ReadOnly: true, Parent: host.NoComponent}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Step(host.Input{Kind: host.InBegin, Request: 1}); err != nil {
		t.Fatal(err)
	}
	return e
}

// The hash is a promise to users, who compare runs by it: what goes in, in which order
// and width, is written down here a second time.
func TestDecisionsSHA256(t *testing.T) {
	lawful := []abi.Decision{
		{Op: abi.Prefetch, Component: 1, Arg: 16, Reason: 9},
		{Op: abi.Retain, Component: 0, Arg: 3},
	}
	unlawful := abi.Decision{Op: abi.Evict, Component: 0}
	var seq uint64
	e := begin(t, host.Config{Budget: 1 << 20, Policy: answerer(func(ev *abi.Event) []abi.Decision {
		if ev.Kind != abi.Begin {
			return nil
		}
		seq = ev.Seq
		return []abi.Decision{lawful[0], unlawful, lawful[1]}
	})}, "text", "unet")
	var text []byte
	for i, name := range []string{"unet", "text"} {
		text = binary.LittleEndian.AppendUint64(text, seq)
		text = binary.LittleEndian.AppendUint16(text, uint16(lawful[i].Op))
		text = binary.LittleEndian.AppendUint64(text, abi.NameHash(name))
		text = binary.LittleEndian.AppendUint64(text, lawful[i].Arg)
	}
	if got, want := e.DecisionsSHA256(), sha256.Sum256(text); got != want {
		t.Errorf("the hash is %x, want %x", got, want)
	}
	if c := e.Counters(); c.Decisions != 2 || c.Rejected != 1 {
		t.Errorf("%d decisions and %d rejected, want 2 and 1", c.Decisions, c.Rejected)
	}
}

// Cancelling a prefetch is news, which a policy may answer by cancelling another one,
// for ever. One input bears so many answers, and prefetches of one budget.
func TestAPolicyThatAnswersItselfComesToAnEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*abi.Event) []abi.Decision
		most   int64 // decisions
	}{
		{"each answer cancels what the last one queued", func(ev *abi.Event) []abi.Decision {
			switch ev.Kind {
			case abi.Begin: // the third keeps the link busy
				return []abi.Decision{{Op: abi.Prefetch, Component: 2}, {Op: abi.Prefetch, Component: 0, Arg: 8}, {Op: abi.Prefetch, Component: 1, Arg: 8}}
			case abi.Enqueued:
				return []abi.Decision{{Op: abi.Evict, Component: 0}}
			case abi.Loaded:
				other := 1 - ev.Component
				return []abi.Decision{{Op: abi.Evict, Component: other}, {Op: abi.Prefetch, Component: ev.Component, Arg: 8}}
			}
			return nil
		}, 2 * 64},
		{"each answer begs to be refused", func(ev *abi.Event) []abi.Decision {
			return []abi.Decision{{Op: abi.Evict, Component: 0}, {Op: abi.Retain, Component: 1, Arg: 0}}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := 0
			e := begin(t, host.Config{Budget: 1 << 40, Policy: answerer(func(ev *abi.Event) []abi.Decision {
				if told++; told > 10_000 {
					t.Fatal("the policy is asked for ever")
				}
				return c.answer(ev)
			})}, "a", "b", "c")
			before := e.Counters().Decisions
			if _, err := e.Step(host.Input{Kind: host.InEnqueued, Request: 2}); err != nil {
				t.Fatal(err)
			}
			if n := e.Counters().Decisions - before; n > c.most {
				t.Errorf("%d decisions were carried out within one input, want at most %d", n, c.most)
			}
		})
	}
}
