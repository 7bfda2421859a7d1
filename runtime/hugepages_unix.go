//go:build unix && !linux

package runtime

// wantHugePages leaves the choice to the system.
func wantHugePages([]byte) {}
