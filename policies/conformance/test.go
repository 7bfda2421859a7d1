package conformance

import (
	"bytes"
	"context"
	"strings"
)

// TB is what Test needs of *testing.T.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Test checks a module as Run does and reports to a test: failures as errors with the log
// that shows the fault, warnings as what the test logs.
func Test(t TB, wasm []byte, cfg Config) {
	t.Helper()
	r, err := Run(context.Background(), wasm, cfg)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	for _, v := range r.Verdicts {
		found := strings.Join(v.Found, "; ")
		if v.Result < Skipped {
			t.Logf("%-11s  %-7v  %s", v.Check, v.Result, found)
			continue
		}
		var log bytes.Buffer
		if v.Log != nil {
			if _, err := v.Log.WriteTo(&log); err != nil {
				t.Errorf("%v", err)
			}
		}
		t.Errorf("%s: %s\n%s", v.Check, found, log.String())
	}
}
