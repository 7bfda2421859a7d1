//go:build !wasip1 && !tinygo.wasm

package offhost

// Log does nothing natively.
func Log(string) {}
