// Package units names the two quantities that offhost counts, bytes and bytes per
// second, and reads and prints them as people write them. Every other package
// that takes or shows a size uses these types; none does arithmetic on text.
package units

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes.
type Bytes int64

// Sizes.
const (
	KB Bytes = 1000
	MB       = 1000 * KB
	GB       = 1000 * MB
	TB       = 1000 * GB

	KiB Bytes = 1 << 10
	MiB       = 1 << 20 * Bytes(1)
	GiB       = 1 << 30 * Bytes(1)
	TiB       = 1 << 40 * Bytes(1)
)

// MaxBytes is the largest size that offhost takes: below 2^53, so that every size
// is exact in JSON.
const MaxBytes Bytes = 1<<53 - 1

var suffixes = []struct {
	name string
	unit Bytes
}{
	{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"TB", TB}, {"GB", GB}, {"MB", MB}, {"kB", KB}, {"B", 1},
}

// ParseBytes reads a size such as "24GiB", "23.8 GB" or "512B". A number without a unit
// is refused, but for 0: whoever writes 24 rarely means bytes. Units are B, kB, MB, GB,
// TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024); case does not matter. The
// result is rounded to a whole byte and lies in 0 to MaxBytes.
func ParseBytes(s string) (Bytes, error) {
	text := strings.TrimSpace(s)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	name := strings.TrimSpace(text[len(digits):])
	unit := Bytes(0)
	for _, x := range suffixes {
		if strings.EqualFold(x.name, name) {
			unit = x.unit
		}
	}
	if f, err := strconv.ParseFloat(digits, 64); err == nil && name == "" && f >= 0 {
		if f == 0 {
			return 0, nil
		}
		return 0, fmt.Errorf("size %q has no unit: want one, as in %sGiB, %[2]sGB or %[2]sMiB (B, kB to TB, KiB to TiB)", s, digits)
	}
	if unit == 0 || digits == "" || digits[0] == '-' {
		return 0, fmt.Errorf("size %q: want a number that is not negative and a unit, as in 24GiB, 23.8GB or 512MiB (B, kB to TB, KiB to TiB)", s)
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if n > int64(MaxBytes/unit) {
			return 0, fmt.Errorf("size %q: want 0 to %d bytes", s, MaxBytes)
		}
		return Bytes(n) * unit, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.ContainsAny(digits, "xXpP_") {
		return 0, fmt.Errorf("size %q: %q is not a number", s, digits)
	}
	f = math.Round(f * float64(unit))
	if !(f >= 0 && f <= float64(MaxBytes)) {
		return 0, fmt.Errorf("size %q: want 0 to %d bytes", s, MaxBytes)
	}
	return Bytes(f), nil
}

// String prints a size honestly: in binary units where that is short and exact (as
// for budgets and chunks), else in decimal ones (as for weights).
func (b Bytes) String() string {
	switch {
	case b > 0 && b%(GiB/2) == 0:
		return strconv.FormatFloat(float64(b)/float64(GiB), 'f', -1, 64) + " GiB"
	case b > 0 && b < GiB && b%MiB == 0:
		return fmt.Sprintf("%d MiB", b/MiB)
	}
	return b.Decimal()
}

// Exact prints a size so that ParseBytes reads the same: a whole number of the unit that
// makes it the smallest one, such as "2GiB", "24GB" or "4097B".
func (b Bytes) Exact() string {
	n, name := b, "B"
	for _, x := range suffixes {
		if b != 0 && b%x.unit == 0 && b/x.unit < n {
			n, name = b/x.unit, x.name
		}
	}
	return strconv.FormatInt(int64(n), 10) + name
}

// AtLeast prints a size as String does, but rounded up as far as it takes that ParseBytes
// reads no less: what has to be had.
func (b Bytes) AtLeast() string {
	for step := Bytes(1); step <= b && b <= MaxBytes; step *= 10 {
		s := ((b + step - 1) / step * step).String()
		if n, err := ParseBytes(s); err == nil && n >= b {
			return s
		}
	}
	return b.String() // beyond MaxBytes: nobody has it
}

// Decimal prints a size in powers of 1000 with at least two significant digits, and
// two decimals for GB, so that a column of them lines up: "23.80 GB", "168 MB",
// "1.5 MB", "0 B".
func (b Bytes) Decimal() string {
	if b < 0 {
		return "-" + (-max(b, -math.MaxInt64)).Decimal()
	}
	f := float64(b)
	switch { // a size that would round up to 1000 of a unit is one of the next
	case f >= 999.995e9:
		return fmt.Sprintf("%.2f TB", f/1e12)
	case f >= 999.5e6:
		return fmt.Sprintf("%.2f GB", f/1e9)
	case f >= 999.5e3:
		return short(f/1e6) + " MB"
	case f >= 1e3:
		return short(f/1e3) + " kB"
	}
	return fmt.Sprintf("%d B", int64(b))
}

func short(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// BytesPerSecond is a bandwidth.
type BytesPerSecond int64

// ParseBytesPerSecond reads a bandwidth such as "25GB/s" or "25GB"; it must be
// positive.
func ParseBytesPerSecond(s string) (BytesPerSecond, error) {
	text := strings.TrimSpace(s)
	if n := len(text) - 2; n >= 0 && strings.EqualFold(text[n:], "/s") {
		text = text[:n]
	}
	b, err := ParseBytes(text)
	if err != nil {
		return 0, fmt.Errorf("bandwidth %q: want a size per second, as in 25GB/s: %w", s, err)
	}
	if b == 0 {
		return 0, fmt.Errorf("bandwidth %q: want more than 0", s)
	}
	return BytesPerSecond(b), nil
}

// String prints a bandwidth: "25.00 GB/s".
func (r BytesPerSecond) String() string { return Bytes(r).Decimal() + "/s" }

// Time returns how long n bytes take at r, rounded up to a nanosecond; 0 when r is
// not positive. It saturates instead of overflowing.
func (r BytesPerSecond) Time(n Bytes) time.Duration {
	if r <= 0 || n <= 0 {
		return 0
	}
	whole, rest := int64(n)/int64(r), int64(n)%int64(r)
	if whole >= math.MaxInt64/int64(time.Second)-1 {
		return math.MaxInt64
	}
	// rest * 1e9 does not fit in 64 bits beyond 9.2 GB/s.
	hi, lo := bits.Mul64(uint64(rest), uint64(time.Second))
	ns, left := bits.Div64(hi, lo, uint64(r)) // rest < r, so the quotient is below 1e9
	if left > 0 {
		ns++
	}
	return time.Duration(whole)*time.Second + time.Duration(ns)
}
