package offhost

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
)

// The event is where the host writes it, field by field.
func TestEventIsTheABIs(t *testing.T) {
	sent := abi.Event{Kind: 1, Flags: 2, Component: 3, Parent: 4, Index: 5, NameHash: 6, Session: 7, Request: 8, Step: 9,
		Steps: 10, Seq: 11, Time: 12, Bytes: 13, Resident: 14, Free: 15, Budget: 16, Foreign: 17, Workspace: 18,
		LoadCost: 19, Amount: 20, PayloadLen: 21}
	var words [abi.EventSize / 8]uint64
	abi.PutEvent(unsafe.Slice((*byte)(unsafe.Pointer(&words)), abi.EventSize), &sent)
	got := *(*Event)(unsafe.Pointer(&words))
	want := Event{Kind: 1, Flags: 2, Component: 3, Parent: 4, Index: 5, NameHash: 6, Session: 7, Request: 8, Step: 9,
		Steps: 10, Seq: 11, Time: 12, Bytes: 13, Resident: 14, Free: 15, Budget: 16, Foreign: 17, Workspace: 18,
		LoadCost: 19, Amount: 20, payloadLen: 21}
	if got != want || unsafe.Sizeof(got) != abi.EventSize || unsafe.Sizeof(Decision{}) != abi.DecisionSize {
		t.Errorf("%+v, want %+v", got, want)
	}
}

type policyFunc func(*Event, *Answer)

func (f policyFunc) Event(e *Event, a *Answer) { f(e, a) }

func TestAFullAnswerTakesNoMore(t *testing.T) {
	fits := 0
	got := Ask(policyFunc(func(_ *Event, a *Answer) {
		for id := range uint32(200) {
			if a.Evict(id, 0, 1) {
				fits++
			}
		}
		if a.Room() != 0 {
			t.Errorf("there is room for %d more", a.Room())
		}
	}), Event{Kind: Idle}, nil)
	if fits != MaxDecisions || len(got) != MaxDecisions || got[127] != (Decision{Evict, 1, 127, 0}) {
		t.Errorf("%d fit, %d came back", fits, len(got))
	}
}

func TestConfig(t *testing.T) {
	Ask(policyFunc(func(e *Event, _ *Answer) {
		for key, want := range map[string]string{"ab": "x=y", "a": "1", "empty": "", "b": "", "last": "7"} {
			if got := string(e.Config(key)); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		type number struct {
			N  uint64
			OK bool
		}
		got := map[string]number{}
		for _, key := range []string{"a", "ab", "big", "most", "empty", "b", "last"} {
			n, ok := e.ConfigNumber(key)
			if !ok {
				n = 0
			}
			got[key] = number{n, ok}
		}
		want := map[string]number{"a": {1, true}, "ab": {}, "big": {}, "most": {1<<64 - 1, true}, "empty": {}, "b": {}, "last": {7, true}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}), Event{Kind: Config}, []byte("a=1\nab=x=y\nbig=18446744073709551616\nempty=\nmost=18446744073709551615\nlast=7"))
}
