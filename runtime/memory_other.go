//go:build !unix

package runtime

import "context"

// withMemory leaves the memory of instances to wazero, which copies it to grow, and that of
// those that fail to begin to the collector.
func withMemory(ctx context.Context) (_ context.Context, discard func()) { return ctx, func() {} }
