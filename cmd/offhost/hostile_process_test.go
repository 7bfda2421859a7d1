package main

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// command runs the command in this process, which has to succeed.
func command(t testing.TB, args ...string) report.Report {
	t.Helper()
	var out, errs bytes.Buffer
	a := newApp(nil, &out, &errs)
	a.dir = t.TempDir()
	if code := a.main(context.Background(), append([]string{"run", "--format", "json"}, args...)); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return decode[report.Report](t, out.String())
}

// No member of the corpus leaves a goroutine behind, and none brings anything into a
// run that is not the same the next time.
func TestAHostileModuleLeavesNothingBehind(t *testing.T) {
	for _, m := range corpus {
		if m.refused() || m.costly {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			args := append([]string{"--policy", m.file(t), "--swap", middle + ":lru", "--swap", "900:" + m.file(t)}, tryOut...)
			before := runtime.NumGoroutine()
			first, second := command(t, args...), command(t, args...)
			if d := cmp.Diff(first, second); d != "" {
				t.Errorf("two runs differ (-first +second):\n%s", d)
			}
			left := runtime.NumGoroutine()
			for range 100 { // one that has ended may not be gone yet
				if left <= before {
					return
				}
				time.Sleep(10 * time.Millisecond)
				left = runtime.NumGoroutine()
			}
			t.Errorf("%d goroutines, %d before the run", left, before)
		})
	}
}

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
