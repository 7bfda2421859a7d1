package replay

import (
	"fmt"
	"slices"

	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// side is what runs beside the policy.
type side struct {
	order      []string
	lru        *lane
	optimum    *baseline.Optimum
	accelerate *baseline.Accelerate
	notes      []string
	h2d, d2h   units.BytesPerSecond
}

func newSide(cfg *Config, h *trace.Header) (*side, error) {
	s := &side{h2d: cfg.H2D, d2h: cfg.D2H}
	for _, name := range Baselines {
		if !slices.Contains(cfg.Baselines, name) {
			continue
		}
		s.order = append(s.order, name)
		conf := baseline.Config{Budget: cfg.Budget, H2D: cfg.H2D, D2H: cfg.D2H, Pageable: cfg.Pageable, Latency: cfg.Latency}
		var err error
		switch name {
		case LRU:
			// The floor is the rule of least recent use.
			s.lru, err = newFloor(cfg, h)
		case Optimum:
			s.optimum = baseline.NewOptimum(h, conf)
		case Accelerate:
			s.accelerate = baseline.NewAccelerate(h, conf)
		}
		if err != nil {
			return nil, fmt.Errorf("baseline %s: %w", name, err)
		}
	}
	return s, nil
}

// newFloor is a lane without a policy.
func newFloor(cfg *Config, h *trace.Header) (*lane, error) {
	policies := newTroupe(Module{}, nil)
	engine, err := cfg.engine(policies)
	if err != nil {
		return nil, err
	}
	return newLane(cfg, h, engine, policies, simulated(cfg), nil, nil)
}

func (s *side) add(r *trace.Record) error {
	if s.lru != nil {
		if err := s.lru.add(r); err != nil {
			return fmt.Errorf("baseline lru: %w", err)
		}
	}
	if s.optimum != nil {
		s.optimum.Add(r)
	}
	if s.accelerate != nil {
		s.accelerate.Add(r)
	}
	return nil
}

func (s *side) results() ([]report.Baseline, error) {
	out := []report.Baseline{}
	for _, name := range s.order {
		switch name {
		case LRU:
			if err := s.lru.finish(); err != nil {
				return nil, fmt.Errorf("baseline lru: %w", err)
			}
			t := &s.lru.tally
			peak := int64(s.lru.driver.Engine.Counters().Peak)
			stall, span := int64(t.stall), int64(t.span)
			out = append(out, report.Baseline{Name: LRU, Fits: true, PeakResidentBytes: &peak,
				H2DBytes: &t.h2d, D2HBytes: &t.d2h, StallNS: &stall, MakespanNS: &span})
		case Optimum:
			out = append(out, s.show(s.optimum.Result()))
		case Accelerate:
			out = append(out, s.show(s.accelerate.Result()))
		}
	}
	return out, nil
}

// allNotes are what is to be said of the baselines beside a run on a device.
func (s *side) allNotes(device string) []string {
	if device == simName || len(s.order) == 0 {
		return s.notes
	}
	link := s.h2d.String()
	if s.d2h != s.h2d {
		link = fmt.Sprintf("%v in and %v back", s.h2d, s.d2h)
	}
	return append(slices.Clone(s.notes), "baselines: simulated, over a link of "+link+": their bytes compare with this run's, their times do not")
}

func (s *side) show(r baseline.Result) report.Baseline {
	if !r.Counted { // figures speak for themselves
		s.notes = append(s.notes, r.Name+": "+r.Note)
	}
	return r.Report()
}
