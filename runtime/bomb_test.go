//go:build unix

package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// A crafted module is as large as one may be, in one dimension. Its first functions
// are those that a policy exports.
type crafted struct {
	types, tables, globals, exports, elements, datas, customs [][]byte
	functions                                                 []craftedFunc
}

type craftedFunc struct {
	typ    int
	locals []byte // groups with their count
	code   []byte // without the last end
}

func uleb(v int) (b []byte) {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func list(entries [][]byte) []byte { return append(uleb(len(entries)), bytes.Join(entries, nil)...) }

func sized(b []byte) []byte { return append(uleb(len(b)), b...) }

// mapType and unitType are types 0 and 1 of every crafted module.
const mapType, unitType = 0, 1

func (c crafted) build() []byte {
	types := append([][]byte{{0x60, 1, meter.I32, 1, meter.I32}, {0x60, 0, 0}}, c.types...)
	lend := craftedFunc{mapType, []byte{0}, []byte{0x41, 0x80, 0x08}}
	answer := craftedFunc{mapType, []byte{0}, []byte{0x41, 0x00}}
	var funcs, codes [][]byte
	for _, f := range append([]craftedFunc{lend, answer}, c.functions...) {
		funcs = append(funcs, uleb(f.typ))
		codes = append(codes, sized(append(slices.Concat(f.locals, f.code), 0x0b)))
	}
	exports := append([][]byte{
		append(text(abi.ExportMemory), 2, 0), append(text(abi.ExportBuffer), 0, 0), append(text(abi.ExportEvent), 0, 1),
	}, c.exports...)
	out := []byte("\x00asm\x01\x00\x00\x00")
	add := func(id byte, entries [][]byte) {
		if len(entries) > 0 {
			out = append(append(out, id), sized(list(entries))...)
		}
	}
	add(1, types)
	add(3, funcs)
	add(4, c.tables)
	add(5, [][]byte{{0, 1}})
	add(6, c.globals)
	add(7, exports)
	add(9, c.elements)
	add(10, codes)
	add(11, c.datas)
	for _, b := range c.customs {
		out = append(append(out, 0), sized(b)...)
	}
	return out
}

func repeat(n int, b ...byte) []byte { return bytes.Repeat(b, n) }

// many gives n times the same entry.
func many(n int, b ...byte) [][]byte { return slices.Repeat([][]byte{b}, n) }

// functions gives n times the same function.
func functions(n int, typ int, locals, code []byte) crafted {
	return crafted{functions: slices.Repeat([]craftedFunc{{typ, locals, code}}, n)}
}

// straight gives three functions that fill the module with the same code.
func straight(code ...byte) crafted { return filled(3, 4_100_000/3/len(code), code...) }

// workLocals declares what code of any type may work on: 0 and 1 are i32, 2 is i64, 3
// and 4 are f64, 5 is a vector.
var workLocals = []byte{4, 2, meter.I32, 1, meter.I64, 2, meter.F64, 1, meter.V128}

// filled gives n functions with so many copies of the same code.
func filled(n, times int, code ...byte) crafted {
	return functions(n, unitType, workLocals, repeat(times, code...))
}

var none = []byte{0}

// i32Locals declares n of them.
func i32Locals(n int) []byte { return append(append([]byte{1}, uleb(n)...), meter.I32) }

// joins are n places where control flow comes together, after each of which every one
// of so many locals may have one of two values.
func joins(n, locals int) []byte {
	var code []byte
	for i := range n {
		code = append(code, 0x20, 0, 0x04, 0x40, 0x41, 1, 0x21) // local.get 0, if, i32.const 1, local.set
		code = append(append(code, uleb(i%locals)...), 0x0b)
	}
	return code
}

func wideType(params, results int) []byte {
	return slices.Concat([]byte{0x60}, uleb(params), repeat(params, meter.I32), uleb(results), repeat(results, meter.I32))
}

var bombs = map[string]func() []byte{
	"functions":                         func() []byte { return functions(16000, unitType, none, []byte{0x01}).build() },
	"functions with locals":             func() []byte { return functions(1000, unitType, i32Locals(4096), []byte{0x01}).build() },
	"functions with locals above limit": func() []byte { return functions(16000, unitType, i32Locals(4096), []byte{0x01}).build() },
	"functions above limit":             func() []byte { return functions(100_000, unitType, none, []byte{0x01}).build() },
	"locals above limit":                func() []byte { return functions(1, unitType, i32Locals(50_000), nil).build() },
	"branches x locals":                 func() []byte { return functions(8, unitType, i32Locals(510), joins(512, 510)).build() },
	"branches x many locals":            func() []byte { return functions(8, unitType, i32Locals(4000), joins(64, 4000)).build() },
	"branches x locals far":             func() []byte { return functions(1, unitType, i32Locals(500), joins(5000, 500)).build() },
	"nesting above limit": func() []byte {
		return functions(1, unitType, none, slices.Concat(repeat(100_000, 0x02, 0x40), repeat(100_000, 0x0b))).build()
	},
	"operands above limit": func() []byte {
		return functions(2, unitType, none, slices.Concat(repeat(600_000, 0x41, 0), repeat(600_000, 0x1a))).build()
	},
	"calls above limit": func() []byte { return straight(0x10, 2).build() },
	"fills above limit": func() []byte { return straight(0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0).build() },
	"grows above limit": func() []byte { return straight(0x41, 0, 0x40, 0, 0x1a).build() },
	"unreachable code": func() []byte {
		return functions(60, unitType, none, append([]byte{0x00}, repeat(60_000, 0x1a)...)).build()
	},
	"types":                  func() []byte { return crafted{types: many(4000, wideType(2, 2)...)}.build() },
	"wide types":             func() []byte { return crafted{types: many(63, wideType(128, 128)...)}.build() },
	"wide types above limit": func() []byte { return crafted{types: many(4000, wideType(128, 128)...)}.build() },
	"types above limit":      func() []byte { return crafted{types: many(100_000, 0x60, 0, 0)}.build() },
	"globals":                func() []byte { return crafted{globals: many(4000, meter.I32, 1, 0x41, 0, 0x0b)}.build() },
	"globals above limit":    func() []byte { return crafted{globals: many(800_000, meter.I32, 1, 0x41, 0, 0x0b)}.build() },
	"global chains": func() []byte {
		return crafted{globals: many(4000, meter.V128, 1, 0xfd, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b)}.build()
	},
	"tables":             func() []byte { return crafted{tables: many(8, 0x70, 0, 0x80, 0x80, 0x04)}.build() },
	"tables above limit": func() []byte { return crafted{tables: many(1, 0x70, 0, 0x80, 0x80, 0x80, 0x80, 0x08)}.build() },
	"exports": func() []byte {
		var c crafted
		for i := range 1000 {
			c.exports = append(c.exports, slices.Concat(sized(fmt.Appendf(nil, "%0250d", i)), []byte{0, 1}))
		}
		return c.build()
	},
	"exports above limit": func() []byte {
		var c crafted
		for i := range 100_000 {
			c.exports = append(c.exports, slices.Concat(sized(fmt.Append(nil, i)), []byte{0, 1}))
		}
		return c.build()
	},
	"element segments": func() []byte {
		c := crafted{tables: [][]byte{{0x70, 0, 0x80, 0x80, 0x04}}, elements: many(65_000, 0, 0x41, 0, 0x0b, 1, 1)}
		return c.build()
	},
	"elements": func() []byte {
		segment := slices.Concat([]byte{0, 0x41, 0, 0x0b}, uleb(65_536), repeat(65_536, 1))
		return crafted{tables: [][]byte{{0x70, 0, 0x80, 0x80, 0x04}}, elements: many(3, segment...)}.build()
	},
	"elements above limit": func() []byte {
		segment := slices.Concat([]byte{0, 0x41, 0, 0x0b}, uleb(65_536), repeat(65_536, 1))
		return crafted{tables: [][]byte{{0x70, 0, 0x80, 0x80, 0x04}}, elements: many(60, segment...)}.build()
	},
	"passive elements": func() []byte {
		segment := slices.Concat([]byte{1, 0}, uleb(131_072), repeat(131_072, 1))
		return crafted{tables: [][]byte{{0x70, 0, 1}}, elements: many(2, segment...)}.build()
	},
	"elements of expressions": func() []byte {
		segment := slices.Concat([]byte{5, 0x70}, uleb(131_072), repeat(131_072, 0xd2, 1, 0x0b))
		return crafted{tables: [][]byte{{0x70, 0, 1}}, elements: many(2, segment...)}.build()
	},
	"data": func() []byte {
		segment := slices.Concat([]byte{0, 0x41, 0, 0x0b}, sized(repeat(65_000, 7)))
		return crafted{datas: many(60, segment...)}.build()
	},
	"data segments": func() []byte { return crafted{datas: many(65_000, 0, 0x41, 0, 0x0b, 1, 7)}.build() },
	"data above the memory's limit": func() []byte {
		return crafted{datas: many(1, append([]byte{0, 0x41, 0, 0x0b}, sized(repeat(4_000_000, 7))...)...)}.build()
	},
	"names": func() []byte {
		c := functions(16000, unitType, none, []byte{0x01})
		var names [][]byte
		for i := range 16000 {
			names = append(names, append(uleb(i), sized(fmt.Appendf(nil, "%013d", i))...))
		}
		c.customs = [][]byte{slices.Concat(text("name"), []byte{1}, sized(list(names)))}
		return c.build()
	},
	"names that are too long": func() []byte {
		return crafted{customs: [][]byte{slices.Concat(text("name"), []byte{1}, sized(slices.Concat([]byte{1, 0}, sized(repeat(4_000_000, 'x')))))}}.build()
	},
	"custom sections": func() []byte { return crafted{customs: many(1000, append(text("x"), repeat(4000, 0)...)...)}.build() },
	"metadata": func() []byte {
		return crafted{customs: [][]byte{append(text(abi.CustomSection), repeat(4_000_000, '\n')...)}}.build()
	},
	"module above limit": func() []byte { return crafted{customs: [][]byte{repeat(5_000_000, 0)}}.build() },
}

// scaled are bombs that are made as large as what is compiled may be: n functions of the
// same code, so many times.
var scaled = map[string]func(n, times int) crafted{
	"calls":             func(n, times int) crafted { return filled(n, times, 0x10, 2) },
	"calls with values": func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x10, 1, 0x21, 0) },
	"wide calls": func(n, times int) crafted {
		c := functions(n, unitType, none, repeat(times, slices.Concat(repeat(128, 0x41, 0), []byte{0x10, 2}, repeat(128, 0x1a))...))
		c.types = [][]byte{wideType(128, 128)}
		c.functions = append([]craftedFunc{{2, none, repeat(128, 0x41, 0)}}, c.functions...)
		return c
	},
	"calls by table": func(n, times int) crafted {
		c := filled(n, times, 0x20, 0, 0x11, 1, 0)
		c.tables = [][]byte{{0x70, 0, 1}}
		return c
	},
	"operands": func(n, times int) crafted {
		return functions(n, unitType, none, slices.Concat(repeat(times, 0x41, 0), repeat(times, 0x1a)))
	},
	"operands that differ": func(n, times int) crafted {
		return functions(n, unitType, i32Locals(1), slices.Concat(repeat(times, 0x20, 0, 0x45), repeat(times, 0x1a)))
	},
	"operands across calls": func(n, times int) crafted {
		return functions(n, unitType, i32Locals(1), slices.Concat(repeat(times, 0x41, 0, 0x10, 1), repeat(times, 0x1a)))
	},
	"locals across calls": func(n, times int) crafted {
		var set, get []byte
		for i := range times {
			set = append(append(append(set, 0x41, 0, 0x10, 1, 0x21), uleb(i)...), 0x10, 2)
			get = append(append(get, 0x20), append(uleb(i), 0x1a)...)
		}
		return functions(n, unitType, i32Locals(times), append(set, get...))
	},
	"joins":                func(n, times int) crafted { return functions(n, unitType, i32Locals(2), joins(times, 2)) },
	"joins of some locals": func(n, times int) crafted { return functions(n, unitType, i32Locals(50), joins(times, 50)) },
	"joins of many locals": func(n, times int) crafted { return functions(n, unitType, i32Locals(500), joins(times, 500)) },
	"joins of most locals": func(n, times int) crafted { return functions(n, unitType, i32Locals(4000), joins(times, 4000)) },
	"nesting": func(n, times int) crafted {
		return functions(n, unitType, none, slices.Concat(repeat(times, 0x02, 0x40), repeat(times, 0x0b)))
	},
	"nested loops": func(n, times int) crafted {
		return functions(n, unitType, i32Locals(100), slices.Concat(repeat(times, 0x03, 0x40, 0x20, 0, 0x0d, 0), repeat(times, 0x20, 1, 0x21, 0, 0x0b)))
	},
	"branch tables": func(n, times int) crafted {
		return functions(n, unitType, i32Locals(1), repeat(times, slices.Concat([]byte{0x02, 0x40, 0x20, 0, 0x0e}, uleb(2000), repeat(2001, 0), []byte{0x0b})...))
	},
	"branch tables to many places": func(n, times int) crafted {
		var labels []byte
		for i := range 2001 {
			labels = append(labels, uleb(i%times)...)
		}
		return functions(n, unitType, i32Locals(150), slices.Concat(repeat(times, 0x02, 0x40), []byte{0x20, 0, 0x0e}, uleb(2000), labels, repeat(times, 0x0b)))
	},
	"branches that carry values": func(n, times int) crafted {
		c := functions(n, unitType, i32Locals(1), repeat(times, slices.Concat(repeat(128, 0x41, 0), []byte{0x02, 2, 0x20, 0, 0x0d, 0, 0x0b}, repeat(128, 0x1a))...))
		c.types = [][]byte{wideType(128, 128)}
		return c
	},
	"arithmetic":    func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x20, 1, 0x6a, 0x21, 0) },
	"one chain":     func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x41, 1, 0x6a, 0x21, 1) },
	"negations":     func(n, times int) crafted { return chained(n, times, 3, 0x9a) },
	"roots":         func(n, times int) crafted { return chained(n, times, 3, 0x9f) },
	"vector roots":  func(n, times int) crafted { return chained(n, times, 5, 0xfd, 0xef, 1) },
	"loads":         func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x28, 2, 0, 0x21, 0) },
	"chained loads": func(n, times int) crafted { return chained(n, times, 0, 0x28, 2, 0) },
	"loads from far": func(n, times int) crafted {
		c := chained(n, times, 0, 0x28, 2, 0)
		c.functions = append(c.functions, craftedFunc{unitType, none, []byte{0x41, 0, 0x40, 0, 0x1a}}) // it may grow
		return c
	},
	"fills":       func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0) },
	"grows":       func(n, times int) crafted { return filled(n, times, 0x41, 0, 0x40, 0, 0x1a) },
	"vectors":     func(n, times int) crafted { return filled(n, times, 0x20, 5, 0x20, 5, 0xfd, 0x0e, 0x21, 5) },
	"selections":  func(n, times int) crafted { return filled(n, times, 0x20, 0, 0x20, 0, 0x20, 0, 0x1b, 0x21, 0) },
	"truncations": func(n, times int) crafted { return filled(n, times, 0x20, 3, 0xaa, 0x21, 0) },
	"table reads": func(n, times int) crafted {
		c := filled(n, times, 0x20, 0, 0x25, 0, 0x1a)
		c.tables = [][]byte{{0x70, 0, 1}}
		return c
	},
	"nops": func(n, times int) crafted { return filled(n, times, 0x01) },
}

