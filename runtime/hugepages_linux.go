package runtime

import "golang.org/x/sys/unix"

// wantHugePages asks for them. A system that has none gives small ones.
func wantHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
