//go:build cuda

package driver

// #include <cuda.h>
// #include "import.h"
import "C"

import (
	"os"
	"syscall"
	"unsafe"
)

// A Handle is physical memory of the device. It lives until its last handle, mapping and
// descriptor, in any process, is gone.
type Handle struct {
	h C.CUmemGenericAllocationHandle
}

func (c *Context) properties() *C.CUmemAllocationProp {
	p := new(C.CUmemAllocationProp)
	p._type = C.CU_MEM_ALLOCATION_TYPE_PINNED
	if !c.alone {
		p.requestedHandleTypes = C.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
	}
	p.location._type = C.CU_MEM_LOCATION_TYPE_DEVICE
	p.location.id = C.int(c.GPU.device)
	return p
}

// Granularity is what sizes of physical memory, and addresses of mappings, are multiples
// of.
func (c *Context) Granularity() (int64, error) {
	var n C.size_t
	err := check("cuMemGetAllocationGranularity", C.cuMemGetAllocationGranularity(&n, c.properties(), C.CU_MEM_ALLOC_GRANULARITY_MINIMUM))
	return int64(n), err
}

// Create allocates physical memory that can be exported.
func (c *Context) Create(size int64) (Handle, error) {
	var h Handle
	err := check("cuMemCreate", C.cuMemCreate(&h.h, C.size_t(size), c.properties(), 0))
	return h, err
}

// Release gives a handle up. Mappings stay.
func (h Handle) Release() error { return check("cuMemRelease", C.cuMemRelease(h.h)) }

// Export returns a descriptor of the memory, which the caller closes.
func (h Handle) Export() (*os.File, error) {
	fd := C.int(-1)
	// No child may inherit it: it would keep the memory.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := check("cuMemExportToShareableHandle", C.cuMemExportToShareableHandle(unsafe.Pointer(&fd), h.h, C.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0)); err != nil {
		return nil, err
	}
	syscall.CloseOnExec(int(fd))
	return os.NewFile(uintptr(fd), "device memory"), nil
}

// Import makes a handle of a descriptor from another process. The caller may close the
// descriptor then.
func (c *Context) Import(f *os.File) (Handle, error) {
	var h Handle
	err := check("cuMemImportFromShareableHandle", C.offhost_cu_import(&h.h, C.int(f.Fd())))
	return h, err
}

// Reserve takes a range of addresses, at a multiple of align, 0 for any.
func (c *Context) Reserve(size, align int64) (Address, error) {
	var at C.CUdeviceptr
	err := check("cuMemAddressReserve", C.cuMemAddressReserve(&at, C.size_t(size), C.size_t(align), 0, 0))
	return Address(at), err
}

// Free gives a range back in which nothing is mapped.
func (c *Context) Free(at Address, size int64) error {
	return check("cuMemAddressFree", C.cuMemAddressFree(C.CUdeviceptr(at), C.size_t(size)))
}

// Map makes all of a handle's memory appear at an address. It cannot be accessed before
// Allow.
func (c *Context) Map(at Address, size int64, h Handle) error {
	return check("cuMemMap", C.cuMemMap(C.CUdeviceptr(at), C.size_t(size), 0, h.h, 0))
}

// Allow lets this device read a mapping, and write it when asked.
func (c *Context) Allow(at Address, size int64, write bool) error {
	var d C.CUmemAccessDesc
	d.location._type = C.CU_MEM_LOCATION_TYPE_DEVICE
	d.location.id = C.int(c.GPU.device)
	d.flags = C.CU_MEM_ACCESS_FLAGS_PROT_READ
	if write {
		d.flags = C.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
	}
	return check("cuMemSetAccess", C.cuMemSetAccess(C.CUdeviceptr(at), C.size_t(size), &d, 1))
}

// Unmap takes a mapping away. It does not wait for work that uses it: the caller has.
func (c *Context) Unmap(at Address, size int64) error {
	return check("cuMemUnmap", C.cuMemUnmap(C.CUdeviceptr(at), C.size_t(size)))
}
