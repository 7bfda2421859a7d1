//go:build !unix

package runtime

import "context"

// withMemory leaves the memory of instances to wazero, which copies it to grow.
func withMemory(ctx context.Context) context.Context { return ctx }
