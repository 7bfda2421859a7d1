package shm

import (
	"fmt"

	"github.com/offhost/offhost/host"
)

// compute is what a call does to its weights: it reads every byte, and changes some where
// it may.
func (d *Device) compute(j *job) {
	err := j.err
	if err == nil {
		err = d.use(j)
	}
	d.sleepUntil(j.submitted+j.least, j, d.computes.alarm)
	d.complete(j, host.OK, err)
}

func (d *Device) use(j *job) error {
	for i := range j.c.chunks {
		if err := d.useChunk(j, i); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) useChunk(j *job, i int) error {
	c := j.c
	k := &c.chunks[i]
	k.mu.Lock()
	defer k.mu.Unlock()
	if !d.current(j) {
		return host.ErrLost
	}
	if k.block == nil {
		return fmt.Errorf("component %q: a call uses chunk %d, which is not on the device", c.Name, i)
	}
	k.known()
	return d.crew.each(0, k.pieces(), func(p int) error {
		if err := d.check(c, k, p); err != nil || c.ReadOnly {
			return err
		}
		from, to := k.span(p)
		mem := c.at(k)[from:to]
		for at := 0; at < len(mem); at += Stride {
			mem[at]++
		}
		k.sums[p] = sumOf(mem)
		return nil
	})
}
