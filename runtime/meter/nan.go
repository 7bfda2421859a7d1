package meter

// Which bits a NaN has that arithmetic makes is left open by WebAssembly: an x86 sets
// the sign where an ARM does not, and of two operands that are NaN one machine hands on
// the first and another the second. A guest can see the difference, by storing a float
// and loading an integer. So every instruction that may make a NaN is followed by one
// that puts the canonical NaN in its place. What only moves bits, or flips the sign,
// keeps those of its operand everywhere and is left alone.

// A lane says which floats an instruction returns.
type lane byte

// Kinds of lanes; 0 is none.
const (
	f32 lane = iota + 1
	f64
	f32x4
	f64x2
)

// makesNaN says what a numeric instruction in 0x45 to 0xc4 returns if that may be a new
// NaN.
func makesNaN(op byte) lane {
	switch {
	case op >= 0x8d && op <= 0x97, op == 0xb6: // ceil to max, demote
		return f32
	case op >= 0x9b && op <= 0xa5, op == 0xbb: // ceil to max, promote
		return f64
	}
	return 0
}

// simdMakesNaN says the same of SIMD instructions.
func simdMakesNaN(sub uint32) lane {
	switch {
	case sub == 0x5e, sub >= 0x67 && sub <= 0x6a, sub >= 0xe3 && sub <= 0xe9: // demote, ceil to nearest, sqrt to max
		return f32x4
	case sub == 0x5f, sub == 0x74, sub == 0x75, sub == 0x7a, sub == 0x94, sub >= 0xef && sub <= 0xf5:
		return f64x2
	}
	return 0
}

// canonical writes what makes a NaN on top of the stack the canonical one.
func (w *body) canonical(l lane) {
	var typ byte
	switch l {
	case 0:
		return
	case f32:
		typ = F32
	case f64:
		typ = F64
	default:
		typ = V128
	}
	w.floats++
	w.pushed += 4
	w.work += workChecked
	s := w.local(typ)
	w.instrU(opLocalTee, s)
	w.out = append(w.out, canonicalNaN[l]...)
	w.instrU(opLocalGet, s)
	w.instrU(opLocalGet, s)
	w.out = append(w.out, pickNumbers[l]...)
}

// local is a local of the meter's own of the given type.
func (w *body) local(typ byte) uint32 {
	for i, t := range w.more {
		if t == typ {
			return w.temp + 1 + uint32(i)
		}
	}
	w.more = append(w.more, typ)
	return w.temp + uint32(len(w.more))
}

var (
	// canonicalNaN puts it on the stack.
	canonicalNaN = [...][]byte{
		f32:   {opF32Const, 0, 0, 0xc0, 0x7f},
		f64:   {opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
		f32x4: {prefixSIMD, simdConst, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f},
		f64x2: {prefixSIMD, simdConst, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
	}
	// pickNumbers compares the two floats on top of the stack, which are the same one,
	// and takes it if it equals itself, else the NaN.
	pickNumbers = [...][]byte{
		f32:   {opF32Eq, opSelect},
		f64:   {opF64Eq, opSelect},
		f32x4: {prefixSIMD, simdF32x4Eq, prefixSIMD, simdBitselect},
		f64x2: {prefixSIMD, simdF64x2Eq, prefixSIMD, simdBitselect},
	}
)
