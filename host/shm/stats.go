package shm

import (
	"time"

	"github.com/offhost/offhost/host/units"
)

// Stats is what a device did so far. Bytes are of weights.
type Stats struct {
	H2D, D2H units.Bytes // copied, by copies that succeeded
	File     units.Bytes // of H2D, read from files
	Verified units.Bytes // read on the device and compared

	Loads, CopiesBack, Releases int64
	// BusyH2D and BusyD2H are how long copies took, waiting for the imitated link
	// included, checking what was copied and faults' delays not.
	BusyH2D, BusyD2H time.Duration

	// Used is the device memory of chunks; Idle is what released ones have left
	// populated.
	Used, Idle units.Bytes
}

// Stats returns what was done so far.
func (d *Device) Stats() Stats {
	used, idle := d.pool.held()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Verified = units.Bytes(d.verified.Load())
	s.Used, s.Idle = units.Bytes(used), units.Bytes(idle)
	return s
}

func (d *Device) count(f func(*Stats)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.stats)
}