// chained is n functions that apply the same instruction to a local of workLocals
// again and again.
func chained(n, times int, local byte, code ...byte) crafted {
	return functions(n, unitType, workLocals, slices.Concat([]byte{0x20, local}, repeat(times, code...), []byte{0x1a}))
}

// A size says how many functions of a bomb of what size there are; the zero value is for
// a bomb whose size is given. An interpreted one has a function more that is too complex
// to be compiled.
type size struct {
	N, Times    int
	Interpreted bool
}

func (z size) build(name string) []byte {
	if z.N == 0 {
		return bombs[name]()
	}
	c := scaled[name](z.N, z.Times)
	if z.Interpreted {
		c.functions = append(c.functions, craftedFunc{unitType, i32Locals(2), joins(maxCompiledControls+1, 2)})
	}
	return c.build()
}

// full says how much a module of that size takes of what is allowed each function, and
// of what is allowed all together: 1 or less if it is compiled, or interpreted, as it is
// meant to be.
func (z size) full(t *testing.T, name string) (each, all float64) {
	t.Helper()
	wasm := z.build(name)
	m, err := meter.Decode(wasm)
	if err != nil {
		return 2, 2
	}
	_, s, err := m.Meter(meter.Options{StartFuel: 1, MemoryPages: DefaultMemoryPages})
	if err != nil {
		return 2, 2
	}
	if z.Interpreted {
		all = float64(s.Bytes+s.Locals) / maxInterpreted
		return all, all
	}
	all = float64(len(wasm)) / DefaultModuleBytes
	for _, c := range complexities(s) {
		if part := float64(c.n) / float64(c.limit); strings.HasSuffix(c.what, "in a function") {
			each = max(each, part)
		} else {
			all = max(all, part)
		}
	}
	return each, all
}

