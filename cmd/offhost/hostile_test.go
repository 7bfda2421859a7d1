package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/offhost/offhost/host/report"
)

// The run in which hostile modules are tried: a trace that does not fit, repeated
// until a policy that is left alone is tried again a few times.
var tryOut = []string{"flux-img2img-8bit", "--budget", "12GiB", "--requests", "40", "--baselines", "none"}

// middle is about half of the inputs of that run.
const middle = "600"

// A module that is refused ends the run before anything moved or was printed, and is
// no reason for a run to end when it was only to take over.
func TestAHostileModuleIsRefused(t *testing.T) {
	alone := shell{}.report(t, tryOut...)
	for _, m := range corpus {
		if !m.refused() {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			path := m.file(t)
			for _, more := range [][]string{{"--format", "json"}, {"--verbose"}} {
				r := shell{}.run(t, append(append([]string{"run", "--policy", path}, tryOut...), more...)...)
				if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, m.says) || !strings.Contains(r.stderr, m.step) {
					t.Errorf("exit code %d, want 1; on standard output %q, want nothing; on standard error, want step %q and %q:\n%s",
						r.code, r.stdout, m.step, m.says, r.stderr)
				}
			}
			if m.step == "" {
				return // it is read before the run begins
			}
			r := shell{}.report(t, append([]string{"--swap", middle + ":" + path}, tryOut...)...)
			if notes := strings.Join(r.Notes, "\n"); r.SwapsRefused != 1 || !strings.Contains(notes, m.says) || !strings.Contains(notes, "the running policy stays") {
				t.Errorf("%d swaps refused, want 1; the notes have to say %q:\n%s", r.SwapsRefused, m.says, notes)
			}
			if d := cmp.Diff(alone, r, cmpopts.IgnoreFields(report.Report{}, "SwapsRefused", "Notes")); d != "" {
				t.Errorf("the run was not what it is without (-without +with):\n%s", d)
			}
		})
	}
}
