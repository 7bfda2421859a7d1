//go:build !race

// One goroutine has no races to find, and the interpreter is fifty times as slow with
// the detector.

package policies_test

import (
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// One rule in every language, on every shipped trace, where little fits and where all
// does: the decisions are those of the built-in lru, with counters and without, compiled
// and interpreted.
func TestTheLRUsDecideAlike(t *testing.T) {
	builtin, ok := policies.Get("lru")
	if !ok {
		t.Fatal("no built-in lru")
	}
	modes := []struct {
		name string
		load func(t *testing.T, wasm []byte) host.Policy
	}{
		{"compiled", func(t *testing.T, wasm []byte) host.Policy { return load(t, wasm, runtime.Config{}) }},
		{"interpreted", func(t *testing.T, wasm []byte) host.Policy { return load(t, wasm, runtime.Config{Interpreter: true}) }},
		{"compiled, not metered", func(t *testing.T, wasm []byte) host.Policy {
			return loadBare(t, wasm, wazero.NewRuntimeConfigCompiler())
		}},
		{"interpreted, not metered", func(t *testing.T, wasm []byte) host.Policy {
			return loadBare(t, wasm, wazero.NewRuntimeConfigInterpreter())
		}},
	}
	type point struct {
		trace  string
		tenths units.Bytes
	}
	want := map[point]*report.Report{}
	reference := load(t, builtin.Wasm, runtime.Config{})
	for _, name := range library.Names() {
		for _, tenths := range []units.Bytes{tightest(t, name, reference), 8} {
			want[point{name, tenths}], _ = replayed(t, name, reference, tenths, nil)
		}
	}
	for _, module := range lrus(t) {
		for _, mode := range modes {
			t.Run(module.name+"/"+mode.name, func(t *testing.T) {
				policy, decisions := mode.load(t, module.wasm), int64(0)
				for p, want := range want {
					got, ok := replayed(t, p.trace, policy, p.tenths, nil)
					if !ok {
						t.Fatalf("%s at %d/10 is not admitted", p.trace, p.tenths)
					}
					if got.DecisionsSHA256 != want.DecisionsSHA256 || got.Faults != 0 || got.Rejected != want.Rejected {
						t.Errorf("%s at %d/10: decisions %.8s, %d faults, %d rejected, want %.8s, 0, %d",
							p.trace, p.tenths, got.DecisionsSHA256, got.Faults, got.Rejected, want.DecisionsSHA256, want.Rejected)
					}
					decisions += got.Decisions
				}
				if decisions == 0 {
					t.Error("nothing was decided")
				}
			})
		}
	}
}
