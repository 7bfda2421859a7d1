package meter

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The digest is over all that makes the meter.
func TestDigestIsOfAllSources(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			want = append(want, name)
		}
	}
	embedded, err := sources.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range embedded {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the digest is over %v, want it over %v", got, want)
	}
	if len(Digest()) != 64 {
		t.Errorf("the digest is %q", Digest())
	}
}
