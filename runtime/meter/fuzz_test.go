package meter

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// A module that the engine takes is metered or refused, and what comes out metered
// the engine takes too. What comes out never panics the engine.
func FuzzMeter(f *testing.F) {
	for _, pattern := range []string{"testdata/*.wasm", "../testdata/*.wasm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			if wasm, err := os.ReadFile(name); err == nil && len(wasm) < 64<<10 {
				f.Add(wasm)
			}
		}
	}
	f.Add(function(opEnd))
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(64))
	f.Cleanup(func() { rt.Close(ctx) })
	f.Fuzz(func(t *testing.T, wasm []byte) {
		out, err := Meter(wasm, Options{StartFuel: 1 << 16, MemoryPages: 64, Entry: "offhost_v1_event"})
		if err != nil {
			return
		}
		metered, meteredErr := rt.CompileModule(ctx, out)
		if meteredErr == nil {
			metered.Close(ctx)
			return
		}
		// Decode bounds what the engine allocates, so it is safe to ask.
		if plain, err := rt.CompileModule(ctx, wasm); err == nil {
			plain.Close(ctx)
			t.Errorf("the module is valid, metered it is not: %v", meteredErr)
		}
	})
}

// around builds a module whose exported function "f", (i32) -> (i32) with an i64, an
// f64 and a vector for locals, has the given code. It may call itself and a helper,
// and has memory of so many pages, a table, globals and types to use.
func around(body []byte, pages byte) []byte {
	code := func(locals, instr []byte) []byte {
		b := append(locals, instr...)
		return append(appendU(nil, uint64(len(b))), b...)
	}
	codes := append([]byte{2}, code([]byte{3, 1, I64, 1, F64, 1, V128}, body)...)
	codes = append(codes, code([]byte{0}, []byte{opLocalGet, 0, opI32Const, 1, opI32Add, opEnd})...)
	return header(
		section(secType, 3, 0x60, 1, I32, 1, I32, 0x60, 0, 2, I32, I64, 0x60, 1, I32, 2, I32, I32),
		section(secFunction, 2, 0, 0),
		section(secTable, 1, FuncRef, 0, 2),
		section(secMemory, 1, 1, pages, pages+1),
		section(secGlobal, 2, I32, 1, opI32Const, 5, opEnd, I64, 0, opI64Const, 6, opEnd),
		section(secExport, 1, 1, 'f', byte(Func), 0),
		section(secElement, 1, 0, opI32Const, 0, opEnd, 2, 0, 1),
		section(secCode, codes...),
		section(secData, 1, 0, opI32Const, 0, opEnd, 3, 1, 2, 3))
}

// A metered function does what the function does, as long as its fuel lasts, and
// spends the same on both engines.
func FuzzBody(f *testing.F) {
	f.Add([]byte{opLocalGet, 0, opEnd})
	f.Add([]byte{opLocalGet, 0, opIf, I32, opI32Const, 1, opElse, opI32Const, 2, opEnd, opEnd})
	f.Add([]byte{opLoop, blockVoid, opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd, opLocalGet, 0, opEnd})
	f.Add([]byte{opBlock, blockVoid, opBlock, blockVoid, opLocalGet, 0, opBrTable, 1, 0, 1, opEnd, opI32Const, 7, opReturn, opEnd, opI32Const, 8, opEnd})
	f.Add([]byte{opLocalGet, 0, opCall, 1, opI32Const, 1, opCallIndirect, 0, 0, opEnd})
	f.Add([]byte{opI32Const, 0, opI32Const, 1, opLocalGet, 0, prefixMisc, miscMemoryFill, 0, opI32Const, 3, 0x28, 0, 0, opEnd})
	f.Add([]byte{opLocalGet, 0, opMemoryGrow, 0, opDrop, opGlobalGet, 0, opLocalTee, 0, opGlobalSet, 0, opMemorySize, 0, opEnd})
	f.Add([]byte{opLocalGet, 0, prefixSIMD, 0x0f, opLocalTee, 3, opLocalGet, 3, prefixSIMD, 0xee, 0x01, prefixSIMD, 0x16, 3, opEnd})
	f.Add([]byte{opLocalGet, 0, 0x28, 2, 4, opLocalTee, 0, prefixSIMD, 0x09, 2, 8, opLocalGet, 0, prefixSIMD, 0x0f, prefixSIMD, simdLoadLane, 0, 0, 1, opLocalSet, 3, opEnd})
	f.Add([]byte{opLocalGet, 0, opBlock, 2, opI32Const, 3, opEnd, opI32Sub, opEnd})
	f.Add([]byte{opLocalGet, 0, opBrIf, 0, opUnreachable, opLoop, blockVoid, opEnd, opEnd})
	f.Add([]byte{opLocalGet, 2, opLocalGet, 2, 0xa3, 0xbd, 0xa7, opLocalGet, 3, opLocalGet, 3, prefixSIMD, 0xf3, 1, prefixSIMD, 0x1b, 1, opI32Add, opEnd})
	ctx := context.Background()
	run := func(config wazero.RuntimeConfig, wasm []byte, arg uint64) (res uint64, trap string, fuel int64, valid bool) {
		rt := wazero.NewRuntimeWithConfig(ctx, config)
		defer rt.Close(ctx)
		mod, err := rt.Instantiate(ctx, wasm)
		if err != nil {
			return 0, err.Error(), 0, false
		}
		stack := []uint64{arg}
		if err := mod.ExportedFunction("f").CallWithStack(ctx, stack); err != nil {
			trap, _, _ = strings.Cut(err.Error(), "\n")
			stack[0] = 0
		}
		if g := mod.ExportedGlobal(FuelGlobal); g != nil {
			fuel = int64(g.Get())
			if depth := int32(mod.ExportedGlobal(StackGlobal).Get()); depth < 0 {
				fuel = -1
			} else if trap == "" && depth != DefaultStackBytes {
				return 0, "the stack is not given back", fuel, true
			}
		}
		return stack[0], trap, fuel, true
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 4096 {
			return
		}
		for _, pages := range []byte{1, nearPages + 1} { // with a record of pieces and without
			plain := around(body, pages)
			m, err := Decode(plain)
			if err != nil {
				t.Fatal(err)
			}
			metered, stats, err := m.Meter(Options{StartFuel: 20000, MemoryPages: uint32(pages) + 1, TableEntries: 10})
			if err != nil {
				return
			}
			for arg := range uint64(3) {
				res, trap, fuel, valid := run(wazero.NewRuntimeConfigInterpreter(), metered, arg)
				res2, trap2, fuel2, valid2 := run(wazero.NewRuntimeConfig(), metered, arg)
				if res != res2 || trap != trap2 || fuel != fuel2 || valid != valid2 {
					t.Fatalf("f(%d): %d %q fuel %d on the interpreter, %d %q fuel %d compiled", arg, res, trap, fuel, res2, trap2, fuel2)
				}
				if fuel < 0 || !valid || stats.Floats > 0 {
					continue // the plain one may run for ever, or make another NaN
				}
				res3, trap3, _, valid3 := run(wazero.NewRuntimeConfigInterpreter(), plain, arg)
				if !valid3 {
					continue // long encodings that the engine does not take come out short
				}
				if res != res3 || trap != trap3 {
					t.Fatalf("f(%d): %d %q metered, %d %q plain", arg, res, trap, res3, trap3)
				}
			}
		}
	})
}
