//go:build !wasip1 && !tinygo.wasm

package offhost

// Log does nothing natively.
func Log(string) {}

// LogNumbers does nothing natively.
func LogNumbers(string, ...uint64) {}
