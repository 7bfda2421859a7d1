package replay_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
)

// stack has a component that is entered inside another one.
const stack = `{"kind":"trace","format":"offhost.trace/1","name":"stack"}
{"kind":"component","name":"outer","bytes":1000000,"workspace_bytes":2000000,"read_only":true}
{"kind":"component","name":"inner","bytes":1000000,"read_only":true}
{"kind":"component","name":"leaf","bytes":1000000,"read_only":true}
{"kind":"pipeline","name":"flux","components":["outer","inner","leaf"],"offload_seq":["inner","leaf","outer"]}
{"kind":"begin","request":4,"pipeline":"flux","steps":3}
{"kind":"enter","component":"outer","compute_ns":100}
{"kind":"enter","component":"inner","compute_ns":10}
{"kind":"call","component":"leaf","compute_ns":1000000,"workspace_bytes":3000000}
{"kind":"exit","component":"inner"}
{"kind":"exit","component":"outer"}
{"kind":"end","request":4}
`

// listener writes down what a policy is told of requests and calls.
type listener struct {
	heard  []string
	config string
}

func (l *listener) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	switch ev.Kind {
	case abi.Config:
		l.config = string(payload)
	case abi.Begin:
		var order []uint32
		for ; len(payload) >= 4; payload = payload[4:] {
			order = append(order, binary.LittleEndian.Uint32(payload))
		}
		l.heard = append(l.heard, fmt.Sprintf("begin %d steps=%d flux=%v order=%v", ev.Request, ev.Steps, ev.NameHash == abi.NameHash("flux"), order))
	case abi.Call, abi.Done:
		l.heard = append(l.heard, fmt.Sprintf("%v %d step=%d ws=%d", ev.Kind, ev.Component, ev.Step, ev.Workspace))
	case abi.End:
		l.heard = append(l.heard, fmt.Sprintf("end %d", ev.Request))
	}
	return nil, nil
}

func (*listener) Revive() (bool, error) { return false, nil }
func (*listener) Suspend()              {}

// A policy is told all that a trace says of a request: the pipeline, how many calls are
// announced, the declared order, the workspace of each call, and calls inside calls,
// which end in reverse order.
func TestAPolicyIsToldWhatTheTraceSays(t *testing.T) {
	l := &listener{}
	c := small(text(t, stack, 1))
	c.Policy.Policy = l
	c.PolicyConfig = map[string]string{"depth": "2"}
	run(t, c)
	want := []string{
		"begin 4 steps=3 flux=true order=[1 2 0]",
		"CALL 0 step=1 ws=2000000",
		"CALL 1 step=2 ws=0",
		"CALL 2 step=3 ws=3000000",
		"DONE 2 step=3 ws=3000000",
		"DONE 1 step=2 ws=0",
		"DONE 0 step=1 ws=2000000",
		"end 4",
	}
	if d := cmp.Diff(want, l.heard); d != "" {
		t.Errorf("what it heard differs (-want +got):\n%s", d)
	}
	if want := "depth=2\noffhost.chunk_bytes=4000000\noffhost.d2h_bytes_per_second=5000000000\noffhost.h2d_bytes_per_second=10000000000\n"; l.config != want {
		t.Errorf("configuration %q, want %q", l.config, want)
	}

	l = &listener{}
	c = small(text(t, stack, 1))
	c.Policy.Policy, c.IgnoreWorkspace = l, true
	run(t, c)
	for _, h := range l.heard {
		if strings.Contains(h, "ws=") && !strings.HasSuffix(h, "ws=0") {
			t.Errorf("%s, though workspace is to be ignored", h)
		}
	}
}
