// Package units names the two quantities that offhost counts, bytes and bytes per
// second, and reads and prints them as people write them. Every other package
// that takes or shows a size uses these types; none does arithmetic on text.
package units

import (
	"fmt"
	"math"
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

// ParseBytes reads a size such as "24GiB", "23.8 GB" or "1048576". A number
// without a unit is bytes. Units are B, kB, MB, GB, TB (powers of 1000) and KiB,
// MiB, GiB, TiB (powers of 1024); case does not matter. The result is rounded to
// a whole byte and lies in 0 to MaxBytes.
func ParseBytes(s string) (Bytes, error) {
	text := strings.TrimSpace(s)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	name := strings.TrimSpace(text[len(digits):])
	unit := Bytes(0)
	if name == "" {
		unit = 1
	}
	for _, x := range suffixes {
		if strings.EqualFold(x.name, name) {
			unit = x.unit
		}
	}
	if unit == 0 || digits == "" {
		return 0, fmt.Errorf("size %q: want a number and a unit, as in 24GiB, 23.8GB or 512MiB (B, kB to TB, KiB to TiB)", s)
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if n < 0 || n > int64(MaxBytes/unit) {
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

// String prints a size honestly: in binary units when it is a whole number of MiB
// (as budgets and chunks are), else in decimal ones (as weights are), with three
// or four significant digits.
func (b Bytes) String() string {
	switch {
	case b != 0 && b%GiB == 0:
		return fmt.Sprintf("%d GiB", b/GiB)
	case b >= 10*GiB && b%MiB == 0 && (b*10)%GiB == 0:
		return fmt.Sprintf("%.1f GiB", float64(b)/float64(GiB))
	case b != 0 && b < GiB && b%MiB == 0:
		return fmt.Sprintf("%d MiB", b/MiB)
	}
	return b.Decimal()
}

// Decimal prints a size in powers of 1000: "23.80 GB", "168 MB", "0 B".
func (b Bytes) Decimal() string {
	f, neg := float64(b), ""
	if b < 0 {
		f, neg = -f, "-"
	}
	switch {
	case f >= 1e12:
		return fmt.Sprintf("%s%.2f TB", neg, f/1e12)
	case f >= 1e9:
		return fmt.Sprintf("%s%.2f GB", neg, f/1e9)
	case f >= 1e6:
		return fmt.Sprintf("%s%.0f MB", neg, f/1e6)
	case f >= 1e3:
		return fmt.Sprintf("%s%.0f kB", neg, f/1e3)
	}
	return fmt.Sprintf("%s%.0f B", neg, f)
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
	if whole > math.MaxInt64/int64(time.Second)-1 {
		return math.MaxInt64
	}
	// rest < r <= 2^53: the product needs 128 bits only beyond 9.2 GB/s, where a
	// float's 2^-53 relative error is below a nanosecond.
	return time.Duration(whole)*time.Second + time.Duration(math.Ceil(float64(rest)/float64(r)*1e9))
}
