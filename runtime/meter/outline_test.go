package meter

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shipped are the modules of the repository.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, pattern := range []string{"testdata/*.wasm", "../testdata/*.wasm", "../../policies/*/*.wasm", "../../examples/policies/*/*.wasm", "../../examples/policies/*/*/*.wasm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			wasm, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = wasm
		}
	}
	return all
}

// checkOutline compares an outline with what Decode makes of the module, if it takes it.
func checkOutline(t *testing.T, wasm []byte) *Outline {
	t.Helper()
	o := ReadOutline(wasm)
	m, err := Decode(wasm)
	if err != nil {
		return o
	}
	for _, s := range o.Sections {
		if s.Custom == "producers" && o.Problem != nil {
			return o // to Decode it is like any other custom section
		}
	}
	if o.Problem != nil {
		t.Errorf("the outline has the problem %v, Decode has none", o.Problem)
	}
	var imports, exports []Extern
	for _, i := range m.Imports {
		imports = append(imports, Extern{Module: i.Module, Name: i.Name, Kind: Func, Type: i.Type.String()})
	}
	for _, e := range m.Exports {
		x := Extern{Name: e.Name, Kind: e.Kind}
		if e.Kind == Func {
			x.Type = e.Type.String()
		}
		exports = append(exports, x)
	}
	if !slices.Equal(o.Imports, imports) || !slices.Equal(o.Exports, exports) {
		t.Errorf("imports %v, exports %v; want %v and %v", o.Imports, o.Exports, imports, exports)
	}
	if o.Functions != uint32(len(m.codes)) || o.Tables != uint32(len(m.tables)) || o.Globals != uint32(m.globals) || o.Start != (m.start != nil) || len(o.Customs) != len(m.Customs) {
		t.Errorf("%d functions, %d tables, %d globals, start %v, %d custom sections; want %d, %d, %d, %v, %d", o.Functions, o.Tables, o.Globals, o.Start, len(o.Customs),
			len(m.codes), len(m.tables), m.globals, m.start != nil, len(m.Customs))
	}
	switch l := m.memory; {
	case (l != nil) != (o.Memory != nil):
		t.Errorf("memory %v, want %v", o.Memory, l)
	case l != nil && *o.Memory != MemoryLimits{Initial: uint64(l.min), Max: uint64(l.max), HasMax: l.hasMax}:
		t.Errorf("memory %+v, want %+v", *o.Memory, *l)
	}
	return o
}

func TestAnOutlineAgreesWithDecode(t *testing.T) {
	all := shipped(t)
	if len(all) < 12 {
		t.Fatalf("only %d modules were found", len(all))
	}
	for name, wasm := range all {
		t.Run(filepath.Base(name), func(t *testing.T) {
			o := checkOutline(t, wasm)
			n := len("\x00asm1234")
			for _, s := range o.Sections {
				n += 1 + len(appendU(nil, uint64(s.Bytes))) + s.Bytes
			}
			// Sizes may be written in more bytes than they need.
			if n > len(wasm) || n < len(wasm)-4*len(o.Sections) {
				t.Errorf("the sections have %d bytes together, the module %d", n, len(wasm))
			}
		})
	}
}