// largest is the largest size of a bomb: of its functions first, which are small ones if
// times is not 0, then of their number.
func largest(t *testing.T, name string, times int, interpreted bool) size {
	t.Helper()
	fits := func(z size) bool {
		each, all := z.full(t, name)
		return each <= 1 && all <= 1
	}
	z := size{1, times, interpreted}
	if times == 0 {
		for z.Times = 1; fits(z); z.Times *= 2 {
		}
		half := z.Times / 2
		z.Times = max(1, half+sort.Search(half, func(n int) bool { return !fits(size{1, half + n, interpreted}) })-1)
	}
	// The first functions are not like the others.
	_, one := z.full(t, name)
	_, more := size{4, z.Times, interpreted}.full(t, name)
	for z.N = min(maxFunctions, 2+int((1-one)/(more-one)*3)); z.N > 0 && !fits(z); z.N -= 1 + z.N/50 {
	}
	if z.N < 1 {
		t.Fatalf("not even one function of size %d fits", z.Times)
	}
	return z
}

// maxFunctions is how many of them a module may have, the two that each has aside.
const maxFunctions = 16382

const (
	bombTime   = 2 * time.Second
	bombMemory = 112 << 20
	bombEnv    = "OFFHOST_TEST_BOMB"
	sizeEnv    = "OFFHOST_TEST_BOMB_SIZE"
)

