// Package meter rewrites a WebAssembly module so that it counts what it does: each
// straight line of code subtracts its cost from a fuel counter before it runs (short
// lines together with the line that leads to them), each function the size of its
// frame from a stack counter while it runs, and either counter going below zero
// traps. The counters are globals of the module itself,
// so a limit is exact, costs a few machine instructions, and is the same number on
// every engine and every machine. So are the results: the one thing that differs from
// machine to machine, the bits of a NaN, is made the same.
//
// It is not a validator: types are left to the engine that compiles the result. It
// decodes all of a module's structure though, knows every instruction it lets
// through, refuses the rest by name, and bounds whatever makes an engine allocate
// or compile without end. Package runtime is its caller.
package meter

import (
	"bytes"
	"fmt"
	"slices"
)

// Names of the exports that the meter adds. A module that has one of them is
// refused.
const (
	// FuelGlobal is the fuel left, a mutable i64. Below zero after a trap: the fuel
	// ran dry.
	FuelGlobal = "offhost:fuel"
	// StackGlobal is the stack left in bytes, a mutable i32. Below zero after a
	// trap: the calls went too deep.
	StackGlobal = "offhost:stack"
	// StartFunction is the module's start function, () -> (), if it has one. It is no
	// longer the start function of the metered module: the caller runs it, so that
	// what stops it can be told apart.
	StartFunction = "offhost:start"
	// EntryFunction calls the function that Options.Entry names. It takes the fuel as
	// one parameter more, after the function's own, and returns what is left as one
	// result more: two accesses to a global from outside cost more than many an event.
	EntryFunction = "offhost:entry"
	// PiecesFunction is not exported; its name shows up in the trace of a trap where it
	// found the fuel spent.
	PiecesFunction = "offhost:pieces"
)

// What frames cost. A frame is its parameters, locals and operands, 8 bytes each
// and 16 for vectors: as much is charged as fuel on entry. On the stack a frame
// takes at least minFrame bytes, which makes a limit in bytes one in calls too:
// 512 KiB are at most 1,000 calls, half of what wazero's interpreter allows.
const (
	slotBytes  = 8
	frameBytes = 64 // what an engine keeps beside the values
	minFrame   = 524
	// A compiler that gives every value of a function a place of its own, as wazero's
	// does for values that outlive a call, makes frames that grow with the function's
	// length. A frame takes no less than this part of the worst case, which keeps the
	// native stack within this many times the limit.
	spillShare = 16
	// maxLeaf is the largest frame of a function without calls that is not counted
	// on the stack: there is never more than one.
	maxLeaf = 16 << 10
)

// DefaultStackBytes allows 1,000 calls inside each other.
const DefaultStackBytes = 512 << 10

// DefaultTableEntries is far above what compilers need for their function tables,
// and 512 KiB of host memory.
const DefaultTableEntries = 1 << 16

// MaxMemoryPages is the most that Options.MemoryPages may be: a page less than 2 GiB.
const MaxMemoryPages = 1<<15 - 1

// Options are the limits that are written into a module.
type Options struct {
	// StartFuel is what the fuel counter begins with.
	StartFuel uint64
	// StackBytes is what the stack counter begins with; 0 is DefaultStackBytes.
	StackBytes uint32
	// MemoryPages is the largest memory in pages of 64 KiB, at most MaxMemoryPages. The
	// module's own maximum holds if it is smaller.
	MemoryPages uint32
	// TableEntries is the largest size of each table; 0 is DefaultTableEntries.
	TableEntries uint32
	// Entry names an exported function that is called often. It gets EntryFunction
	// beside it; empty, or not there: none does.
	Entry string
}

// Stats says what was found in the function bodies.
type Stats struct {
	Functions int // with a body
	// Controls counts control instructions, LocalsControls the sum over all
	// functions of their locals times their control instructions: what compiling
	// costs grows with these. The Max fields are those of the largest function.
	Controls, MaxControls             int
	LocalsControls, MaxLocalsControls int
	// Work is what compiling takes, in units of about a plain instruction; MaxWork that
	// of the dearest function.
	Work, MaxWork int
	// Bytes are those of all bodies with counters, MaxBytes those of the largest; Locals
	// those of all functions. What interpreting takes grows with Bytes and Locals.
	Bytes, MaxBytes, Locals int
	// Floats counts the instructions that may make a NaN.
	Floats int
}

// Limits of a module's code as a whole.
const (
	maxMetered   = 4 << 20 // bytes of all bodies with counters
	maxAllLocals = 4 << 20 // of all functions together
)

// Meter decodes a module and returns it metered. See Module.Meter.
func Meter(wasm []byte, opt Options) ([]byte, error) {
	m, err := Decode(wasm)
	if err != nil {
		return nil, err
	}
	out, _, err := m.Meter(opt)
	return out, err
}

