package host_test

import (
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/enginetest"
)

// The rules that the engine never breaks, whatever a policy says and a device does. A
// failure prints the seed that replays it (-rapid.seed).
func TestRulesHoldUnderRandomEventsAndFaults(t *testing.T) {
	enginetest.Run(t, enginetest.Bench{Scale: 1, Open: enginetest.Fake, Dump: (*host.Engine).Dump})
}