// rssUnit is what getrusage counts in: bytes on macOS, kilobytes elsewhere.
var rssUnit = map[bool]int64{true: 1, false: 1 << 10}[runtime.GOOS == "darwin"]

// computed is the time that the process has computed: less than what has passed while
// other programs keep the machine busy.
func computed() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// peak is the most memory that the process had resident, in bytes. Where the system
// says so apart, that of the process that started it is left out.
func peak() int64 {
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		var kib int64
		if _, after, ok := strings.Cut(string(text), "VmHWM:"); ok {
			if _, err := fmt.Sscan(after, &kib); err == nil {
				return kib << 10
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Maxrss * rssUnit
}

// A blast is what loading a module took.
type blast struct {
	Took   time.Duration
	Peak   int64 // bytes
	Engine string
	Err    string
}

// TestMain is the process that loads a bomb, if it is started as one.
func TestMain(m *testing.M) {
	name := os.Getenv(bombEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	var z size
	if err := json.Unmarshal([]byte(os.Getenv(sizeEnv)), &z); err != nil {
		panic(err)
	}
	wasm := z.build(name)
	start := time.Now()
	var b blast
	begun := computed()
	p, err := Load(context.Background(), wasm, Config{})
	b.Took = min(time.Since(start), computed()-begun)
	if err != nil {
		b.Err = err.Error()
	} else {
		b.Engine = p.Info().Engine
		if _, err := p.Decide(&abi.Event{Kind: abi.Need}, nil); err != nil {
			b.Err = err.Error()
		}
	}
	b.Peak = peak()
	if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
		panic(err)
	}
}

// explode loads a bomb in a process of its own.
func explode(t *testing.T, name string, z size) (b blast) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	text, err := json.Marshal(z)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), bombEnv+"="+name, sizeEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &b); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return b
}

