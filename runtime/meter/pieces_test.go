package meter

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

const bigMemory = 40 // pages

func meterBig(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out, err := Meter(wasm, Options{StartFuel: testFuel, MemoryPages: bigMemory})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A load from a piece that is not among the last of its set waits for memory, by
// the module's own account of it.
func TestLoadsFromFar(t *testing.T) {
	const (
		near  = 2*8 + 1 + costLoad + costLookUp
		other = pieceSets << pieceShift // apart are the pieces of a set
	)
	for engine, config := range engines {
		mod := instance(t, config(), meterBig(t, fixture(t, "pieces")))
		for i, step := range []struct {
			at     uint64
			missed bool
		}{
			{other, true},
			{other, false},
			{other + 247, false}, // with the offset of 8, still the piece
			{other + 248, true},  // the next one
			{other - 8, false},
			{2*other - 9, true}, // the one before that of 2*other
			{0, false},          // an empty record has the first piece of each set
			{2 * other, true}, {3 * other, true}, {4 * other, true}, {5 * other, true}, {6 * other, true},
			{other, false},
			{7 * other, true}, {8 * other, true}, // and out goes the empty record's, then
			{other, false},
			{9 * other, true}, // the first
			{other, true},
			{3 * other, false},
			{2 * other, true},
		} {
			want := int64(near)
			if step.missed {
				want += costMiss
			}
			if got := call(t, mod, "load", step.at); got.Trap != "" || got.Fuel != want {
				t.Errorf("%s, step %d, a load from %d: got %+v, want %d units", engine, i, step.at, got, want)
			}
		}

		mod = instance(t, config(), meterBig(t, fixture(t, "pieces")))
		if splat, again := call(t, mod, "splat", 100_000), call(t, mod, "lane", 100_001); splat.Fuel < costMiss || again.Fuel > costMiss {
			t.Errorf("%s: two vector loads from one piece took %d and %d units, want one of them to wait", engine, splat.Fuel, again.Fuel)
		}
		if got := call(t, mod, "store", 200_000); got.Fuel > costMiss {
			t.Errorf("%s: a store took %d units, want it not to wait", engine, got.Fuel)
		}
		if got := call(t, mod, "copy", 300_000); got.Fuel < costMiss {
			t.Errorf("%s: a copy took %d units, want it to wait", engine, got.Fuel)
		}
	}
}

// What is loaded is what would be without the record, and where it cannot be, the trap
// is the same.
func TestLoadsFromFarAreLoads(t *testing.T) {
	for engine, config := range engines {
		plain, metered := instance(t, config(), fixture(t, "pieces")), instance(t, config(), meterBig(t, fixture(t, "pieces")))
		for _, mod := range []api.Module{plain, metered} {
			mem, _ := mod.Memory().Read(0, mod.Memory().Size())
			for i := range mem {
				mem[i] = byte(i * 7 >> 3)
			}
		}
		for _, fn := range []string{"load", "lane", "splat", "store", "copy"} {
			for _, at := range []uint64{0, 1, 61, 4095, 500_001, 9<<16 - 12, 9<<16 - 11, 9 << 16, 1<<32 - 8, 1<<32 - 1} {
				want, got := call(t, plain, fn, at), call(t, metered, fn, at)
				if got.Result != want.Result || got.Trap != want.Trap {
					t.Errorf("%s, %s(%d): got %+v, without counters %+v", engine, fn, at, got, want)
				}
			}
		}
	}
}

// The fuel may run dry where a piece is looked up. It has run dry then, and the trace
// says so.
func TestFuelRunsDryOverAPiece(t *testing.T) {
	for engine, config := range engines {
		mod := instance(t, config(), meterBig(t, fixture(t, "pieces")))
		_, err := mod.ExportedFunction("walk").Call(context.Background(), 0)
		if err == nil || !strings.Contains(err.Error(), PiecesFunction) || !strings.Contains(err.Error(), ".$walk(") && !strings.Contains(err.Error(), ".$5(") {
			t.Errorf("%s: got %v, want a trap in %s, called by the module", engine, err, PiecesFunction)
		}
		if left := int64(mod.ExportedGlobal(FuelGlobal).Get()); left >= 0 || left < -costMiss {
			t.Errorf("%s: %d units are left, want a little less than none", engine, left)
		}
	}
}

// Only a module whose memory may become large keeps a record, and uses it only when it
// has.
func TestWhoKeepsARecord(t *testing.T) {
	for _, tt := range []struct {
		name           string
		min, max, grow byte // pages
		keeps          bool
		missed         bool
	}{
		{"small", 8, 0, 0, false, false},
		{"large", 9, 0, 0, true, true},
		{"grows no further", 1, 8, 1, false, false},
		{"may grow", 1, 0, 1, true, false},
		{"grew", 1, 9, 8, true, true},
	} {
		memory := []byte{1, 0, tt.min}
		if tt.max > 0 {
			memory = []byte{1, 1, tt.min, tt.max}
		}
		body := []byte{0}
		if tt.grow > 0 {
			body = append(body, opI32Const, tt.grow, opMemoryGrow, 0, opDrop)
		}
		// from 32,768, behind what an empty record has
		body = append(append(body, appendS([]byte{opI32Const}, 32768)...), 0x28, 2, 0, opDrop, opEnd)
		wasm := header(
			section(secType, 1, 0x60, 0, 0), section(secFunction, 1, 0), section(secMemory, memory...),
			section(secExport, 1, 1, 'f', byte(Func), 0),
			section(secCode, append([]byte{1, byte(len(body))}, body...)...))
		out := meterBig(t, wasm)
		if got := bytes.Contains(out, []byte(PiecesFunction)); got != tt.keeps {
			t.Errorf("%s: it keeps a record: %t, want %t", tt.name, got, tt.keeps)
		}
		spent := call(t, instance(t, engines["compiler"](), out), "f").Fuel
		spent -= int64(tt.grow) << 17
		if tt.grow > 0 {
			spent -= costExit
		}
		if got := spent >= costMiss; got != tt.missed {
			t.Errorf("%s: a load took %d units, want it to wait: %t", tt.name, spent, tt.missed)
		}
	}
}
