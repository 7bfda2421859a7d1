package meter

// Limits of one function body.
const (
	maxBody        = 2 << 20
	maxLocals      = 4096 // parameters included
	maxLocalGroups = 4096
	maxDepth       = 4096 // blocks inside each other
	maxLabels      = 2048 // of one br_table
	maxOperands    = 1 << 14
	maxRewritten   = 3 << 19 // bytes, with counters
)

// A frame is an open block of the function being rewritten.
type frame struct {
	op         byte
	height     int // operands below the block's parameters
	params     int
	results    int
	branchedTo bool    // a branch leads to the block's end
	switchedTo bool    // a br_table does
	deadBefore bool    // the block itself cannot be reached
	before     *region // the line that led into the block
}

// A region is a stretch of code with one charge. Its cost is that of the straight
// line that follows the charge, and of short lines further down that it absorbed:
// they run at most once for each time it does, so that charging them here is never
// too little, and saves them a charge of their own.
type region struct {
	start, patch, code int // the charge, its constant and what follows it in the output
	cost               int
	absorbed           int
	into               *region // the region that absorbed this one
}

// holder is the region in whose charge r is.
func (r *region) holder() *region {
	for r != nil && r.into != nil {
		r = r.into
	}
	return r
}

// A line of at most shortLine is absorbed, until a region has absorbed
// maxAbsorbed. What a path that leaves early pays too much stays below that.
const (
	shortLine   = 64
	maxAbsorbed = 512
)

// A body rewrites one function. The result has this shape, in the text format:
//
//	(block $trap
//	  (block $exit (result ...)
//	    fuel -= entry;  if fuel < 0 br $trap
//	    stack -= frame; if stack < 0 br $trap      ;; not in a small leaf
//	    ...the guest's code, with charges; return becomes br $exit...
//	  )
//	  give the frame back, store the fuel
//	  return)
//	store the fuel
//	unreachable
//
// $exit stands where the guest's function label stood, so that no branch of the
// guest needs another number. The fuel lives in a local between calls, because a
// global is a load and a store each time; calls store it before and read it again
// after. One cold exit per function keeps a charge at a subtraction and a branch
// that is not taken.
type body struct {
	*reader
	*scratch
	m   *Module
	opt *Options

	farMemory, farTables bool // they may outgrow a cache

	fuel, temp uint32 // locals: the fuel (i64) and a scratch (i32)
	more       []byte // types of further locals, which are made when they are needed
	locals     int    // the guest's own, parameters included
	floats     int    // instructions whose NaN is made canonical

	height int // operands
	top    int // highest operand stack so far
	pushed int // operands in all
	vector bool
	calls  bool
	grows  bool // the memory
	dead   bool // the code being read cannot be reached

	open   *region // being counted; nil until the next line's first instruction
	before *region // runs before the next line at least as often; nil if none is known to

	entry    region // the function's first, charged as it is entered
	controls int    // control instructions
	blocks   int    // places where the metered code splits
	work     int    // to compile the rest, in units of workPlain
}

// A scratch is what rewriting a function leaves for the next one to be used again.
type scratch struct {
	out     []byte
	frames  []frame
	regions [][]region // all blocks but the last are full, of those that are in use
	used    int        // of all regions
}

const regionBlock = 256

// begin makes a scratch ready for another function.
func (s *scratch) begin() {
	s.out, s.frames, s.used = s.out[:0], s.frames[:0], 0
}

// region returns one that stays where it is until the next function begins.
func (s *scratch) region() *region {
	block, at := s.used/regionBlock, s.used%regionBlock
	if block == len(s.regions) {
		s.regions = append(s.regions, make([]region, regionBlock))
	}
	s.used++
	r := &s.regions[block][at]
	*r = region{}
	return r
}

// patchSize is the width of a charge's constant: 4 bytes of signed LEB128 hold
// more than the costs of any body within the limits.
const patchSize = 4

// instr writes an instruction of the meter's own.
func (w *body) instr(op byte) { w.out = append(w.out, op) }

func (w *body) instrU(op byte, v uint32) { w.out = appendU(append(w.out, op), uint64(v)) }

func (w *body) instrS(op byte, v int64) { w.out = appendS(append(w.out, op), v) }

