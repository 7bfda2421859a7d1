package sweep

import (
	"context"

	"github.com/offhost/offhost/host/units"
)

// A Steady is a trace at a budget where much depends on the policy, and what a good
// one needs once it knows the trace.
type Steady struct {
	Trace  string
	Budget units.Bytes
	Most   float64 // GB to the device a request that sticky-loop is held to
}

// SteadyStates lists them; workspace is ignored in all.
func SteadyStates() []Steady {
	return []Steady{
		{"flux-bf16", 32 * units.GB, 3.3},
		{"flux-controlnet", 32 * units.GB, 17.5},
		{"flux-controlnet", 40 * units.GB, 0.8},
		{"flux-bf16-blocks", 20 * units.GB, 130},
		{"flux-bf16-blocks", 32 * units.GB, 3.2},
		{"wan22-a14b", 64 * units.GB, 8},
		// 30 MB less than the transformer and the VAE need together.
		{"chunked-i2v", 32_789_757_568 + 253_785_062 - 30*units.MB, 25.5},
	}
}

// Measure replays six requests and returns the mean of the last two, in GB to the
// device.
func (s Steady) Measure(ctx context.Context, policy string) (float64, error) {
	r, err := Replay(ctx, Run{Trace: s.Trace, Policy: policy, Budget: s.Budget, Requests: 6, IgnoreWorkspace: true})
	if err != nil {
		return 0, err
	}
	return float64(r.PerRequest[4].H2DBytes+r.PerRequest[5].H2DBytes) / 2 / 1e9, nil
}
