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
func straight(code ...byte) crafted { return filled(3, 4_100_000, code...) }

// filled gives n functions of so many bytes in all.
func filled(n, size int, code ...byte) crafted {
	return functions(n, unitType, []byte{4, 2, meter.I32, 1, meter.I64, 2, meter.F64, 1, meter.V128}, repeat(size/n/len(code), code...))
}

var none = []byte{0}

// roots is n functions that apply the same instruction to one value again and again.
func roots(n, times int, typ byte, code ...byte) []byte {
	return functions(n, unitType, []byte{1, 1, typ}, slices.Concat([]byte{0x20, 0}, repeat(times, code...), []byte{0x1a})).build()
}

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
	"functions with frames":             func() []byte { return functions(4000, unitType, i32Locals(500), joins(10, 500)).build() },
	"functions above limit":             func() []byte { return functions(100_000, unitType, none, []byte{0x01}).build() },
	"locals above limit":                func() []byte { return functions(1, unitType, i32Locals(50_000), nil).build() },
	"branches":                          func() []byte { return functions(1, unitType, i32Locals(2), joins(150_000, 2)).build() },
	"branches below limit":              func() []byte { return functions(100, unitType, i32Locals(10), joins(1990, 10)).build() },
	"branches x locals":                 func() []byte { return functions(8, unitType, i32Locals(510), joins(512, 510)).build() },
	"branches x many locals":            func() []byte { return functions(8, unitType, i32Locals(4000), joins(64, 4000)).build() },
	"branches x locals far":             func() []byte { return functions(1, unitType, i32Locals(500), joins(5000, 500)).build() },
	"nesting": func() []byte {
		return functions(100, unitType, none, slices.Concat(repeat(4000, 0x02, 0x40), repeat(4000, 0x0b))).build()
	},
	"nesting below limit": func() []byte {
		return functions(300, unitType, none, slices.Concat(repeat(1990, 0x02, 0x40), repeat(1990, 0x0b))).build()
	},
	"nested loops": func() []byte {
		return functions(100, unitType, i32Locals(100), slices.Concat(repeat(660, 0x03, 0x40, 0x20, 0, 0x0d, 0), repeat(660, 0x20, 1, 0x21, 0, 0x0b))).build()
	},
	"nesting above limit": func() []byte {
		return functions(1, unitType, none, slices.Concat(repeat(100_000, 0x02, 0x40), repeat(100_000, 0x0b))).build()
	},
	"branch tables": func() []byte {
		table := slices.Concat([]byte{0x02, 0x40, 0x20, 0, 0x0e}, uleb(8000), repeat(8001, 0), []byte{0x0b})
		return functions(3, unitType, i32Locals(1), repeat(170, table...)).build()
	},
	"branch tables to many places": func() []byte {
		var labels []byte
		for i := range 8001 {
			labels = append(labels, uleb(i%1500)...)
		}
		table := slices.Concat([]byte{0x20, 0, 0x0e}, uleb(8000), labels)
		return functions(16, unitType, i32Locals(150), slices.Concat(repeat(1500, 0x02, 0x40), table, repeat(1500, 0x0b))).build()
	},
	"branches that carry values": func() []byte {
		c := functions(16, unitType, i32Locals(1), repeat(600, slices.Concat(repeat(128, 0x41, 0), []byte{0x02, 2, 0x20, 0, 0x0d, 0, 0x0b}, repeat(128, 0x1a))...))
		c.types = [][]byte{wideType(128, 128)}
		return c.build()
	},
	"operands above limit": func() []byte {
		return functions(2, unitType, none, slices.Concat(repeat(600_000, 0x41, 0), repeat(600_000, 0x1a))).build()
	},
	"operands": func() []byte {
		return functions(80, unitType, none, slices.Concat(repeat(16_000, 0x41, 0), repeat(16_000, 0x1a))).build()
	},
	"operands that differ": func() []byte {
		return functions(60, unitType, i32Locals(1), slices.Concat(repeat(16_000, 0x20, 0, 0x45), repeat(16_000, 0x1a))).build()
	},
	"operands across calls": func() []byte {
		return functions(40, unitType, i32Locals(1), slices.Concat(repeat(16_000, 0x41, 0, 0x10, 1), repeat(16_000, 0x1a))).build()
	},
	"locals across calls": func() []byte {
		var set, get []byte
		for i := range 4000 {
			set = append(append(append(set, 0x41, 0, 0x10, 1, 0x21), uleb(i)...), 0x10, 2)
			get = append(append(get, 0x20), append(uleb(i), 0x1a)...)
		}
		return functions(60, unitType, i32Locals(4000), append(set, get...)).build()
	},
	"calls":                                func() []byte { return filled(6, 1_200_000, 0x10, 2).build() },
	"calls in small functions":             func() []byte { return filled(1000, 1_200_000, 0x10, 2).build() },
	"calls above limit":                    func() []byte { return straight(0x10, 2).build() },
	"calls with values":                    func() []byte { return filled(6, 1_200_000, 0x20, 0, 0x10, 1, 0x21, 0).build() },
	"calls with values in small functions": func() []byte { return filled(1000, 1_200_000, 0x20, 0, 0x10, 1, 0x21, 0).build() },
	"calls with values above limit":        func() []byte { return straight(0x20, 0, 0x10, 1, 0x21, 0).build() },
	"wide calls": func() []byte {
		c := crafted{types: [][]byte{wideType(128, 128)}}
		wide := craftedFunc{2, none, slices.Concat(repeat(128, 0x41, 0))}
		call := slices.Concat(repeat(128, 0x41, 0), []byte{0x10, 2}, repeat(128, 0x1a))
		c.functions = []craftedFunc{wide, {unitType, none, repeat(3500, call...)}, {unitType, none, repeat(3500, call...)}}
		return c.build()
	},
	"arithmetic":        func() []byte { return straight(0x20, 0, 0x20, 1, 0x6a, 0x21, 0).build() },
	"one chain":         func() []byte { return straight(0x20, 0, 0x41, 1, 0x6a, 0x21, 1).build() },
	"negations":         func() []byte { return roots(3, 1_350_000, meter.F64, 0x9a) },
	"roots":             func() []byte { return roots(6, 60_000, meter.F64, 0x9f) },
	"roots above limit": func() []byte { return roots(2, 1_900_000, meter.F64, 0x9f) },
	"vector roots":      func() []byte { return roots(6, 45_000, meter.V128, 0xfd, 0xef, 1) },
	"loads":             func() []byte { return straight(0x20, 0, 0x28, 2, 0, 0x21, 0).build() },
	"chained loads": func() []byte {
		return functions(3, unitType, i32Locals(1), slices.Concat([]byte{0x20, 0}, repeat(450_000, 0x28, 2, 0), []byte{0x1a})).build()
	},
	"fills":                    func() []byte { return filled(6, 1_200_000, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0).build() },
	"fills in small functions": func() []byte { return filled(1000, 1_200_000, 0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0).build() },
	"fills above limit":        func() []byte { return straight(0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0).build() },
	"grows":                    func() []byte { return filled(6, 1_200_000, 0x41, 0, 0x40, 0, 0x1a).build() },
	"grows in small functions": func() []byte { return filled(1000, 1_200_000, 0x41, 0, 0x40, 0, 0x1a).build() },
	"grows above limit":        func() []byte { return straight(0x41, 0, 0x40, 0, 0x1a).build() },
	"vectors":                  func() []byte { return straight(0x20, 5, 0x20, 5, 0xfd, 0x0e, 0x21, 5).build() },
	"selections":               func() []byte { return straight(0x20, 0, 0x20, 0, 0x20, 0, 0x1b, 0x21, 0).build() },
	"truncations":              func() []byte { return straight(0x20, 3, 0xaa, 0x21, 0).build() },
	"table reads": func() []byte {
		c := straight(0x20, 0, 0x25, 0, 0x1a)
		c.tables = [][]byte{{0x70, 0, 1}}
		return c.build()
	},
	"calls by table": func() []byte {
		c := filled(1000, 1_200_000, 0x20, 0, 0x11, 1, 0)
		c.tables = [][]byte{{0x70, 0, 1}}
		return c.build()
	},
	"nops": func() []byte { return straight(0x01).build() },
	"unreachable code": func() []byte {
		return functions(2, unitType, none, append([]byte{0x00}, repeat(1_500_000, 0x1a)...)).build()
	},
	"types":               func() []byte { return crafted{types: many(4000, wideType(128, 128)...)}.build() },
	"types above limit":   func() []byte { return crafted{types: many(100_000, 0x60, 0, 0)}.build() },
	"globals":             func() []byte { return crafted{globals: many(4000, meter.I32, 1, 0x41, 0, 0x0b)}.build() },
	"globals above limit": func() []byte { return crafted{globals: many(800_000, meter.I32, 1, 0x41, 0, 0x0b)}.build() },
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

