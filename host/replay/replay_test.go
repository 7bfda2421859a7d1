package replay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// source opens n requests of a shipped trace.
func source(t testing.TB, name string, n int64) *trace.Requests {
	t.Helper()
	open, err := library.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.OpenRequests(open, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func config(t testing.TB, name string, n int64, budget units.Bytes) replay.Config {
	return replay.Config{Source: source(t, name, n), Budget: budget, H2D: 25e9, D2H: 25e9, Pageable: 6e9,
		Latency: sim.DefaultLatency, Baselines: replay.Baselines}
}

func run(t testing.TB, cfg replay.Config) *report.Report {
	t.Helper()
	r, err := replay.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatFitsIsLoadedOnce(t *testing.T) {
	r := run(t, config(t, "flux-img2img-8bit", 4, 24*units.GiB))
	var weights int64
	for _, c := range r.PerComponent {
		if c.Loads != 1 || c.H2DBytes != c.Bytes {
			t.Errorf("%s: %d loads of %d bytes, want one of %d", c.Name, c.Loads, c.H2DBytes, c.Bytes)
		}
		weights += c.Bytes
	}
	for i, q := range r.PerRequest {
		if i > 0 && (q.H2DBytes != 0 || q.StallNS != 0) {
			t.Errorf("request %d moved %d bytes and stalled %v", q.Request, q.H2DBytes, time.Duration(q.StallNS))
		}
	}
	if len(r.PerRequest) != 4 || r.H2DBytes != weights || r.D2HBytes != 0 || r.Evictions != 0 {
		t.Errorf("%d requests, %d bytes in, %d back, %d evictions; want 4, %d, 0, 0", len(r.PerRequest), r.H2DBytes, r.D2HBytes, r.Evictions, weights)
	}
	for _, b := range r.Baselines {
		if b.Name == replay.Accelerate && (*b.H2DBytes < 4*weights || *b.D2HBytes != *b.H2DBytes) {
			t.Errorf("accelerate moved %d in and %d back, want at least %d both ways", *b.H2DBytes, *b.D2HBytes, 4*weights)
		}
	}
}

func TestTheFloorAloneIsLRU(t *testing.T) {
	for _, name := range library.Names() {
		r := run(t, config(t, name, 2, 44*units.GB))
		for _, b := range r.Baselines {
			switch b.Name {
			case replay.LRU:
				if *b.H2DBytes != r.H2DBytes || *b.MakespanNS != r.MakespanNS {
					t.Errorf("%s: the floor moved %d in %d ns, lru %d in %d ns", name, r.H2DBytes, r.MakespanNS, *b.H2DBytes, *b.MakespanNS)
				}
			case replay.Optimum:
				if *b.H2DBytes > r.H2DBytes {
					t.Errorf("%s: the optimum moved %d, more than lru's %d", name, *b.H2DBytes, r.H2DBytes)
				}
			}
		}
	}
}

func TestInadmissible(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget units.Bytes
		rules  host.Constraints
	}{
		{"smaller than a component", 10 * units.GB, host.Constraints{}},
		{"excluded do not fit", 24 * units.GB, host.Constraints{Exclude: []string{"transformer", "text_encoder_2"}}},
		{"kept do not fit", 25 * units.GB, host.Constraints{Keep: []string{"text_encoder*", "transformer"}}},
		{"no such component", 40 * units.GB, host.Constraints{Keep: []string{"transfomer"}}},
	} {
		cfg := config(t, "flux-bf16", 2, c.budget)
		cfg.Constraints, cfg.IgnoreWorkspace = c.rules, true
		_, err := replay.Run(context.Background(), cfg)
		var bad *replay.Inadmissible
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v, want an *Inadmissible", c.name, err)
		}
		t.Log(err)
	}
}

func TestConstraintsHold(t *testing.T) {
	cfg := config(t, "flux-bf16", 4, 36*units.GB)
	cfg.IgnoreWorkspace = true
	cfg.Exclude, cfg.Keep = []string{"text_encoder_2"}, []string{"vae"}
	r := run(t, cfg)
	for _, c := range r.PerComponent {
		if c.Name == "text_encoder_2" && c.Loads != 1 {
			t.Errorf("%s was loaded %d times, though it is excluded from offloading", c.Name, c.Loads)
		}
	}
}
