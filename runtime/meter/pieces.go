package meter

import (
	"bytes"
	"slices"
)

// A load that finds its line in the second-level cache takes a few nanoseconds; one
// that has to wait for memory takes up to a hundred times as long, and how many do so no
// count of instructions tells. A module whose memory cannot outgrow that cache pays for
// each load as if it came from there. Any other keeps a record of the pieces that it
// loaded from last, as a cache of pieceSets sets of pieceWays does: 128 KiB, which are
// sure to be near. While its memory is small yet or the piece is on record, a load costs
// little more than elsewhere; else it costs costMiss, which pays for all lines of the
// piece, and that goes on record in place of the set's oldest. The record is part of the
// module, as the fuel is, and so the same on every machine.
const (
	nearPages   = 8       // 512 KiB of memory are near
	nearEntries = 1 << 16 // and so are all tables together: an entry is 8 bytes
	pieceShift  = 8       // a piece is 256 bytes
	pieceSets   = 64
	pieceWays   = 8 // 16-bit lanes of a vector
)

// piecesType is the type of the function that keeps the record: address and fuel to what
// is left of the fuel.
var piecesType = FuncType{Params: []byte{I32, I64}, Results: []byte{I64}}

// emptySet is the global of a set.
var emptySet = slices.Concat([]byte{V128, 1, prefixSIMD, simdConst}, make([]byte, 16), []byte{opEnd})

// pieces is the body of that function. Each set is a global, a vector of tags with the
// youngest first; tags are cut to 16 bits, so that in a memory above 1 GiB pieces that
// far apart are taken for one another.
func (m *Module) pieces() []byte {
	const address, fuel, tag, page = 0, 1, 2, 16
	get := func(b []byte, local byte) []byte { return append(b, opLocalGet, local) }
	b := []byte{1, 1, V128}
	b = append(b, opBlock, blockVoid) // what is on record leads behind it
	b = append(b, opMemorySize, 0)
	b = append(appendS(append(b, opI32Const), nearPages), opI32LeU, opBrIf, 0)
	b = append(appendS(append(get(b, address), opI32Const), pieceShift), opI32ShrU, opLocalTee, address)
	b = append(appendS(append(b, opI32Const), 6), opI32ShrU, prefixSIMD, simdSplat16, opLocalSet, tag)
	b = append(b, bytes.Repeat([]byte{opBlock, blockVoid}, pieceSets+1)...)
	b = append(appendS(append(get(b, address), opI32Const), pieceSets-1), opI32And)
	b = appendU(append(b, opBrTable), pieceSets-1)
	for i := range uint64(pieceSets) {
		b = appendU(b, i)
	}
	for i := range uint64(pieceSets) {
		set := uint64(m.globals) + 2 + i
		left := pieceSets - i // blocks around, the outermost aside
		b = append(b, opEnd)
		b = appendU(append(b, opGlobalGet), set)
		b = append(get(b, tag), prefixSIMD, simdEq16, prefixSIMD, simdAnyTrue)
		b = appendU(append(b, opBrIf), left)
		b = appendU(append(get(b, tag), opGlobalGet), set)
		b = append(b, prefixSIMD, simdShuffle, 0, 1)
		for lane := byte(0); lane < 2*(pieceWays-1); lane++ {
			b = append(b, page+lane)
		}
		b = appendU(append(b, opGlobalSet), set)
		b = appendU(append(b, opBr), left-1)
	}
	b = append(b, opEnd)
	b = append(appendS(append(get(b, fuel), opI64Const), costMiss), opI64Sub, opLocalTee, fuel)
	b = append(b, opI64Const, 0, opI64LtS, opIf, blockVoid)
	b = append(appendU(append(get(b, fuel), opGlobalSet), uint64(m.globals)), opUnreachable, opEnd)
	b = append(b, opEnd)
	return append(get(b, fuel), opEnd)
}

// lookUp looks the piece up that is loaded from, whose address lies on top of the stack,
// or below a vector there.
func (w *body) lookUp(offset uint32, below bool) {
	if w.dead {
		return
	}
	w.count(costLookUp)
	if below {
		w.instrU(opLocalSet, w.local(V128))
	}
	w.instrU(opLocalTee, w.temp)
	w.instrU(opLocalGet, w.temp)
	if offset > 0 {
		w.instrS(opI32Const, int64(int32(offset)))
		w.instr(opI32Add)
	}
	w.instrU(opLocalGet, w.fuel)
	w.instrU(opCall, uint32(len(w.m.funcs)))
	w.instrU(opLocalSet, w.fuel)
	if below {
		w.instrU(opLocalGet, w.local(V128))
	}
	w.calls = true
	w.pushed += 5
	w.work += workLookUp
}
