package policies

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/offhost/offhost/abi"
)

// tb is what *testing.T, *testing.B and *rapid.T have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// guest is an instance of a built-in policy, called directly: these tests are about
// what the policies decide, not about the runtime that guards them.
type guest struct {
	event   api.Function
	window  []byte
	stack   [1]uint64
	answer  []abi.Decision
	reasons map[string]string
}

var compile = sync.OnceValue(func() func(name string) (wazero.Runtime, wazero.CompiledModule, error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCustomSections(true))
	modules := map[string]wazero.CompiledModule{}
	return func(name string) (wazero.Runtime, wazero.CompiledModule, error) {
		if m, ok := modules[name]; ok {
			return r, m, nil
		}
		b, ok := Get(name)
		if !ok {
			return nil, nil, fmt.Errorf("no built-in policy %q", name)
		}
		m, err := r.CompileModule(ctx, b.Wasm)
		modules[name] = m
		return r, m, err
	}
})

func newGuest(t tb, name string) *guest {
	t.Helper()
	ctx := context.Background()
	r, compiled, err := compile()(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(ctx) })
	addr, err := m.ExportedFunction(abi.ExportBuffer).Call(ctx, abi.MinWindow)
	if err != nil || addr[0] == 0 {
		t.Fatalf("%s lends no window of %d bytes: %v, %v", name, abi.MinWindow, addr, err)
	}
	window, ok := m.Memory().Read(uint32(addr[0]), abi.MinWindow)
	if !ok {
		t.Fatalf("%s: the window at %d lies outside its memory", name, addr[0])
	}
	return &guest{event: m.ExportedFunction(abi.ExportEvent), window: window, reasons: about(compiled)}
}

// tell delivers an event and returns the answer, valid until the next.
func (g *guest) tell(t tb, ev *abi.Event, payload []byte) []abi.Decision {
	ev.PayloadLen = uint32(len(payload))
	abi.PutEvent(g.window, ev)
	copy(g.window[abi.EventArea:len(g.window)-abi.DecisionArea], payload)
	return g.call(t, abi.EventSize)
}

// call lets the guest look at whatever is in the window.
func (g *guest) call(t tb, size int) []abi.Decision {
	g.stack[0] = uint64(size)
	err := g.event.CallWithStack(context.Background(), g.stack[:])
	if err == nil {
		g.answer, err = abi.AppendDecisions(g.answer[:0], g.window[len(g.window)-abi.DecisionArea:], int(int32(g.stack[0])))
	}
	if err != nil {
		t.Fatal(err)
	}
	return g.answer
}
