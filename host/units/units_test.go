package units_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/host/units"
)

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want units.Bytes
	}{
		{"0", 0},
		{"0.0", 0},
		{"1048576B", units.MiB},
		{"24GiB", 24 * units.GiB},
		{"24 gib", 24 * units.GiB},
		{" 24GB ", 24 * units.GB},
		{"23.8GB", 23_800_000_000},
		{"1.5KiB", 1536},
		{"1e3kB", units.MB},
		{"512B", 512},
		{"0.6B", 1},
		{"2TB", 2 * units.TB},
		{"1TiB", units.TiB},
		{"9007199254740991B", units.MaxBytes},
	} {
		got, err := units.ParseBytes(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", c.in, got, err, c.want)
		}
	}
}

func TestParseBytesSaysWhatIsRight(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "want a number"},
		{"GiB", "want a number"},
		{"24GBps", "24GiB"},
		{"24 Gibibytes", "B, kB to TB, KiB to TiB"},
		{"-1GB", "not negative"},
		{"-0.1B", "not negative"},
		{"NaN", "want a number"},
		{"inf GB", "want a number"},
		{"1.2.3GB", "not a number"},
		{"1 000 GB", "not a number"},
		{"0x10kB", "not a number"},
		{"1_000B", "not a number"},
		{"12", `"12" has no unit: want one, as in 12GiB`},
		{"1048576", "has no unit"},
		{" 0.5 ", "as in 0.5GiB"},
		{"1e300", "has no unit"},
		{"9007199254740992B", "9007199254740991"},
		{"8192TiB", "9007199254740991"},
		{"1e300TB", "9007199254740991"},
	} {
		got, err := units.ParseBytes(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseBytes(%q) = %d, %v; want an error that says %q", c.in, got, err, c.want)
		}
	}
}

func TestBytesPrintHonestly(t *testing.T) {
	for _, c := range []struct {
		in   units.Bytes
		want string
	}{
		{0, "0 B"},
		{999, "999 B"},
		{1500, "1.5 kB"},
		{32 * units.MiB, "32 MiB"},
		{units.GiB, "1 GiB"},
		{24 * units.GiB, "24 GiB"},
		{units.GiB * 3 / 2, "1.5 GiB"},
		{22 * units.GiB / 10, "2.36 GB"}, // not a whole number of bytes
		{23_802_816_640, "23.80 GB"},
		{167_666_902, "168 MB"},
		{1_500_000, "1.5 MB"},
		{999_499_999, "999 MB"},
		{999_500_000, "1.00 GB"},
		{1_000_000_000_000, "1.00 TB"},
		{-5 * units.GB, "-5.00 GB"},
		{math.MinInt64, "-9223372.04 TB"},
	} {
		if got := c.in.String(); got != c.want {
			t.Errorf("Bytes(%d) prints %q, want %q", int64(c.in), got, c.want)
		}
	}
}

func TestExactSizesReadAsTheyWere(t *testing.T) {
	for b, want := range map[units.Bytes]string{
		0: "0B", 1: "1B", 4097: "4097B", 24 * units.GB: "24GB", 2 * units.GiB: "2GiB", 256 * units.MiB: "256MiB",
		1_500_000: "1500kB", units.MaxBytes: "9007199254740991B",
	} {
		got := b.Exact()
		again, err := units.ParseBytes(got)
		if got != want || err != nil || again != b {
			t.Errorf("%d is %q, which reads as %d (%v), want %q", b, got, again, err, want)
		}
	}
}

func TestWhatHasToBeHadIsRoundedUp(t *testing.T) {
	for _, c := range []struct {
		in   units.Bytes
		want string
	}{
		{0, "0 B"}, {999, "999 B"}, {1001, "1.1 kB"}, {300 * units.MiB, "300 MiB"}, {314_000_000, "314 MB"}, {314_000_001, "315 MB"},
		{24 * units.GiB, "24 GiB"}, {46_268_416_000, "46.27 GB"}, {46_272_610_304, "46.28 GB"}, {999_996_000_000, "1.00 TB"},
		{1_000_000_000_001, "1.01 TB"}, {units.MaxBytes, units.MaxBytes.String()}, {math.MaxInt64, units.Bytes(math.MaxInt64).String()},
	} {
		got := c.in.AtLeast()
		if n, err := units.ParseBytes(got); got != c.want || c.in < units.MaxBytes && (err != nil || n < c.in) {
			t.Errorf("%d: %q, which reads as %d, %v; want %q", c.in, got, n, err, c.want)
		}
	}
}

func TestParseBytesPerSecond(t *testing.T) {
	for _, in := range []string{"25GB/s", "25 GB/S", "25GB", "25000000000B/s"} {
		got, err := units.ParseBytesPerSecond(in)
		if err != nil || got != 25e9 {
			t.Errorf("ParseBytesPerSecond(%q) = %d, %v; want 25e9", in, got, err)
		}
	}
	for _, in := range []string{"", "/s", "0", "0.1B/s", "-1GB/s", "fast", "25GB/h", "25", "25/s", "25000000000"} {
		if got, err := units.ParseBytesPerSecond(in); err == nil {
			t.Errorf("ParseBytesPerSecond(%q) = %d; want an error", in, got)
		}
	}
}

func TestTimeRoundsUpToANanosecond(t *testing.T) {
	for _, c := range []struct {
		rate units.BytesPerSecond
		n    units.Bytes
		want time.Duration
	}{
		{25e9, 25e9, time.Second},
		{25e9, 50e9 + 25, 2*time.Second + 1},
		{25e9, 1, 1}, // 0.04 ns
		{10, 7, 700 * time.Millisecond},
		{3, 1, 333_333_334},
		{units.BytesPerSecond(units.MaxBytes), units.MaxBytes - 1, time.Second},
		{0, 1, 0},
		{25e9, 0, 0},
		{25e9, -1, 0},
		{1, units.MaxBytes, math.MaxInt64}, // 285 million years
	} {
		if got := c.rate.Time(c.n); got != c.want {
			t.Errorf("%d B/s: %d bytes take %d ns, want %d", int64(c.rate), int64(c.n), got, c.want)
		}
	}
}

// Whatever the text, parsing does not panic, a size lies in 0 to MaxBytes, and its
// count of bytes reads back as itself.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"24GiB", "23.8 GB", "1e3kB", "-1", "9007199254740991", "0x1p4", "٣GB", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := units.ParseBytes(s)
		if err != nil {
			if b != 0 {
				t.Fatalf("ParseBytes(%q) = %d with an error", s, b)
			}
			return
		}
		if b < 0 || b > units.MaxBytes {
			t.Fatalf("ParseBytes(%q) = %d, outside 0 to %d", s, b, units.MaxBytes)
		}
		if b > units.MaxBytes-10*units.GB {
			return // rounding may lead out of the range
		}
		again, err := units.ParseBytes(b.Decimal())
		if err != nil {
			t.Fatalf("%d prints %q, which does not read: %v", b, b.Decimal(), err)
		}
		if diff := math.Abs(float64(again - b)); diff > 0.06*float64(b) {
			t.Fatalf("%d prints %q, which reads %d", b, b.Decimal(), again)
		}
	})
}
