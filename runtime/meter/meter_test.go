package meter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var engines = map[string]func() wazero.RuntimeConfig{
	"compiler":    wazero.NewRuntimeConfig,
	"interpreter": wazero.NewRuntimeConfigInterpreter,
}

const testFuel = 1 << 22

// An outcome is all that one call shows of itself.
type outcome struct {
	Result uint64
	Trap   string
	Fuel   int64 // spent; -1 without a counter
}

// instance loads wasm on a fresh engine of its own.
func instance(t testing.TB, config wazero.RuntimeConfig, wasm []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(64))
	t.Cleanup(func() { rt.Close(ctx) })
	mod, err := rt.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

func call(t testing.TB, mod api.Module, name string, args ...uint64) outcome {
	t.Helper()
	f := mod.ExportedFunction(name)
	if f == nil {
		t.Fatalf("no function %q", name)
	}
	o := outcome{Fuel: -1}
	fuel, metered := mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	if metered {
		fuel.Set(testFuel)
	}
	res, err := f.Call(context.Background(), args...)
	if err != nil {
		o.Trap, _, _ = strings.Cut(err.Error(), "\n")
	} else if len(res) > 0 {
		o.Result = res[0]
	}
	if metered {
		o.Fuel = testFuel - int64(fuel.Get())
	}
	return o
}

