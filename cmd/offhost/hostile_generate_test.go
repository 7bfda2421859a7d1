package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// Members of the hostile corpus that are too large to be written down: modules whose
// every part is legal and whose sum is meant to cost the host much time or memory.

// A wasm is a policy module in the making: memory, a window at 4096 and an event
// function, and what else is given.
type wasm struct {
	pages   int               // of memory; 0: 2
	init    []byte            // body of _initialize; nil: there is none
	types   [][]byte          // from index 1; type 0 is (i32) -> (i32)
	funcs   []function        // from index 2; 0 lends the window, 1 takes events, the last is _initialize
	event   []byte            // body of the event function; nil returns 0
	extra   map[byte][]byte   // contents of further sections, by id
	customs map[string][]byte // custom sections, which come last
}

type function struct {
	typ  int
	body []byte
}

// Section ids and value types of the binary format.
const (
	secTable, secGlobal, secExport, secElem, secData = 4, 6, 7, 9, 11

	i32, i64, v128, funcref = 0x7f, 0x7e, 0x7b, 0x70
)

// Instructions.
const (
	opUnreachable, opBlock, opLoop, opIf, opEnd, opBrIf, opBrTable, opReturn, opCall = 0x00, 0x02, 0x03, 0x04, 0x0b, 0x0d, 0x0e, 0x0f, 0x10

	opDrop, opLocalGet, opLocalSet, opLocalTee  = 0x1a, 0x20, 0x21, 0x22
	opGlobalGet, opGlobalSet, opCallIndirect    = 0x23, 0x24, 0x11
	opI32Load, opI32Const, opI64Const, opI32Add = 0x28, 0x41, 0x42, 0x6a
	opI32Sub, opI32And, opVoid, opPrefix        = 0x6b, 0x71, 0x40, 0xfd
	opI32Mul, opI32Shl, opI32GeU, opI32Store    = 0x6c, 0x74, 0x4f, 0x36
)

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// sleb writes a number that is not negative as a signed one.
func sleb(n int) []byte {
	if n < 64 {
		return []byte{byte(n)}
	}
	return append([]byte{byte(n) | 0x80}, sleb(n>>7)...)
}

func code(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		case string:
			b = append(append(b, uleb(len(p))...), p...)
		}
	}
	return b
}

// vec writes a number of entries and the entries.
func vec(entries ...[]byte) []byte { return append(uleb(len(entries)), bytes.Join(entries, nil)...) }

// body is a function's: n locals of a type, then code.
func body(locals int, typ int, instructions ...any) []byte {
	b := code(0)
	if locals > 0 {
		b = code(1, uleb(locals), typ)
	}
	return code(b, code(instructions...), opEnd)
}

