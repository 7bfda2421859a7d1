package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/runtime"
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
			before := goruntime.NumGoroutine()
			first, second := command(t, args...), command(t, args...)
			if d := cmp.Diff(first, second); d != "" {
				t.Errorf("two runs differ (-first +second):\n%s", d)
			}
			left := goruntime.NumGoroutine()
			for range 100 { // one that has ended may not be gone yet
				if left <= before {
					return
				}
				time.Sleep(10 * time.Millisecond)
				left = goruntime.NumGoroutine()
			}
			t.Errorf("%d goroutines, %d before the run", left, before)
		})
	}
}

// What a module calls its functions, says of itself and logs reaches a terminal escaped,
// and there is an end to it.
func TestWhatAHostileModuleSaysIsEscapedAndBounded(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"names-of-control-characters", `x1b[2J`},
		{"huge-metadata", "metadata of the policy"},
		{"log-flood", `\\x1b]0;owned\\a`},
		{"log-drip", `\\x1b[31mI am told something`},
	} {
		i := slices.IndexFunc(corpus, func(m member) bool { return m.name == c.name })
		var out, errs bytes.Buffer
		a := newApp(nil, &out, &errs)
		a.dir = t.TempDir()
		args := append([]string{"run", "--verbose", "--policy", corpus[i].file(t)}, tryOut...)
		if code := a.main(context.Background(), args); code != 0 {
			t.Fatalf("%s: exit code %d: %s", c.name, code, errs.String())
		}
		for _, text := range []string{out.String(), errs.String()} {
			if j := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsGraphic(r) }); j >= 0 {
				t.Errorf("%s: %q is not escaped in %q", c.name, text[j:j+1], text[max(0, j-40):j+1])
			}
		}
		if !strings.Contains(out.String()+errs.String(), c.says) {
			t.Errorf("%s: nothing says %s", c.name, c.says)
		}
		if most := 256 << 10; errs.Len() > most {
			t.Errorf("%s: %d bytes on standard error, want at most %d", c.name, errs.Len(), most)
		}
	}
}

// What an event costs that a policy answers with nothing, having spent what it may.
func BenchmarkDrip(b *testing.B) {
	for _, m := range corpus {
		if !strings.HasPrefix(m.name, "drips") {
			continue
		}
		b.Run(m.name, func(b *testing.B) {
			p, err := runtime.Load(context.Background(), generated[m.name](), runtime.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			ev := abi.Event{Kind: abi.Idle, Component: abi.None, Parent: abi.None}
			before := p.FuelUsed()
			for b.Loop() {
				ev.Seq++
				if _, err := p.Decide(&ev, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(p.FuelUsed()-before)/float64(b.N), "fuel/op")
		})
	}
}

// What an event costs in which a policy spends all that it can have saved.
func BenchmarkStop(b *testing.B) {
	for _, m := range corpus {
		if !slices.Contains(m.faults, "fuel") {
			continue
		}
		b.Run(m.name, func(b *testing.B) {
			wasm, err := os.ReadFile(m.file(b))
			if err != nil {
				b.Fatal(err)
			}
			p, err := runtime.Load(context.Background(), wasm, runtime.Config{Limits: runtime.Limits{Refill: runtime.DefaultFuel}})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			spend := func() error {
				_, err := p.Decide(&abi.Event{Kind: abi.Need, Amount: 1}, nil)
				return err
			}
			if spend() == nil {
				b.Skip("it takes several events to spend that much")
			}
			if _, err := p.Revive(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := spend(); !errors.Is(err, runtime.ErrFuel) {
					b.Fatalf("got %v, want %v", err, runtime.ErrFuel)
				}
				b.StopTimer()
				if _, err := p.Revive(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
