package render

import (
	"fmt"
	"time"

	"github.com/offhost/offhost/host/units"
)

// nothing stands for zero in tables, where what is there should stand out.
const nothing = "-"

func size(n int64) string {
	if n == 0 {
		return nothing
	}
	return units.Bytes(n).Decimal()
}

func number(n int64) string {
	if n == 0 {
		return nothing
	}
	return fmt.Sprint(n)
}

// duration prints nanoseconds with about three digits: "2.41 s", "83 ms".
func duration(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d == 0:
		return nothing
	case d < 999_500*time.Nanosecond:
		return fmt.Sprintf("%.0f µs", max(1, float64(d)/1e3))
	case d < 999_500*time.Microsecond:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// ratio prints a as a multiple of b.
func ratio(a, b int64) string {
	switch {
	case a == b:
		return "1.00x"
	case b == 0:
		return nothing
	}
	x := float64(a) / float64(b)
	if x >= 99.95 {
		return fmt.Sprintf("%.0fx", x)
	}
	return fmt.Sprintf("%.2fx", x)
}

// share prints a ratio of 0 to 1 in percent.
func share(part, whole int64) string {
	if whole == 0 {
		return "0 %"
	}
	p := 100 * float64(part) / float64(whole)
	if p < 9.95 {
		return fmt.Sprintf("%.1f %%", p)
	}
	return fmt.Sprintf("%.0f %%", p)
}

// Count prints how many there are of something: "1 call", "2 calls".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// digest prints the first eight digits of a module's SHA-256, as a person compares
// them; a policy without a module has none.
func digest(sha256 string) string {
	if sha256 == "" {
		return ""
	}
	return " (sha256 " + ShortDigest(sha256) + ")"
}

// ShortDigest is the beginning of a digest, enough to tell modules apart by eye.
func ShortDigest(sha256 string) string { return Sentence(sha256[:min(8, len(sha256))]) }