func TestAnOutlineShowsWhatIsRefused(t *testing.T) {
	str := func(s string) []byte { return appendText(nil, s) }
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	types := section(secType, 1, 0x60, 1, I32, 0)
	for _, c := range []struct {
		name  string
		wasm  []byte
		check func(*Outline) bool
		says  string // the problem
	}{
		{"an imported memory", header(types, section(secImport, join([]byte{2}, str("env"), str("memory"), []byte{byte(Memory), 1, 1, 9}, str("env"), str("f"), []byte{byte(Func), 0})...)),
			func(o *Outline) bool {
				return *o.Memory == MemoryLimits{Initial: 1, Max: 9, HasMax: true, Imported: true} &&
					slices.Equal(o.Imports, []Extern{{"env", "memory", Memory, ""}, {"env", "f", Func, "(i32) -> ()"}})
			}, ""},
		{"a shared memory", header(section(secMemory, 1, 3, 1, 2)), func(o *Outline) bool { return o.Memory == nil && len(o.Sections) == 1 }, "shared memory"},
		{"exceptions", header(section(secTag, 1, 0, 0), section(99, 7)),
			func(o *Outline) bool {
				return slices.Equal(o.Sections, []Section{{Name: "tag section", Bytes: 3}, {Name: "section 99", Bytes: 1}})
			}, ""},
		{"sections after one that is broken", header(section(secType, 0xff), section(secGlobal, 7)), func(o *Outline) bool { return o.Globals == 7 }, "type section"},
		{"a function without a type", header(section(secFunction, 1, 5), section(secExport, join([]byte{1}, str("f"), []byte{0, 0})...)),
			func(o *Outline) bool { return o.Exports[0].Type == "type 5 of 0" }, ""},
		{"a long signature", header(section(secType, join([]byte{1, 0x60, 0x80 | 72, 1}, slices.Repeat([]byte{I64}, 200), []byte{0})...), section(secFunction, 1, 0),
			section(secExport, join([]byte{1}, str("f"), []byte{0, 0})...)), func(o *Outline) bool { return o.Exports[0].Type == "200 parameters and 0 results" }, ""},
		{"an unknown type", header(section(secType, 1, 0x60, 1, 0x42, 0), section(secFunction, 1, 0), section(secExport, join([]byte{1}, str("f"), []byte{0, 0})...)),
			func(o *Outline) bool { return o.Exports[0].Type == "(0x42) -> ()" }, ""},
		{"producers", header(section(secCustom, join(str("producers"), []byte{2}, str("language"), []byte{1}, str("Rust"), str(""), str("processed-by"), []byte{1}, str("clang"), str("19"))...)),
			func(o *Outline) bool {
				return slices.Equal(o.Producers, []Producer{{"language", "Rust", ""}, {"processed-by", "clang", "19"}}) && o.Named == -1
			}, ""},
		{"broken producers", header(section(secCustom, join(str("producers"), []byte{2})...)), func(o *Outline) bool { return o.Producers == nil }, "producers section"},
		{"names", header(section(secCustom, join(str("name"), []byte{0, 2}, str("m"), []byte{1, 5, 1, 0}, str("ab"))...)), func(o *Outline) bool { return o.Named == 1 }, ""},
		{"no names of functions", header(section(secCustom, str("name")...)), func(o *Outline) bool { return o.Named == 0 }, ""},
		{"what is cut off", header(types, []byte{secCode, 100, 1, 2}), func(o *Outline) bool { return len(o.Sections) == 1 }, "ends too early|100 bytes wanted"},
		{"many sections", header(slices.Repeat(section(secCustom, 0), maxOutlined+1)), func(o *Outline) bool { return len(o.Sections) == maxOutlined }, "more than 4096 sections"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), func(o *Outline) bool { return o.Sections == nil }, "a component"},
		{"something else", []byte("\x7fELF, it is"), func(o *Outline) bool { return o.Sections == nil }, "7f 45 4c 46"},
		{"nothing", nil, func(o *Outline) bool { return o.Sections == nil }, "8 bytes wanted, 0 are left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := checkOutline(t, c.wasm)
			if !c.check(o) {
				t.Errorf("it is not shown: %+v", o)
			}
			said := ""
			if o.Problem != nil {
				said = o.Problem.Error()
				if !errors.Is(o.Problem, ErrMalformed) && !errors.Is(o.Problem, ErrUnsupported) && !errors.Is(o.Problem, ErrTooLarge) {
					t.Errorf("the problem %v wraps none of the package's errors", o.Problem)
				}
			}
			if c.says == "" && said != "" || !slices.ContainsFunc(strings.Split(c.says, "|"), func(s string) bool { return strings.Contains(said, s) }) {
				t.Errorf("the problem is %q, want %q", said, c.says)
			}
		})
	}
}

func FuzzOutline(f *testing.F) {
	for _, wasm := range shipped(f) {
		if len(wasm) < 64<<10 {
			f.Add(wasm)
		}
	}
	f.Fuzz(func(t *testing.T, wasm []byte) { checkOutline(t, wasm) })
}
