package policies_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// load starts a module in the runtime that ships.
func load(t testing.TB, wasm []byte, cfg runtime.Config) *runtime.Policy {
	t.Helper()
	p, err := runtime.Load(context.Background(), wasm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// A bare policy runs as it was compiled: no counters, no limits, WASI as wazero has it.
// It is what the metered one is compared with.
type bare struct {
	memory       api.Memory
	event        api.Function
	addr, window uint32
	stack        [1]uint64
	answer       []abi.Decision
	failed       error
}

var _ host.Policy = (*bare)(nil)

func loadBare(t testing.TB, wasm []byte, engine wazero.RuntimeConfig) *bare {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, engine)
	t.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions(abi.ExportInit))
	if err != nil {
		t.Fatal(err)
	}
	window := uint32(abi.WindowSize(abi.MaxPayload))
	lent, err := m.ExportedFunction(abi.ExportBuffer).Call(ctx, uint64(window))
	if err != nil || lent[0] == 0 {
		t.Fatalf("no window of %d bytes is lent: %v, %v", window, lent, err)
	}
	return &bare{memory: m.Memory(), event: m.ExportedFunction(abi.ExportEvent), addr: uint32(lent[0]), window: window}
}

func (b *bare) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	answer, err := b.decide(ev, payload)
	b.failed = err
	return answer, err
}

func (b *bare) decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	window, ok := b.memory.Read(b.addr, b.window)
	if !ok {
		return nil, errors.New("the window is outside the memory")
	}
	abi.PutEvent(window, ev)
	copy(window[abi.EventArea:len(window)-abi.DecisionArea], payload)
	b.stack[0] = abi.EventSize
	if err := b.event.CallWithStack(context.Background(), b.stack[:]); err != nil {
		return nil, err
	}
	if window, ok = b.memory.Read(b.addr, b.window); !ok {
		return nil, errors.New("the window is outside the memory")
	}
	n := int(int32(b.stack[0]))
	if n < 0 || n > abi.MaxDecisions {
		return nil, fmt.Errorf("%d decisions", n)
	}
	var err error
	b.answer, err = abi.AppendDecisions(b.answer[:0], window[len(window)-abi.DecisionArea:], n)
	return b.answer, err
}

func (b *bare) Revive() (bool, error) { return false, b.failed }
func (b *bare) Suspend()              {}

// replayed runs a shipped trace through a policy, at a budget in tenths of what all of
// its components take. ok is false if some call cannot be admitted with it.
func replayed(t *testing.T, name string, policy host.Policy, tenths units.Bytes, user map[string]string) (r *report.Report, ok bool) {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	src, err := trace.OpenRequests(open, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var weights units.Bytes
	for _, c := range src.Header().Components {
		weights += c.Bytes
	}
	r, err = replay.Run(context.Background(), replay.Config{
		Source: src, Policy: replay.Module{Policy: policy}, PolicyConfig: user, Budget: weights * tenths / 10,
		IgnoreWorkspace: true, H2D: 25e9, D2H: 25e9, Pageable: 6e9, Baselines: []string{replay.LRU, replay.Optimum},
	})
	if inadmissible := (*replay.Inadmissible)(nil); errors.As(err, &inadmissible) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, true
}

// tightest is the smallest of a trace's budgets, in tenths, that admits every call.
func tightest(t *testing.T, name string, wasm []byte) units.Bytes {
	t.Helper()
	for tenths := units.Bytes(3); tenths < 10; tenths++ {
		if _, ok := replayed(t, name, load(t, wasm, runtime.Config{}), tenths, nil); ok {
			return tenths
		}
	}
	return 10
}

// ready tells a policy its configuration and which components there are.
func ready(t testing.TB, p host.Policy, config string, components ...abi.Event) {
	t.Helper()
	tell(t, p, abi.Event{Kind: abi.Config, Component: abi.None}, config)
	for _, c := range components {
		c.Kind = abi.Component
		tell(t, p, c, "")
	}
}

// tell delivers one event.
func tell(t testing.TB, p host.Policy, ev abi.Event, payload string) []abi.Decision {
	t.Helper()
	ev.PayloadLen = uint32(len(payload))
	answer, err := p.Decide(&ev, []byte(payload))
	if err != nil {
		t.Fatalf("%v: %v", ev.Kind, err)
	}
	return slices.Clone(answer)
}
