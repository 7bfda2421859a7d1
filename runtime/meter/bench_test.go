package meter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// A spinner is a module whose exported function "f" runs code for ever: 32 copies of
// it a round, each of which leaves the stack as it was. The function has the locals 0
// (i32), 1 (i64), 2 (f64), 3 (v128), 4 (f32), 5 (i32) to work on; function 1 adds one.
type spinner struct {
	fuel, stack api.MutableGlobal
	memory      []byte
	f           api.Function
}

const spinnerFuel = 1_000_000

func newSpinner(b testing.TB, pages int, start, code []byte) *spinner {
	b.Helper()
	body := slices.Concat([]byte{6, 1, I32, 1, I64, 1, F64, 1, V128, 1, F32, 1, I32}, start, []byte{opLoop, blockVoid},
		bytes.Repeat(code, 32), []byte{opBr, 0, opEnd, opEnd})
	helper := []byte{0, opLocalGet, 0, opI32Const, 1, opI32Add, opEnd}
	codes := append(appendU([]byte{2}, uint64(len(body))), body...)
	codes = append(append(codes, byte(len(helper))), helper...)
	out, err := Meter(header(
		section(secType, 2, 0x60, 0, 0, 0x60, 1, I32, 1, I32),
		section(secFunction, 2, 0, 1),
		section(secTable, 1, FuncRef, 0, 100),
		section(secMemory, append([]byte{1, 0}, appendU(nil, uint64(pages))...)...),
		section(secExport, 1, 1, 'f', byte(Func), 0),
		section(secElement, 1, 0, opI32Const, 0, opEnd, 1, 1),
		section(secCode, codes...)), Options{StartFuel: spinnerFuel, MemoryPages: 256})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
	b.Cleanup(func() { rt.Close(ctx) })
	mod, err := rt.Instantiate(ctx, out)
	if err != nil {
		b.Fatal(err)
	}
	s := &spinner{f: mod.ExportedFunction("f")}
	s.fuel, s.stack = mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal), mod.ExportedGlobal(StackGlobal).(api.MutableGlobal)
	s.memory, _ = mod.Memory().Read(0, uint32(pages)<<16)
	return s
}

// spin spends all fuel.
func (s *spinner) spin(b testing.TB) {
	s.fuel.Set(spinnerFuel)
	s.stack.Set(DefaultStackBytes)
	if err := s.f.CallWithStack(context.Background(), nil); err == nil || int64(s.fuel.Get()) >= 0 {
		b.Fatalf("%v with %d units left, want them spent", err, s.fuel.Get())
	}
}

// link makes a circle of all lines of the first so many pieces of the memory, in no
// order but piece after piece: each line begins with the address of the next.
func (s *spinner) link(pieces int) {
	order := append(rand.Perm(pieces-1), -1)
	at := uint32(0)
	for _, piece := range order {
		for _, next := range []uint32{at + 128, at + 64, at + 192, uint32(piece+1) << pieceShift} {
			binary.LittleEndian.PutUint32(s.memory[at:], next)
			at = next
		}
	}
}

// begin makes the walk around a circle of so many pieces go on anywhere.
func (s *spinner) begin(pieces int) {
	binary.LittleEndian.PutUint32(s.memory, rand.Uint32N(uint32(pieces))<<pieceShift)
}