func mustMeter(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out, err := Meter(wasm, Options{StartFuel: testFuel, MemoryPages: 16})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// A function's entry costs 8 for each parameter, local and operand it needs at
// most; beside that an instruction costs 1 if no other figure is named, and a block
// nothing.
func TestFuelIsExact(t *testing.T) {
	const dry = testFuel + 1 // anything above testFuel: the counter went below zero
	tests := []struct {
		fn     string
		arg    uint64
		result uint64
		trap   string
		fuel   int64
	}{
		{"nothing", 0, 0, "", 0},
		{"inc", 4, 5, "", 3*8 + 3},
		// loop 1, each round 2 and its 6 instructions, after it 1
		{"loop", 1, 0, "", 3*8 + 1 + 8 + 1},
		{"loop", 100, 0, "", 3*8 + 1 + 800 + 1},
		// an arm that is long is paid for when it is taken, short ones in advance
		{"long", 1, 0, "", 2*8 + 2 + 70},
		{"long", 0, 0, "", 2*8 + 2 + 80},
		{"if", 1, 7, "", 3*8 + 2 + 1 + 5},
		{"if", 0, 6, "", 3*8 + 2 + 1 + 5},
		// 2 for return
		{"early", 1, 2, "", 2*8 + 2 + 5 + 1},
		{"early", 0, 1, "", 2*8 + 2 + 5 + 1},
		// local.get, and 16 for br_table; then the one case
		{"switch", 0, 10, "", 2*8 + 17 + 3},
		{"switch", 1, 20, "", 2*8 + 17 + 3},
		{"switch", 9, 30, "", 2*8 + 17 + 1},
		// 100 for call_indirect
		{"indirect", 0, 11, "", 3*8 + 102 + 3*8 + 3},
		{"indirect", 1, 9, "", 3*8 + 102 + 3*8 + 3},
		{"indirect", 2, 0, "wasm error: invalid table access", 3*8 + 102},
		{"multi", 5, 2, "", 3*8 + 3 + 3*8 + 2},
		// 4 for i64.eqz, 2 for i64.mul
		{"fac", 0, 1, "", 4*8 + 6 + 1 + 7},
		{"fac", 5, 120, "", 6 * (4*8 + 6 + 1 + 7)},
		// 24 for a division
		{"divide", 7, 14, "", 3*8 + 2 + 24},
		// a trap leaves the fuel as the last call or return stored it
		{"divide", 0, 0, "wasm error: integer divide by zero", 0},
		{"trap", 0, 0, "wasm error: unreachable", 0},
		// 48 for the operation, 1 for each 4 bytes, 20 for the load and 4 more
		{"fill", 64, 1, "", 4*8 + 48 + 16 + 20 + 4},
		{"fill", 8000, 1, "", 4*8 + 48 + 2000 + 20 + 4},
		// a size out of all bounds is not charged, and fails as it would have
		{"fill", 1 << 31, 0, "wasm error: out of bounds memory access", 0},
		// 1,024 for growing, 131,072 for each page
		{"grow", 0, 1, "", 2*8 + 1024 + 3},
		{"grow", 2, 3, "", 2*8 + 1024 + 2*131072 + 3},
		{"grow", 15, 1, "", 2*8 + 1024 + 15*131072 + 3},
		{"grow", 1 << 16, 1, "", 2*8 + 1024 + 3},
		{"table", 5, 8, "", 3*8 + 1024 + 5 + 4},
		{"table", 65535, 3, "", 3*8 + 1024 + 65535 + 4},
		{"dead", 0, 1, "", 2*8 + 3},
		{"forever", 0, 0, "wasm error: unreachable", dry},
		{"deep", 900, 0, "", 901 * (3*8 + 2 + 4 + 1)},
		{"deep", 5000, 0, "wasm error: unreachable", 1001 * (3*8 + 2 + 4 + 1)},
	}
	wasm := mustMeter(t, fixture(t, "control"))
	for engine, config := range engines {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%s(%d)", engine, tt.fn, tt.arg), func(t *testing.T) {
				mod := instance(t, config(), wasm)
				args := []uint64{tt.arg}[:len(mod.ExportedFunction(tt.fn).Definition().ParamTypes())]
				got := call(t, mod, tt.fn, args...)
				want := outcome{tt.result, tt.trap, tt.fuel}
				if tt.fuel == dry {
					if got.Trap != tt.trap || got.Fuel <= testFuel {
						t.Errorf("got %+v, want the fuel spent and %q", got, tt.trap)
					}
				} else if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

// What a module computes is the same with and without counters, on both engines.
func TestMeteredBehavesAsUnmetered(t *testing.T) {
	plain := fixture(t, "control")
	metered := mustMeter(t, plain)
	for _, fn := range []string{"inc", "loop", "long", "if", "early", "switch", "indirect", "multi", "fac", "divide",
		"trap", "fill", "grow", "dead", "simd", "refs", "float"} {
		for arg := range uint64(5) {
			var first outcome
			for engine, config := range engines {
				for kind, wasm := range map[string][]byte{"plain": plain, "metered": metered} {
					mod := instance(t, config(), wasm)
					args := []uint64{arg}[:len(mod.ExportedFunction(fn).Definition().ParamTypes())]
					if fn == "loop" && arg == 0 {
						args[0] = 1 // zero would run 2^32 rounds
					}
					got := call(t, mod, fn, args...)
					got.Fuel = -1
					if first.Fuel == 0 {
						first = got
					} else if got != first {
						t.Errorf("%s(%d), %s on the %s: got %+v, elsewhere %+v", fn, arg, kind, engine, got, first)
					}
				}
			}
		}
	}
}

// The stack counter is given back on every way out of a function.
func TestStackIsGivenBack(t *testing.T) {
	for engine, config := range engines {
		mod := instance(t, config(), mustMeter(t, fixture(t, "control")))
		stack := mod.ExportedGlobal(StackGlobal)
		for _, fn := range []string{"fac", "indirect", "multi", "refs"} {
			call(t, mod, fn, 1)
			if got := int32(stack.Get()); got != DefaultStackBytes {
				t.Errorf("%s: after %s %d bytes of stack are left, want %d", engine, fn, got, DefaultStackBytes)
			}
		}
		call(t, mod, "deep", 5000)
		if got := int32(stack.Get()); got >= 0 {
			t.Errorf("%s: after running too deep %d bytes of stack are left, want fewer than 0", engine, got)
		}
	}
}

// A compiler's frames grow with the values of a function, so that a long function
// takes more of the stack than its few operands say.
func TestLongFunctionsTakeMoreStack(t *testing.T) {
	depth := func(values int) uint64 {
		var body []byte
		for range values {
			body = append(body, opI64Const, 0, opDrop)
		}
		m, err := Decode(function(append(body, opCall, 0, opEnd)...))
		if err != nil {
			t.Fatal(err)
		}
		self := uint32(0)
		m.start = &self
		const fuel = 1 << 30
		out, _, err := m.Meter(Options{StartFuel: fuel, MemoryPages: 1})
		if err != nil {
			t.Fatal(err)
		}
		mod := instance(t, wazero.NewRuntimeConfig(), out)
		if _, err := mod.ExportedFunction(StartFunction).Call(context.Background()); err == nil {
			t.Fatal("a recursion without end came to one")
		}
		return (fuel - mod.ExportedGlobal(FuelGlobal).Get()) / uint64(8+2*values+1)
	}
	if got := depth(10); got != 1001 {
		t.Errorf("a short function: %d calls, want 1001", got)
	}
	if got := depth(5000); got < 100 || got > 250 {
		t.Errorf("a function of 5000 values: %d calls, want about 200", got)
	}
}

func header(sections ...[]byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		out = append(out, s...)
	}
	return out
}

// section builds a section from its id and content.
func section(id byte, content ...byte) []byte { return appendSection(nil, id, content) }

// function builds a module of one function () -> () with the given body, ends
// included, a memory of a page and a table.
func function(body ...byte) []byte {
	code := append([]byte{1}, appendU(nil, uint64(len(body)+1))...)
	code = append(append(code, 0), body...)
	return header(section(secType, 1, 0x60, 0, 0), section(secFunction, 1, 0), section(secTable, 1, FuncRef, 0, 1),
		section(secMemory, 1, 0, 1), section(secCode, code...))
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", maxNameBytes+1)
	tests := []struct {
		name string
		wasm []byte
		is   error
		says string
	}{
		{"nothing", nil, ErrMalformed, "8 bytes wanted"},
		{"no module", []byte("#!/bin/sh\n"), ErrMalformed, "is it a .wasm file?"},
		{"no module, and short", []byte("hello\n"), ErrMalformed, "is it a .wasm file?"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), ErrUnsupported, "0d 00 01 00"},
		{"section too long", header([]byte{secType, 9, 0}), ErrMalformed, "9 bytes wanted, 1 are left"},
		{"section too short", header(section(secType, 1, 0x60, 0, 0, 0)), ErrMalformed, "1 bytes too many"},
		{"sections out of order", header(section(secFunction, 0), section(secType, 0)), ErrMalformed, "out of order"},
		{"section repeated", header(section(secType, 0), section(secType, 0)), ErrMalformed, "repeated"},
		{"unknown section", header(section(77, 0)), ErrMalformed, "section id 77"},
		{"tag section", header(section(secTag, 0)), ErrUnsupported, "exception handling"},
		{"vector longer than the file", header(section(secFunction, 0xff, 0xff, 0xff, 0xff, 0x0f)), ErrMalformed, "do not fit"},
		{"number of 33 bits", header(section(secFunction, 0xff, 0xff, 0xff, 0xff, 0x1f)), ErrMalformed, "longer than 32 bits"},
		{"number of 6 bytes", header(section(secFunction, 0x80, 0x80, 0x80, 0x80, 0x80, 0)), ErrMalformed, "longer than 32 bits"},
		{"body missing", header(section(secType, 1, 0x60, 0, 0), section(secFunction, 1, 0)), ErrMalformed, "1 functions are declared, 0 have a body"},
		{"struct type", header(section(secType, 1, 0x5f, 0, 0)), ErrUnsupported, "type form 0x5f"},
		{"typed reference", header(section(secType, 1, 0x60, 1, 0x64, 0)), ErrUnsupported, "value type 0x64"},
		{"imported memory", header(section(secImport, 1, 1, 'm', 1, 'n', 2, 0, 1)), ErrUnsupported, `import of a memory ("m" "n")`},
		{"imported global", header(section(secImport, 1, 1, 'm', 1, 'n', 3, I32, 0)), ErrUnsupported, "import of a global"},
		{"shared memory", header(section(secMemory, 1, 3, 1, 1)), ErrUnsupported, "threads"},
		{"64-bit memory", header(section(secMemory, 1, 4, 1)), ErrUnsupported, "memory64"},
		{"two memories", header(section(secMemory, 2, 0, 1, 0, 1)), ErrUnsupported, "multi-memory"},
		{"memory above the limit", header(section(secMemory, 1, 0, 17)), ErrTooLarge, "1088 KiB of memory at the start, the limit is 1024 KiB"},
		{"table above the limit", header(section(secTable, 1, FuncRef, 0, 0x80, 0x80, 0x80, 1)), ErrTooLarge, "table 0 wants 2097152 entries"},
		{"maximum below minimum", header(section(secMemory, 1, 1, 3, 2)), ErrMalformed, "maximum 2 is below the minimum 3"},
		{"long export name", header(section(secExport, append(appendText([]byte{1}, long), 0, 0)...)), ErrTooLarge, "at most 256"},
		{"export of nothing", header(section(secExport, 1, 1, 'f', 0, 0)), ErrMalformed, `export "f" of function 0, there are 0`},
		{"the meter's function in a table", header(section(secTable, 1, FuncRef, 0, 1), section(secElement, 1, 0, opI32Const, 0, opEnd, 1, 0)), ErrMalformed, "function 0, there are 0"},
		{"the meter's function in an expression", header(section(secTable, 1, FuncRef, 0, 1), section(secElement, 1, 4, opI32Const, 0, opEnd, 1, opRefFunc, 0, opEnd)), ErrMalformed, "function 0, there are 0"},
		{"the meter's function in a global", header(section(secGlobal, 1, FuncRef, 0, opRefFunc, 0, opEnd)), ErrMalformed, "function 0, there are 0"},
		{"the meter's fuel in an initialiser", header(section(secGlobal, 1, I64, 0, opGlobalGet, 1, opEnd)), ErrMalformed, "global 1, there are 1"},
		{"start of nothing", header(section(secStart, 0)), ErrMalformed, "start function 0 of 0"},

		{"body ends early", function(opBlock, blockVoid, opEnd), ErrMalformed, "ends too early"},
		{"body goes on", function(opEnd, opEnd), ErrMalformed, "1 bytes too many"},
		{"else without if", function(opElse, opEnd), ErrMalformed, "else without if"},
		{"two elses", function(opI32Const, 0, opIf, blockVoid, opElse, opElse, opEnd, opEnd), ErrMalformed, "else without if"},
		{"branch out of the function", function(opBr, 1, opEnd), ErrMalformed, "label 1, there are 1"},
		{"branch table out of the function", function(opI32Const, 0, opBrTable, 1, 0, 2, opEnd), ErrMalformed, "label 2"},
		{"the meter's fuel", function(opGlobalGet, 0, opDrop, opEnd), ErrMalformed, "global 0, there are 0"},
		{"the meter's local", function(opLocalGet, 0, opDrop, opEnd), ErrMalformed, "local 0, there are 0"},
		{"the meter's type", function(opBlock, 1, opEnd, opEnd), ErrMalformed, "block of type 1"},
		{"function that is not there", function(opCall, 1, opEnd), ErrMalformed, "function 1, there are 1"},
		{"tail call", function(0x12, 0, opEnd), ErrUnsupported, "return_call (tail calls)"},
		{"atomic", function(0xfe, 0x03, 0, opEnd), ErrUnsupported, "atomic instruction (threads)"},
		{"exception", function(0x08, 0, opEnd), ErrUnsupported, "throw (exception handling)"},
		{"try", function(0x1f, blockVoid, 0, opEnd, opEnd), ErrUnsupported, "try_table"},
		{"garbage collection", function(0xfb, 0, opEnd), ErrUnsupported, "garbage collection"},
		{"typed call", function(0x14, 0, opEnd), ErrUnsupported, "call_ref"},
		{"relaxed SIMD", function(prefixSIMD, 0x80, 0x02, opEnd), ErrUnsupported, "relaxed SIMD"},
		{"unknown bulk operation", function(prefixMisc, 18, opEnd), ErrUnsupported, "0xfc 0x12"},
		{"unknown instruction in a function with a name", append(function(0xff, opEnd), section(secCustom, append(appendText(nil, "name"), 1, 6, 1, 0, 3, 'm', 'e', 0x1b)...)...),
			ErrUnsupported, `function 0 "me\x1b", byte 0x23: unknown instruction 0xff`},
		{"unknown instruction", function(0xff, opEnd), ErrUnsupported, "function 0, byte 0x23: unknown instruction 0xff"},
		{"memory flags", function(opI32Const, 0, 0x28, 0x42, 0, opDrop, opEnd), ErrUnsupported, "multi-memory"},
		{"constant of 33 bits", function(opI32Const, 0xff, 0xff, 0xff, 0xff, 0x1f, opDrop, opEnd), ErrMalformed, "longer than 32 bits"},
		{"constant of 65 bits", function(opI64Const, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, opDrop, opEnd), ErrMalformed, "longer than 64 bits"},
		{"too many locals", header(section(secType, 1, 0x60, 0, 0), section(secFunction, 1, 0),
			section(secCode, 1, 6, 1, 0xff, 0xff, 0x3f, I32, opEnd)), ErrTooLarge, "1048575 locals, at most 4096"},
		{"operands without end", function([]byte(strings.Repeat("\x41\x00", maxOperands+1))...), ErrTooLarge, "more than 16384 operands"},
		{"code that grows too much", function([]byte(strings.Repeat("\x41\x00\x40\x00\x1a", 60_000))...), ErrTooLarge, "more than 1572864 bytes of code with counters"},
		{"blocks without end", function(append([]byte(strings.Repeat("\x02\x40", maxDepth+1)), strings.Repeat("\x0b", maxDepth+2)...)...), ErrTooLarge, "nested deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Meter(tt.wasm, Options{MemoryPages: 16})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q with %q", err, tt.is, tt.says)
			}
		})
	}
}

