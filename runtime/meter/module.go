package meter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Limits of a module, chosen well above what compilers write (Go's own guests,
// the largest known, stay at a half of each or below) and low enough that decoding and
// interpreting a module at every limit stays cheap.
const (
	maxTypes      = 4096
	maxValues     = 128     // parameters, and results, of one function type
	maxAllValues  = 1 << 14 // of all types together
	maxImports    = 256
	maxFunctions  = 16384
	maxTables     = 8
	maxGlobals    = 4096
	maxExports    = 1024
	maxSegments   = 1 << 16 // element segments, and data segments
	maxElements   = 1 << 18 // entries of all element segments together
	maxCustom     = 1024    // custom sections
	maxNameBytes  = 256     // an import's, an export's or a custom section's name
	maxNames      = 256 << 10
	maxConstInstr = 16
)

// A FuncType is a function's signature; each byte of it is a value type of the
// binary format.
type FuncType struct{ Params, Results []byte }

// Equal says whether t and u are the same signature.
func (t FuncType) Equal(u FuncType) bool {
	return bytes.Equal(t.Params, u.Params) && bytes.Equal(t.Results, u.Results)
}

// String writes t as it is written in the text format's errors: (i32) -> (i32).
func (t FuncType) String() string {
	return "(" + valueNames(t.Params) + ") -> (" + valueNames(t.Results) + ")"
}

func valueNames(types []byte) string {
	var s []byte
	for i, t := range types {
		if i > 0 {
			s = append(s, ", "...)
		}
		if name := typeNames[t]; name != "" {
			s = append(s, name...)
		} else {
			s = fmt.Appendf(s, "%#x", t)
		}
	}
	return string(s)
}

// Value types.
const (
	I32       = 0x7f
	I64       = 0x7e
	F32       = 0x7d
	F64       = 0x7c
	V128      = 0x7b
	FuncRef   = 0x70
	ExternRef = 0x6f
)

var typeNames = map[byte]string{I32: "i32", I64: "i64", F32: "f32", F64: "f64", V128: "v128",
	FuncRef: "funcref", ExternRef: "externref"}

// A Kind is what an import or an export names.
type Kind byte

// Kinds of imports and exports.
const (
	Func Kind = iota
	Table
	Memory
	Global
)

func (k Kind) String() string {
	switch k {
	case Func:
		return "function"
	case Table:
		return "table"
	case Memory:
		return "memory"
	case Global:
		return "global"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// An Import is one entry of the import section. Only functions are imported: an
// import of anything else is refused.
type Import struct {
	Module, Name string
	Type         FuncType
}

// An Export is one entry of the export section. Type is set for functions.
type Export struct {
	Name string
	Kind Kind
	Type FuncType

	index int
}

// A Custom is a custom section. Data is not copied: it is part of the bytes that
// were decoded.
type Custom struct {
	Name string
	Data []byte
}

// A Module is a decoded module. All that is outside the function bodies has been
// checked against the binary format and the limits; the bodies are checked when
// they are metered, and types are left to the engine that compiles the result.
type Module struct {
	Imports []Import
	Exports []Export
	Customs []Custom
	// MemoryPages is the memory's initial size in pages of 64 KiB, 0 without one.
	MemoryPages uint32

	types     []FuncType
	typeBytes []byte   // the types' entries, as they were
	funcs     []uint32 // types of all functions, imported ones first
	tables    []tableType
	memory    *limits
	globals   int
	globalRaw []byte
	exportRaw []byte
	codes     []code
	start     *uint32
	names     names
	raw       map[byte][]byte // sections that are copied as they are
}

type limits struct {
	min, max uint32
	hasMax   bool
}

type tableType struct {
	elem byte
	limits
}

type code struct{ off, end int }

var sectionNames = [...]string{"custom section", "type section", "import section", "function section",
	"table section", "memory section", "global section", "export section", "start section",
	"element section", "code section", "data section", "data count section"}

const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	secTag
)

// rank is a section's place in the order that the format prescribes: the data
// count stands before the code.
func rank(id byte) int {
	switch id {
	case secDataCount:
		return 2*secElement + 1
	default:
		return 2 * int(id)
	}
}

// Decode reads a module's sections. wasm is kept and must not change.
func Decode(wasm []byte) (*Module, error) {
	m := &Module{raw: map[byte][]byte{}}
	r := &reader{b: wasm, end: len(wasm), fn: -1, name: "header"}
	if err := checkHeader(r); err != nil {
		return nil, err
	}
	last := 0
	for r.err == nil && r.left() > 0 {
		r.name = "section header"
		id := r.byte()
		if id == secTag {
			r.fail(ErrUnsupported, "exception handling (tag section)")
			break
		}
		if int(id) >= len(sectionNames) {
			r.fail(ErrMalformed, "unknown section id %d", id)
			break
		}
		s := r.sub(int(r.u32()), sectionNames[id])
		if s.err != nil {
			return nil, s.err
		}
		if id != secCustom {
			if rank(id) <= last {
				r.fail(ErrMalformed, "%s is out of order or repeated", sectionNames[id])
				break
			}
			last = rank(id)
		}
		m.section(id, s)
		if err := s.done(); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if bodies := len(m.funcs) - len(m.Imports); bodies != len(m.codes) {
		return nil, fmt.Errorf("%w: %d functions are declared, %d have a body", ErrMalformed, bodies, len(m.codes))
	}
	m.names = m.readNames()
	return m, nil
}

// checkHeader reads what a module begins with. The error about an end that comes too
// early is the reader's.
func checkHeader(r *reader) error {
	if have := r.b[r.off:r.end]; !strings.HasPrefix("\x00asm", string(have[:min(len(have), 4)])) {
		return fmt.Errorf("%w: it begins with % x, want 00 61 73 6d (is it a .wasm file?)", ErrMalformed, have[:min(len(have), 4)])
	}
	h := r.bytes(8)
	switch {
	case r.err != nil || string(h) == "\x00asm\x01\x00\x00\x00":
		return r.err
	case string(h) == "\x00asm\x0d\x00\x01\x00":
		return fmt.Errorf("%w: a component (% x), want a core module of version 1 (01 00 00 00)", ErrUnsupported, h[4:])
	}
	return fmt.Errorf("%w: version or layer % x, want a core module of version 1 (01 00 00 00)", ErrUnsupported, h[4:])
}

func (m *Module) section(id byte, r *reader) {
	content := r.b[r.off:r.end]
	switch id {
	case secCustom:
		m.custom(r)
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
		m.raw[id] = content
	case secFunction:
		n := r.count("functions", 1, maxFunctions)
		for range n {
			m.funcs = append(m.funcs, m.typeIndex(r))
		}
	case secTable:
		n := r.count("tables", 3, maxTables)
		for range n {
			t := tableType{elem: r.byte()}
			if t.elem != FuncRef && t.elem != ExternRef {
				r.fail(ErrUnsupported, "table of type %#x, want funcref or externref", t.elem)
			}
			t.limits = readLimits(r)
			m.tables = append(m.tables, t)
		}
	case secMemory:
		if n := r.count("memories", 2, maxTables); n > 1 {
			r.fail(ErrUnsupported, "%d memories (multi-memory), at most 1 is allowed", n)
		} else if n == 1 {
			l := readLimits(r)
			m.memory, m.MemoryPages = &l, l.min
		}
	case secGlobal:
		m.globals = r.count("globals", 4, maxGlobals)
		start := r.off
		for range m.globals {
			valueType(r)
			if mut := r.byte(); mut > 1 {
				r.fail(ErrMalformed, "mutability %#x, want 0 or 1", mut)
			}
			m.constExpr(r)
		}
		m.globalRaw = r.b[start:r.off]
	case secExport:
		m.exportSection(r)
	case secStart:
		i := r.u32()
		if int(i) >= len(m.funcs) {
			r.fail(ErrMalformed, "start function %d of %d functions", i, len(m.funcs))
			return
		}
		if t := m.types[m.funcs[i]]; !t.Equal(FuncType{}) {
			r.fail(ErrMalformed, "start function of type %v, want %v", t, FuncType{})
		}
		m.start = &i
	case secElement:
		n := r.count("element segments", 2, maxSegments)
		left := maxElements
		for range n {
			left -= m.element(r, left)
		}
		m.raw[id] = content
	case secDataCount:
		r.u32()
		m.raw[id] = content
	case secCode:
		n := r.count("function bodies", 2, maxFunctions)
		for range n {
			size := r.count("bytes of a body", 1, maxBody)
			c := code{off: r.off}
			r.bytes(size)
			c.end = r.off
			m.codes = append(m.codes, c)
		}
		m.raw[id] = r.b // the bodies' offsets count from the file's start
	case secData:
		n := r.count("data segments", 2, maxSegments)
		for range n {
			m.data(r)
		}
		m.raw[id] = content
	}
}

func (m *Module) custom(r *reader) {
	name := r.text("a section's name", maxNameBytes)
	m.Customs = append(m.Customs, Custom{Name: name, Data: r.bytes(r.left())})
	if len(m.Customs) > maxCustom {
		r.fail(ErrTooLarge, "more than %d custom sections", maxCustom)
	}
}

func (m *Module) typeSection(r *reader) {
	n := r.count("types", 3, maxTypes)
	start, values := r.off, 0
	for range n {
		if form := r.byte(); form != 0x60 && r.err == nil {
			r.fail(ErrUnsupported, "type form %#x, only functions (0x60) have types here", form)
		}
		var t FuncType
		for _, list := range []*[]byte{&t.Params, &t.Results} {
			for range r.count("values in a function type", 1, maxValues) {
				*list = append(*list, valueType(r))
			}
		}
		m.types = append(m.types, t)
		if values += len(t.Params) + len(t.Results); values > maxAllValues {
			r.fail(ErrTooLarge, "more than %d parameters and results of all types together", maxAllValues)
		}
		if r.err != nil {
			return
		}
	}
	m.typeBytes = r.b[start:r.off]
}

func (m *Module) importSection(r *reader) {
	n := r.count("imports", 4, maxImports)
	for range n {
		i := Import{Module: r.text("an import's module", maxNameBytes), Name: r.text("an import's name", maxNameBytes)}
		if k := Kind(r.byte()); k != Func {
			r.fail(ErrUnsupported, "import of a %v (%q %q), only functions are imported", k, i.Module, i.Name)
			return
		}
		t := m.typeIndex(r)
		if r.err != nil {
			return
		}
		i.Type = m.types[t]
		m.Imports = append(m.Imports, i)
		m.funcs = append(m.funcs, t)
	}
}

// added are the names of the meter's own exports.
var added = []string{FuelGlobal, StackGlobal, StartFunction, EntryFunction}

func (m *Module) exportSection(r *reader) {
	n := r.count("exports", 3, maxExports)
	start := r.off
	for range n {
		e := Export{Name: r.text("an export's name", maxNameBytes), Kind: Kind(r.byte())}
		e.index = int(r.u32())
		var have int
		switch e.Kind {
		case Func:
			have = len(m.funcs)
		case Table:
			have = len(m.tables)
		case Memory:
			if m.memory != nil {
				have = 1
			}
		case Global:
			have = m.globals
		default:
			r.fail(ErrUnsupported, "export %q of a %v", e.Name, e.Kind)
		}
		if e.index >= have {
			r.fail(ErrMalformed, "export %q of %v %d, there are %d", e.Name, e.Kind, e.index, have)
		}
		if slices.Contains(added, e.Name) {
			r.fail(ErrUnsupported, "export %q: the name is the meter's own", e.Name)
		}
		if r.err != nil {
			return
		}
		if e.Kind == Func {
			e.Type = m.types[m.funcs[e.index]]
		}
		m.Exports = append(m.Exports, e)
	}
	m.exportRaw = r.b[start:r.off]
}

func (m *Module) typeIndex(r *reader) uint32 {
	i := r.u32()
	if r.err == nil && int(i) >= len(m.types) {
		r.fail(ErrMalformed, "type %d of %d types", i, len(m.types))
		return 0
	}
	return i
}

// function skips the index of a function of the module itself. Behind those come the
// meter's: a module that could call them would help itself to fuel.
func (m *Module) function(r *reader) {
	if i := r.u32(); int(i) >= len(m.funcs) && r.err == nil {
		r.fail(ErrMalformed, "function %d, there are %d", i, len(m.funcs))
	}
}

func valueType(r *reader) byte {
	t := r.byte()
	if r.err != nil {
		return 0
	}
	if typeNames[t] == "" {
		r.fail(ErrUnsupported, "value type %#x", t)
	}
	return t
}

func readLimits(r *reader) limits {
	var l limits
	switch flag := r.byte(); flag {
	case 0:
		l.min = r.u32()
	case 1:
		l.min, l.hasMax = r.u32(), true
		if l.max = r.u32(); l.max < l.min && r.err == nil {
			r.fail(ErrMalformed, "maximum %d is below the minimum %d", l.max, l.min)
		}
	case 2, 3:
		r.fail(ErrUnsupported, "shared memory (threads)")
	case 4, 5, 6, 7:
		r.fail(ErrUnsupported, "64-bit memory (memory64)")
	default:
		r.fail(ErrMalformed, "limits %#x, want 0 or 1", flag)
	}
	return l
}

// constExpr skips an initialiser. Which instructions may stand in it, and of what
// type it is, the engine checks; here it must end and name nothing of the meter's.
func (m *Module) constExpr(r *reader) {
	for range maxConstInstr {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opI32Const:
			r.signed(32)
		case opI64Const:
			r.signed(64)
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opGlobalGet:
			if i := r.u32(); int(i) >= m.globals && r.err == nil {
				r.fail(ErrMalformed, "global %d, there are %d", i, m.globals)
			}
		case opRefFunc:
			m.function(r)
		case opRefNull:
			refType(r)
		case prefixSIMD:
			if sub := r.u32(); sub != simdConst {
				r.fail(ErrUnsupported, "instruction 0xfd %#x in an initialiser", sub)
			}
			r.bytes(16)
		default:
			r.fail(ErrUnsupported, "instruction %#x in an initialiser", op)
		}
		if r.err != nil {
			return
		}
	}
	r.fail(ErrTooLarge, "an initialiser of more than %d instructions", maxConstInstr)
}

func refType(r *reader) byte {
	t := r.byte()
	if t != FuncRef && t != ExternRef {
		r.fail(ErrUnsupported, "reference type %#x, want funcref or externref", t)
	}
	return t
}

// element skips one element segment of at most left entries and returns how many it
// has; its flag is three bits: passive or declarative, explicit table index,
// expressions instead of indices.
func (m *Module) element(r *reader, left int) (n int) {
	flag := r.u32()
	if flag > 7 {
		r.fail(ErrMalformed, "element segment of kind %d, want 0 to 7", flag)
		return 0
	}
	active := flag&1 == 0
	if active {
		if flag&2 != 0 {
			r.u32() // table
		}
		m.constExpr(r)
	}
	expressions := flag&4 != 0
	if flag&3 != 0 {
		if expressions {
			refType(r)
		} else if k := r.byte(); k != 0 {
			r.fail(ErrMalformed, "element kind %#x, want 0", k)
		}
	}
	n = r.count("elements", 1, left)
	for range n {
		if expressions {
			m.constExpr(r)
		} else {
			m.function(r)
		}
		if r.err != nil {
			return n
		}
	}
	return n
}

func (m *Module) data(r *reader) {
	switch flag := r.u32(); flag {
	case 0:
		m.constExpr(r)
	case 1:
	case 2:
		if mem := r.u32(); mem != 0 {
			r.fail(ErrUnsupported, "data segment of memory %d (multi-memory)", mem)
		}
		m.constExpr(r)
	default:
		r.fail(ErrMalformed, "data segment of kind %d, want 0 to 2", flag)
	}
	r.bytes(r.count("bytes of data", 1, r.end))
}