// What a unit of fuel buys at most, in time: the figures that the prices and the
// default limits rest on. Every piece of code depends on its own result, so that
// nothing runs beside it.
func BenchmarkUnitOfFuel(b *testing.B) {
	random := slices.Concat( // local 0 = local 0 * 1664525 + 1013904223, and on the stack
		[]byte{opLocalGet, 0}, appendS([]byte{opI32Const}, 1664525), []byte{0x6c},
		appendS([]byte{opI32Const}, 1013904223), []byte{opI32Add, opLocalTee, 0})
	somewhere := slices.Concat(random, appendS([]byte{opI32Const}, 1<<24-8192), []byte{0x71})
	count := []byte{opLocalGet, 5, opI32Const, 1, opI32Add, opLocalSet, 5}
	follow := []byte{opLocalGet, 0, 0x28, 2, 0, 0x28, 2, 0, 0x28, 2, 0, 0x28, 2, 0, opLocalSet, 0}
	const pieces = 1 << 16 >> pieceShift // of a page
	for _, tt := range []struct {
		name   string
		pages  int
		linked int // pieces
		code   []byte
	}{
		{"add", 1, 0, []byte{opLocalGet, 0, opI32Const, 1, opI32Add, opLocalSet, 0}},
		{"load", 1, 0, []byte{opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0}},
		{"store across pages", 1, 0, slices.Concat(appendS([]byte{opI32Const}, 4095), []byte{opLocalGet, 0, 0x36, 0, 0})},
		{"linked loads, 512 KiB", 8, 8 * pieces, follow},
		{"linked loads, 1 MiB", 16, 16 * pieces, follow},
		{"linked loads, 16 MiB", 256, 256 * pieces, follow},
		{"linked loads, 128 KiB of 16 MiB", 256, pieceSets * pieceWays, follow},
		{"linked copies, 16 MiB", 256, 256 * pieces, []byte{opI32Const, 4, opLocalGet, 0, opI32Const, 4, prefixMisc, miscMemoryCopy, 0, 0,
			opI32Const, 4, 0x28, 2, 0, opLocalSet, 0}},
		{"scattered stores, 16 MiB", 256, 0, slices.Concat(somewhere, []byte{opLocalGet, 0, 0x36, 2, 0})},
		{"scattered fills, 16 MiB", 256, 0, slices.Concat(somewhere, []byte{opI32Const, 0, opI32Const, 8, prefixMisc, miscMemoryFill, 0})},
		{"empty loop", 1, 0, nil},
		{"jump", 1, 0, []byte{opBlock, blockVoid, opBr, 0, opEnd}},
		{"branch", 1, 0, []byte{opBlock, blockVoid, opLocalGet, 0, opBrIf, 0, opEnd}},
		{"branch at random", 1, 0, slices.Concat([]byte{opBlock, blockVoid}, random, []byte{opI32Const, 0, opI32LtS, opBrIf, 0}, count, []byte{opEnd})},
		{"switch at random", 1, 0, slices.Concat([]byte{opBlock, blockVoid, opBlock, blockVoid, opBlock, blockVoid}, random,
			[]byte{opI32Const, 30, opI32ShrU, opBrTable, 2, 0, 1, 2, opEnd}, count, []byte{opEnd}, count, []byte{opEnd})},
		{"call", 1, 0, []byte{opLocalGet, 0, opCall, 1, opLocalSet, 0}},
		{"indirect call", 1, 0, []byte{opLocalGet, 0, opI32Const, 0, opCallIndirect, 1, 0, opLocalSet, 0}},
		{"function reference", 1, 0, []byte{opRefFunc, 1, opDrop}},
		{"table write", 1, 0, []byte{opI32Const, 1, opI32Const, 0, opTableGet, 0, opTableSet, 0}},
		{"fill 8", 1, 0, []byte{opI32Const, 0, opI32Const, 0, opI32Const, 8, prefixMisc, miscMemoryFill, 0}},
		{"fill 1 MiB", 256, 0, slices.Concat([]byte{opI32Const, 0, opI32Const, 0}, appendS([]byte{opI32Const}, 1<<20), []byte{prefixMisc, miscMemoryFill, 0})},
		{"copy 1 MiB", 256, 0, slices.Concat(appendS([]byte{opI32Const}, 8<<20), []byte{opI32Const, 0}, appendS([]byte{opI32Const}, 1<<20), []byte{prefixMisc, miscMemoryCopy, 0, 0})},
		{"memory.grow 0", 1, 0, []byte{opI32Const, 0, opMemoryGrow, 0, opDrop}},
		{"table.fill", 1, 0, slices.Concat([]byte{opI32Const, 0, opRefNull, FuncRef}, appendS([]byte{opI32Const}, 100), []byte{prefixMisc, miscTableFill, 0})},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s := newSpinner(b, tt.pages, nil, tt.code)
			if tt.linked > 0 {
				s.link(tt.linked)
			}
			for b.Loop() {
				if tt.linked > 0 {
					s.begin(tt.linked)
				}
				s.spin(b)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/spinnerFuel, "ns/unit")
		})
	}
}

// The dearest of all instructions that compute, for what it is charged: each one
// applied to its own result again and again, by way of another type if need be.
func BenchmarkDearestInstruction(b *testing.B) {
	for b.Loop() {
		var dearest float64
		var name string
		for _, c := range chains() {
			s := newSpinner(b, 1, c.start, c.code)
			least := time.Hour
			for range 5 { // other programs take the machine
				begun := time.Now()
				s.spin(b)
				least = min(least, time.Since(begun))
			}
			if ns := least.Seconds() * 1e9 / spinnerFuel; ns > dearest {
				dearest, name = ns, c.name
			}
		}
		b.ReportMetric(dearest, "ns/unit")
		b.Logf("the dearest is %s", name)
	}
}

type chain struct {
	name        string
	start, code []byte
}

