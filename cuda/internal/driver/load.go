//go:build cuda

package driver

// #cgo CFLAGS: -I${SRCDIR}/../../include -std=c11 -Wall -Wextra
// #cgo LDFLAGS: -Wl,--as-needed -L${SRCDIR}/lib -ldl
// #include <stdlib.h>
// #include "load.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// Library is the name under which the driver is looked for, unless LibraryVariable in the
// environment names another: a path, or a name for the system's search.
const (
	Library         = "libcuda.so.1"
	LibraryVariable = "OFFHOST_CUDA_LIB"
)

// ErrNoDriver is why the driver could not be loaded.
var ErrNoDriver = errors.New("the CUDA driver could not be loaded")

// A Loaded library is the process's only one.
type Loaded struct {
	Path    string
	Version int // 12040 is 12.4
	// Missing are functions that this package calls and the library lacks.
	Missing []string
}

// called are the driver's functions behind this package's. What else gorgonia links, an
// old or a new driver may lack.
var called = []string{
	"cuCtxGetStreamPriorityRange", "cuCtxSetCurrent", "cuCtxSynchronize", "cuDeviceGet", "cuDeviceGetAttribute", "cuDeviceGetCount",
	"cuDeviceGetName", "cuDeviceGetUuid", "cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRetain", "cuDeviceTotalMem_v2",
	"cuDriverGetVersion", "cuEventCreate", "cuEventDestroy_v2", "cuEventElapsedTime", "cuEventRecord", "cuEventSynchronize",
	"cuGetErrorName", "cuGetErrorString", "cuMemAddressFree", "cuMemAddressReserve", "cuMemCreate", "cuMemExportToShareableHandle",
	"cuMemFreeHost", "cuMemGetAllocationGranularity", "cuMemGetInfo_v2", "cuMemHostAlloc", "cuMemHostRegister_v2",
	"cuMemHostUnregister", "cuMemImportFromShareableHandle", "cuMemMap", "cuMemRelease", "cuMemSetAccess", "cuMemUnmap",
	"cuMemcpyDtoHAsync_v2", "cuMemcpyDtoH_v2", "cuMemcpyHtoDAsync_v2", "cuMemcpyHtoD_v2", "cuStreamCreateWithPriority",
	"cuStreamDestroy_v2", "cuStreamSynchronize",
}

// Has reports whether the library has a symbol.
func (l *Loaded) Has(symbol string) bool {
	name := C.CString(symbol)
	defer C.free(unsafe.Pointer(name))
	return C.offhost_cu_has(name) != 0
}

var load = sync.OnceValues(func() (*Loaded, error) {
	l := &Loaded{Path: os.Getenv(LibraryVariable)}
	if l.Path == "" {
		l.Path = Library
	}
	path := C.CString(l.Path)
	defer C.free(unsafe.Pointer(path))
	if why := C.offhost_cu_load(path); why != nil {
		return nil, fmt.Errorf("%w: %s", ErrNoDriver, C.GoString(why))
	}
	for _, name := range called {
		if !l.Has(name) {
			l.Missing = append(l.Missing, name)
		}
	}
	if err := initialize(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoDriver, l.Path, err)
	}
	l.Version = cu.Version()
	return l, nil
})

// Load loads the driver, the first time, and says what was loaded.
func Load() (*Loaded, error) { return load() }