func TestExportOfTheMetersOwnName(t *testing.T) {
	for _, name := range []string{FuelGlobal, StackGlobal, StartFunction, EntryFunction} {
		wasm := header(section(secGlobal, 1, I64, 1, opI64Const, 0, opEnd),
			section(secExport, append(appendText([]byte{1}, name), byte(Global), 0)...))
		if _, err := Meter(wasm, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want a refusal that names %q", err, name)
		}
	}
}

// Numbers may be encoded longer than need be. They come out in their shortest form,
// so that what the meter read is what the engine reads.
func TestLongEncodings(t *testing.T) {
	wasm := function(
		opI32Const, 0xc1, 0x80, 0x80, 0x80, 0x00, // 65
		opI32Const, 0xff, 0xff, 0xff, 0xff, 0x7f, // -1
		opI32Add,
		0x2d, 0x80, 0x80, 0x00, 0x80, 0x80, 0x80, 0x80, 0x00, // i32.load8_u, offset 0
		prefixSIMD, 0x8f, 0x80, 0x00, // i8x16.splat
		prefixSIMD, 0xe2, 0x80, 0x00, // i8x16.popcnt is 0x62
		opDrop, opEnd)
	for engine, config := range engines {
		mod := instance(t, config(), mustMeter(t, wasm))
		if mod == nil {
			t.Errorf("%s: not loaded", engine)
		}
	}
}

