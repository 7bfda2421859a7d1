package render

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
)

const (
	optimum = "optimum"
	lru     = "lru"
)

// unknown stands for a figure that was not computed.
const unknown = "n/a"

// who names the policies that decided.
func who(r *report.Report) string {
	name := Name(r.Policy.Name)
	switch len(r.TookOver) {
	case 0:
		return name
	case 1:
		return name + ", then " + Name(r.TookOver[0].Name)
	}
	return fmt.Sprintf("%s, then %d others", name, r.Swaps)
}

// comparison shows the policy's totals beside the baselines'.
func comparison(r *report.Report) *Table {
	t := &Table{Header: []string{"", "moved in", "moved back", "stall", "total"}}
	best, compare := movedIn(r, optimum)
	if compare {
		t.Header = append(t.Header, "vs optimum")
	}
	row := []string{who(r), size(r.H2DBytes), size(r.D2HBytes), duration(r.StallNS), duration(r.MakespanNS)}
	if compare {
		row = append(row, ratio(r.H2DBytes, best))
	}
	t.Rows = append(t.Rows, row)
	for _, b := range r.Baselines {
		name := Name(b.Name)
		if b.Name == who(r) {
			name += " (baseline)"
		}
		row := []string{name, figure(b.H2DBytes, size), figure(b.D2HBytes, size), figure(b.StallNS, duration), figure(b.MakespanNS, duration)}
		if compare {
			versus := unknown
			if n, ok := movedIn(r, b.Name); ok && b.Fits { // with more memory than there is, less would move
				versus = ratio(n, best)
			}
			row = append(row, versus)
		}
		if !b.Fits {
			row = append(row, misfit(b))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func figure(n *int64, print func(int64) string) string {
	if n == nil {
		return unknown
	}
	return print(*n)
}

func misfit(b report.Baseline) string {
	if b.PeakResidentBytes == nil {
		return "does not fit"
	}
	return fmt.Sprintf("does not fit: %v at its peak", units.Bytes(*b.PeakResidentBytes).Decimal())
}

// movedIn returns what the baseline copied to the device, in which alone the optimum
// is one; false when that is not known.
func movedIn(r *report.Report, baseline string) (int64, bool) {
	i := slices.IndexFunc(r.Baselines, func(b report.Baseline) bool { return b.Name == baseline })
	if i < 0 || r.Baselines[i].H2DBytes == nil {
		return 0, false
	}
	return *r.Baselines[i].H2DBytes, true
}

// verdict says in one sentence what the run showed, in the policy's favour or not.
func verdict(r *report.Report) string {
	if s := settled(r); s != "" {
		return s
	}
	subject := who(r)
	if r.Faults > 0 && r.Decisions == 0 {
		subject = "The fallback, in place of " + subject + ","
	}
	s := fmt.Sprintf("%s moved %v in", subject, units.Bytes(r.H2DBytes).Decimal())
	var against []string
	if best, ok := movedIn(r, optimum); ok {
		against = append(against, difference(r.H2DBytes, best, "the optimum"))
	}
	if other, ok := movedIn(r, lru); ok && who(r) != lru {
		against = append(against, difference(r.H2DBytes, other, lru))
	}
	if len(against) > 0 {
		s += ", " + strings.Join(against, " and ")
	}
	if r.StallNS == 0 {
		return s + "; no call waited."
	}
	s += "; calls waited " + duration(r.StallNS)
	if r.MakespanNS == 0 { // no call has ended
		return s + "."
	}
	return fmt.Sprintf("%s, %s of the total.", s, share(r.StallNS, r.MakespanNS))
}

const stayed = "Everything fits: nothing that was loaded left the device."

// movedByNone reports whether something moved that belongs to no request.
func movedByNone(r *report.Report) bool {
	rest := r.H2DBytes + r.D2HBytes
	for _, q := range r.PerRequest {
		rest -= q.H2DBytes + q.D2HBytes
	}
	return rest > 0
}

// settled says that movement came to an end, if it did. What a run that ended early
// would have moved is not known.
func settled(r *report.Report) string {
	if r.EndedEarly != "" {
		return ""
	}
	if r.H2DBytes+r.D2HBytes == 0 {
		return "Nothing moved."
	}
	if int64(len(r.PerRequest)) < r.Requests { // what the requests left out have moved is not known
		if r.Evictions == 0 {
			return stayed
		}
		return ""
	}
	later := r.PerRequest[min(1, len(r.PerRequest)):]
	if slices.ContainsFunc(later, func(q report.Request) bool { return q.H2DBytes+q.D2HBytes > 0 }) {
		return ""
	}
	if r.Evictions > 0 && movedByNone(r) { // nobody knows when
		return ""
	}
	switch {
	case len(later) == 0 && r.Evictions == 0:
		return stayed
	case len(later) == 0:
		return ""
	case r.Evictions == 0:
		return "Everything fits: nothing moved after the first request."
	}
	return "Nothing moved after the first request."
}

// difference compares n with what another moved in.
func difference(n, other int64, name string) string {
	if other == 0 {
		return "where " + name + " moved none"
	}
	change := float64(n)/float64(other) - 1
	switch percent := 100 * math.Abs(change); {
	case percent < 0.05:
		return "as much as " + name
	case change > 1:
		return fmt.Sprintf("%.1f times as much as %s", change+1, name)
	case change > 0:
		return fmt.Sprintf("%.1f %% more than %s", percent, name)
	default:
		return fmt.Sprintf("%.1f %% less than %s", percent, name)
	}
}