// count adds an instruction's cost to its region and opens one if need be. It is
// called before the instruction is written.
func (w *body) count(cost int) {
	if w.dead {
		return
	}
	if w.open == nil {
		w.open = w.region()
		w.open.start = len(w.out)
		w.instrU(opLocalGet, w.fuel)
		w.instr(opI64Const)
		w.open.patch = len(w.out)
		w.out = append(w.out, make([]byte, patchSize)...)
		w.instr(opI64Sub)
		w.trapIfSpent()
		w.open.code = len(w.out)
	}
	w.open.cost += cost
	w.work += workPlain
}

// missIf is the price of waiting for memory where that may have to be.
func (w *body) missIf(far bool) int {
	if far {
		return costMiss
	}
	return 0
}

// trapIfSpent stores the fuel on top of the stack and leaves when it is negative.
func (w *body) trapIfSpent() {
	w.blocks++
	w.instrU(opLocalTee, w.fuel)
	w.instrS(opI64Const, 0)
	w.instr(opI64LtS)
	w.instrU(opBrIf, uint32(len(w.frames)))
}

// closeRegion ends the straight line: whatever comes next need not run when it
// does. Code that comes next and that only this line leads to has it before it.
func (w *body) closeRegion() {
	r := w.open
	if r == nil {
		return
	}
	w.open = nil
	if by := w.before; by != nil && r.cost <= shortLine && by.absorbed+r.cost <= maxAbsorbed {
		by.absorbed += r.cost
		r.into = by
		w.setCost(by, by.cost+r.cost)
		// Take the charge out again; little follows it.
		w.out = append(w.out[:r.start], w.out[r.code:]...)
		w.blocks--
		return
	}
	w.setCost(r, r.cost)
	w.before = r
}

func (w *body) setCost(r *region, cost int) {
	r.cost = cost
	if r == &w.entry {
		return // it is written last
	}
	for i := range patchSize {
		w.out[r.patch+i] = byte(cost>>(7*i))&0x7f | 0x80
	}
	w.out[r.patch+patchSize-1] &= 0x7f
}

// die ends the region for good: an unconditional branch was written.
func (w *body) die() {
	w.closeRegion()
	w.dead = true
	w.height = w.frames[len(w.frames)-1].height
}

// pop and push track the height of the operand stack. After an unconditional
// branch the stack is what the code wants it to be, so it never falls below the
// block's own height.
func (w *body) pop(n int) {
	w.height = max(w.height-n, w.frames[len(w.frames)-1].height)
}

func (w *body) push(n int) {
	w.height += n
	w.pushed += n
	w.top = max(w.top, w.height)
}

// sized charges for the operation whose size operand lies on top of the stack: the
// size shifted right by shift bits (left when negative). A size above most cannot
// succeed and costs nothing more, so that the operation fails as it would have.
func (w *body) sized(most uint32, shift int) {
	w.instrU(opLocalTee, w.temp)
	w.instrU(opLocalGet, w.fuel)
	w.instrU(opLocalGet, w.temp)
	w.instr(opI64ExtendU)
	switch {
	case shift > 0:
		w.instrS(opI64Const, int64(shift))
		w.instr(opI64ShrU)
	case shift < 0:
		w.instrS(opI64Const, int64(-shift))
		w.instr(opI64Shl)
	}
	w.instrS(opI64Const, 0)
	w.instrU(opLocalGet, w.temp)
	w.instrS(opI32Const, int64(int32(most)))
	w.instr(opI32LeU)
	w.instr(opSelect)
	w.instr(opI64Sub)
	w.trapIfSpent()
}

func (w *body) storeFuel() {
	w.instrU(opLocalGet, w.fuel)
	w.instrU(opGlobalSet, uint32(w.m.globals))
}

func (w *body) loadFuel() {
	w.instrU(opGlobalGet, uint32(w.m.globals))
	w.instrU(opLocalSet, w.fuel)
}

