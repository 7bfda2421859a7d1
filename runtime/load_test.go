package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// An export of a module that module builds: a function of the given type.
type export struct {
	name string
	typ  meter.FuncType
}

var (
	unit    = meter.FuncType{}
	buffer  = export{abi.ExportBuffer, mapI32}
	event   = export{abi.ExportEvent, mapI32}
	memory  = []byte{5, 3, 1, 0, 1}
	noBytes []byte
)

// vector writes its length and its entries, as sections and types have it.
func vector(entries ...[]byte) []byte {
	return append([]byte{byte(len(entries))}, bytes.Join(entries, nil)...)
}

func text(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func section(id byte, content []byte) []byte {
	n := len(content)
	return append([]byte{id, byte(n&0x7f) | 0x80, byte(n >> 7)}, content...)
}

// module builds a module that imports the functions named, exports its memory and
// functions that trap.
func module(mem []byte, imports []meter.Import, exports ...export) []byte {
	var types, imps, funcs, exps, codes [][]byte
	addType := func(t meter.FuncType) byte {
		types = append(types, slices.Concat([]byte{0x60, byte(len(t.Params))}, t.Params, []byte{byte(len(t.Results))}, t.Results))
		return byte(len(types) - 1)
	}
	for _, i := range imports {
		imps = append(imps, slices.Concat(text(i.Module), text(i.Name), []byte{0, addType(i.Type)}))
	}
	if len(mem) > 0 {
		exps = append(exps, append(text(abi.ExportMemory), 2, 0))
	}
	for i, e := range exports {
		funcs = append(funcs, []byte{addType(e.typ)})
		exps = append(exps, append(text(e.name), 0, byte(len(imports)+i)))
		codes = append(codes, []byte{3, 0, 0x00, 0x0b})
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, vector(types...)), section(2, vector(imps...)),
		section(3, vector(funcs...)), mem, section(7, vector(exps...)), section(10, vector(codes...)))
}

func wasi(name string, typ meter.FuncType) []meter.Import {
	return []meter.Import{{Module: wasiModule, Name: name, Type: typ}}
}

