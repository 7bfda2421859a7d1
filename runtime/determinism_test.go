//go:build !race

// One goroutine has no races to find, and the interpreter is fifty times as slow with
// the detector.

package runtime

import (
	"context"
	"testing"

	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
)

// The same events bring the same decisions, compiled and interpreted, with counters
// and without: every built-in policy on every shipped trace, where the trace fits and
// where it does not.
func TestDecisionsAreTheSameInEveryMode(t *testing.T) {
	modes := []struct {
		name string
		cfg  Config
	}{
		{"compiled", Config{}},
		{"interpreted", Config{Interpreter: true}},
		{"compiled without counters", Config{unmetered: true}},
		{"interpreted without counters", Config{Interpreter: true, unmetered: true}},
	}
	decisions := int64(0)
	for _, policy := range policies.List() {
		for _, name := range library.Names() {
			t.Run(policy.Name+"/"+name, func(t *testing.T) {
				open, err := library.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range []units.Bytes{4, 10} { // tenths of what all components take
					var first *report.Report
					for _, mode := range modes {
						r := replayWith(t, open, policy.Wasm, part, mode.cfg)
						decisions += r.Decisions
						if first == nil {
							first = r
							continue
						}
						if r.DecisionsSHA256 != first.DecisionsSHA256 || r.Decisions != first.Decisions || r.MakespanNS != first.MakespanNS || r.Faults != 0 {
							t.Errorf("%s, at %d tenths: %d decisions (%.8s), %d ns, %d faults; compiled, %d (%.8s), %d ns",
								mode.name, part, r.Decisions, r.DecisionsSHA256, r.MakespanNS, r.Faults, first.Decisions, first.DecisionsSHA256, first.MakespanNS)
						}
					}
					t.Logf("at %d tenths: %d decisions, %s", part, first.Decisions, first.DecisionsSHA256)
				}
			})
		}
	}
	if decisions == 0 {
		t.Error("nothing was decided")
	}
}

// replayWith replays a trace once, with a budget of so many tenths of its components,
// but no less than any call needs.
func replayWith(t *testing.T, open trace.Opener, wasm []byte, tenths units.Bytes, cfg Config) *report.Report {
	t.Helper()
	source, err := trace.OpenRequests(open, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var all, largest units.Bytes
	for _, c := range source.Header().Components {
		all += c.Bytes + 2*units.MiB
		largest = max(largest, c.Bytes+2*units.MiB)
	}
	p, err := Load(context.Background(), wasm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := replay.Run(context.Background(), replay.Config{
		Source: source, Policy: replay.Module{Policy: p}, Budget: max(all*tenths/10, largest+largest/8), IgnoreWorkspace: true,
		H2D: 25e9, D2H: 25e9, Pageable: 6e9,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
