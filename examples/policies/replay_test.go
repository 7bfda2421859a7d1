//go:build !race

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
	runtime      wazero.Runtime
	module       wazero.CompiledModule
	instance     api.Module // nil when it is suspended
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
	m, err := r.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return &bare{runtime: r, module: m, window: uint32(abi.WindowSize(abi.MaxPayload))}
}

func (b *bare) Revive() (fresh bool, err error) {
	if b.instance != nil {
		return false, b.failed
	}
	ctx := context.Background()
	m, err := b.runtime.InstantiateModule(ctx, b.module, wazero.NewModuleConfig().WithStartFunctions(abi.ExportInit).WithName(""))
	if err != nil {
		return false, err
	}
	lent, err := m.ExportedFunction(abi.ExportBuffer).Call(ctx, uint64(b.window))
	if err != nil || lent[0] == 0 {
		return false, fmt.Errorf("no window of %d bytes is lent: %v, %w", b.window, lent, err)
	}
	b.instance, b.event, b.addr = m, m.ExportedFunction(abi.ExportEvent), uint32(lent[0])
	return true, nil
}

func (b *bare) Suspend() {
	if b.instance != nil {
		b.instance.Close(context.Background())
		b.instance = nil
	}
}

func (b *bare) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	answer, err := b.decide(ev, payload)
	b.failed = err
	return answer, err
}

func (b *bare) decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	window, ok := b.instance.Memory().Read(b.addr, b.window)
	if !ok {
		return nil, errors.New("the window is outside the memory")
	}
	abi.PutEvent(window, ev)
	copy(window[abi.EventArea:len(window)-abi.DecisionArea], payload)
	b.stack[0] = abi.EventSize
	if err := b.event.CallWithStack(context.Background(), b.stack[:]); err != nil {
		return nil, err
	}
	if window, ok = b.instance.Memory().Read(b.addr, b.window); !ok {
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

// replayed runs a shipped trace through a fresh instance of a policy, at a budget in
// tenths of what all of its components take. ok is false if some call cannot be
// admitted with it.
func replayed(t *testing.T, name string, policy host.Policy, tenths units.Bytes, user map[string]string) (r *report.Report, ok bool) {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return replayedTrace(t, open, policy, tenths, user)
}

func replayedTrace(t *testing.T, open trace.Opener, policy host.Policy, tenths units.Bytes, user map[string]string, swaps ...replay.Swap) (r *report.Report, ok bool) {
	t.Helper()
	src, err := trace.OpenRequests(open, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var weights units.Bytes
	for _, c := range src.Header().Components {
		weights += c.Bytes
	}
	policy.Suspend()
	r, err = replay.Run(context.Background(), replay.Config{
		Source: src, Policy: replay.Module{Policy: policy}, Swaps: swaps, PolicyConfig: user, Budget: weights * tenths / 10,
		IgnoreWorkspace: true, H2D: 25e9, D2H: 25e9, Pageable: 6e9, Baselines: []string{replay.LRU, replay.Accelerate},
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
func tightest(t *testing.T, name string, policy host.Policy) units.Bytes {
	t.Helper()
	for tenths := units.Bytes(3); tenths < 10; tenths++ {
		if _, ok := replayed(t, name, policy, tenths, nil); ok {
			return tenths
		}
	}
	return 10
}

// tell delivers one event.
func tell(t testing.TB, p host.Policy, ev abi.Event, payload string) []abi.Decision {
	t.Helper()
	ev.PayloadLen = uint32(len(payload))
	answer, err := p.Decide(&ev, []byte(payload))
	if err != nil {
		t.Fatalf("%v of %d: %v", ev.Kind, ev.Component, err)
	}
	return slices.Clone(answer)
}