// Whatever is in a module, it is loaded or refused within 2 seconds and 112 MiB.
func TestBombs(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("starts many processes, and the race detector takes several times the memory")
	}
	check := func(t *testing.T, name string, z size, engine string) {
		t.Helper()
		var b blast
		for range 3 { // another process may be using the machine
			if b = explode(t, name, z); b.Took <= bombTime {
				break
			}
		}
		t.Logf("%4d ms, %4d MiB, %+v, %s%s", b.Took.Milliseconds(), b.Peak>>20, z, b.Engine, b.Err)
		if b.Took > bombTime || b.Peak > bombMemory {
			t.Errorf("it took %v and %d MiB, want at most %v and %d MiB", b.Took, b.Peak>>20, bombTime, bombMemory>>20)
		}
		if refused := engine == ""; refused != (b.Err != "") || engine != b.Engine {
			t.Errorf("on %q, refused: %q; want it on %q", b.Engine, b.Err, engine)
		}
	}
	for name := range bombs {
		t.Run(name, func(t *testing.T) {
			engine := "compiler"
			switch {
			case strings.HasSuffix(name, "limit"):
				engine = ""
			case strings.HasPrefix(name, "branches x"):
				engine = "interpreter"
			}
			check(t, name, size{}, engine)
		})
	}
	for name := range scaled {
		t.Run(name, func(t *testing.T) {
			check(t, name, largest(t, name, 0, false), "compiler")
			check(t, name, largest(t, name, 5, false), "compiler")
			check(t, name, largest(t, name, 100, true), "interpreter")
		})
	}
}

// A module that is too complex to be compiled is interpreted, on less fuel, whatever
// engine is asked for.
func TestWhatIsTooComplexGetsLessFuel(t *testing.T) {
	wasm := bombs["branches x locals far"]()
	onBothEngines(t, func(t *testing.T, cfg Config) {
		p := start(t, wasm, cfg)
		if p.Info().Engine != "interpreter" || p.fuel != DefaultFuel/interpretedShare || p.refillFor(p.in, 0) != DefaultRefill/interpretedShare {
			t.Errorf("on the %s with %d units at most and %d an event, want %d and %d on the interpreter", p.Info().Engine,
				p.fuel, p.refillFor(p.in, 0), DefaultFuel/interpretedShare, DefaultRefill/interpretedShare)
		}
	})
	if p := load(t, "probe", Config{Interpreter: true}); p.fuel != DefaultFuel {
		t.Errorf("a module that could be compiled has %d units at most on the interpreter, want %d", p.fuel, DefaultFuel)
	}
}