// The start function becomes an export, to be run by the caller on the start fuel.
func TestStartFunction(t *testing.T) {
	wasm := func(typ ...byte) []byte {
		return header(section(secType, append([]byte{1}, typ...)...), section(secFunction, 1, 0), section(secStart, 0),
			section(secCode, 1, 4, 0, 0x01, 0x01, opEnd))
	}
	mod := instance(t, wazero.NewRuntimeConfigInterpreter(), mustMeter(t, wasm(0x60, 0, 0)))
	fuel := mod.ExportedGlobal(FuelGlobal)
	if got := fuel.Get(); got != testFuel {
		t.Errorf("%d fuel at the start, want %d", got, testFuel)
	}
	if _, err := mod.ExportedFunction(StartFunction).Call(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := fuel.Get(); got != testFuel-2 {
		t.Errorf("%d fuel left after a start function of two instructions, want %d", got, testFuel-2)
	}
	if _, err := Meter(wasm(0x60, 1, I32, 0), Options{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a start function with a parameter: got %v, want %v", err, ErrMalformed)
	}
}

// EntryFunction runs the function it stands for on the fuel that it is given, and
// returns what is left of it.
func TestEntryFunction(t *testing.T) {
	plain := fixture(t, "control")
	out, err := Meter(plain, Options{StartFuel: 1, MemoryPages: 16, Entry: "fac"})
	if err != nil {
		t.Fatal(err)
	}
	for engine, config := range engines {
		f := instance(t, config(), out).ExportedFunction(EntryFunction)
		const fac5 = 6 * (4*8 + 6 + 1 + 7)
		for _, fuel := range []uint64{1000, fac5} { // not what the call before left
			got, err := f.Call(context.Background(), 5, fuel)
			if err != nil || len(got) != 2 || got[0] != 120 || got[1] != fuel-fac5 {
				t.Errorf("%s: fac(5) on %d units: got %d, %v, want 120 and %d left", engine, fuel, got, err, fuel-fac5)
			}
		}
		if got, err := f.Call(context.Background(), 5, fac5-1); err == nil {
			t.Errorf("%s: fac(5) on %d units: got %d, want a trap", engine, fac5-1, got)
		}
	}
	for _, entry := range []string{"", "absent", "memory"} {
		out, err := Meter(plain, Options{StartFuel: testFuel, MemoryPages: 16, Entry: entry})
		if err != nil {
			t.Fatal(err)
		}
		if instance(t, wazero.NewRuntimeConfigInterpreter(), out).ExportedFunction(EntryFunction) != nil {
			t.Errorf("entry %q: there is one", entry)
		}
	}
}

func TestCustomSections(t *testing.T) {
	names := section(secCustom, append(appendText(nil, "name"), 1, 5, 1, 0, 3, 'm', 'e')...) // a byte is missing
	good := section(secCustom, append(appendText(nil, "name"), 0, 2, 1, 'x', 1, 5, 1, 0, 2, 'm', 'e', 2, 1, 0)...)
	other := section(secCustom, append(appendText(nil, "offhost"), "name=x\n"...)...)
	base := function(opUnreachable, opEnd)
	with := func(s ...[]byte) []byte {
		out := append([]byte(nil), base...)
		for _, b := range s {
			out = append(out, b...)
		}
		return out
	}
	m, err := Decode(with(other, good))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Customs) != 2 || m.Customs[0].Name != "offhost" || string(m.Customs[0].Data) != "name=x\n" {
		t.Errorf("custom sections: %+v", m.Customs)
	}
	for name, tt := range map[string]struct {
		wasm  []byte
		names bool
	}{"kept": {with(other, good), true}, "malformed": {with(names), false}, "none": {base, false}} {
		out := mustMeter(t, tt.wasm)
		if got := strings.Contains(string(out), "\x04name"); got != tt.names || strings.Contains(string(out), "name=x") {
			t.Errorf("%s: metered: %q", name, out)
		}
		instance(t, wazero.NewRuntimeConfigInterpreter(), out)
	}
}
