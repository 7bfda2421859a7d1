//go:build cuda

package driver

// #include <cuda.h>
import "C"

import "unsafe"

// Pin pins memory of the system's, so that copies from it, and to it unless it must not be
// written, need no staging. The memory must not be Go's.
func (c *Context) Pin(p []byte, readOnly bool) error {
	flags := C.uint(C.CU_MEMHOSTREGISTER_PORTABLE)
	if readOnly {
		flags |= C.CU_MEMHOSTREGISTER_READ_ONLY
	}
	return check("cuMemHostRegister", C.cuMemHostRegister(pointer(p), C.size_t(len(p)), flags))
}

// Unpin undoes Pin, when no copy uses the memory any more.
func (c *Context) Unpin(p []byte) error {
	return check("cuMemHostUnregister", C.cuMemHostUnregister(pointer(p)))
}

// Pinned allocates pinned memory. FreePinned gives it back.
func (c *Context) Pinned(size int64) ([]byte, error) {
	var p unsafe.Pointer
	if err := check("cuMemHostAlloc", C.cuMemHostAlloc(&p, C.size_t(size), C.CU_MEMHOSTALLOC_PORTABLE)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// FreePinned gives memory of Pinned back.
func (c *Context) FreePinned(p []byte) error {
	return check("cuMemFreeHost", C.cuMemFreeHost(pointer(p)))
}
