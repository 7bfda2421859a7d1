package meter

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// floatModule builds a module whose exported function "f" loads two vectors from
// memory, at 0 and 16, runs code on as much of them as it takes, and stores the
// vector that results at 32.
func floatModule(load, load2, code, store []byte) []byte {
	body := slices.Concat([]byte{0, opI32Const, 32, opI32Const, 0}, load)
	if load2 != nil {
		body = slices.Concat(body, []byte{opI32Const, 16}, load2)
	}
	body = append(slices.Concat(body, code, store), opEnd)
	codes := append(appendU([]byte{1}, uint64(len(body))), body...)
	return header(
		section(secType, 1, 0x60, 0, 0),
		section(secFunction, 1, 0),
		section(secMemory, 1, 0, 1),
		section(secExport, 2, 1, 'f', byte(Func), 0, 1, 'm', byte(Memory), 0),
		section(secCode, codes...))
}

func accessOf(typ byte) (load, store []byte) {
	switch typ {
	case F32:
		return []byte{0x2a, 0, 0}, []byte{0x38, 0, 0}
	case F64:
		return []byte{0x2b, 0, 0}, []byte{0x39, 0, 0}
	}
	return []byte{prefixSIMD, 0, 0, 0}, []byte{prefixSIMD, simdStore, 0, 0}
}

// Floats that arithmetic treats differently, NaN of both signs, quiet and signalling,
// with and without a payload among them.
var (
	bits32 = []uint32{0, 1 << 31, 0x3f800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fa00001, 0xffa00002, 0x7fd12345, 1, 0x4f000000}
	bits64 = []uint64{0, 1 << 63, 0x3ff0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000,
		0x7ff4000000000001, 0xfff4000000000002, 0x7ffa000012345678, 1, 0x47f0000000000000}
)

// vectors are pairs of operands in which every two of the floats meet.
func vectors(wide bool) (list [][2][16]byte) {
	for i := range bits64 {
		for j := range bits64 {
			var v [2][16]byte
			for k := 0; k < 16; k += 8 {
				if wide {
					binary.LittleEndian.PutUint64(v[0][k:], bits64[(i+k/8)%len(bits64)])
					binary.LittleEndian.PutUint64(v[1][k:], bits64[j])
					continue
				}
				for h := k; h < k+8; h += 4 {
					binary.LittleEndian.PutUint32(v[0][h:], bits32[(i+h/4)%len(bits32)])
					binary.LittleEndian.PutUint32(v[1][h:], bits32[j])
				}
			}
			list = append(list, v)
		}
	}
	return list
}

// A float instruction gives the same bits on both engines, and a NaN that it makes is
// the canonical one, on every machine.
func TestFloatsAreTheSameEverywhere(t *testing.T) {
	type instr struct {
		code     []byte
		from, to byte
		unary    bool
		wide     bool // of 64 bits, in the operands
		fresh    lane // what it returns is canonical if it is NaN
	}
	var list []instr
	for op := byte(0x8b); op <= 0xa6; op++ {
		typ, wide := byte(F32), op >= 0x99
		if wide {
			typ = F64
		}
		list = append(list, instr{[]byte{op}, typ, typ, unary(op), wide, makesNaN(op)})
	}
	list = append(list, instr{[]byte{0xb6}, F64, F32, true, true, f32}, instr{[]byte{0xbb}, F32, F64, true, false, f64})
	for sub := uint32(0x5e); sub <= 0xf7; sub++ {
		float := sub <= 0x5f || sub >= 0x67 && sub <= 0x6a || sub == 0x74 || sub == 0x75 || sub == 0x7a || sub == 0x94 ||
			sub >= 0xe0 && sub != 0xe2 && sub != 0xee
		if float {
			wide := sub == 0x5e || sub == 0x74 || sub == 0x75 || sub == 0x7a || sub == 0x94 || sub >= 0xec
			list = append(list, instr{appendU([]byte{prefixSIMD}, uint64(sub)), V128, V128, simdUnary(sub), wide, simdMakesNaN(sub)})
		}
	}
	ctx := context.Background()
	for _, in := range list {
		t.Run(fmt.Sprintf("% x", in.code), func(t *testing.T) {
			load, _ := accessOf(in.from)
			_, store := accessOf(in.to)
			load2 := load
			if in.unary {
				load2 = nil
			}
			wasm := mustMeter(t, floatModule(load, load2, in.code, store))
			var mods []api.Module
			for _, config := range engines {
				mods = append(mods, instance(t, config(), wasm))
			}
			for _, v := range vectors(in.wide) {
				var results [2][]byte
				for i, mod := range mods {
					mem, fuel := mod.Memory(), mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
					fuel.Set(testFuel)
					mem.Write(0, v[0][:])
					mem.Write(16, v[1][:])
					if _, err := mod.ExportedFunction("f").Call(ctx); err != nil {
						t.Fatal(err)
					}
					b, _ := mem.Read(32, 16)
					results[i] = slices.Clone(b)
				}
				if !slices.Equal(results[0], results[1]) {
					t.Errorf("of % x and % x: % x on one engine, % x on the other", v[0], v[1], results[0], results[1])
				}
				for i, r := range results {
					if !canonicalOnly(in.fresh, r) {
						t.Errorf("engine %d, of % x and % x: % x has a NaN that is not the canonical one", i, v[0], v[1], r)
					}
				}
			}
		})
	}
}

// canonicalOnly says whether all NaN in v are canonical. Bytes that the instruction did
// not store are 0.
func canonicalOnly(l lane, v []byte) bool {
	switch l {
	case f32, f32x4:
		for ; len(v) > 0; v = v[4:] {
			if b := binary.LittleEndian.Uint32(v); math.IsNaN(float64(math.Float32frombits(b))) && b != 0x7fc00000 {
				return false
			}
		}
	case f64, f64x2:
		for ; len(v) > 0; v = v[8:] {
			if b := binary.LittleEndian.Uint64(v); math.IsNaN(math.Float64frombits(b)) && b != 0x7ff8000000000000 {
				return false
			}
		}
	}
	return true
}