// rewrite reads the body of a function of type t and appends the new one to to, after
// its size. exit is the block type of $exit.
func (w *body) rewrite(to []byte, t FuncType, exit []byte) []byte {
	w.begin()
	groups, own, v128 := w.declarations(t)
	if w.err != nil {
		return to
	}
	w.fuel, w.temp = uint32(w.locals), uint32(w.locals)+1
	w.frames = append(w.frames, frame{op: opBlock, results: len(t.Results)})
	w.open = &w.entry
	for w.err == nil && len(w.frames) > 0 {
		w.instruction()
		switch {
		case w.top > maxOperands:
			w.fail(ErrTooLarge, "more than %d operands on the stack", maxOperands)
		case len(w.out) > maxRewritten:
			w.fail(ErrTooLarge, "more than %d bytes of code with counters", maxRewritten)
		}
	}
	if w.done() != nil {
		return to
	}

	slots, values := w.locals+v128+w.top, w.pushed+w.locals*w.controls
	if w.vector { // each operand may take two
		slots, values = slots+w.top, 2*values
	}
	code := len(w.out) // what comes before it is written behind it
	w.out = appendU(w.out, uint64(groups+2+len(w.more)))
	w.out = append(append(w.out, own...), 1, I64, 1, I32)
	for _, typ := range w.more {
		w.out = append(w.out, 1, typ)
	}
	w.instr(opBlock)
	w.instr(blockVoid)
	w.out = append(append(w.out, opBlock), exit...)
	w.instrU(opGlobalGet, uint32(w.m.globals))
	w.instrS(opI64Const, int64(w.entry.cost+slots*slotBytes))
	w.instr(opI64Sub)
	w.instrU(opLocalTee, w.fuel)
	w.instrS(opI64Const, 0)
	w.instr(opI64LtS)
	w.instrU(opBrIf, 1)

	stack := int64(max(slots*slotBytes+frameBytes, values*slotBytes/spillShare, minFrame))
	deep := w.calls || slots*slotBytes > maxLeaf
	if deep {
		w.instrU(opGlobalGet, uint32(w.m.globals)+1)
		w.instrS(opI32Const, stack)
		w.instr(opI32Sub)
		w.instrU(opLocalTee, w.temp)
		w.instrU(opGlobalSet, uint32(w.m.globals)+1)
		w.instrU(opLocalGet, w.temp)
		w.instrS(opI32Const, 0)
		w.instr(opI32LtS)
		w.instrU(opBrIf, 1)
	}
	tail := len(w.out)
	if deep {
		w.instrU(opGlobalGet, uint32(w.m.globals)+1)
		w.instrS(opI32Const, stack)
		w.instr(opI32Add)
		w.instrU(opGlobalSet, uint32(w.m.globals)+1)
	}
	w.storeFuel()
	w.instr(opReturn)
	w.instr(opEnd)
	w.storeFuel()
	w.instr(opUnreachable)
	w.instr(opEnd)
	to = appendU(to, uint64(len(w.out)))
	to = append(to, w.out[code:tail]...)
	to = append(to, w.out[:code]...) // its last end closes $exit
	return append(to, w.out[tail:]...)
}

// declarations reads the declarations of the locals, which are so many groups, and
// counts those that are vectors.
func (w *body) declarations(t FuncType) (n int, groups []byte, v128 int) {
	for _, p := range t.Params {
		if p == V128 {
			v128++
		}
	}
	w.locals = len(t.Params)
	n = w.reader.count("groups of locals", 2, maxLocalGroups)
	for range n {
		k := w.u32()
		typ := valueType(w.reader)
		if uint64(k)+uint64(w.locals) > maxLocals {
			w.fail(ErrTooLarge, "%d locals, at most %d are allowed", uint64(k)+uint64(w.locals), maxLocals)
		}
		if w.err != nil {
			return 0, nil, 0
		}
		w.locals += int(k)
		if typ == V128 {
			v128 += int(k)
		}
		groups = append(appendU(groups, uint64(k)), typ)
	}
	return n, groups, v128
}

