package golden

import (
	"fmt"
	"io"
)

// How many lines are shown at most: before the first difference and after it, and of it on
// either side.
const (
	around = 3
	inside = 6
)

// Same reports whether two lists of decisions are one.
func Same(want, got []Line) bool { return firstDifference(want, got) < 0 }

// firstDifference returns the index at which two lists differ first, -1 if they do not.
func firstDifference(want, got []Line) int {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return i
		}
	}
	if len(want) == len(got) {
		return -1
	}
	return min(len(want), len(got))
}

// Diff writes the first difference between two lists of decisions with what is around it:
// lines that were expected and did not come begin with -, those that came instead with +.
func Diff(w io.Writer, want, got []Line) error {
	at := firstDifference(want, got)
	if at < 0 {
		return nil
	}
	show := func(mark string, lines []Line) (err error) {
		for i := range lines {
			if _, e := fmt.Fprintf(w, "%s %s\n", mark, lines[i].String()); e != nil {
				err = e
			}
		}
		return err
	}
	if err := show(" ", want[max(0, at-around):at]); err != nil {
		return err
	}
	gone, come := meet(want[at:], got[at:])
	if err := show("-", want[at:at+gone]); err != nil {
		return err
	}
	if err := show("+", got[at:at+come]); err != nil {
		return err
	}
	rest, same := want[at+gone:], 0
	for same < min(around, len(rest), len(got)-at-come) && rest[same] == got[at+come+same] {
		same++
	}
	return show(" ", rest[:same])
}

// meet returns how many lines of each list to pass over until they go on alike, the
// fewest in all; or as many as are shown.
func meet(want, got []Line) (gone, come int) {
	for total := 1; total <= 2*inside; total++ {
		for gone := max(0, total-inside); gone <= min(total, inside); gone++ {
			come := total - gone
			if gone > len(want) || come > len(got) {
				continue
			}
			if gone == len(want) && come == len(got) || gone < len(want) && come < len(got) && want[gone] == got[come] {
				return gone, come
			}
		}
	}
	return min(inside, len(want)), min(inside, len(got))
}
