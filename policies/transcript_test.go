package policies

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/offhost/offhost/abi"
)

// The transcripts in testdata/transcripts are the policies' specification by example: each line
// of a result is a call that moved something, what it loaded and what went for it.
// Sizes are plain numbers, and a chunk is 1 unless said otherwise. Rewrite them with
// go test ./policies -run Transcripts -rewrite, and read the difference.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		var h *host
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "host": // host policy=NAME budget=N [chunk=N], then NAME BYTES [pinned|kept] a line
				var policy string
				chunk, budget := uint64(1), uint64(0)
				d.ScanArgs(t, "policy", &policy)
				d.ScanArgs(t, "budget", &budget)
				d.MaybeScanArgs(t, "chunk", &chunk)
				h = newHost(t, policy, chunk, budget)
				for line := range strings.Lines(d.Input) {
					if err := declare(h, strings.Fields(line)); err != nil {
						return err.Error()
					}
				}
				return ""
			case "run": // a request a line
				h.t = t
				h.log.Reset()
				for line := range strings.Lines(d.Input) {
					program, err := parse(strings.TrimSpace(line))
					if err != nil {
						return err.Error()
					}
					h.play(program)
					fmt.Fprintf(&h.log, "= %d\n", h.moved[len(h.moved)-1])
				}
				return h.log.String()
			case "resident":
				return h.resident()
			}
			return fmt.Sprintf("unknown command %q", d.Cmd)
		})
	})
}

func declare(h *host, fields []string) error {
	if len(fields) < 2 {
		return fmt.Errorf("component %q: want NAME BYTES", fields)
	}
	bytes, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return err
	}
	var flags abi.Flags
	for _, word := range fields[2:] {
		switch word {
		case "pinned":
			flags |= abi.FlagPinned
		case "kept":
			flags |= abi.FlagKept
		default:
			return fmt.Errorf("component %q: %q is neither pinned nor kept", fields[0], word)
		}
	}
	h.add(fields[0], bytes, flags)
	return nil
}
