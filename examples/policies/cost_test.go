//go:build !race

package policies_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// byHand are lrus without an SDK, one for each language, and how each is built in
// testdata/hand. C's is built in.
var byHand = map[string]struct {
	toolchain
	command string // builds lru.wasm
}{
	"rust": {rust, "rustc --target wasm32-unknown-unknown --edition 2021 -C opt-level=3 -C panic=abort -C lto -C codegen-units=1 -C strip=symbols -C linker=wasm-ld-14 -C link-arg=-zstack-size=16384 --crate-type cdylib -o lru.wasm lru.rs"},
	"zig":  {zig, "zig build-exe -target wasm32-freestanding -mcpu=mvp+bulk_memory -fno-entry -rdynamic -O ReleaseFast -fstrip --stack 16384 lru.zig -femit-bin=lru.wasm"},
	"go":   {toolchain{"go", []string{"go", "version"}, "go1."}, "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o lru.wasm ./go"},

	"assemblyscript": {assemblyScript, "asc lru.ts -O3z --noAssert --runtime stub --use abort= -o lru.wasm"},
}

// An SDK costs little more than code by hand in the same language: in fuel, which is the
// same number on every machine, over all events of calls among 64 components, of which
// some make room for the others. A single kind may cost more: the world counts calls for
// policies of any kind, and an lru has little to do about LOADED.
func TestSDKsCostLittle(t *testing.T) {
	const most = 1.5
	for _, m := range lrus(t) {
		if m.name == "wat" {
			continue // it has none
		}
		t.Run(m.name, func(t *testing.T) {
			hand, _ := policies.Get("lru")
			wasm := hand.Wasm
			if b, ok := byHand[m.name]; ok {
				b.need(t)
				dir := filepath.Join(copyTree(t), "examples/policies/testdata/hand")
				cmd := exec.Command("sh", "-ec", b.command)
				cmd.Dir = dir
				if said, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				wasm = read(t, filepath.Join(dir, "lru.wasm"))
			}
			withSDK, without := fuelOfCalls(t, m.wasm), fuelOfCalls(t, wasm)
			var all, allByHand uint64
			for _, kind := range slices.Sorted(maps.Keys(withSDK)) {
				t.Logf("%v: %d fuel, by hand %d: %.2f", kind, withSDK[kind], without[kind], float64(withSDK[kind])/float64(without[kind]))
				all, allByHand = all+withSDK[kind], allByHand+without[kind]
			}
			ratio := float64(all) / float64(allByHand)
			t.Logf("in all: %.2f", ratio)
			if ratio > most {
				t.Errorf("it costs %.2f times what it costs by hand, want at most %.1f", ratio, most)
			}
		})
	}
}

// fuelOfCalls is what the events of calls cost, by kind.
func fuelOfCalls(t *testing.T, wasm []byte) map[abi.Kind]uint64 {
	const n, bytes = 64, 64 << 20
	p := load(t, wasm, runtime.Config{Limits: runtime.Limits{Refill: runtime.DefaultFuel}})
	spent := map[abi.Kind]uint64{}
	told := func(kind abi.Kind, id, resident, amount uint64) []abi.Decision {
		before := p.FuelUsed()
		answer := tell(t, p, abi.Event{Kind: kind, Component: uint32(id), Bytes: bytes, Resident: resident, Amount: amount}, "")
		spent[kind] += p.FuelUsed() - before
		return answer
	}
	for id := range uint64(n) {
		told(abi.Component, id, 0, 0)
	}
	spent = map[abi.Kind]uint64{}
	tell(t, p, abi.Event{Kind: abi.Begin, Component: abi.None, Request: 1}, "")
	for i := range uint64(10 * n) {
		id := i * 7 % n
		told(abi.Call, id, 0, 0)
		if i >= n/2 { // from now on as much goes as comes
			for _, d := range told(abi.Need, id, 0, bytes) {
				told(abi.Evicted, uint64(d.Component), 0, 0)
			}
		}
		told(abi.Loaded, id, bytes, 0)
		told(abi.Done, id, bytes, 0)
	}
	return spent
}
