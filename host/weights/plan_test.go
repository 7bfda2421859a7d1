package weights_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

func TestPlan(t *testing.T) {
	const G = units.GiB
	for _, c := range []struct {
		name     string
		sizes    []units.Bytes
		written  int // the last so many are not read-only
		budget   units.Bytes
		inFiles  []units.Bytes
		complain string
	}{
		{"no limit", []units.Bytes{10 * G, 24 * G}, 0, 0, []units.Bytes{0, 0}, ""},
		{"fits", []units.Bytes{10 * G, 24 * G}, 0, 34 * G, []units.Bytes{0, 0}, ""},
		{"the largest first", []units.Bytes{10 * G, 24 * G}, 0, 26 * G, []units.Bytes{0, 8 * G}, ""},
		{"down to the next", []units.Bytes{10 * G, 24 * G}, 0, 20 * G, []units.Bytes{0, 14 * G}, ""},
		{"then both", []units.Bytes{10 * G, 24 * G}, 0, 16 * G, []units.Bytes{2 * G, 16 * G}, ""},
		{"the written is held", []units.Bytes{10 * G, 24 * G}, 1, 30 * G, []units.Bytes{4 * G, 0}, ""},
		{"nothing left for the others", []units.Bytes{10 * G, 24 * G}, 1, 24 * G, []units.Bytes{10 * G, 0}, ""},
		{"whole units", []units.Bytes{10*units.MiB + 1}, 0, 10 * units.MiB, []units.Bytes{2 * units.MiB}, ""},
		{"less than a unit", []units.Bytes{100}, 0, 99, []units.Bytes{100}, ""},
		{"none", nil, 0, 1, []units.Bytes{}, ""},
		{"the written does not fit", []units.Bytes{10 * G, 24 * G}, 1, 20 * G, nil, "components that are written take 24 GiB, which must be held, but the budget of host memory is 20 GiB"},
		{"budget below nothing", nil, 0, -1, nil, "host memory budget of -1 bytes"},
		{"size below nothing", []units.Bytes{-1}, 0, 1, nil, "component 0 of -1 bytes"},
		{"sizes that overflow", []units.Bytes{units.MaxBytes, units.MaxBytes}, 0, 1, nil, "component 1 of"},
	} {
		readOnly := make([]bool, len(c.sizes))
		for i := range len(c.sizes) - c.written {
			readOnly[i] = true
		}
		got, err := weights.Plan(c.sizes, readOnly, c.budget)
		if c.complain != "" {
			if err == nil || !strings.Contains(err.Error(), c.complain) {
				t.Errorf("%s: %v, want %q", c.name, err, c.complain)
			}
			continue
		}
		if err != nil || !cmp.Equal(got, c.inFiles) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.inFiles)
		}
	}
}

func TestPlanKeepsTheBudgetAndSpillsTheDeepest(t *testing.T) {
	const unit = 2 * units.MiB
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		sizes, readOnly := make([]units.Bytes, n), make([]bool, n)
		var total units.Bytes
		for i := range sizes {
			sizes[i] = units.Bytes(rapid.Int64Range(0, int64(64*unit)).Draw(t, "size"))
			readOnly[i] = rapid.Bool().Draw(t, "read-only")
			total += sizes[i]
		}
		budget := units.Bytes(rapid.Int64Range(1, int64(total)+1).Draw(t, "budget"))
		inFiles, err := weights.Plan(sizes, readOnly, budget)
		var held, written, deepest units.Bytes
		for i := range sizes {
			if !readOnly[i] {
				written += sizes[i]
			}
		}
		if (err != nil) != (written > budget) {
			t.Fatalf("%v, %d are written, budget %d", err, written, budget)
		}
		if err != nil {
			return
		}
		shallowest := units.MaxBytes // distance from the top of what is in a file
		for i := range sizes {
			here := sizes[i] - inFiles[i]
			if held += here; here < 0 || inFiles[i] < 0 || inFiles[i] > 0 && !readOnly[i] {
				t.Fatalf("%d of %d in files, read-only %v", inFiles[i], sizes[i], readOnly[i])
			}
			if inFiles[i] > 0 {
				shallowest = min(shallowest, here)
			}
			if readOnly[i] {
				deepest = max(deepest, here)
			}
		}
		if held > budget {
			t.Fatalf("%d held, budget %d", held, budget)
		}
		if total > budget && held+units.Bytes(n)*unit <= budget {
			t.Fatalf("only %d held of a budget of %d", held, budget)
		}
		if shallowest != units.MaxBytes && deepest > shallowest+unit {
			t.Fatalf("a byte %d below the top is held, one %d below is in a file", deepest, shallowest)
		}
	})
}
