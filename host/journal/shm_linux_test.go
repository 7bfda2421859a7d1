package journal_test

import (
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/units"
)

// brittle is a device of real bytes that fails, does not answer and is lost now and then.
type brittle struct {
	*shm.Device
	random *rand.Rand
	dying  bool
	lost   atomic.Bool
	seen   [host.Lost + 1]int
	silent int
}

func (d *brittle) fault(a host.Action) (f shm.Fault) {
	switch n := d.random.IntN(60); {
	case n == 0:
		d.dying = true
	case n == 1:
		f.Status = host.Failed
	case n == 2 && a.Kind == host.ActCopyIn:
		f.Status = host.OutOfMemory
	case n == 3:
		f.Silent = true
		d.silent++
	case n < 10:
		f.Delay = time.Duration(d.random.IntN(50)) * time.Microsecond
	}
	return f
}

func (d *brittle) Submit(a host.Action) {
	d.Device.Submit(a)
	if d.dying {
		d.dying = false
		d.lost.Store(true)
		d.Lose()
	}
}

func (d *brittle) Wait(until time.Duration) (host.Completion, bool) {
	c, ok := d.Device.Wait(until)
	if ok && c.Op != 0 {
		d.seen[c.Status]++
	}
	return c, ok
}

func (d *brittle) Gone() bool { return d.lost.Load() }

func (d *brittle) Restore() error {
	d.lost.Store(false)
	return d.Device.Restore()
}

// What a device of real bytes did, in its own time, faults included, comes again without it.
func TestFaultsOfRealBytesComeAgain(t *testing.T) {
	scale := units.Bytes(os.Getpagesize()) / 16
	var seen [host.Lost + 1]int
	silent := 0
	for seed := range uint64(12) {
		for _, policy := range []string{"", "one by one"} {
			random := rand.New(rand.NewPCG(seed, 2))
			d := &brittle{random: random}
			var components []shm.Component
			for _, p := range parts(scale) {
				components = append(components, shm.Component{Name: p.Name, Bytes: p.Bytes, ReadOnly: p.ReadOnly, Source: make(shm.Memory, p.Bytes)})
			}
			var err error
			d.Device, err = shm.New(shm.Config{Budget: 1200 * scale, Chunk: 64 * scale, Granularity: 16 * scale, Components: components, Verify: true, Fault: d.fault})
			if err != nil {
				t.Fatal(err)
			}
			file := ordeal(t, random, scale, d, policy, seed%2 == 0, 96)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if _, _, err := feed(file, nil); err != nil {
				t.Fatalf("seed %d, policy %q: %v", seed, policy, err)
			}
			for i, n := range d.seen {
				seen[i] += n
			}
			silent += d.silent
		}
	}
	for s, n := range seen {
		if n < 10 {
			t.Errorf("%d actions ended as %v: want more for the test to mean anything", n, host.Status(s))
		}
	}
	if silent < 10 {
		t.Errorf("%d actions were never answered: want more for the test to mean anything", silent)
	}
}
