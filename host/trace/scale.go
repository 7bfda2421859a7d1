package trace

import (
	"slices"

	"github.com/offhost/offhost/host/units"
)

// Records gives a trace's records in order. *Reader and *Requests do.
type Records interface {
	Header() *Header
	// Next fills in the next record; io.EOF after the last.
	Next(*Record) error
}

// Scaled is a trace with everything smaller: weights, workspace, the hinted device's
// memory, and computing times. Bandwidths stay as they are, so that what a transfer
// costs beside what a call computes stays too.
type Scaled struct {
	records Records
	scale   units.Scale
	header  Header
}

// Scale scales a trace.
func Scale(r Records, by units.Scale) *Scaled {
	s := &Scaled{records: r, scale: by, header: *r.Header()}
	s.header.Device.Memory = by.Bytes(s.header.Device.Memory)
	s.header.Components = slices.Clone(s.header.Components)
	for i := range s.header.Components {
		c := &s.header.Components[i]
		c.Bytes, c.Workspace = by.Bytes(c.Bytes), by.Bytes(c.Workspace)
	}
	return s
}

// Header returns the scaled trace's header.
func (s *Scaled) Header() *Header { return &s.header }

// Next reads the next record.
func (s *Scaled) Next(r *Record) error {
	if err := s.records.Next(r); err != nil {
		return err
	}
	r.Compute, r.Workspace = s.scale.Time(r.Compute), s.scale.Bytes(r.Workspace)
	return nil
}
