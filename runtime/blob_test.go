package runtime

import (
	"errors"
	"strings"
	"testing"

	"github.com/offhost/offhost/abi"
)

// What keeper.wat does when it saves or restores, by the component of the last event.
const (
	keeperWorks = iota
	keeperGivesUp
	keeperTooLarge
	keeperEndless
	keeperTraps
	keeperHasNothing
	keeperLargest
)

func tell(t *testing.T, p *Policy, component uint32) (count uint64) {
	t.Helper()
	got, err := p.Decide(&abi.Event{Kind: abi.Call, Component: component, Seq: 7}, nil)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	return got[0].Arg
}

// What one instance saved, another one goes on from.
func TestSaveAndRestore(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		p := load(t, "keeper", cfg)
		for range 5 {
			tell(t, p, keeperWorks)
		}
		before, saved := p.FuelUsed(), p.in.saved
		blob, err := p.Save()
		if err != nil || len(blob) != 8 || blob[0] != 5 {
			t.Fatalf("saved % x, %v, want 8 bytes that begin with 5", blob, err)
		}
		if p.FuelUsed() == before || p.in.saved != saved {
			t.Errorf("saving took %d, and %d of what events had saved; want some, and nothing", p.FuelUsed()-before, saved-p.in.saved)
		}
		if tell(t, p, keeperWorks); blob[0] != 5 {
			t.Error("the blob changes with the policy")
		}
		p.Suspend()
		if _, err := p.Revive(); err != nil {
			t.Fatal(err)
		}
		if ok, err := p.Restore(blob); !ok || err != nil {
			t.Errorf("Restore: %t, %v", ok, err)
		}
		if got := tell(t, p, keeperWorks); got != 6 {
			t.Errorf("it goes on with event %d, want 6", got)
		}
		for _, other := range [][]byte{nil, blob[:7], make([]byte, abi.MaxPayload)} {
			if ok, err := p.Restore(other); ok || err != nil {
				t.Errorf("a blob of %d bytes: %t, %v, want it refused", len(other), ok, err)
			}
		}
		var fault *Fault
		if _, err := p.Restore(make([]byte, abi.MaxPayload+1)); err == nil || errors.As(err, &fault) {
			t.Errorf("a blob larger than the window: got %v, want an error that does not blame the policy", err)
		}

		tell(t, p, keeperHasNothing)
		if blob, err := p.Save(); blob != nil || err != nil {
			t.Errorf("nothing to save: got % x, %v", blob, err)
		}
		tell(t, p, keeperLargest)
		if blob, err := p.Save(); len(blob) != abi.MaxPayload || err != nil {
			t.Errorf("the largest blob: got %d bytes, %v", len(blob), err)
		}

		p = load(t, "probe", cfg)
		if blob, err := p.Save(); blob != nil || err != nil {
			t.Errorf("not exported: Save returns % x, %v", blob, err)
		}
		if ok, err := p.Restore(nil); ok || err != nil {
			t.Errorf("not exported: Restore returns %t, %v", ok, err)
		}
	})
}

func TestSaveAndRestoreFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode uint32
		is   error
		says string
		lost bool
		save bool // only saving can go wrong like this
	}{
		{"gives up", keeperGivesUp, ErrGaveUp, "it returned -3", false, true},
		{"too large", keeperTooLarge, ErrAnswer, "65537 bytes, at most 65536", false, true},
		{"never ends", keeperEndless, ErrFuel, "all 3000000 units", true, false},
		{"traps", keeperTraps, ErrTrap, "unreachable", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBothEngines(t, func(t *testing.T, cfg Config) {
				p := load(t, "keeper", cfg)
				check := func(export string, err error) {
					t.Helper()
					var fault *Fault
					if !errors.As(err, &fault) || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) ||
						fault.Export != export || !strings.Contains(err.Error(), "event 7 "+export) {
						t.Errorf("got %v, want a fault %q of %s that says %q", err, tt.is, export, tt.says)
					}
					if (p.in == nil) != tt.lost {
						t.Errorf("instance lost: %t, want %t", p.in == nil, tt.lost)
					}
				}
				tell(t, p, tt.mode)
				_, err := p.Save()
				check(abi.ExportSave, err)
				if tt.lost {
					if _, err := p.Save(); !errors.Is(err, ErrLost) {
						t.Errorf("after it: got %v, want %v", err, ErrLost)
					}
					if _, err := p.Restore(nil); !errors.Is(err, ErrLost) {
						t.Errorf("after it: got %v, want %v", err, ErrLost)
					}
				}
				if _, err := p.Revive(); err != nil {
					t.Fatal(err)
				}
				tell(t, p, tt.mode)
				ok, err := p.Restore(make([]byte, 8))
				if tt.save {
					if ok || err != nil {
						t.Errorf("Restore: %t, %v, want the blob refused", ok, err)
					}
					return
				}
				check(abi.ExportRestore, err)
			})
		})
	}
}
