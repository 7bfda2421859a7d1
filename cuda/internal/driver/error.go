//go:build cuda

package driver

// #include <cuda.h>
import "C"

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"
)

// An Error is a call of the driver that did not succeed.
type Error struct {
	Call string // the driver's function
	Code int    // a CUresult
}

func (e *Error) Error() string {
	var name, text *C.char
	if C.cuGetErrorName(C.CUresult(e.Code), &name) != C.CUDA_SUCCESS || name == nil {
		return fmt.Sprintf("%s: error %d", e.Call, e.Code)
	}
	if C.cuGetErrorString(C.CUresult(e.Code), &text) != C.CUDA_SUCCESS || text == nil {
		return fmt.Sprintf("%s: %s", e.Call, C.GoString(name))
	}
	return fmt.Sprintf("%s: %s (%s)", e.Call, C.GoString(name), C.GoString(text))
}

// Is lets errors.Is find gorgonia's result of the same code, such as cu.OutOfMemory.
func (e *Error) Is(target error) bool {
	if target == errSticky {
		return sticky[e.Code]
	}
	code, ok := codeOf(target)
	return ok && code == e.Code
}

// OutOfMemory reports whether an error says that memory, on the device or in the host,
// could not be had.
func OutOfMemory(err error) bool { return errors.Is(err, cu.OutOfMemory) }

// sticky are the results after which no call of this process succeeds any more: the
// driver's documentation says of each that the process must be ended to go on.
var sticky = map[int]bool{
	C.CUDA_ERROR_ECC_UNCORRECTABLE:     true,
	C.CUDA_ERROR_NVLINK_UNCORRECTABLE:  true,
	C.CUDA_ERROR_CONTEXT_IS_DESTROYED:  true,
	C.CUDA_ERROR_ILLEGAL_ADDRESS:       true,
	C.CUDA_ERROR_LAUNCH_TIMEOUT:        true,
	C.CUDA_ERROR_ASSERT:                true,
	C.CUDA_ERROR_HARDWARE_STACK_ERROR:  true,
	C.CUDA_ERROR_ILLEGAL_INSTRUCTION:   true,
	C.CUDA_ERROR_MISALIGNED_ADDRESS:    true,
	C.CUDA_ERROR_INVALID_ADDRESS_SPACE: true,
	C.CUDA_ERROR_INVALID_PC:            true,
	C.CUDA_ERROR_LAUNCH_FAILED:         true,
	C.CUDA_ERROR_SYSTEM_NOT_READY:      true,
	C.CUDA_ERROR_MPS_CLIENT_TERMINATED: true,
	C.CUDA_ERROR_UNKNOWN:               true,
}

// errSticky is found in an error, or in any of several that were joined, by errors.Is.
var errSticky = errors.New("the device is lost to this process")

// Sticky reports whether an error means that this process has lost its device.
func Sticky(err error) bool { return errors.Is(err, errSticky) }

// wrap names the call in an error of gorgonia's.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	if code, ok := codeOf(err); ok {
		return &Error{call, code}
	}
	return fmt.Errorf("%s: %w", call, err)
}

func check(call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return &Error{call, int(r)}
}

func initialize() error { return check("cuInit", C.cuInit(0)) }
