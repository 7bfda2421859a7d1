package conformance

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

var update = flag.Bool("update", false, "write the golden logs anew")

// goldens are which parts of the shipped traces are kept, and for which budget.
var goldens = []struct {
	trace  string
	budget units.Bytes
	events int
}{
	{"flux-img2img-8bit", 12 * units.GiB, 135},
	{"flux-controlnet", 32 * units.GB, 300},
	{"flux-bf16-blocks", 20 * units.GB, 500},
	{"sdxl-refiner", 8 * units.GB, 300},
	{"three-pipelines", 36 * units.GB, 400},
}

// A scribe writes down what a policy is told.
type scribe struct {
	*runtime.Policy
	log  *Log
	most int
}

func (s *scribe) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	if len(s.log.Steps) < s.most {
		s.log.Steps = append(s.log.Steps, Step{Event: *ev, Payload: bytes.Clone(payload)})
	}
	return s.Policy.Decide(ev, payload)
}

// The golden logs are what a host tells the built-in lru on the shipped traces.
func TestGoldenLogsAreWhatAHostTells(t *testing.T) {
	lru, _ := policies.Get("lru")
	for _, g := range goldens {
		open, err := library.Open(g.trace)
		if err != nil {
			t.Fatal(err)
		}
		source, err := trace.OpenRequests(open, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		p, err := runtime.Load(context.Background(), lru.Wasm, runtime.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		s := &scribe{p, &Log{Name: g.trace}, g.events}
		_, err = replay.Run(context.Background(), replay.Config{Source: source, Policy: replay.Module{Policy: s}, Budget: g.budget, IgnoreWorkspace: true,
			H2D: 25e9, D2H: 25e9, Pageable: 6e9})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.log.Steps) != g.events {
			t.Errorf("%s has %d events, want at least %d", g.trace, len(s.log.Steps), g.events)
		}
		var b bytes.Buffer
		if _, err := s.log.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata/golden", g.trace+".jsonl")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, b.Bytes()) {
			t.Errorf("%s is not what a host tells: run this test with -update (%v)", path, err)
		}
	}
}