func (m wasm) bytes() []byte {
	types := append([][]byte{code(0x60, 1, i32, 1, i32)}, m.types...)
	funcs := append([]function{
		{0, body(0, 0, opI32Const, sleb(4096))},
		{0, slices.Concat(m.event)},
	}, m.funcs...)
	if m.init != nil {
		types = append(types, code(0x60, 0, 0))
		funcs = append(funcs, function{len(types) - 1, m.init})
	}
	if m.event == nil {
		funcs[1].body = body(0, 0, opI32Const, 0)
	}
	if m.pages == 0 {
		m.pages = 2
	}
	exports := [][]byte{code("memory", 2, 0), code("offhost_v1_buffer", 0, 0), code("offhost_v1_event", 0, 1)}
	if m.init != nil {
		exports = append(exports, code("_initialize", 0, uleb(len(funcs)-1)))
	}
	var indices, bodies [][]byte
	for _, f := range funcs {
		indices = append(indices, uleb(f.typ))
		bodies = append(bodies, code(uleb(len(f.body)), f.body))
	}
	sections := map[byte][]byte{1: vec(types...), 3: vec(indices...), 5: code(1, 0, uleb(m.pages)), secExport: vec(exports...), 10: vec(bodies...)}
	for id, b := range m.extra {
		sections[id] = b
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	for id := byte(1); id <= 11; id++ {
		if b, ok := sections[id]; ok {
			out = code(out, int(id), uleb(len(b)), b)
		}
	}
	for name, b := range m.customs {
		b = code(name, b)
		out = code(out, 0, uleb(len(b)), b)
	}
	return out
}

func repeat(n int, parts ...any) []byte { return bytes.Repeat(code(parts...), n) }

// times makes n functions of type 0.
func times(n int, body []byte) []function { return slices.Repeat([]function{{0, body}}, n) }

// branches is a function body with n branches, each of which touches every local a
// little: what compiling costs grows with the product.
func branches(n, locals int) []byte {
	var b []byte
	for i := range n {
		l := uleb(1 + i%locals)
		b = code(b, opLocalGet, 0, opIf, opVoid, opLocalGet, l, opI32Const, 1, opI32Add, opLocalSet, uleb(1+(i*7)%locals), opEnd)
	}
	return body(locals, i32, b, opLocalGet, 1)
}

// operands is a function body that has n values on the stack.
func operands(n int) []byte { return body(0, 0, repeat(n, opLocalGet, 0), repeat(n-1, opI32Add)) }

// elements is a module that fills its table n times over.
func elements(n int) []byte {
	segment := code(0, opI32Const, 0, opEnd, uleb(1<<16), repeat(1<<16, 1))
	return wasm{extra: map[byte][]byte{secTable: code(1, funcref, 0, uleb(1<<16)), secElem: vec(slices.Repeat([][]byte{segment}, n)...)}}.bytes()
}

// wide is the type of a function of n numbers and as many results.
func wide(n int) []byte { return code(0x60, uleb(n), repeat(n, i32), uleb(n), repeat(n, i32)) }

// generated are the modules by name.
var generated = map[string]func() []byte{
	"huge-data": func() []byte {
		return wasm{pages: 64, extra: map[byte][]byte{secData: vec(code(0, opI32Const, sleb(0x10000), opEnd, uleb(3900<<10), repeat(3900<<10, 0xa5)))}}.bytes()
	},
	"many-data-segments": func() []byte {
		return wasm{extra: map[byte][]byte{secData: code(uleb(65000), repeat(65000, 0, opI32Const, sleb(0x10000), opEnd, 1, 0x5a))}}.bytes()
	},
	"too-many-data-segments": func() []byte {
		return wasm{extra: map[byte][]byte{secData: code(uleb(70000), repeat(70000, 0, opI32Const, sleb(0x10000), opEnd, 1, 0x5a))}}.bytes()
	},
	"huge-tables": func() []byte {
		return wasm{extra: map[byte][]byte{secTable: code(8, repeat(8, funcref, 0, uleb(1<<16)))}}.bytes()
	},
	"too-huge-table": func() []byte {
		return wasm{extra: map[byte][]byte{secTable: code(1, funcref, 0, uleb(1<<28))}}.bytes()
	},
	"many-elements":     func() []byte { return elements(1) },
	"too-many-elements": func() []byte { return elements(60) },
	"many-types":        func() []byte { return wasm{types: slices.Repeat([][]byte{wide(2)}, 4000)}.bytes() },
	"many-wide-types":   func() []byte { return wasm{types: slices.Repeat([][]byte{wide(100)}, 4000)}.bytes() },
	"too-many-types":    func() []byte { return wasm{types: slices.Repeat([][]byte{wide(1)}, 5000)}.bytes() },
	"too-wide-type":     func() []byte { return wasm{types: [][]byte{wide(1000)}}.bytes() },
	"many-globals": func() []byte {
		return wasm{extra: map[byte][]byte{secGlobal: code(uleb(4000), repeat(4000, i64, 1, opI64Const, 0, opEnd))}}.bytes()
	},
	"many-exports": func() []byte {
		exports := [][]byte{code("memory", 2, 0), code("offhost_v1_buffer", 0, 0), code("offhost_v1_event", 0, 1)}
		for i := range 5000 {
			exports = append(exports, code("export "+string(rune('a'+i%26))+string(uleb(i)), 0, 0))
		}
		return wasm{extra: map[byte][]byte{secExport: vec(exports...)}}.bytes()
	},
	"huge-names": func() []byte {
		name := bytes.Repeat([]byte("x"), 3<<20)
		names := vec(code(1, string(name)))
		return wasm{customs: map[string][]byte{"name": code(1, uleb(len(names)), names)}}.bytes()
	},
	"names-of-control-characters": func() []byte {
		names := vec(code(1, "\x1b[2J\r\x00"+string(bytes.Repeat([]byte("\u202e"), 1000))))
		return wasm{event: body(0, 0, opUnreachable, opI32Const, 0), customs: map[string][]byte{"name": code(1, uleb(len(names)), names)}}.bytes()
	},
	"huge-metadata": func() []byte {
		return wasm{customs: map[string][]byte{"offhost": bytes.Repeat([]byte("reason.1=\x1b[31m\n"), 1<<17)}}.bytes()
	},
	"many-customs": func() []byte {
		return code(wasm{}.bytes(), repeat(5000, 0, 2, "x"))
	},
	"larger-than-the-limit": func() []byte {
		return wasm{customs: map[string][]byte{"padding": make([]byte, 5<<20)}}.bytes()
	},
	"many-functions":     func() []byte { return wasm{funcs: times(16000, body(0, 0, opLocalGet, 0))}.bytes() },
	"too-many-functions": func() []byte { return wasm{funcs: times(20000, body(0, 0, opLocalGet, 0))}.bytes() },

	// The meter adds a function that takes fuel as a parameter, behind the module's own
	// two. Called through a table, it would give an event fuel without end.
	"helps-itself-to-fuel": func() []byte {
		return wasm{
			types: [][]byte{code(0x60, 2, i32, i64, 2, i32, i64)},
			event: body(1, i32,
				opGlobalGet, 0, opIf, opVoid, opI32Const, 0, opReturn, opEnd,
				opI32Const, 1, opGlobalSet, 0,
				opLocalGet, 0, opI64Const, sleb(1<<40), opI32Const, 0, opCallIndirect, 1, 0, opDrop, opDrop,
				opI32Const, sleb(10_000_000), opLocalSet, 1,
				opLoop, opVoid, opLocalGet, 1, opI32Const, 1, opI32Sub, opLocalTee, 1, opBrIf, 0, opEnd,
				opI32Const, 0, opGlobalSet, 0,
				opI32Const, 0),
			extra: map[byte][]byte{
				secTable: code(1, funcref, 0, 1), secElem: vec(code(0, opI32Const, 0, opEnd, 1, 2)),
				secGlobal: vec(code(i32, 1, opI32Const, 0, opEnd)),
			},
		}.bytes()
	},

	// 70 KB that took a compiler 3.6 s and 692 MB, and 280 KB that took it 85 s.
	"bomb-of-branches":      func() []byte { return wasm{funcs: times(1, branches(5000, 500))}.bytes() },
	"bomb-of-more-branches": func() []byte { return wasm{funcs: times(1, branches(20000, 500))}.bytes() },
	// Just within the limits of what is compiled, in each function and in all.
	"bomb-at-the-limit":            func() []byte { return wasm{funcs: times(4, branches(1150, 220))}.bytes() },
	"bomb-of-small-functions":      func() []byte { return wasm{funcs: times(2400, branches(20, 20))}.bytes() },
	"bomb-of-more-small-functions": func() []byte { return wasm{funcs: times(4000, branches(20, 20))}.bytes() },
	"bomb-of-locals": func() []byte {
		return wasm{funcs: times(1000, body(50000, i64, opLocalGet, 0))}.bytes()
	},
	"bomb-of-vectors": func() []byte {
		b := repeat(7500, opLocalGet, 1, opLocalGet, 2, opPrefix, 0x51, opLocalSet, 1) // v128.xor
		return wasm{funcs: times(40, body(1000, v128, b, opLocalGet, 0))}.bytes()
	},
	"bomb-of-straight-code": func() []byte {
		return wasm{funcs: times(50, body(4, i32, repeat(9000, opLocalGet, 1, opLocalGet, 2, opI32Add, opLocalSet, 1), opLocalGet, 0))}.bytes()
	},
	"bomb-of-more-straight-code": func() []byte {
		return wasm{funcs: times(2, body(4, i32, repeat(200_000, opLocalGet, 1, opLocalGet, 2, opI32Add, opLocalSet, 1), opLocalGet, 0))}.bytes()
	},
	"bomb-of-operands":          func() []byte { return wasm{funcs: times(40, operands(16_000))}.bytes() },
	"bomb-of-too-many-operands": func() []byte { return wasm{funcs: times(4, operands(100_000))}.bytes() },
	"bomb-of-blocks": func() []byte {
		return wasm{funcs: times(4, body(0, 0, repeat(100_000, opBlock, opVoid), repeat(100_000, opEnd), opLocalGet, 0))}.bytes()
	},
	"bomb-of-jump-tables": func() []byte {
		table := code(opBlock, opVoid, opLocalGet, 0, opBrTable, uleb(60000), repeat(60001, 0), opEnd)
		return wasm{funcs: times(10, body(0, 0, bytes.Repeat(table, 5), opLocalGet, 0))}.bytes()
	},
	// 99 % of what it is given, at each event: arithmetic, and loads of which each has to
	// wait for the one before, from a cache and past it.
	"drips":                func() []byte { return drip(func(n int) []byte { return arithmetic(n) }) },
	"drips-from-the-cache": func() []byte { return drip(func(n int) []byte { return follows(8, n) }) },
	"drips-past-the-cache": func() []byte { return drip(func(n int) []byte { return follows(256, n) }) },
	// The same, without end.
	"loops-in-the-cache":   func() []byte { return follows(8, 0) },
	"loops-past-the-cache": func() []byte { return follows(256, 0) },
	// Too complex to be compiled: it would get much more time for its fuel.
	"drips-interpreted": func() []byte {
		return drip(func(n int) []byte { return arithmetic(n, function{0, branches(2500, 2)}) })
	},

	"bomb-of-results": func() []byte {
		call := code(repeat(100, opLocalGet, 0), opCall, 2, repeat(100, opDrop))
		return wasm{types: [][]byte{wide(100)}, funcs: append([]function{{1, body(0, 0, repeat(100, opLocalGet, 0))}},
			times(50, body(0, 0, bytes.Repeat(call, 100), opLocalGet, 0))...)}.bytes()
	},
}

// arithmetic is an event function of so many rounds of it.
func arithmetic(rounds int, more ...function) []byte {
	return wasm{funcs: more, event: body(2, i32,
		opI32Const, sleb(rounds), opLocalSet, 1,
		opLoop, opVoid, opLocalGet, 1, opI32Const, 1, opI32Sub, opLocalTee, 1, opBrIf, 0, opEnd,
		opI32Const, 0)}.bytes()
}

// follows is a module that links all lines of its memory but the first page's to a
// circle, piece after piece of 256 bytes in an order that no machine foresees, and at
// each event follows so many of the links from where it stopped; 0: for ever.
func follows(pages, links int) []byte {
	const cur, next, first = 0, 1, 1 << 16
	pieces := (pages - 1) << 8
	mask := 1<<bits.Len(uint(pieces-1)) - 1
	address := func(local int) []byte { return code(opLocalGet, local, opI32Const, 8, opI32Shl) }
	within := func(from, to int) []byte {
		return code(address(cur), address(cur), opI32Const, sleb(first+to), opI32Add, opI32Store, 2, uleb(first+from))
	}
	link := body(2, i32,
		opLoop, opVoid,
		opLocalGet, cur, opLocalSet, next,
		opLoop, opVoid, // next goes through all numbers up to mask
		opLocalGet, next, opI32Const, sleb(1664525), opI32Mul, opI32Const, sleb(1013904223), opI32Add, opI32Const, sleb(mask), opI32And,
		opLocalTee, next, opI32Const, sleb(pieces), opI32GeU, opBrIf, 0, opEnd,
		within(0, 128), within(128, 64), within(64, 192),
		address(cur), address(next), opI32Const, sleb(first), opI32Add, opI32Store, 2, uleb(first+192),
		opLocalGet, next, opLocalTee, cur, opBrIf, 0, opEnd)
	on := code(opLocalGet, 1, opI32Const, 1, opI32Sub, opLocalTee, 1)
	if links == 0 {
		on = code(opI32Const, 1)
	}
	follow := body(2, i32,
		opI32Const, sleb(links), opLocalSet, 1, opGlobalGet, 0, opLocalSet, 2,
		opLoop, opVoid, opLocalGet, 2, opI32Load, 2, 0, opLocalSet, 2, on, opBrIf, 0, opEnd,
		opLocalGet, 2, opGlobalSet, 0, opI32Const, 0)
	return wasm{pages: pages, init: link, event: follow,
		extra: map[byte][]byte{secGlobal: vec(code(i32, 1, opI32Const, sleb(first), opEnd))}}.bytes()
}

// drip is the module with the most rounds that never runs dry, so that it spends all it
// is given.
func drip(module func(rounds int) []byte) []byte {
	dry := func(rounds int) bool {
		p, err := runtime.Load(context.Background(), module(rounds), runtime.Config{})
		if err != nil {
			panic(fmt.Sprintf("the drip does not load: %v", err))
		}
		defer p.Close()
		for range 20 {
			if _, err := p.Decide(&abi.Event{Kind: abi.Idle, Component: abi.None, Parent: abi.None}, nil); err != nil {
				return true
			}
		}
		return false
	}
	return module(max(1, sort.Search(1<<14, dry)-1))
}
