package shm

import (
	"errors"
	"fmt"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// errInjected is why an action failed that was told to.
var errInjected = errors.New("a fault was asked for")

// copyIn allocates a chunk, maps it at its place and fills it.
func (d *Device) copyIn(j *job) {
	defer j.stream.close()
	d.begin(j, &d.in)
	begun := d.inbox.Elapsed()
	st, err := d.load(j)
	if st == host.OK {
		end := d.link[0].next(j.submitted, begun, j.action.Weights)
		d.sleepUntil(end, j, d.in.alarm)
		d.count(func(s *Stats) {
			s.Loads++
			s.H2D += j.action.Weights
			if j.stream != nil {
				s.File += units.Bytes(j.stream.length)
			}
			s.BusyH2D += max(j.copied, end) - begun
		})
	}
	d.complete(j, st, err)
}

// begin waits as a fault says.
func (d *Device) begin(j *job, l *lane) {
	if j.fault.Delay > 0 {
		d.sleepUntil(j.submitted+j.fault.Delay, j, l.alarm)
	}
}

func (d *Device) load(j *job) (host.Status, error) {
	switch {
	case j.err != nil:
		return host.Failed, j.err
	case j.fault.Status == host.OutOfMemory:
		return host.OutOfMemory, errInjected
	}
	c, k := j.c, j.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if !d.current(j) {
		return host.Lost, host.ErrLost
	}
	if k.block != nil {
		return host.Failed, fmt.Errorf("component %q: chunk %d is on the device already", c.Name, j.action.Chunk)
	}
	b, err := d.pool.take(k.alloc)
	if err != nil {
		return host.OutOfMemory, err
	}
	if err := b.place(c.mem[k.off:k.off+k.alloc], d.pool.moves); err != nil {
		d.pool.lose(b)
		return host.OutOfMemory, err
	}
	k.block = b
	if err = d.fill(j); err == nil && j.fault.Status != host.OK {
		err = errInjected
	}
	if err != nil {
		if err2 := d.unmap(c, k); err2 != nil {
			err = errors.Join(err, err2)
		}
		return host.Failed, err
	}
	return host.OK, nil
}

// fill copies a chunk's weights to where it is mapped: first those that come from a file,
// then, piece by piece, those in host memory. With Verify every piece is checked then.
func (d *Device) fill(j *job) error {
	c, k := j.c, j.k
	k.sums = nil
	if d.cfg.Verify {
		k.known()
	}
	streamed, err := d.drain(j)
	if err != nil {
		return err
	}
	if streamed < k.size {
		src := c.Source.Span(k.off+streamed, k.size-streamed)
		if src == nil {
			return fmt.Errorf("component %q: chunk %d: its weights have left host memory", c.Name, k.index)
		}
		dst := c.at(k)
		err := d.crew.each(int(streamed/piece), k.pieces(), func(i int) error {
			from, to := k.span(i)
			from = max(from, streamed)
			copy(dst[from:to], src[from-streamed:to-streamed])
			return nil
		})
		if err != nil {
			return err
		}
	}
	j.copied = d.inbox.Elapsed()
	if !d.cfg.Verify {
		return nil
	}
	return d.crew.each(0, k.pieces(), func(i int) error { return d.check(c, k, i) })
}

// drain copies what comes from a file, and returns how much that was. With Verify, whole
// pieces say what they should be when nothing did yet: reading them again would take long.
func (d *Device) drain(j *job) (streamed int64, err error) {
	if j.stream == nil {
		return 0, nil
	}
	k, dst := j.k, j.c.at(j.k)
	for r := range j.stream.blocks {
		if r.err != nil {
			return streamed, r.err
		}
		copy(dst[streamed:], r.buf[:r.n])
		if i := int(streamed / piece); d.cfg.Verify && k.host[i] == 0 {
			if from, to := k.span(i); int64(r.n) == to-from {
				k.host[i] = sumOf(r.buf[:r.n])
			}
		}
		streamed += int64(r.n)
		buffers.Put(r.buf)
	}
	if streamed < j.stream.length {
		return streamed, host.ErrLost
	}
	return streamed, nil
}

// copyBack copies a chunk to host memory; it stays on the device.
func (d *Device) copyBack(j *job) {
	d.begin(j, &d.back)
	begun := d.inbox.Elapsed()
	st, err := d.save(j)
	if st == host.OK {
		end := d.link[1].next(j.submitted, begun, j.action.Weights)
		d.sleepUntil(end, j, d.back.alarm)
		d.count(func(s *Stats) {
			s.CopiesBack++
			s.D2H += j.action.Weights
			s.BusyD2H += max(j.copied, end) - begun
		})
	}
	d.complete(j, st, err)
}

func (d *Device) save(j *job) (host.Status, error) {
	switch {
	case j.err != nil:
		return host.Failed, j.err
	case j.fault.Status != host.OK:
		return host.Failed, errInjected
	}
	c, k := j.c, j.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if !d.current(j) {
		return host.Lost, host.ErrLost
	}
	if k.block == nil {
		return host.Failed, fmt.Errorf("component %q: chunk %d is not on the device", c.Name, j.action.Chunk)
	}
	dst := c.Source.Span(k.off, k.size)
	if dst == nil || c.ReadOnly {
		return host.Failed, fmt.Errorf("component %q: chunk %d is read-only, or not in host memory: it cannot be copied back", c.Name, j.action.Chunk)
	}
	src := c.at(k)
	k.known()
	err := d.crew.each(0, k.pieces(), func(i int) error {
		from, to := k.span(i)
		copy(dst[from:to], src[from:to])
		k.host[i] = k.sums[i]
		return nil
	})
	j.copied = d.inbox.Elapsed()
	if err == nil && d.cfg.Verify {
		err = d.crew.each(0, k.pieces(), func(i int) error { return d.checkBack(c, k, i, dst) })
	}
	if err != nil {
		return host.Failed, err
	}
	return host.OK, nil
}

// checkBack compares piece i of a chunk in host memory with what it was on the device.
func (d *Device) checkBack(c *component, k *chunk, i int, dst []byte) error {
	from, to := k.span(i)
	if k.sums[i] == 0 || sumOf(dst[from:to]) == k.sums[i] {
		return nil
	}
	return fmt.Errorf("component %q: chunk %d: bytes %d to %d of the weights are not what they were after they were copied back", c.Name,
		k.index, k.off+from, k.off+to)
}

// release takes a chunk off the device.
func (d *Device) release(j *job) {
	d.begin(j, &d.releases)
	st, err := d.drop(j)
	d.complete(j, st, err)
}

func (d *Device) drop(j *job) (host.Status, error) {
	switch {
	case j.err != nil:
		return host.Failed, j.err
	case j.fault.Status != host.OK:
		return host.Failed, errInjected
	}
	k := j.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if !d.current(j) {
		return host.Lost, host.ErrLost
	}
	if k.block == nil {
		return host.Failed, fmt.Errorf("component %q: chunk %d is not on the device", j.c.Name, j.action.Chunk)
	}
	if err := d.unmap(j.c, k); err != nil {
		return host.Failed, err
	}
	d.count(func(s *Stats) { s.Releases++ })
	return host.OK, nil
}

// unmap takes a chunk's block away, whose lock the caller holds.
func (d *Device) unmap(c *component, k *chunk) error {
	b := k.block
	reusable, err := b.leave(c.mem[k.off:k.off+k.alloc], d.pool.moves)
	if err != nil {
		return fmt.Errorf("component %q: chunk %d: unmapping it: %w", c.Name, k.index, err)
	}
	k.block, k.sums = nil, nil
	if reusable {
		d.pool.put(b)
	} else {
		d.pool.lose(b)
	}
	return nil
}