func TestLoadRefusals(t *testing.T) {
	pin := strings.Repeat("ab", 32)
	tests := []struct {
		name string
		wasm []byte
		cfg  Config
		step string
		is   error
		says string
	}{
		{"another digest", fixture(t, "nothing"), Config{SHA256: pin}, "digest", ErrDigest, "pinned is " + pin},
		{"no digest", fixture(t, "nothing"), Config{SHA256: "abc"}, "digest", ErrDigest, `the pin "abc" is no SHA-256`},
		{"no module", []byte("hello, world"), Config{}, "module", ErrModule, "is it a .wasm file?"},
		{"too large", fixture(t, "probe"), Config{Limits: Limits{ModuleBytes: 100}}, "module", meter.ErrTooLarge, "the limit is 100"},

		{"no memory", module(noBytes, nil, buffer, event), Config{}, "exports", ErrABI, `"memory" is not exported, want a memory`},
		{"memory is a function", module(noBytes, nil, buffer, event, export{"memory", unit}), Config{}, "exports", ErrABI, `"memory" is a function () -> (), want a memory`},
		{"no buffer", module(memory, nil, event), Config{}, "exports", ErrABI, `"offhost_v1_buffer" is not exported, want a function (i32) -> (i32)`},
		{"no event", module(memory, nil, buffer), Config{}, "exports", ErrABI, `"offhost_v1_event" is not exported`},
		{"wrong event", module(memory, nil, buffer, export{abi.ExportEvent, meter.FuncType{Params: []byte{meter.I32, meter.I64}, Results: []byte{meter.F32}}}),
			Config{}, "exports", ErrABI, `"offhost_v1_event" is a function (i32, i64) -> (f32), want a function (i32) -> (i32)`},
		{"wrong save", module(memory, nil, buffer, event, export{abi.ExportSave, unit}), Config{}, "exports", ErrABI, `"offhost_v1_save" is a function () -> (), want a function () -> (i32)`},
		{"wrong restore", module(memory, nil, buffer, event, export{abi.ExportRestore, toI32}), Config{}, "exports", ErrABI, "want a function (i32) -> (i32)"},
		{"wrong _initialize", module(memory, nil, buffer, event, export{abi.ExportInit, toI32}), Config{}, "exports", ErrABI, "want a function () -> ()"},
		{"another version", module(memory, nil, export{"offhost_v2_buffer", mapI32}, export{"offhost_v2_event", mapI32}), Config{}, "exports", ErrABI, "this host speaks version 1 only"},

		{"import of our own", module(memory, []meter.Import{{Module: "env", Name: "now", Type: toI32}}, buffer, event), Config{}, "imports", ErrImport, `"env.now"; a policy may import nothing but args_get, `},
		{"import of a file", module(memory, wasi("path_open", unit), buffer, event), Config{}, "imports", ErrImport, `"wasi_snapshot_preview1.path_open"`},
		{"import of another type", module(memory, wasi("sched_yield", unit), buffer, event), Config{}, "imports", ErrImport, "as () -> (), want () -> (i32)"},
		{"too much memory", module([]byte{5, 4, 1, 0, 0x81, 0x02}, nil, buffer, event), Config{}, "meter", meter.ErrTooLarge, "16448 KiB of memory at the start, the limit is 16384 KiB"},
		{"types that do not fit", module(memory, nil, buffer, event, export{"x", toI32}, export{"x", toI32}), Config{}, "compile", ErrModule, "duplicate"},

		{"start without end", fixture(t, "start-loop"), Config{}, "start", ErrFuel, "all 50000000 units are spent"},
		{"_initialize traps", fixture(t, "init-trap"), Config{}, "start", ErrTrap, `_initialize in function "$2": trap: unreachable`},
		{"_initialize traps, and has a name", named(fixture(t, "init-trap"), 2, "set\x1bup"), Config{}, "start", ErrTrap, `_initialize in function "set\x1bup": trap: unreachable`},
		{"buffer without end, and it has a name", named(fixture(t, "buffer-loop"), 1, "lend"), Config{}, "start", ErrFuel, `offhost_v1_buffer in function "lend": out of fuel`},
		{"buffer without end", fixture(t, "buffer-loop"), Config{}, "start", ErrFuel, "offhost_v1_buffer"},
		{"window refused", fixture(t, "window-refused"), Config{}, "start", ErrWindow, "refuses to lend 4096 bytes"},
		{"larger window refused", fixture(t, "window-refused"), Config{MaxPayload: 10000}, "start", ErrWindow, "refuses to lend 12304 bytes"},
		{"window at an odd address", fixture(t, "window-odd"), Config{}, "start", ErrWindow, "0x404 is no multiple of 8"},
		{"window outside", fixture(t, "window-outside"), Config{}, "start", ErrWindow, "4096 bytes at 0xf008 do not lie in a memory of 65536"},
		{"payload too large", fixture(t, "nothing"), Config{MaxPayload: abi.MaxPayload + 1}, "start", ErrWindow, "at most 65536"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var last Step
			tt.cfg.OnStep = func(s Step) { last = s }
			p, err := Load(context.Background(), tt.wasm, tt.cfg)
			if err == nil {
				p.Close()
				t.Fatal("it was loaded")
			}
			var load *LoadError
			if !errors.As(err, &load) || load.Step != tt.step {
				t.Errorf("refused by %+v, want step %q", err, tt.step)
			}
			reason := "load"
			if tt.step == "exports" || tt.step == "imports" {
				reason = "abi"
			}
			if load != nil && load.Reason() != reason {
				t.Errorf("it is counted as %q, want %q", load.Reason(), reason)
			}
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q with %q", err, tt.is, tt.says)
			}
			if last.Name != tt.step || last.Err == nil {
				t.Errorf("last step reported: %+v, want %q with its error", last, tt.step)
			}
		})
	}
}

