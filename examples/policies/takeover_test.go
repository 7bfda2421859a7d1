//go:build !race

package policies_test

import (
	"encoding/binary"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// A witness counts the questions to its policy, and its evictions that were refused because
// a call uses what they were to take.
type witness struct {
	*runtime.Policy
	questions, inUse int
}

func (w *witness) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	switch ev.Kind {
	case abi.Need:
		w.questions++
	case abi.Rejected:
		if abi.RejectCode(binary.LittleEndian.Uint32(payload[abi.DecisionSize:])) == abi.RejectInUse {
			w.inUse++
		}
	}
	return w.Policy.Decide(ev, payload)
}

// A policy that takes over within a call was never told its CALL, and leaves alone what it
// uses all the same: here the parent of the blocks that are called.
func TestWhoTakesOverLeavesAloneWhatIsInUse(t *testing.T) {
	lru, _ := policies.Get("lru")
	list := lrus(t)
	for _, b := range policies.List() {
		list = append(list, namedModule{"built-in " + b.Name, b.Wasm})
	}
	before := load(t, lru.Wasm, runtime.Config{})
	for _, name := range []string{"flux-bf16-blocks", "wan22-a14b-blocks"} {
		tenths := tightest(t, name, before)
		open, err := library.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				after := &witness{Policy: load(t, m.wasm, runtime.Config{})}
				r, _ := replayedTrace(t, open, before, tenths, nil, replay.Swap{
					At: 3001, Name: m.name, Load: func() (replay.Module, error) { return replay.Module{Policy: after}, nil },
				})
				if r.Swaps != 1 || r.Faults != 0 || after.questions == 0 {
					t.Errorf("%d swaps, %d faults, %d questions to the new policy; want 1, 0, and some", r.Swaps, r.Faults, after.questions)
				}
				if after.inUse > 0 {
					t.Errorf("%d of its evictions were refused, since a call uses what they were to take", after.inUse)
				}
			})
		}
	}
}
