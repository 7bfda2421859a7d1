package enginetest

import (
	"errors"
	"time"

	"github.com/offhost/offhost/host"
)

// Fake opens a device that moves nothing and takes no time.
func Fake(w World) (Device, error) { return &fake{world: w}, nil }

type fake struct {
	world World
	done  []host.Completion
	lost  bool
}

var _ Device = (*fake)(nil)

func (d *fake) Submit(a host.Action) {
	f := d.world.Fault(a)
	if d.lost {
		f.Status = host.Lost
	}
	if !f.Silent {
		d.done = append(d.done, host.Completion{Op: a.Op, Status: f.Status})
	}
}

func (d *fake) Compute(call host.CallID, _ host.ID, _ time.Duration) {
	c := host.Completion{Call: call}
	if d.lost {
		c.Err = errors.New("lost")
	}
	d.done = append(d.done, c)
}

func (d *fake) Wait(time.Duration) (c host.Completion, ok bool) {
	if len(d.done) > 0 {
		c, ok, d.done = d.done[0], true, d.done[1:]
	}
	return c, ok
}

func (d *fake) Now() time.Duration { return 0 }

func (d *fake) Lose() {
	d.lost = true
	for i := range d.done {
		d.done[i].Status = host.Lost
	}
}

func (d *fake) Restore() error {
	d.lost = false
	return nil
}

func (d *fake) Close() error { return nil }
