package replay_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

// scholar counts its events over all runs, and can fail right after a restore.
type scholar struct {
	count   byte
	restore []byte
	faulty  bool
}

func (s *scholar) Decide(*abi.Event, []byte) ([]abi.Decision, error) {
	s.count++
	if s.faulty && s.restore != nil {
		return nil, errors.New("what it restored confuses it")
	}
	return nil, nil
}
func (s *scholar) Revive() (bool, error) { return false, nil }
func (s *scholar) Suspend()              {}
func (s *scholar) Save() ([]byte, error) { return []byte{s.count}, nil }
func (s *scholar) Restore(blob []byte) (bool, error) {
	s.restore = append([]byte(nil), blob...)
	return true, nil
}

// shelf keeps blobs by digest.
type shelf map[string][]byte

func (s shelf) Get(m replay.Module) ([]byte, error)    { return s[m.Info.SHA256], nil }
func (s shelf) Put(m replay.Module, blob []byte) error { s[m.Info.SHA256] = blob; return nil }
func (s shelf) Delete(m replay.Module) error           { delete(s, m.Info.SHA256); return nil }

func TestWhatAPolicyLearnsOutlivesTheRun(t *testing.T) {
	store := shelf{}
	learn := func(p *scholar, digest string, swaps ...replay.Swap) *report.Report {
		t.Helper()
		cfg := config(t, "flux-img2img-8bit", 1, 24*units.GiB)
		cfg.Policy = replay.Module{Policy: p, Info: report.Policy{SHA256: digest}}
		cfg.State, cfg.Swaps = store, swaps
		r, err := replay.Run(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := &scholar{}
	learn(first, "a")
	if first.restore != nil || len(store["a"]) != 1 || store["a"][0] != first.count {
		t.Fatalf("the first run restored %v and left %v, want nothing and %d", first.restore, store["a"], first.count)
	}
	second := &scholar{}
	learn(second, "a")
	if len(second.restore) != 1 || second.restore[0] != first.count {
		t.Errorf("the second run restored %v, want what the first one saved, %d", second.restore, first.count)
	}
	other := &scholar{}
	learn(other, "b")
	if other.restore != nil {
		t.Errorf("another module restored %v", other.restore)
	}

	// The policy that decides at the end is the one that saves; one with the same
	// schema or digest takes over from the running one, not from the shelf.
	heir := &scholar{}
	began := &scholar{}
	learn(began, "c", replay.Swap{At: 30, Load: func() (replay.Module, error) {
		return replay.Module{Policy: heir, Info: report.Policy{SHA256: "c"}}, nil
	}})
	if len(heir.restore) != 1 || heir.restore[0] == 0 || store["c"][0] != heir.count {
		t.Errorf("the heir restored %v and left %v, want what the first one had learned by then, and %d", heir.restore, store["c"], heir.count)
	}

	confused := &scholar{faulty: true}
	r := learn(confused, "a")
	if r.Faults == 0 {
		t.Fatal("no fault was counted")
	}
	if store["a"] != nil && store["a"][0] == second.count {
		t.Errorf("state that led to a fault is still there: %v", store["a"])
	}
}

// full is a store that takes nothing more.
type full struct{ shelf }

func (full) Put(replay.Module, []byte) error { return errors.New("no space left") }

func TestARunOutlivesAFullStore(t *testing.T) {
	cfg := config(t, "flux-img2img-8bit", 1, 24*units.GiB)
	cfg.Policy = replay.Module{Policy: &scholar{}, Info: report.Policy{Name: "scholar", SHA256: "a"}}
	cfg.State = full{shelf{}}
	r, err := replay.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := "scholar: its state is not kept: no space left"; !slices.Contains(r.Notes, want) {
		t.Errorf("notes are %q, want %q among them", r.Notes, want)
	}
}