// Meter returns the module with counters, and without custom sections other than
// the names of functions. Indices of functions, globals, tables and types stay
// what they were. The error wraps ErrMalformed, ErrUnsupported or ErrTooLarge.
func (m *Module) Meter(opt Options) ([]byte, Stats, error) {
	var stats Stats
	if opt.StackBytes == 0 {
		opt.StackBytes = DefaultStackBytes
	}
	if opt.TableEntries == 0 {
		opt.TableEntries = DefaultTableEntries
	}
	if opt.MemoryPages > MaxMemoryPages || opt.StartFuel > 1<<62 || opt.StackBytes > 1<<30 || opt.TableEntries > 1<<24 {
		return nil, stats, fmt.Errorf("meter: options out of range: %+v", opt)
	}
	if m.memory != nil && m.memory.min > opt.MemoryPages {
		return nil, stats, fmt.Errorf("%w: it wants %d KiB of memory at the start, the limit is %d KiB",
			ErrTooLarge, uint64(m.memory.min)*64, uint64(opt.MemoryPages)*64)
	}
	for i, t := range m.tables {
		if t.min > opt.TableEntries {
			return nil, stats, fmt.Errorf("%w: table %d wants %d entries at the start, the limit is %d", ErrTooLarge, i, t.min, opt.TableEntries)
		}
	}
	c, stats, err := m.code(&opt, m.MemoryPages > nearPages)
	if err == nil && c.grows && !c.far && m.memory != nil && m.memory.most(opt.MemoryPages) > nearPages {
		c, stats, err = m.code(&opt, true)
	}
	if err != nil {
		return nil, stats, err
	}

	size := 1024 + len(c.types) + len(c.funcs) + len(c.bodies) + len(m.globalRaw) + len(m.exportRaw) + len(m.names.entries)
	for _, id := range []byte{secImport, secElement, secData} {
		size += len(m.raw[id])
	}
	out := append(make([]byte, 0, size), "\x00asm\x01\x00\x00\x00"...)
	copied := func(id byte) {
		if b, ok := m.raw[id]; ok {
			out = appendSection(out, id, b)
		}
	}
	if len(c.types) > 0 {
		out = appendSection(out, secType, c.types)
	}
	copied(secImport)
	if len(c.funcs) > 0 {
		out = appendSection(out, secFunction, c.funcs)
	}
	if len(m.tables) > 0 {
		body := appendU(nil, uint64(len(m.tables)))
		for _, t := range m.tables {
			body = append(body, t.elem)
			body = appendLimits(body, t.limits, opt.TableEntries)
		}
		out = appendSection(out, secTable, body)
	}
	if m.memory != nil {
		out = appendSection(out, secMemory, appendLimits([]byte{1}, *m.memory, opt.MemoryPages))
	}
	sets := 0
	if c.far {
		sets = pieceSets
	}
	globals := append(appendU(nil, uint64(m.globals+2+sets)), m.globalRaw...)
	globals = append(appendS(append(globals, I64, 1, opI64Const), int64(opt.StartFuel)), opEnd)
	globals = append(appendS(append(globals, I32, 1, opI32Const), int64(opt.StackBytes)), opEnd)
	globals = append(globals, bytes.Repeat(emptySet, sets)...)
	out = appendSection(out, secGlobal, globals)
	own := uint64(2)
	if m.start != nil {
		own++
	}
	if c.entry {
		own++
	}
	exports := append(appendU(nil, uint64(len(m.Exports))+own), m.exportRaw...)
	exports = appendU(append(appendText(exports, FuelGlobal), byte(Global)), uint64(m.globals))
	exports = appendU(append(appendText(exports, StackGlobal), byte(Global)), uint64(m.globals)+1)
	if m.start != nil {
		exports = appendU(append(appendText(exports, StartFunction), byte(Func)), uint64(*m.start))
	}
	if c.entry {
		exports = appendU(append(appendText(exports, EntryFunction), byte(Func)), uint64(len(m.funcs)+c.own-1))
	}
	out = appendSection(out, secExport, exports)
	copied(secElement)
	copied(secDataCount)
	if len(c.bodies) > 0 {
		out = appendSection(out, secCode, c.bodies)
	}
	copied(secData)
	names := m.names
	if c.far {
		names.entries = slices.Clip(names.entries)
		names.add(len(m.funcs), PiecesFunction)
	}
	if names.n > 0 {
		out = appendSection(out, secCustom, names.section())
	}
	return out, stats, nil
}

// most is the maximum where there is a limit, too.
func (l limits) most(limit uint32) uint32 {
	if l.hasMax {
		return min(limit, l.max)
	}
	return limit
}

// appendLimits writes limits that have a maximum, at most most.
func appendLimits(b []byte, l limits, most uint32) []byte {
	return appendU(appendU(append(b, 1), uint64(l.min)), uint64(l.most(most)))
}

// A rewritten is the sections that change with the function bodies; an empty one is
// left out.
type rewritten struct {
	types, funcs, bodies []byte
	far, grows           bool
	own                  int  // functions of the meter's, behind the module's
	entry                bool // the last one is EntryFunction
}

