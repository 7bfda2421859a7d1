package meter

import "fmt"

// An Outline is what the sections of a module say of it, for people who want to know
// what it is. Decode decides what may run, and refuses much that an outline shows.
type Outline struct {
	Sections []Section
	Imports  []Extern
	Exports  []Extern
	// What the module has of its own, imports not among them; of memories, imports too.
	Functions, Tables, Globals, Elements, Data uint32
	Memory                                     *MemoryLimits // nil without one
	Start                                      bool          // it has a start function
	Customs                                    []Custom
	Named                                      int // functions that the name section names; -1 without one
	Producers                                  []Producer
	// Problem is the first thing that could not be read. The section that has it, and
	// what is left out behind it, are not complete.
	Problem error
}

// A Section is a part of a module.
type Section struct {
	Name   string // as in "code section"
	Custom string // a custom section's own name
	Bytes  int    // of its content
}

// An Extern is an import or an export. Module is empty for exports, Type for what is
// no function.
type Extern struct {
	Module, Name string
	Kind         Kind
	Type         string
}

// MemoryLimits are those of a linear memory, in pages of 64 KiB.
type MemoryLimits struct {
	Initial, Max uint64 // Max only with HasMax
	HasMax       bool
	Imported     bool
}

// A Producer is a tool that had a part in making a module, by the module's own word.
type Producer struct {
	Field         string // language, processed-by or sdk
	Name, Version string
}

// Limits of what an outline takes note of.
const (
	maxOutlined          = 4096 // sections, custom sections, imports and exports, each
	maxOutlinedTypes     = 1 << 16
	maxOutlinedFunctions = 1 << 20
	maxProducers         = 64
)

// ReadOutline reads as much of a module as can be read; of what is none, there are no
// sections and a problem. Custom sections are not copied: wasm must not change.
func ReadOutline(wasm []byte) *Outline {
	o := &outliner{Outline: &Outline{Named: -1}}
	r := &reader{b: wasm, end: len(wasm), fn: -1, name: "header"}
	if o.Problem = checkHeader(r); o.Problem != nil {
		return o.Outline
	}
	for r.err == nil && r.left() > 0 {
		r.name = "section header"
		id := r.byte()
		s := r.sub(int(r.u32()), sectionName(id))
		if r.err == nil && len(o.Sections) == maxOutlined {
			r.fail(ErrTooLarge, "more than %d sections", maxOutlined)
		}
		if r.err != nil {
			break
		}
		o.Sections = append(o.Sections, Section{Name: sectionName(id), Bytes: s.left()})
		o.section(id, s)
		o.note(s.err)
	}
	o.note(r.err)
	return o.Outline
}

func sectionName(id byte) string {
	switch {
	case int(id) < len(sectionNames):
		return sectionNames[id]
	case id == secTag:
		return "tag section"
	}
	return fmt.Sprintf("section %d", id)
}

// An outliner is an outline in the making.
type outliner struct {
	*Outline
	types []FuncType
	funcs []uint32 // types of all functions, imported ones first
}

func (o *outliner) note(err error) {
	if o.Problem == nil {
		o.Problem = err
	}
}

func (o *outliner) section(id byte, r *reader) {
	switch id {
	case secCustom:
		c := Custom{Name: r.text("a section's name", maxNameBytes), Data: r.bytes(r.left())}
		o.Sections[len(o.Sections)-1].Custom = c.Name
		o.Customs = append(o.Customs, c)
		switch c.Name {
		case "name":
			o.Named = countNames(c.Data)
		case "producers":
			o.producers(c.Data)
		}
	case secType:
		for range r.count("types", 3, maxOutlinedTypes) {
			if t := readFuncType(r); r.err == nil {
				o.types = append(o.types, t)
			}
		}
	case secImport:
		n := r.count("imports", 4, maxOutlined)
		for range n {
			o.imported(r)
		}
	case secFunction:
		o.Functions = uint32(r.count("functions", 1, maxOutlinedFunctions))
		for range o.Functions {
			o.funcs = append(o.funcs, r.u32())
		}
	case secTable:
		o.Tables = r.u32()
	case secMemory:
		if r.u32() > 0 {
			o.Memory = readMemory(r)
		}
	case secGlobal:
		o.Globals = r.u32()
	case secExport:
		n := r.count("exports", 3, maxOutlined)
		for range n {
			o.exported(r)
		}
	case secStart:
		o.Start = true
	case secElement:
		o.Elements = r.u32()
	case secData:
		o.Data = r.u32()
	}
}

