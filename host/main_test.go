package host_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain raises rapid's hundred cases: an engine step takes microseconds, and the
// rules are worth seconds. -rapid.checks=N chooses another number.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20000"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
