package units

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxScale bounds both parts of a Scale, so that nothing overflows.
const maxScale = 1 << 20

// A Scale shrinks sizes and times alike: 1/64 of each, so that their ratios stay. The
// zero value changes nothing.
type Scale struct {
	num, den int64
}

// ParseScale reads a fraction above 0 and at most 1, as in "1/64" or "1".
func ParseScale(s string) (Scale, error) {
	above, below, fraction := strings.Cut(strings.TrimSpace(s), "/")
	if !fraction {
		below = "1"
	}
	num, err1 := strconv.ParseInt(strings.TrimSpace(above), 10, 64)
	den, err2 := strconv.ParseInt(strings.TrimSpace(below), 10, 64)
	if err1 != nil || err2 != nil || num < 1 || num > den || den > maxScale {
		return Scale{}, fmt.Errorf("scale %q: want a fraction above 0 and at most 1, such as 1/64, of whole numbers up to %d", s, maxScale)
	}
	return Scale{num, den}, nil
}

// IsOne reports whether the scale changes nothing.
func (s Scale) IsOne() bool { return s.num == s.den }

// Bytes scales a size, rounded up: nothing that is there vanishes.
func (s Scale) Bytes(b Bytes) Bytes { return Bytes(s.up(int64(b))) }

// Time scales a time, rounded up.
func (s Scale) Time(d time.Duration) time.Duration { return time.Duration(s.up(int64(d))) }

func (s Scale) up(n int64) int64 {
	if s.IsOne() {
		return n
	}
	return n/s.den*s.num + (n%s.den*s.num+s.den-1)/s.den
}

// String is as ParseScale reads it.
func (s Scale) String() string {
	if s.IsOne() {
		return "1"
	}
	return fmt.Sprintf("%d/%d", s.num, s.den)
}
