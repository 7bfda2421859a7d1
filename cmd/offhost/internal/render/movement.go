package render

import (
	"fmt"
	"io"
	"time"

	"github.com/offhost/offhost/host/units"
)

// A Movement is one thing that happened to a component, and why.
type Movement struct {
	Time      time.Duration // since the run began
	What      string        // "load", "prefetch", "evict", "copy back", "refused", ...
	Component string
	Bytes     units.Bytes
	Why       string
	Who       string // the policy's name, or "fallback"
}

// Write writes the movement as one line.
func (m Movement) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%12.6f s  %-9s  %-16s  %9s  %s: %s\n", m.Time.Seconds(), Sentence(m.What), Name(m.Component),
		size(int64(m.Bytes)), Name(m.Who), Sentence(m.Why))
	return err
}
