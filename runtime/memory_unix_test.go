//go:build unix

package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
)

// Instances give their memory back when they are suspended, and when they fail to begin: the
// address space that the process uses does not grow with their number.
func TestMemoryIsUnmapped(t *testing.T) {
	const rounds = 100
	pages := func() (n int) {
		t.Helper()
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip(err)
		}
		if _, err := fmt.Sscan(string(b), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := load(t, "probe", Config{})
	for what, round := range map[string]func(){
		"suspended": func() {
			p.Suspend()
			if _, err := p.Revive(); err != nil {
				t.Fatal(err)
			}
		},
		"refused": func() {
			if _, err := Load(context.Background(), fixture(t, "data-outside"), Config{}); !errors.Is(err, ErrStart) {
				t.Fatalf("got %v, want %v", err, ErrStart)
			}
		},
	} {
		before := pages()
		for range rounds {
			round()
		}
		grown, each := (pages()-before)*os.Getpagesize(), DefaultMemoryPages<<16
		if grown > rounds*each/2 {
			t.Errorf("%s: %d rounds took %d MiB of address space, an instance has %d", what, rounds, grown>>20, each>>20)
		}
	}
}

// Both kinds of memory keep their content and begin with zeros when they grow.
func TestLinearMemory(t *testing.T) {
	mapped := reserve(0, 3<<16)
	if _, ok := mapped.(*mappedMemory); !ok {
		t.Fatalf("got a %T", mapped)
	}
	if impossible, ok := reserve(0, 1<<62).(*heapMemory); !ok {
		t.Errorf("a range that cannot be had: got a %T", impossible)
	}
	for _, m := range []interface {
		Reallocate(uint64) []byte
		Free()
	}{mapped, &heapMemory{}} {
		b := m.Reallocate(1 << 16)
		b[7] = 7
		if b = m.Reallocate(3 << 16); len(b) != 3<<16 || b[7] != 7 || b[3<<16-1] != 0 {
			t.Errorf("%T: after growing %d bytes, %d and %d", m, len(b), b[7], b[len(b)-1])
		}
		m.Free()
	}
	if b := reserve(0, 1<<16).Reallocate(2 << 16); b != nil {
		t.Errorf("more than was reserved: got %d bytes", len(b))
	}
}
