package sim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/sim"
	"github.com/offhost/offhost/host/units"
)

// At these rates 1,000,000 bytes take 1 ms in and 2 ms back.
var config = sim.Config{H2D: 1e9, D2H: 500e6, File: 100e6, Latency: 10 * time.Microsecond, Release: 20 * time.Microsecond}

func in(op host.OpID, n units.Bytes) host.Action {
	return host.Action{Kind: host.ActCopyIn, Op: op, Weights: n}
}
func back(op host.OpID, n units.Bytes) host.Action {
	return host.Action{Kind: host.ActCopyBack, Op: op, Weights: n}
}
func release(op host.OpID) host.Action {
	return host.Action{Kind: host.ActRelease, Op: op, Alloc: 1 << 20}
}

type completion struct {
	Op host.OpID
	At time.Duration
}

// drain takes all completions.
func drain(t *testing.T, d *sim.Device) []completion {
	var got []completion
	for {
		c, ok := d.Wait(host.Forever)
		if !ok {
			return got
		}
		if c.Status != host.OK || c.Time != d.Now() {
			t.Errorf("completion %+v at %v: want an OK completion of this time", c, d.Now())
		}
		got = append(got, completion{c.Op, c.Time})
	}
}

func TestTransfers(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for _, c := range []struct {
		name    string
		actions []host.Action
		want    []completion
	}{
		{"a copy takes the latency and its bytes", []host.Action{in(1, 1e6)}, []completion{{1, ms + 10*us}}},
		{"bytes of a file take the file's time where it is slower", []host.Action{{Kind: host.ActCopyIn, Op: 1, Weights: 1e6, File: 5e5}},
			[]completion{{1, 5*ms + ms/2 + 10*us}}},
		{"each direction has its bandwidth", []host.Action{back(1, 1e6)}, []completion{{1, 2*ms + 10*us}}},
		{"copies in one direction are served one after the other", []host.Action{in(1, 1e6), in(2, 2e6), in(3, 0)},
			[]completion{{1, ms + 10*us}, {2, 3*ms + 20*us}, {3, 3*ms + 30*us}}},
		{"both directions run beside each other", []host.Action{in(1, 1e6), back(2, 1e6), in(3, 1e6)},
			[]completion{{1, ms + 10*us}, {2, 2*ms + 10*us}, {3, 2*ms + 20*us}}},
		{"a release takes a fixed time, delays no copy and waits for none", []host.Action{release(1), in(2, 1e6), back(3, 0), release(4)},
			[]completion{{3, 10 * us}, {1, 20 * us}, {4, 20 * us}, {2, ms + 10*us}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sim.New(config)
			for _, a := range c.actions {
				d.Submit(a)
			}
			if diff := cmp.Diff(c.want, drain(t, d)); diff != "" {
				t.Errorf("completions differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThingsOfOneTimeCompleteInTheOrderOfSubmission(t *testing.T) {
	d := sim.New(sim.Config{H2D: 1e9, D2H: 1e9, Release: time.Millisecond, Latency: time.Millisecond})
	for op := host.OpID(1); op <= 20; op += 2 {
		d.Submit(release(op))
		d.Wait(d.Now()) // nothing yet
		d.Submit(release(op + 1))
	}
	for i, c := range drain(t, d) {
		if c.Op != host.OpID(i+1) || c.At != time.Millisecond {
			t.Fatalf("completion %d is of operation %d at %v, want %d at 1ms", i, c.Op, c.At, i+1)
		}
	}
}

func TestAnIdleEngineStartsWhenItIsGivenWork(t *testing.T) {
	d := sim.New(config)
	d.Submit(in(1, 1e6))
	drain(t, d)
	d.Wait(10 * time.Millisecond)
	d.Submit(in(2, 1e6))
	if got, want := drain(t, d), []completion{{2, 11*time.Millisecond + 10*time.Microsecond}}; !cmp.Equal(got, want) {
		t.Errorf("completions %v, want %v", got, want)
	}
}

func TestWhatTakesLongerThanTimeItselfIsLast(t *testing.T) {
	d := sim.New(sim.Config{H2D: 1, D2H: 1, Latency: time.Second})
	d.Submit(in(1, units.MaxBytes))
	d.Submit(in(2, units.MaxBytes))
	d.Submit(back(3, 1))
	if got, want := drain(t, d), []completion{{3, 2 * time.Second}, {1, host.Forever}, {2, host.Forever}}; !cmp.Equal(got, want) {
		t.Errorf("completions %v, want %v", got, want)
	}
}

func TestWait(t *testing.T) {
	d := sim.New(config)
	if _, ok := d.Wait(host.Forever); ok || d.Now() != 0 {
		t.Errorf("nothing is in flight: Wait returned %v at %v, want at once", ok, d.Now())
	}
	d.Submit(in(1, 1e6)) // done at 1.01 ms
	if _, ok := d.Wait(time.Millisecond); ok || d.Now() != time.Millisecond {
		t.Errorf("Wait returned %v at %v, want nothing at 1ms", ok, d.Now())
	}
	if _, ok := d.Wait(500 * time.Microsecond); ok || d.Now() != time.Millisecond {
		t.Errorf("Wait until the past returned %v at %v: time must not go back", ok, d.Now())
	}
	if c, ok := d.Wait(time.Hour); !ok || c.Op != 1 || d.Now() != 1010*time.Microsecond {
		t.Errorf("Wait returned operation %d, %v at %v, want operation 1 at 1.01ms, not later", c.Op, ok, d.Now())
	}
	if _, ok := d.Wait(time.Hour); ok || d.Now() != time.Hour {
		t.Errorf("nothing is left: Wait returned %v at %v, want nothing at 1h", ok, d.Now())
	}
}