const (
	bombTime   = 2 * time.Second
	bombMemory = 512 << 20
	bombEnv    = "OFFHOST_TEST_BOMB"
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

// A blast is what loading a module took.
type blast struct {
	Took   time.Duration
	Peak   int64 // bytes
	Engine string
	Err    string
}

// TestMain is the process that loads a bomb, if it is started as one.
func TestMain(m *testing.M) {
	bomb, ok := bombs[os.Getenv(bombEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	wasm := bomb()
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
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		b.Peak = usage.Maxrss * rssUnit
	}
	if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
		panic(err)
	}
}

// explode loads a bomb in a process of its own.
func explode(t *testing.T, name string) (b blast) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*bombTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), bombEnv+"="+name)
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

// Whatever is in a module, it is loaded or refused within 2 seconds and 512 MiB.
func TestBombs(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("starts many processes, and the race detector takes several times the memory")
	}
	for name := range bombs {
		t.Run(name, func(t *testing.T) {
			var b blast
			for range 3 { // another process may be using the machine
				if b = explode(t, name); b.Took <= bombTime {
					break
				}
			}
			t.Logf("%4d ms, %4d MiB, %s%s", b.Took.Milliseconds(), b.Peak>>20, b.Engine, b.Err)
			if b.Took > bombTime || b.Peak > bombMemory {
				t.Errorf("it took %v and %d MiB, want at most %v and %d MiB", b.Took, b.Peak>>20, bombTime, bombMemory>>20)
			}
			if refused := strings.HasSuffix(name, "limit") && !strings.HasSuffix(name, "below limit"); refused != (b.Err != "") {
				t.Errorf("refused: %q, want it refused: %t", b.Err, refused)
			}
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
