//go:build !race

// One goroutine has no races to find, and the interpreter is fifty times as slow with
// the detector.

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// Compiled or interpreted, a module decides the same, faults at the same events for the
// same reasons and spends the same fuel.
func TestAHostileModuleFaresAlikeOnBothEngines(t *testing.T) {
	for _, m := range corpus {
		if m.refused() || m.costly {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			c := witnessed{trace: library.Default, requests: 10, budget: 12 * units.GiB, modules: []string{m.file(t), "lru"}, at: []int64{150}}
			compiled := c.run(t)
			c.config.Interpreter = true
			interpreted := c.run(t)
			if d := cmp.Diff(compiled, interpreted); d != "" {
				t.Errorf("the reports differ (-compiled +interpreted):\n%s", d)
			}
		})
	}
}