// chains has one for each instruction that computes.
func chains() (all []chain) {
	local := map[byte]byte{I32: 0, I64: 1, F64: 2, V128: 3, F32: 4}
	some := map[byte][]byte{ // values that keep an instruction busy
		I32: appendS([]byte{opI32Const}, 0x12345677), I64: appendS([]byte{opI64Const}, 0x123456789abcdef),
		F32: {opF32Const, 0x77, 0x77, 0x80, 0x3f}, F64: {opF64Const, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0xf0, 0x3f},
		V128: slices.Concat([]byte{prefixSIMD, simdConst}, bytes.Repeat([]byte{0x77, 0x77, 0x80, 0x3f}, 4)),
	}
	back := map[[2]byte][]byte{ // from one type to another
		{I32, I64}: {opI64ExtendU}, {I32, F32}: {0xbe}, {I32, F64}: {opI64ExtendU, 0xbf}, {I64, I32}: {0xa7}, {I64, F64}: {0xbf}, {I64, F32}: {0xa7, 0xbe},
		{F32, I32}: {0xbc}, {F32, F64}: {0xbc, opI64ExtendU, 0xbf}, {F32, I64}: {0xbc, opI64ExtendU}, {F64, I64}: {0xbd}, {F64, I32}: {0xbd, 0xa7}, {F64, F32}: {0xbd, 0xa7, 0xbe},
	}
	add := func(name string, in byte, once ...byte) {
		l := local[in]
		all = append(all, chain{name, append(slices.Clone(some[in]), opLocalSet, l),
			slices.Concat([]byte{opLocalGet, l}, bytes.Repeat(once, 16), []byte{opLocalSet, l})})
	}
	for op := byte(0x45); op <= 0xc4; op++ {
		in, out := signature(op)
		name := fmt.Sprintf("%#x", op)
		switch {
		case unary(op):
			add(name, in, append([]byte{op}, back[[2]byte{out, in}]...)...)
		case op >= 0x6d && op <= 0x70: // what is divided stays large
			add(name, in, slices.Concat([]byte{opI32Const, 7, op}, some[I32], []byte{0x73})...)
		case op >= 0x7f && op <= 0x82:
			add(name, in, slices.Concat([]byte{opI64Const, 7, op}, some[I64], []byte{0x85})...)
		default:
			add(name, in, slices.Concat(some[in], []byte{op}, back[[2]byte{out, in}])...)
		}
	}
	for sub := byte(0); sub <= miscTruncLast; sub++ {
		in, out := []byte{F32, F32, F64, F64}[sub%4], []byte{I32, I64}[sub/4]
		add(fmt.Sprintf("0xfc %#x", sub), in, slices.Concat([]byte{prefixMisc, sub}, back[[2]byte{out, in}])...)
	}
	for sub := uint32(simdShuffle); sub <= simdLast; sub++ {
		once := appendU([]byte{prefixSIMD}, uint64(sub))
		lane := []byte{0x16, 0x18, 0x1b, 0x1d, 0x1f, 0x21} // extract_lane of each shape
		shift := sub >= 0x60 && sub&0x1f >= 0x0b && sub&0x1f <= 0x0d && sub < 0xe0
		test := sub == simdAnyTrue || sub >= 0x60 && sub < 0xe0 && sub&0x1f >= 3 && sub&0x1f <= 4 // and bitmask
		switch {
		case sub >= simdLaneFirst && sub <= simdLaneLast, sub >= simdLoadLane && sub <= simdLoadZero64, noSIMD[sub]:
			continue
		case sub == simdShuffle:
			once = slices.Concat([]byte{opLocalGet, 3}, once, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
		case sub >= simdSplatFirst && sub <= simdSplatLast:
			once = append([]byte{prefixSIMD, lane[sub-simdSplatFirst], 0}, once...)
		case sub == simdBitselect:
			once = append([]byte{opLocalGet, 3, opLocalGet, 3}, once...)
		case test:
			once = append(once, prefixSIMD, 0x11)
		case shift:
			once = append([]byte{opI32Const, 3}, once...)
		case !simdUnary(sub):
			once = append(slices.Clone(some[V128]), once...)
		}
		add(fmt.Sprintf("0xfd %#x", sub), V128, once...)
	}
	return all
}

// noSIMD are numbers of instructions that there are not.
var noSIMD = map[uint32]bool{0x9a: true, 0xa2: true, 0xa5: true, 0xa6: true, 0xaf: true, 0xb0: true, 0xb2: true, 0xb3: true, 0xb4: true,
	0xbb: true, 0xc2: true, 0xc5: true, 0xc6: true, 0xcf: true, 0xd0: true, 0xd2: true, 0xd3: true, 0xd4: true, 0xe2: true, 0xee: true}

// signature returns the types of the operands and of the result of a numeric
// instruction in 0x45 to 0xc4.
func signature(op byte) (in, out byte) {
	for _, s := range []struct{ last, in, out byte }{
		{0x4f, I32, I32}, {0x5a, I64, I32}, {0x60, F32, I32}, {0x66, F64, I32},
		{0x78, I32, I32}, {0x8a, I64, I64}, {0x98, F32, F32}, {0xa6, F64, F64},
		{0xa7, I64, I32}, {0xa9, F32, I32}, {0xab, F64, I32}, {0xad, I32, I64}, {0xaf, F32, I64}, {0xb1, F64, I64},
		{0xb3, I32, F32}, {0xb5, I64, F32}, {0xb6, F64, F32}, {0xb8, I32, F64}, {0xba, I64, F64}, {0xbb, F32, F64},
		{0xbc, F32, I32}, {0xbd, F64, I64}, {0xbe, I32, F32}, {0xbf, I64, F64}, {0xc1, I32, I32},
	} {
		if op <= s.last {
			return s.in, s.out
		}
	}
	return I64, I64
}
