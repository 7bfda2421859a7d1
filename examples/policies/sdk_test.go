//go:build !race

package policies_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// A probe uses all that the SDK of its language gives.
type probe struct {
	language string
	toolchain
	command string // builds probe.wasm in testdata/probe
}

var probes = []probe{
	{"c", clang, "clang-19 --target=wasm32 -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -I../../../../abi -I../../../../abi/sdk/c -Wl,--no-entry -o probe.wasm probe.c"},
	{"c++", clang, "clang-19 --target=wasm32 -x c++ -std=c++17 -O2 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-exceptions -fno-rtti -nostdlib -I../../../../abi -I../../../../abi/sdk/c -Wl,--no-entry -o probe.wasm probe.c"},
	{"rust", rust, "cd rust && CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-14 cargo build --quiet --release --target wasm32-unknown-unknown && cp target/wasm32-unknown-unknown/release/probe.wasm .."},
	{"zig", zig, "zig build-exe -target wasm32-freestanding -mcpu=mvp+bulk_memory -fno-entry -rdynamic -O ReleaseSafe --stack 65536 --dep offhost -Mroot=probe.zig -Moffhost=../../../../abi/sdk/zig/offhost.zig -femit-bin=probe.wasm"},
	{"go", goTool, "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o probe.wasm ./go"},
	{"assemblyscript", assemblyScript, "asc probe.ts -O3 --noAssert --runtime stub --use abort= -o probe.wasm"},
}

// Every SDK reads each field, keeps an answer within the window, follows the world, reads
// configuration, logs, saves and restores: the same answers in all of them.
func TestSDKs(t *testing.T) {
	for _, probe := range probes {
		t.Run(probe.language, func(t *testing.T) {
			probe.need(t)
			testSDK(t, probe.build(t))
		})
	}
}

func (p probe) build(t *testing.T) []byte {
	t.Helper()
	dir := filepath.Join(copyTree(t), "examples/policies/testdata/probe")
	cmd := exec.Command("sh", "-ec", p.command)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return read(t, filepath.Join(dir, "probe.wasm"))
}

// A trap is in a function of Rust's library: the log has where the policy panicked.
func TestARustPanicSaysWhere(t *testing.T) {
	rust.need(t)
	i := slices.IndexFunc(probes, func(p probe) bool { return p.language == "rust" })
	_, err := load(t, probes[i].build(t), runtime.Config{}).Decide(&abi.Event{Kind: 98, Amount: 1}, nil)
	before, _, _ := strings.Cut(string(read(t, "testdata/probe/rust/probe.rs")), "assert!")
	want := fmt.Sprintf("panicked at probe.rs:%d", 1+strings.Count(before, "\n"))
	if fault := new(runtime.Fault); !errors.As(err, &fault) || !slices.Equal(fault.Said, []string{want}) {
		t.Errorf("%v, %q; want a fault at which it said %q", err, fault.Said, want)
	}
}

