package render

import (
	"fmt"
	"io"

	"github.com/offhost/offhost/host/replay"
)

// Movement writes one movement as a line.
func Movement(w io.Writer, m replay.Movement) error {
	component := "-" // it is about none
	if m.Component != "" {
		component = Name(m.Component)
	}
	_, err := fmt.Fprintf(w, "%12.6f s  %-9s  %-16s  %9s  %s: %s\n", m.Time.Seconds(), Sentence(m.What), component,
		size(int64(m.Bytes)), Name(m.Who), Sentence(m.Why))
	return err
}
