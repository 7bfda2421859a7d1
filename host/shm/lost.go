package shm

import "errors"

// Lose makes the device what a GPU is after a sticky error or a reset: all that was on
// it is gone, what runs ends, and every action and compute from here on completes as
// lost, until Restore. A chunk that is being copied back has either arrived whole or not
// at all.
func (d *Device) Lose() {
	d.mu.Lock()
	if d.lost || d.closed {
		d.mu.Unlock()
		return
	}
	d.lost = true
	d.epoch++
	close(d.halt)
	d.halt = make(chan struct{})
	d.mu.Unlock()
	d.dropAll()
}

// Restore makes a lost device usable again. It is empty.
func (d *Device) Restore() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return errors.New("shm device: closed")
	case !d.lost:
		return errors.New("shm device: it was not lost")
	}
	d.lost = false
	return nil
}

// dropAll takes every chunk off the device and gives its memory back to the system.
func (d *Device) dropAll() {
	for _, c := range d.parts {
		for i := range c.chunks {
			k := &c.chunks[i]
			k.mu.Lock()
			if k.block != nil {
				d.unmap(c, k)
			}
			k.mu.Unlock()
		}
	}
	if d.pool != nil {
		d.pool.trim(0)
	}
}
