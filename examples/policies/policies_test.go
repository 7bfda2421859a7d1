// Package policies_test holds the example policies to what their pages say. The
// examples are no part of the program; nothing imports them.
package policies_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// needTool skips a test that needs a program which is not installed, or fails it when
// REQUIRE_TOOLS=1 says that it has to be.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is not installed, and REQUIRE_TOOLS=1", name)
	}
	t.Skipf("needs %s", name)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The page says that an answer about as many components as there can be stays within
// the fuel of an event.
func TestMinimalAnswersForAllComponentsThatThereCanBe(t *testing.T) {
	p, err := runtime.Load(context.Background(), read(t, "minimal/minimal.wasm"), runtime.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	tell := func(ev abi.Event) []abi.Decision {
		t.Helper()
		answer, err := p.Decide(&ev, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for id := range uint32(abi.MaxComponents) {
		tell(abi.Event{Kind: abi.Component, Component: id, Parent: abi.None})
		tell(abi.Event{Kind: abi.Call, Component: id, Parent: abi.None})
		tell(abi.Event{Kind: abi.Done, Component: id, Parent: abi.None, Bytes: 1, Resident: 1})
	}
	answer := tell(abi.Event{Kind: abi.Need, Component: 0, Parent: abi.None, Bytes: 1, Amount: abi.MaxComponents})
	if len(answer) != 4 {
		t.Errorf("%d decisions, want 4", len(answer))
	}
}

// Three components are called in turn and two fit: the one that was just called is
// the last to come back.
func TestMinimalEvictsWhatItExpectsLast(t *testing.T) {
	p, err := runtime.Load(context.Background(), read(t, "minimal/minimal.wasm"), runtime.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const size = 100
	tell := func(kind abi.Kind, id uint32, resident, amount uint64) []abi.Decision {
		t.Helper()
		answer, err := p.Decide(&abi.Event{Kind: kind, Component: id, Parent: abi.None, Bytes: size, Resident: resident, Amount: amount}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for range 3 {
		for id := range uint32(3) {
			tell(abi.Call, id, size, 0)
			tell(abi.Done, id, size, 0)
		}
	}
	tell(abi.Evicted, 0, 0, size)
	tell(abi.Call, 0, 0, 0)
	answer := tell(abi.Need, 0, 0, 30)
	if len(answer) != 1 || answer[0].Op != abi.Evict || answer[0].Component != 2 || answer[0].Arg != 30 {
		t.Errorf("answer %v, want 30 bytes of component 2, which was called last", answer)
	}
}