// readFuncType reads a signature of any length without copying it.
func readFuncType(r *reader) (t FuncType) {
	if form := r.byte(); form != 0x60 {
		r.fail(ErrUnsupported, "type form %#x, only functions (0x60) have types here", form)
	}
	t.Params = r.bytes(r.count("values in a function type", 1, r.end))
	t.Results = r.bytes(r.count("values in a function type", 1, r.end))
	return t
}

// signature writes a type as far as it may be written.
func (o *outliner) signature(i uint32) string {
	if int64(i) >= int64(len(o.types)) {
		return fmt.Sprintf("type %d of %d", i, len(o.types))
	}
	t := o.types[i]
	if len(t.Params)+len(t.Results) > maxValues {
		return fmt.Sprintf("%d parameters and %d results", len(t.Params), len(t.Results))
	}
	return t.String()
}

func (o *outliner) imported(r *reader) {
	i := Extern{Module: r.text("an import's module", maxNameBytes), Name: r.text("an import's name", maxNameBytes), Kind: Kind(r.byte())}
	switch i.Kind {
	case Func:
		t := r.u32()
		o.funcs = append(o.funcs, t)
		i.Type = o.signature(t)
	case Table:
		r.byte()
		readLimits(r)
	case Memory:
		if o.Memory = readMemory(r); o.Memory != nil {
			o.Memory.Imported = true
		}
	case Global:
		r.byte()
		r.byte()
	default:
		r.fail(ErrUnsupported, "import of a %v", i.Kind)
	}
	if r.err == nil {
		o.Imports = append(o.Imports, i)
	}
}

func (o *outliner) exported(r *reader) {
	e := Extern{Name: r.text("an export's name", maxNameBytes), Kind: Kind(r.byte())}
	index := r.u32()
	if r.err != nil {
		return
	}
	if e.Kind == Func && int64(index) < int64(len(o.funcs)) {
		e.Type = o.signature(o.funcs[index])
	}
	o.Exports = append(o.Exports, e)
}

// readMemory reads the limits of a memory. Those of one that is shared, or has 64-bit
// addresses, are not told.
func readMemory(r *reader) *MemoryLimits {
	l := readLimits(r)
	if r.err != nil {
		return nil
	}
	return &MemoryLimits{Initial: uint64(l.min), Max: uint64(l.max), HasMax: l.hasMax}
}

// countNames counts the functions that a name section names.
func countNames(data []byte) int {
	r := &reader{b: data, end: len(data), fn: -1, name: "name section"}
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		if s := r.sub(int(r.u32()), "function names"); id == 1 && s.err == nil {
			return s.count("names", 2, s.end)
		}
	}
	return 0
}

func (o *outliner) producers(data []byte) {
	r := &reader{b: data, end: len(data), fn: -1, name: "producers section"}
	for range r.count("fields", 2, maxProducers) {
		field := r.text("a field's name", maxNameBytes)
		for range r.count("producers", 2, maxProducers) {
			p := Producer{Field: field, Name: r.text("a producer", maxNameBytes), Version: r.text("a version", maxNameBytes)}
			if r.err != nil || len(o.Producers) == maxProducers {
				break
			}
			o.Producers = append(o.Producers, p)
		}
	}
	o.note(r.err)
}
