package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

// A swap that does not come about is said, whatever kept it from it.
func TestSwapsThatDoNotHappenAreSaid(t *testing.T) {
	load := func() (replay.Module, error) {
		return replay.Module{Policy: &scholar{}, Info: report.Policy{Name: "new"}}, nil
	}
	for name, c := range map[string]struct {
		swap replay.Swap
		says string
		no   int64 // swaps refused
	}{
		"not reached":      {replay.Swap{At: 1 << 40, Load: load}, "1 swaps were not reached", 0},
		"trial unfinished": {replay.Swap{At: 10, Trial: 1 << 20, Load: load}, "new was still on trial when the run ended", 0},
		"does not load":    {replay.Swap{At: 10, Name: "broken", Load: func() (replay.Module, error) { return replay.Module{}, errors.New("no module") }}, "broken was refused, the running policy stays: no module", 1},
	} {
		cfg := config(t, "flux-img2img-8bit", 1, 24*units.GiB)
		cfg.Policy, cfg.Swaps = replay.Module{Policy: &scholar{}}, []replay.Swap{c.swap}
		r, err := replay.Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, c.says) || r.Swaps != 0 || r.SwapsRefused != c.no {
			t.Errorf("%s: %d swaps, %d refused, notes %q; want none, %d, and %q", name, r.Swaps, r.SwapsRefused, notes, c.no, c.says)
		}
		if r.Inputs == 0 {
			t.Errorf("%s: no inputs were counted", name)
		}
	}
}
