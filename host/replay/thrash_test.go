package replay_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/offhost/offhost/host/units"
)

// The budget that the note on thrashing names holds what the loop calls: what is entered
// around it and the workspaces of both as well. It is not rounded to less.
func TestTheCureForThrashingCures(t *testing.T) {
	const (
		header = `{"kind":"trace","format":"offhost.trace/1","name":"loop"}
{"kind":"component","name":"unet","bytes":40000000,"workspace_bytes":30000000}
{"kind":"component","name":"unet.0","bytes":20000000,"workspace_bytes":10000000,"parent":"unet","index":0}
{"kind":"component","name":"unet.1","bytes":20000000,"parent":"unet","index":1}
{"kind":"pipeline","name":"p","components":["unet"]}
{"kind":"begin","request":1,"pipeline":"p"}
`
		enter  = `{"kind":"enter","component":"unet"}` + "\n"
		blocks = `{"kind":"call","component":"unet.0","compute_ns":10}` + "\n" + `{"kind":"call","component":"unet.1","compute_ns":10}` + "\n"
		exit   = `{"kind":"exit","component":"unet"}` + "\n"
		end    = `{"kind":"end","request":1}` + "\n"
		all    = 80 * MB
		steps  = 10
	)
	// A gigabyte more of the whole, and a workspace that does not show in the sum's digits.
	large := strings.NewReplacer(`40000000`, `1040000000`, `10000000,"parent"`, `12000000,"parent"`).Replace(header)
	for _, c := range []struct {
		name, trace string
		more        units.Bytes
	}{
		{"entered once", header + enter + strings.Repeat(blocks, steps) + exit + end, 0},
		{"entered at each step", header + strings.Repeat(enter+blocks+exit, steps) + end, 0},
		{"of gigabytes", large + enter + strings.Repeat(blocks, steps) + exit + end, 1000 * MB},
	} {
		cfg := small(text(t, c.trace, 1))
		cfg.Budget = 105*MB + c.more
		r := run(t, cfg)
		note := regexp.MustCompile(`a budget of (.*) would hold`).FindStringSubmatch(strings.Join(r.Notes, "\n"))
		if r.Thrash == 0 || note == nil {
			t.Fatalf("%s: thrash %d, %q", c.name, r.Thrash, r.Notes)
		}
		cure, err := units.ParseBytes(note[1])
		if err != nil {
			t.Fatal(err)
		}
		cfg = small(text(t, c.trace, 1))
		cfg.Budget = cure
		if r = run(t, cfg); r.Thrash > 0 || r.H2DBytes != int64(all+c.more) {
			t.Errorf("%s: at %v, thrash %d and %v moved in: want none and %v", c.name, cure, r.Thrash, units.Bytes(r.H2DBytes), all+c.more)
		}
	}
}