// tableEntries is how many all tables together may have.
func (m *Module) tableEntries(opt *Options) (n uint64) {
	for _, t := range m.tables {
		n += uint64(t.most(opt.TableEntries))
	}
	return n
}

// code rewrites all bodies and appends the meter's own functions. The type section
// gains their types and those of $exit blocks with several results.
func (m *Module) code(opt *Options, far bool) (c rewritten, stats Stats, err error) {
	c.far = far
	types, count := slices.Clone(m.typeBytes), len(m.types)
	addType := func(t FuncType) int {
		types = append(appendU(append(types, 0x60), uint64(len(t.Params))), t.Params...)
		types = append(appendU(types, uint64(len(t.Results))), t.Results...)
		count++
		return count - 1
	}
	e, hasEntry := m.export(opt.Entry)
	c.entry = hasEntry && e.Kind == Func
	for _, own := range []bool{far, c.entry} {
		if own {
			c.own++
		}
	}
	n := len(m.codes) + c.own
	if n > 0 {
		c.funcs = appendU(nil, uint64(n))
		c.bodies = appendU(make([]byte, 0, 2*m.codeBytes()), uint64(n)) // Go's grow to 1.8 times their size
	}
	scratch := &scratch{}
	exits := map[string][]byte{"": {blockVoid}} // block types by results
	for i, code := range m.codes {
		fn := i + len(m.Imports)
		t := m.types[m.funcs[fn]]
		exit, ok := exits[string(t.Results)]
		if !ok {
			if len(t.Results) == 1 {
				exit = []byte{t.Results[0]}
			} else {
				exit = appendS(nil, int64(addType(FuncType{Results: t.Results})))
			}
			exits[string(t.Results)] = exit
		}
		w := &body{
			reader:  &reader{b: m.raw[secCode], off: code.off, end: code.end, fn: fn, names: m.names},
			scratch: scratch,
			m:       m, opt: opt, farMemory: far, farTables: m.tableEntries(opt) > nearEntries,
		}
		c.bodies = w.rewrite(c.bodies, t, exit)
		if w.err != nil {
			return c, stats, w.err
		}
		stats.add(w)
		c.grows = c.grows || w.grows
		stats.MaxBytes = max(stats.MaxBytes, len(w.out))
		if stats.Bytes += len(w.out); stats.Bytes > maxMetered {
			return c, stats, fmt.Errorf("%w: more than %d bytes of code with counters", ErrTooLarge, maxMetered)
		}
		if stats.Locals > maxAllLocals {
			return c, stats, fmt.Errorf("%w: more than %d locals in all functions together", ErrTooLarge, maxAllLocals)
		}
	}

	for _, index := range m.funcs[len(m.Imports):] {
		c.funcs = appendU(c.funcs, uint64(index))
	}
	add := func(t FuncType, b []byte) {
		c.funcs = appendU(c.funcs, uint64(addType(t)))
		c.bodies = append(appendU(c.bodies, uint64(len(b))), b...)
	}
	if far {
		add(piecesType, m.pieces())
	}
	if c.entry {
		add(FuncType{Params: append(slices.Clone(e.Type.Params), I64), Results: append(slices.Clone(e.Type.Results), I64)}, m.entry(e))
	}
	if count > 0 {
		c.types = append(appendU(nil, uint64(count)), types...)
	}
	return c, stats, nil
}

// codeBytes is the size of all bodies.
func (m *Module) codeBytes() (n int) {
	for _, c := range m.codes {
		n += c.end - c.off
	}
	return n
}

func (m *Module) export(name string) (Export, bool) {
	i := slices.IndexFunc(m.Exports, func(e Export) bool { return e.Name == name })
	if i < 0 {
		return Export{}, false
	}
	return m.Exports[i], true
}

// entry is the body of EntryFunction around e. Nothing in it is charged: it is not
// the guest's.
func (m *Module) entry(e Export) []byte {
	params := len(e.Type.Params)
	b := appendU([]byte{0, opLocalGet}, uint64(params))
	b = appendU(append(b, opGlobalSet), uint64(m.globals))
	for i := range params {
		b = appendU(append(b, opLocalGet), uint64(i))
	}
	b = appendU(append(b, opCall), uint64(e.index))
	b = appendU(append(b, opGlobalGet), uint64(m.globals))
	return append(b, opEnd)
}

func (s *Stats) add(w *body) {
	product, work := w.locals*w.controls, w.bodyWork()
	s.Functions++
	s.Locals += w.locals
	s.Controls += w.controls
	s.Work += work
	s.MaxWork = max(s.MaxWork, work)
	s.Floats += w.floats
	s.MaxControls = max(s.MaxControls, w.controls)
	s.LocalsControls += product
	s.MaxLocalsControls = max(s.MaxLocalsControls, product)
}
