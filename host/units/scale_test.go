package units_test

import (
	"testing"
	"time"

	"github.com/offhost/offhost/host/units"
)

func TestScale(t *testing.T) {
	for _, c := range []struct {
		text string
		in   units.Bytes
		want units.Bytes
		show string
	}{
		{"1", units.MaxBytes, units.MaxBytes, "1"},
		{"7/7", 5, 5, "1"},
		{"1/64", 64, 1, "1/64"},
		{"1/64", 65, 2, "1/64"},
		{"1/64", 1, 1, "1/64"},
		{"1/64", 0, 0, "1/64"},
		{" 3 / 4 ", 10, 8, "3/4"},
		{"1048575/1048576", units.MaxBytes, units.MaxBytes - units.MaxBytes/1048576, "1048575/1048576"},
	} {
		s, err := units.ParseScale(c.text)
		if err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		if got := s.Bytes(c.in); got != c.want {
			t.Errorf("%s of %d bytes = %d, want %d", c.text, c.in, got, c.want)
		}
		if got := s.Time(time.Duration(c.in)); got != time.Duration(c.want) {
			t.Errorf("%s of %d ns = %d, want %d", c.text, c.in, got, c.want)
		}
		if s.String() != c.show {
			t.Errorf("%q shows as %q, want %q", c.text, s, c.show)
		}
	}
	if got := (units.Scale{}).Bytes(7); got != 7 {
		t.Errorf("the zero scale makes 7 bytes %d", got)
	}
	for _, bad := range []string{"", "0", "2", "3/2", "1/0", "-1/2", "1/-2", "1/2/3", "0.5", "x", "1/9999999999", "1/1048577"} {
		if s, err := units.ParseScale(bad); err == nil {
			t.Errorf("%q was read as %v", bad, s)
		}
	}
}
