//go:build !race

// One goroutine has no races to find, and the detector makes the interpreter fifty times as
// slow.

package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// maxMutable is the size of the largest module that is damaged. Go's are larger, are here only
// where they were built, and take ten seconds a check.
const maxMutable = 64 << 10

// mutable are the modules that are damaged: the examples, the built-ins, and the fixtures
// of the runtime.
func mutable(t testing.TB) (modules [][]byte) {
	t.Helper()
	for _, p := range policies.List() {
		modules = append(modules, p.Wasm)
	}
	for _, glob := range []string{"../../examples/policies/*/*.wasm", "../../examples/policies/lru/*/*.wasm", "testdata/faulty/*.wasm", "../../runtime/testdata/*.wasm"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d modules, %v", glob, len(files), err)
		}
		for _, f := range files {
			wasm, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(wasm) <= maxMutable {
				modules = append(modules, wasm)
			}
		}
	}
	return modules
}

// mutate damages a module: each four bytes say how, where, and with what.
func mutate(wasm, how []byte) []byte {
	wasm = slices.Clone(wasm)
	for ; len(how) >= 4 && len(wasm) > 8; how = how[4:] {
		at := 8 + int(binary.LittleEndian.Uint16(how[1:]))*(len(wasm)-8)/(1<<16)
		with := how[3]
		switch how[0] % 8 {
		case 0, 1:
			wasm[at] ^= 1 << (with % 8)
		case 2:
			wasm[at] = with
		case 3: // a section, or all that follows, is cut off
			wasm = wasm[:at]
		case 4: // a huge count
			wasm = slices.Insert(wasm, at, 0xff, 0xff, 0xff, 0xff, 0x0f)
		case 5:
			wasm = slices.Insert(wasm, at, with)
		case 6:
			wasm = slices.Delete(wasm, at, min(at+1+int(with%16), len(wasm)))
		case 7: // something from elsewhere
			from := min(8+int(with)*(len(wasm)-8)/256, len(wasm)-1)
			copy(wasm[at:], wasm[from:min(from+8, len(wasm))])
		}
	}
	return wasm
}

// checkMutated checks a module of which nothing is known: it is refused, or gets a verdict
// from each check, and what fails is shown again by the log that is left. No names are all
// checks.
func checkMutated(t *testing.T, wasm []byte, only ...string) (refused, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // it takes a second or two
	defer cancel()
	cfg := Config{Quick: true, Only: only}
	want := len(only)
	if want == 0 {
		want = len(checks)
	}
	r, err := Run(ctx, wasm, cfg)
	if refused := new(runtime.LoadError); errors.As(err, &refused) {
		return true, false
	}
	if err != nil {
		t.Fatalf("no verdict: %v", err)
	}
	if len(r.Verdicts) != want {
		t.Errorf("%d verdicts, want %d", len(r.Verdicts), want)
	}
	for _, v := range r.Verdicts {
		if v.Result != Failed {
			if len(v.Found) == 0 {
				t.Errorf("%s: %v, and nothing is said of it", v.Check, v.Result)
			}
			continue
		}
		failed = true
		again, err := Replay(ctx, wasm, v.Log, cfg)
		if err != nil || !v.Finding.same(again.Verdicts[0].Finding) {
			t.Errorf("%s: %s; told again: %v, %+v", v.Check, v.Found, err, again)
		}
	}
	return false, failed
}

func TestADamagedModuleGetsAVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	refused, failed, all := 0, 0, 0
	for _, wasm := range mutable(t) {
		for n := range 2 {
			how := make([]byte, 4*(1+2*n))
			for i := range how {
				how[i] = byte(r.Uint32())
			}
			if n == 0 {
				how[0] %= 3 // a bit, or a byte: what is most often still a module
			}
			all++
			no, bad := checkMutated(t, mutate(wasm, how))
			if no {
				refused++
			} else if bad {
				failed++
			}
			if t.Failed() {
				t.Fatalf("mutated by % x", how)
			}
		}
	}
	t.Logf("of %d modules %d are refused, %d fail", all, refused, failed)
	if refused == 0 || failed == 0 || refused+failed == all {
		t.Errorf("of %d modules %d are refused and %d fail: want some of each, and some that pass", all, refused, failed)
	}
}

// The fuzzer takes an input for hung after ten seconds, whatever else the machine does: one
// check is made with each.
func FuzzCheckMutated(f *testing.F) {
	modules := mutable(f)
	for i := range checks {
		f.Add(uint8(i), uint8(i), []byte(nil))
		f.Add(uint8(5*i), uint8(i), []byte{byte(i), byte(i * 37), byte(i * 91), byte(i)})
	}
	f.Fuzz(func(t *testing.T, which, check uint8, how []byte) {
		wasm := modules[int(which)%len(modules)]
		checkMutated(t, mutate(wasm, how[:min(len(how), 32)]), checks[int(check)%len(checks)].name)
	})
}