// instruction reads one instruction and writes it with what it is charged.
// Immediates are written anew in their shortest form, so that no two decoders can
// read them differently.
func (w *body) instruction() {
	op := w.byte()
	switch {
	case w.err != nil:
	case op <= opCallIndirect && op != 0x01 && (op <= opElse || op >= opEnd):
		w.control(op)
	case op == 0x01: // nop
		w.count(costPlain)
		w.instr(op)
	case op == opDrop:
		w.plain(op, 1, 0)
	case op == opSelect:
		w.plain(op, 3, 1)
	case op == opSelectTyped:
		if n := w.u32(); n != 1 && w.err == nil {
			w.fail(ErrUnsupported, "select of %d values, want 1", n)
		}
		w.plain(op, 3, 1)
		w.out = append(w.out, 1, valueType(w.reader))
	case op >= opLocalGet && op <= opTableSet:
		w.variable(op)
	case op >= 0x28 && op <= 0x35: // loads
		w.memory(1, 1, op)
	case op >= 0x36 && op <= 0x3e: // stores
		w.memory(2, 0, op)
	case op == opMemorySize, op == opMemoryGrow:
		if mem := w.u32(); mem != 0 {
			w.fail(ErrUnsupported, "memory %d (multi-memory)", mem)
		}
		if op == opMemorySize {
			w.plain(op, 0, 1)
		} else {
			w.grows = true
			w.count(costExit)
			w.work += workExit
			w.sized(w.opt.MemoryPages, -pageCostBits)
			w.pop(1)
			w.push(1)
			w.instr(op)
		}
		w.instr(0)
	case op == opI32Const:
		w.plain(op, 0, 1)
		w.out = appendS(w.out, w.signed(32))
	case op == opI64Const:
		w.plain(op, 0, 1)
		w.out = appendS(w.out, w.signed(64))
	case op == opF32Const:
		w.plain(op, 0, 1)
		w.out = append(w.out, w.bytes(4)...)
	case op == opF64Const:
		w.plain(op, 0, 1)
		w.out = append(w.out, w.bytes(8)...)
	case op >= 0x45 && op <= 0xc4:
		w.count(plainCost(op) - costPlain)
		w.work += plainWork(op)
		if plainCost(op) == costTruncate {
			w.blocks += truncBlocks
		}
		if unary(op) {
			w.plain(op, 1, 1)
		} else {
			w.plain(op, 2, 1)
		}
		w.canonical(makesNaN(op))
	case op == opRefNull:
		w.plain(op, 0, 1)
		w.instr(refType(w.reader))
	case op == opRefIsNull:
		w.plain(op, 1, 1)
	case op == opRefFunc:
		w.count(costExit)
		w.work += workExit
		w.plain(op, 0, 1)
		w.out = appendU(w.out, uint64(w.index("function", len(w.m.funcs))))
	case op == prefixMisc:
		w.misc(w.u32())
	case op == prefixSIMD:
		w.simd(w.u32())
	case refused[op] != "":
		w.fail(ErrUnsupported, "%s", refused[op])
	default:
		w.fail(ErrUnsupported, "unknown instruction %#x", op)
	}
}

// plain writes an instruction without size or branch; its immediates, if any,
// follow.
func (w *body) plain(op byte, pop, push int) {
	w.count(costPlain)
	w.pop(pop)
	w.push(push)
	w.instr(op)
}

// index reads an index and checks that the module itself has such an item: the
// meter's own globals and locals come after the guest's and are out of its reach.
func (w *body) index(what string, n int) uint32 {
	i := w.u32()
	if w.err == nil && int(i) >= n {
		w.fail(ErrMalformed, "%s %d, there are %d", what, i, n)
	}
	return i
}

func (w *body) variable(op byte) {
	var i uint32
	switch op {
	case opLocalGet, opLocalSet, opLocalTee:
		i = w.index("local", w.locals)
	case opGlobalGet, opGlobalSet:
		i = w.index("global", w.m.globals)
	default:
		i = w.index("table", len(w.m.tables))
		w.work += workTable
	}
	switch op {
	case opTableGet:
		w.count(costLoad + w.missIf(w.farTables))
	case opTableSet:
		w.count(costStore)
	}
	switch op {
	case opLocalGet, opGlobalGet:
		w.plain(op, 0, 1)
	case opLocalTee, opTableGet:
		w.plain(op, 1, 1)
	case opLocalSet, opGlobalSet:
		w.plain(op, 1, 0)
	case opTableSet:
		w.plain(op, 2, 0)
	}
	w.out = appendU(w.out, uint64(i))
}

// memory writes a load, or a store if nothing is pushed.
func (w *body) memory(pop, push int, op ...byte) {
	align, offset := w.u32(), w.u32()
	if align >= 32 && w.err == nil {
		w.fail(ErrUnsupported, "memory access with flags %#x (multi-memory)", align)
	}
	switch {
	case push == 0 && w.farMemory:
		w.count(costFarStore)
	case push == 0:
		w.count(costStore)
	default:
		w.count(costLoad)
		if w.farMemory {
			w.lookUp(offset, pop == 2)
		}
	}
	w.work += workMemory
	w.pop(pop)
	w.push(push)
	w.out = appendU(appendU(append(w.out, op...), uint64(align)), uint64(offset))
}

