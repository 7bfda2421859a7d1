package render

import (
	"fmt"
	"strings"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

// scale is the heading's word for sizes and times that were shrunk.
func scale(r *report.Report) string {
	if r.Scale == "" {
		return ""
	}
	return "scale " + Sentence(r.Scale) + "   "
}

// speed says how fast a real device was.
func speed(r *report.Report) string {
	s := Name(r.Device)
	var found []string
	if n := r.Measured.H2DBytesPerSecond; n > 0 {
		found = append(found, units.BytesPerSecond(n).String()+" in")
	}
	if n := r.Measured.D2HBytesPerSecond; n > 0 {
		found = append(found, units.BytesPerSecond(n).String()+" back")
	}
	if len(found) > 0 {
		s += " measured at " + strings.Join(found, ", ")
	}
	return s
}

// checked says what was read back on the device. A run that reads a wrong byte ends.
func checked(r *report.Report) string {
	s := units.Bytes(r.Measured.VerifiedBytes).Decimal() + " were read back on the device, after loads and by calls"
	if r.EndedEarly != "" {
		return s + "."
	}
	return s + ", and every byte was right."
}

// kept says where the weights were.
func kept(h *report.Host) string {
	synthetic := h.Weights == report.Synthetic
	s := "Weights from " + Name(h.Weights)
	if synthetic {
		s = "Synthetic weights"
	}
	s += ": " + units.Bytes(h.HeldBytes).Decimal() + " in host memory"
	if h.PinnedBytes > 0 {
		s += fmt.Sprintf(" (%s locked)", units.Bytes(h.PinnedBytes).Decimal())
	}
	if h.FileBytes > 0 {
		how := "read from files"
		if synthetic {
			how = "made anew"
		}
		s += fmt.Sprintf(", %s %s at each load: beyond the %s for weights", units.Bytes(h.FileBytes).Decimal(), how, units.Bytes(h.BudgetBytes).Decimal())
	}
	return s + "."
}
