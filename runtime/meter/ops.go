package meter

// Opcodes that the meter treats one by one; the rest go by ranges.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32LtS       = 0x48
	opI32LeU       = 0x4d
	opI64LtS       = 0x53
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32And       = 0x71
	opI32ShrU      = 0x76
	opI64Sub       = 0x7d
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opF32Eq        = 0x5b
	opF64Eq        = 0x61
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2

	prefixMisc = 0xfc
	prefixSIMD = 0xfd

	blockVoid = 0x40
)

// Instructions of prefixMisc.
const (
	miscTruncLast  = 7
	miscMemoryInit = iota + 7
	miscDataDrop
	miscMemoryCopy
	miscMemoryFill
	miscTableInit
	miscElemDrop
	miscTableCopy
	miscTableGrow
	miscTableSize
	miscTableFill
)

// Instructions of prefixSIMD.
const (
	simdStore      = 0x0b
	simdConst      = 0x0c
	simdShuffle    = 0x0d
	simdSplatFirst = 0x0f
	simdSplat16    = 0x10
	simdSplatLast  = 0x14
	simdLaneFirst  = 0x15
	simdLaneLast   = 0x22
	simdEq16       = 0x2d
	simdBitselect  = 0x52
	simdAnyTrue    = 0x53
	simdLoadLane   = 0x54
	simdStoreLane  = 0x58
	simdLoadZero   = 0x5c
	simdLoadZero64 = 0x5d
	simdF32x4Eq    = 0x41
	simdF64x2Eq    = 0x47
	simdLast       = 0xff
)

// refused names the instructions that belong to extensions which are not allowed.
// A byte that neither this table nor the rewriter knows is unknown.
var refused = map[byte]string{
	0x06: "try (exception handling)", 0x07: "catch (exception handling)", 0x08: "throw (exception handling)",
	0x09: "rethrow (exception handling)", 0x0a: "throw_ref (exception handling)",
	0x12: "return_call (tail calls)", 0x13: "return_call_indirect (tail calls)",
	0x14: "call_ref (typed function references)", 0x15: "return_call_ref (tail calls)",
	0x18: "delegate (exception handling)", 0x19: "catch_all (exception handling)", 0x1f: "try_table (exception handling)",
	0xd3: "ref.eq (garbage collection)", 0xd4: "ref.as_non_null (typed function references)",
	0xd5: "br_on_null (typed function references)", 0xd6: "br_on_non_null (typed function references)",
	0xfb: "a garbage collection instruction", 0xfe: "an atomic instruction (threads)",
}

// Costs in fuel. A unit is worth a quarter of a nanosecond at most: that is how long
// what costs 1 takes where every instruction waits for the one before, and what takes
// longer costs more, so that a unit bounds time and not only counts. (From measurements,
// see BenchmarkUnitOfFuel, on an EPYC server core.)
const (
	costPlain    = 1
	costRound    = 2    // of a loop, beside its instructions
	costJump     = 2    // br and return
	costCompare  = 2    // integers; multiplication, too
	costZero     = 4    // comparing an integer with zero
	costSIMD     = 6    // some are emulated by several machine instructions
	costFloat    = 8    // floating point, and what goes there and back
	costTruncate = 12   // float to integer
	costSwitch   = 16   // br_table: the machine guesses wrong where it leads
	costSIMDSlow = 16   // what crosses lanes or is emulated
	costStore    = 24   // across two pages
	costDivide   = 24   // division, square root
	costLoad     = 20   // from the second-level cache
	costLookUp   = 48   // of a piece that is on record
	costLanes    = 40   // SIMD division and square root: one after the other in the machine
	costFarStore = 48   // scattered over memory
	costBulk     = 48   // memory.fill and memory.copy, beside what their size costs
	costIndirect = 100  // call_indirect: any of all functions may be next
	costExit     = 1024 // imported functions, growing, ref.func: a trip to Go and back
	costMiss     = 4000 // to wait for memory, for each line of a piece
)

// PageCost is what growing the memory costs for each page, beside costExit: 2 a byte, since
// the page has to come into being.
const (
	PageCost     = 1 << pageCostBits
	pageCostBits = 17
)

// plainCost is the cost of a numeric instruction in 0x45 to 0xc4.
func plainCost(op byte) int {
	switch {
	case op == 0x45, op == 0x50: // eqz
		return costZero
	case op > 0x45 && op <= 0x5a, op == 0x6c, op == 0x7e: // comparisons, mul
		return costCompare
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82: // div and rem
		return costDivide
	case op == 0x91, op == 0x95, op == 0x9f, op == 0xa3: // sqrt, div
		return costDivide
	case op >= 0xa8 && op <= 0xab, op >= 0xae && op <= 0xb1: // trunc
		return costTruncate
	case op >= 0x5b && op <= 0x66, op >= 0x8b && op <= 0xa6, op >= 0xb2 && op <= 0xbf: // of floats
		return costFloat
	}
	return costPlain
}

// simdCost is the cost of a SIMD instruction that touches no memory.
func simdCost(sub uint32) int {
	cost := costSIMD
	switch {
	case sub == 0xcc, sub == 0xe3, sub == 0xe7, sub == 0xef, sub == 0xf3: // i64x2.shr_s; sqrt and div
		cost = costLanes
	case sub >= simdSplatFirst && sub <= simdSplatLast,
		sub == simdAnyTrue, sub == 0x62, sub == 0x63, sub == 0x64, sub == 0x83, sub == 0x84, // tests, popcnt
		sub == 0xa3, sub == 0xa4, sub == 0xc3, sub == 0xc4,
		sub == 0x7f, sub == 0xd5, sub >= 0xdc && sub <= 0xdf, // i64x2.mul, extended
		sub == 0xe8, sub == 0xe9, sub == 0xf4, sub == 0xf5, // min, max
		sub >= 0xf8: // conversions
		cost = costSIMDSlow
	}
	if simdMakesNaN(sub) != 0 {
		cost += costFloat
	}
	return cost
}

// unary says whether the numeric instruction op, in 0x45 to 0xc4, takes one
// operand; the others take two. All give one result.
func unary(op byte) bool {
	switch {
	case op == 0x45, op == 0x50: // eqz
		return true
	case op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b: // clz ctz popcnt
		return true
	case op >= 0x8b && op <= 0x91, op >= 0x99 && op <= 0x9f: // abs neg ceil floor trunc nearest sqrt
		return true
	}
	return op >= 0xa7 // conversions and sign extension
}

// simdUnary says the same of the SIMD instructions 0x4d to 0xff that touch no
// memory and are not bitselect.
func simdUnary(sub uint32) bool {
	switch {
	case sub == 0x4d, sub == simdAnyTrue, sub == 0x5e, sub == 0x5f:
		return true
	case sub >= 0x60 && sub <= 0x64, sub >= 0x67 && sub <= 0x6a, sub == 0x74, sub == 0x75, sub == 0x7a:
		return true
	case sub >= 0x7c && sub <= 0x81, sub == 0x83, sub == 0x84, sub >= 0x87 && sub <= 0x8a, sub == 0x94:
		return true
	case sub == 0xa0, sub == 0xa1, sub == 0xa3, sub == 0xa4, sub >= 0xa7 && sub <= 0xaa:
		return true
	case sub == 0xc0, sub == 0xc1, sub == 0xc3, sub == 0xc4, sub >= 0xc7 && sub <= 0xca:
		return true
	case sub == 0xe0, sub == 0xe1, sub == 0xe3, sub == 0xec, sub == 0xed, sub == 0xef:
		return true
	}
	return sub >= 0xf8 // conversions
}
