package meter

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// spinner builds a module whose exported function "f" runs code for ever: 32 copies
// of it a round, each of which leaves the stack as it was. The function has the
// locals 0 (i32), 1 (i64), 2 (f64) and 3 (v128) to work on; function 1 adds one.
func spinner(code []byte) []byte {
	body := slices.Concat([]byte{4, 1, I32, 1, I64, 1, F64, 1, V128, opLoop, blockVoid},
		bytes.Repeat(code, 32), []byte{opBr, 0, opEnd, opEnd})
	helper := []byte{0, opLocalGet, 0, opI32Const, 1, opI32Add, opEnd}
	codes := append(appendU([]byte{2}, uint64(len(body))), body...)
	codes = append(append(codes, byte(len(helper))), helper...)
	return header(
		section(secType, 2, 0x60, 0, 0, 0x60, 1, I32, 1, I32),
		section(secFunction, 2, 0, 1),
		section(secTable, 1, FuncRef, 0, 100),
		section(secMemory, 1, 0, 0x80, 2), // 256 pages
		section(secExport, 1, 1, 'f', byte(Func), 0),
		section(secElement, 1, 0, opI32Const, 0, opEnd, 1, 1),
		section(secCode, codes...))
}

// What a unit of fuel buys at most, in time: the figures that the default limits
// rest on. Every piece of code depends on its own result, so that nothing runs
// beside it.
func BenchmarkUnitOfFuel(b *testing.B) {
	wide := func(op byte) []byte { // v128 = op(v128, v128)
		return []byte{opLocalGet, 3, opLocalGet, 3, prefixSIMD, op, 1, opLocalSet, 3}
	}
	next := slices.Concat( // local 0 = (local 0 * 1664525 + 1013904223) & 16 MiB - 16
		[]byte{opLocalGet, 0}, appendS([]byte{opI32Const}, 1664525), []byte{0x6c},
		appendS([]byte{opI32Const}, 1013904223), []byte{opI32Add},
		appendS([]byte{opI32Const}, 1<<24-16), []byte{0x71, opLocalSet, 0})
	for _, tt := range []struct {
		name string
		code []byte
	}{
		{"add", []byte{opLocalGet, 0, opI32Const, 1, opI32Add, opLocalSet, 0}},
		{"multiply", []byte{opLocalGet, 1, opLocalGet, 1, 0x7e, opLocalSet, 1}},
		{"divide", []byte{opLocalGet, 1, opI64Const, 7, 0x80, opLocalSet, 1}},
		{"sqrt", []byte{opLocalGet, 2, 0x9f, opLocalSet, 2}},
		{"fdivide", []byte{opLocalGet, 2, opLocalGet, 2, 0xa3, opLocalSet, 2}},
		{"min", []byte{opLocalGet, 2, opLocalGet, 2, 0xa4, opLocalSet, 2}},
		{"round", []byte{opLocalGet, 2, 0x9e, opLocalSet, 2}},
		{"truncate", []byte{opLocalGet, 2, prefixMisc, 7, 0xba, opLocalSet, 2}},
		{"load", []byte{opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0}},
		{"store", []byte{opI32Const, 0, opLocalGet, 0, 0x36, 2, 0}},
		{"scattered load", slices.Concat(next, []byte{opLocalGet, 0, 0x28, 2, 0, opLocalGet, 0, opI32Add, opLocalSet, 0})},
		{"scattered store", slices.Concat(next, []byte{opLocalGet, 0, opLocalGet, 0, 0x36, 2, 0})},
		{"branch", []byte{opBlock, blockVoid, opLocalGet, 0, opBrIf, 0, opEnd}},
		{"call", []byte{opLocalGet, 0, opCall, 1, opLocalSet, 0}},
		{"indirect call", []byte{opLocalGet, 0, opI32Const, 0, opCallIndirect, 1, 0, opLocalSet, 0}},
		{"function reference", []byte{opRefFunc, 1, opDrop}},
		{"table write", []byte{opI32Const, 1, opI32Const, 0, opTableGet, 0, opTableSet, 0}},
		{"fill 8", []byte{opI32Const, 0, opI32Const, 0, opI32Const, 8, prefixMisc, miscMemoryFill, 0}},
		{"fill 4 MiB", slices.Concat([]byte{opI32Const, 0, opI32Const, 0}, appendS([]byte{opI32Const}, 4<<20), []byte{prefixMisc, miscMemoryFill, 0})},
		{"copy 4 MiB", slices.Concat(appendS([]byte{opI32Const}, 8<<20), []byte{opI32Const, 0}, appendS([]byte{opI32Const}, 4<<20), []byte{prefixMisc, miscMemoryCopy, 0, 0})},
		{"memory.grow 0", []byte{opI32Const, 0, opMemoryGrow, 0, opDrop}},
		{"table.fill", slices.Concat([]byte{opI32Const, 0, opRefNull, FuncRef}, appendS([]byte{opI32Const}, 100), []byte{prefixMisc, miscTableFill, 0})},
		{"swizzle", []byte{opLocalGet, 3, opLocalGet, 3, prefixSIMD, 0x0e, opLocalSet, 3}},
		{"f64x2.div", wide(0xf3)},
		{"i64x2.mul", wide(0xd5)},
		{"i8x16.popcnt", []byte{opLocalGet, 3, prefixSIMD, 0x62, opLocalSet, 3}},
		{"f64x2.sqrt", []byte{opLocalGet, 3, prefixSIMD, 0xef, 1, opLocalSet, 3}},
		{"f32x4.min", wide(0xe8)},
		{"i8x16.shl", []byte{opLocalGet, 3, opLocalGet, 0, prefixSIMD, 0x6b, opLocalSet, 3}},
		{"i32x4.trunc_sat", []byte{opLocalGet, 3, prefixSIMD, 0xf9, 1, opLocalSet, 3}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			const fuel = 1_000_000
			out, err := Meter(spinner(tt.code), Options{StartFuel: fuel, MemoryPages: 256})
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
			defer rt.Close(ctx)
			mod, err := rt.Instantiate(ctx, out)
			if err != nil {
				b.Fatal(err)
			}
			f, left := mod.ExportedFunction("f"), mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
			for b.Loop() {
				left.Set(fuel)
				if err := f.CallWithStack(ctx, nil); err == nil || int64(left.Get()) >= 0 {
					b.Fatalf("%v with %d units left, want them spent", err, left.Get())
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/1000, "µs/1k-fuel")
		})
	}
}