func TestLoadReportsItsSteps(t *testing.T) {
	wasm := fixture(t, "wasi")
	digest := sha256.Sum256(wasm)
	var steps []string
	var log bytes.Buffer
	p, err := Load(context.Background(), wasm, Config{
		Name:   "probe",
		SHA256: strings.ToUpper(hex.EncodeToString(digest[:])),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		OnStep: func(s Step) { steps = append(steps, s.Name+": "+s.Found) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := []string{
		"digest: " + hex.EncodeToString(digest[:]) + ", as pinned",
		"module: 882 bytes",
		"exports: memory, offhost_v1_buffer, offhost_v1_event, _initialize",
		"imports: wasi_snapshot_preview1: clock_time_get, random_get, fd_write, args_sizes_get, args_get, environ_sizes_get, environ_get, sched_yield, poll_oneoff, proc_exit",
		"meter: 5 functions, 27 control instructions, 1618 bytes with counters; 30000 fuel an event (more with components) and 3000000 at most, 50000000 to start, 16384 KiB of memory",
		"compile: for the compiler",
		"start: 1082 fuel spent, 64 KiB of memory, a window of 4096 bytes at 0x1000",
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "sha256="+hex.EncodeToString(digest[:])) {
		t.Errorf("the digest is not in the log:\n%s", log.String())
	}
	info := p.Info()
	if info.Name != "probe" || info.ABI != "offhost/1" || info.Size != len(wasm) || info.Window != abi.MinWindow || len(info.Imports) != 10 {
		t.Errorf("Info: %+v", info)
	}
}

func TestMetadata(t *testing.T) {
	custom := func(s string) []meter.Custom {
		return []meter.Custom{{Name: "other", Data: []byte("name=no")}, {Name: abi.CustomSection, Data: []byte(s)}}
	}
	none := map[uint16]string{}
	tests := []struct {
		name     string
		customs  []meter.Custom
		want     Metadata
		warnings []string
	}{
		{"none", nil, Metadata{Reasons: none}, nil},
		{"all keys", custom("name=lru\nversion=1.2\nschema=3\ndescription=drops = the oldest\nreason.0=a\nreason.65535=b\nlanguage=Zig\nconfig=a, b,c.*\nlater=x\n\x00"),
			Metadata{"lru", "1.2", "3", "drops = the oldest", "Zig", []string{"a", "b", "c.*"}, map[uint16]string{0: "a", 65535: "b"}}, nil},
		{"bad lines are left out", custom("name\nversion=\x1b[31m\nreason.65536=x\nreason.-1=x\nreason.7=ok"),
			Metadata{Reasons: map[uint16]string{7: "ok"}},
			[]string{`line 1: no key=value: "name"`, `line 2: "version" is not printable UTF-8`,
				`line 3: "reason.65536": the code is not a number from 0 to 65535`, `line 4: "reason.-1": the code is not a number from 0 to 65535`}},
		{"long value", custom("name=" + strings.Repeat("x", 81)), Metadata{Reasons: none}, []string{`line 1: "name" has 81 bytes, at most 80 are allowed`}},
		{"long section", custom(strings.Repeat("\n", 4097)), Metadata{Reasons: none}, []string{"4097 bytes, at most 4096 are read"}},
		{"second section", append(custom("name=a"), custom("name=b")...), Metadata{Name: "a", Reasons: none}, []string{"a second section is ignored"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			md, warnings := ReadMetadata(tt.customs)
			if diff := cmp.Diff(tt.want, md); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Loading any bytes ends in a policy or in an error that says which step refused
// them; it neither hangs nor panics.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"nothing", "echo", "probe", "wasi", "start-loop"} {
		f.Add(fixture(f, name))
	}
	f.Add(module(memory, wasi("sched_yield", toI32), buffer, event))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if len(wasm) > 1<<16 {
			return
		}
		p, err := Load(context.Background(), wasm, Config{Interpreter: true,
			Limits: Limits{Fuel: 10000, StartFuel: 10000, MemoryPages: 16}})
		if err != nil {
			var load *LoadError
			if !errors.As(err, &load) {
				t.Errorf("%v is no LoadError", err)
			}
			if strings.Contains(err.Error(), "panicked") {
				t.Error(err)
			}
			return
		}
		defer p.Close()
		for seq := range uint64(3) {
			_, err := p.Decide(&abi.Event{Kind: abi.Need, Seq: seq + 1}, nil)
			var fault *Fault
			if err != nil && !errors.As(err, &fault) {
				t.Errorf("%v is no Fault", err)
			}
			if _, err := p.Revive(); err != nil {
				return
			}
		}
		if p.FuelUsed() > 4*10000+3*10000 {
			t.Errorf("%d fuel used", p.FuelUsed())
		}
	})
}

// named adds a name section that names one function.
func named(wasm []byte, index byte, name string) []byte {
	entries := append([]byte{1, index, byte(len(name))}, name...)
	section := append([]byte("\x04name\x01"), byte(len(entries)))
	section = append(section, entries...)
	return append(append(slices.Clone(wasm), 0, byte(len(section))), section...)
}

func TestConfigurationThatAModuleReads(t *testing.T) {
	said := Metadata{Config: []string{"a", "set.*"}}
	for key, want := range map[string]bool{"a": true, "ab": false, "set.": true, "set.x": true, "set": false, "": false} {
		if got := said.Reads(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
	if silent := (&Metadata{}); !silent.Reads("a") {
		t.Error("a module that does not say what it reads is taken to read nothing")
	}
}