func (w *body) misc(sub uint32) {
	if sub > miscTableFill {
		w.fail(ErrUnsupported, "unknown instruction 0xfc %#x", sub)
		return
	}
	if sub <= miscTruncLast {
		w.count(costTruncate)
		w.blocks += truncBlocks
		w.out = append(w.out, prefixMisc, byte(sub))
		return
	}
	// Immediates first: the charge is written before the instruction.
	var imm [2]uint32
	n := 1
	switch sub {
	case miscMemoryInit, miscTableInit:
		imm[0] = w.u32()
		if sub == miscTableInit {
			imm[1] = w.index("table", len(w.m.tables))
		} else {
			imm[1] = w.index("memory", 1)
		}
		n = 2
	case miscMemoryCopy:
		imm[0], imm[1], n = w.index("memory", 1), w.index("memory", 1), 2
	case miscTableCopy:
		imm[0], imm[1], n = w.index("table", len(w.m.tables)), w.index("table", len(w.m.tables)), 2
	case miscMemoryFill:
		imm[0] = w.index("memory", 1)
	case miscTableGrow, miscTableSize, miscTableFill:
		imm[0] = w.index("table", len(w.m.tables))
	default: // data.drop, elem.drop
		imm[0] = w.u32()
	}
	w.work += workBulk
	w.blocks += bulkBlocks
	switch sub {
	case miscMemoryInit, miscMemoryCopy, miscMemoryFill:
		w.count(costBulk + w.missIf(w.farMemory || sub == miscMemoryInit))
		w.sized(w.opt.MemoryPages<<16, 2)
		w.pop(3)
	case miscTableInit, miscTableCopy, miscTableFill:
		w.count(costBulk + w.missIf(w.farTables || sub == miscTableInit))
		w.sized(w.opt.TableEntries, 0)
		w.pop(3)
	case miscTableGrow:
		w.count(costExit)
		w.sized(w.opt.TableEntries, 0)
		w.pop(2)
		w.push(1)
	case miscTableSize:
		w.count(costPlain)
		w.push(1)
	default:
		w.count(costBulk)
	}
	w.out = append(w.out, prefixMisc, byte(sub))
	for _, v := range imm[:n] {
		w.out = appendU(w.out, uint64(v))
	}
}

func (w *body) simd(sub uint32) {
	if sub > simdLast {
		w.fail(ErrUnsupported, "instruction 0xfd %#x (relaxed SIMD or unknown)", sub)
		return
	}
	w.vector = true
	var imm []byte
	pop, push := 2, 1
	switch {
	case sub < simdStore, sub == simdLoadZero, sub == simdLoadZero64:
		w.memory(1, 1, prefixSIMD, byte(sub))
		return
	case sub == simdStore:
		w.memory(2, 0, prefixSIMD, byte(sub))
		return
	case sub >= simdLoadLane && sub < simdStoreLane:
		w.memory(2, 1, prefixSIMD, byte(sub))
		w.instr(w.byte())
		return
	case sub >= simdStoreLane && sub < simdLoadZero:
		w.memory(2, 0, prefixSIMD, byte(sub))
		w.instr(w.byte())
		return
	case sub == simdConst:
		imm, pop = w.bytes(16), 0
	case sub == simdShuffle:
		imm = w.bytes(16)
	case sub >= simdSplatFirst && sub <= simdSplatLast:
		pop = 1
	case sub >= simdLaneFirst && sub <= simdLaneLast:
		imm = w.bytes(1)
		switch sub {
		case 0x17, 0x1a, 0x1c, 0x1e, 0x20, 0x22: // replace_lane
		default:
			pop = 1
		}
	case sub == simdBitselect:
		pop = 3
	case simdUnary(sub):
		pop = 1
	}
	w.count(simdCost(sub))
	w.pop(pop)
	w.push(push)
	w.out = append(appendU(append(w.out, prefixSIMD), uint64(sub)), imm...)
	w.canonical(simdMakesNaN(sub))
}