func testSDK(t *testing.T, module []byte) {
	var log bytes.Buffer
	start := func() *runtime.Policy {
		return load(t, module, runtime.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	}
	p := start()
	expect := func(what string, ev abi.Event, payload string, want ...abi.Decision) {
		t.Helper()
		if d := cmp.Diff(want, tell(t, p, ev, payload), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got)\n%s", what, d)
		}
	}
	retain := func(component uint32, arg uint64) abi.Decision {
		return abi.Decision{Op: abi.Retain, Component: component, Arg: arg}
	}
	pressure := abi.Event{Kind: abi.Pressure, Component: abi.None}

	for text, want := range map[string]uint64{"": 7, "threshold=x\n": 7, "threshold=\n": 7, "threshold=18446744073709551616\n": 7,
		"threshold=18446744073709551615\n": 1<<64 - 1, "thresholds=1\nx=threshold=2\n": 7, "a=1\nthreshold=12\nz=3\n": 12} {
		expect("configuration", abi.Event{Kind: abi.Config, Component: abi.None}, text)
		expect("threshold of "+text, pressure, "", retain(0, want))
	}
	expect("configuration", abi.Event{Kind: abi.Config, Component: abi.None}, "greeting=good = day\noffhost.chunk_bytes=100\nthreshold=5\n")
	hash := fmt.Sprintf(`"the hash is %d"`, abi.NameHash("good = day"))
	for _, line := range []string{"good = day", hash, `"the threshold is 5, 10 and 18446744073709551615 bytes: {}"`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log is %q, want in it %s", log.String(), line)
		}
	}

	fields := abi.Event{Kind: abi.Enqueued, Flags: 0x3ff, Component: 0x01020304, Parent: 4, Index: 5, NameHash: 1 << 63, Session: 7, Request: 8,
		Step: 9, Steps: 10, Seq: 11 << 32, Time: 12 << 32, Bytes: 13 << 32, Resident: 14 << 32, Free: 15 << 32, Budget: 16 << 32, Foreign: 17 << 32,
		Workspace: 18 << 32, LoadCost: 19 << 32, Amount: 20 << 32}
	var want []abi.Decision
	for i, v := range []uint64{5, 0x3ff, 0x01020304, 4, 5, 1 << 63, 7, 8, 9, 10, 11 << 32, 12 << 32, 13 << 32, 14 << 32, 15 << 32, 16 << 32, 17 << 32,
		18 << 32, 19 << 32, 20 << 32} {
		want = append(want, retain(uint32(i), v))
	}
	expect("fields", fields, "", want...)

	want = nil
	for i := range uint32(abi.MaxDecisions) {
		want = append(want, abi.Decision{Op: abi.Evict, Reason: 1, Component: i, Arg: uint64(i)})
	}
	expect("a full answer", abi.Event{Kind: abi.Idle, Component: abi.None}, "", want...)
	expect("what did not fit", pressure, "", retain(0, 5+200-abi.MaxDecisions))

	// Component 0 is there, 1 partly and kept, 2 in use, 3 was removed, 4 was refused.
	about := func(kind abi.Kind, id uint32, resident uint64, flags abi.Flags) {
		t.Helper()
		expect(kind.String(), abi.Event{Kind: kind, Component: id, Parent: abi.None, Bytes: 250, Resident: resident, Flags: flags,
			LoadCost: 7000 + uint64(id), NameHash: 1<<40 | uint64(id)}, "")
	}
	expect("begin", abi.Event{Kind: abi.Begin, Component: abi.None, Request: 1}, "")
	for id := range uint32(5) {
		about(abi.Component, id, 0, 0)
		about(abi.Loaded, id, 250, 0)
	}
	about(abi.Evicted, 1, 100, abi.FlagKept)
	about(abi.Call, 2, 250, 0)
	about(abi.Call, 0, 250, 0)
	about(abi.Done, 0, 250, 0)
	about(abi.Call, 3, 250, abi.FlagInUse)
	about(abi.Component, 3, 250, abi.FlagRemoved)
	rejected := make([]byte, 24)
	abi.PutDecision(rejected, abi.Decision{Op: abi.Evict, Reason: 3, Component: 4, Arg: 1 << 40})
	binary.LittleEndian.PutUint32(rejected[16:], 4)
	expect("rejected", abi.Event{Kind: abi.Rejected, Component: 4}, string(rejected),
		abi.Decision{Op: abi.Retain, Reason: 403, Component: 4, Arg: 1 << 40})
	need := abi.Event{Kind: abi.Need, Component: abi.None, Amount: 60, Free: 77, Budget: 99}
	removed := true
	world := func(evictable ...uint16) (list []abi.Decision) {
		for id, frees := range []uint64{150, 100, 150, 150, 150} {
			known := uint16(2)
			if id == 3 && removed {
				known, frees = 0, 0
			}
			list = append(list, abi.Decision{Op: abi.Prefetch, Reason: evictable[id] + known, Component: uint32(id), Arg: frees})
		}
		return append(list, abi.Decision{Op: abi.Evict, Reason: 9, Arg: 150}, retain(5, 77), retain(5, 99),
			retain(1, 250), retain(1, 7001), retain(1, 1<<40|1))
	}
	expect("the world", need, "", world(1, 0, 0, 0, 0)...)
	expect("the end, and with it the moment", abi.Event{Kind: abi.End, Component: abi.None, Request: 1}, "")
	expect("the world in another moment", need, "", world(1, 0, 0, 0, 1)...)
	about(abi.Done, 2, 250, abi.FlagInUse)
	about(abi.Loaded, 4, 250, abi.FlagInUse)
	expect("the world with calls of which only flags tell", need, "", world(1, 0, 0, 0, 0)...)
	about(abi.Done, 2, 250, 0)
	about(abi.Done, 4, 250, 0)
	about(abi.Call, 4, 250, 0)
	about(abi.Component, 3, 0, 0)
	about(abi.Loaded, 3, 250, 0)
	removed = false
	expect("the world after them", need, "", world(1, 0, 1, 1, 0)...)
	about(abi.Done, 4, 250, 0)
	expect("the world without calls", need, "", world(1, 0, 1, 1, 1)...)
	need.Amount = 250
	if all := tell(t, p, need, "")[5]; all.Arg != 0 {
		t.Errorf("%v, want all of it", all)
	}
	need.Amount = 0
	for _, d := range tell(t, p, need, "") {
		if d.Op == abi.Evict || d.Op == abi.Prefetch && d.Arg != 0 {
			t.Errorf("room for 0 bytes: %v, want nothing evicted and 0 bytes freed", d)
		}
	}
	expect("a kind of a later version", abi.Event{Kind: 99, Component: 1}, "", retain(0, 0))
	expect("a component that cannot be", abi.Event{Kind: abi.Call, Component: abi.MaxComponents}, "")

	blob, err := p.Save()
	if err != nil || len(blob) != 8 {
		t.Fatalf("%d bytes are saved: %v", len(blob), err)
	}
	p = start()
	if ok, err := p.Restore(blob[:7]); ok || err != nil {
		t.Errorf("a short blob: %v, %v, want it declined", ok, err)
	}
	if ok, err := p.Restore(blob); !ok || err != nil {
		t.Errorf("restored: %v, %v", ok, err)
	}
	expect("what was restored", pressure, "", retain(0, 5+200-abi.MaxDecisions))
}

// A window of a size that the ABI does not know is refused, and the largest is lent.
func TestSDKsLendWindows(t *testing.T) {
	for _, m := range lrus(t) {
		for payload, ok := range map[int]bool{0: true, abi.MaxPayload: true, abi.MaxPayload + 8: false} {
			p, err := runtime.Load(context.Background(), m.wasm, runtime.Config{MaxPayload: payload})
			if (err == nil) != ok {
				t.Errorf("%s, a payload of %d bytes: %v", m.name, payload, err)
			}
			if err == nil {
				p.Close()
			}
		}
	}
}
