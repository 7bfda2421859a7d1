//go:build cuda

// Package emu speaks to the stand-in driver (cuda/emulator) beyond the driver's own
// interface: faults that it is to make, its books of misuse and leaks, its kernel and its
// clock. Tests use it; with a real driver there is none, and they skip what needs it.
package emu

// #cgo CFLAGS: -I${SRCDIR}/../../include -I${SRCDIR}/../../emulator -std=c11 -Wall -Wextra
// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// #include <offhost_emu.h>
//
// static int has(void *library) { return dlsym(library, "offhostEmuVersion") != NULL; }
// #define CALL(name) ((__typeof__(&name))dlsym(library, #name))
// static int fault(void *library, const char *function, unsigned nth, unsigned count, int code, unsigned flags) {
//	return CALL(offhostEmuFault)(function, nth, count, (CUresult)code, flags);
// }
// static void clearFaults(void *library) { CALL(offhostEmuFaultsClear)(); }
// static unsigned armed(void *library) { return CALL(offhostEmuFaultsArmed)(); }
// static unsigned long misuses(void *library, int kind) { return CALL(offhostEmuMisuseCount)(kind); }
// static const char *misuseName(void *library, int kind) { return CALL(offhostEmuMisuseName)(kind); }
// static size_t misuseText(void *library, size_t i, char *text, size_t n) { return CALL(offhostEmuMisuseText)(i, text, n); }
// static unsigned long leaks(void *library, int note) { return CALL(offhostEmuLeaks)(note); }
// static void reset(void *library) { CALL(offhostEmuReset)(); }
// static int kernel(void *library, CUstream s, CUdeviceptr at, size_t n, unsigned access, unsigned fill, unsigned us, uint64_t *sum) {
//	struct offhostEmuRange r = {at, n, access, fill};
//	return CALL(offhostEmuKernel)(s, &r, 1, us, sum);
// }
// static size_t copies(void *library, struct offhostEmuCopy *list, size_t n) { return CALL(offhostEmuCopies)(list, n); }
// static int bandwidth(void *library, int direction, uint64_t rate) { return CALL(offhostEmuBandwidth)(direction, rate); }
import "C"

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/offhost/offhost/cuda/internal/driver"
)

// An Emulator is the loaded library, when it is the stand-in.
type Emulator struct{ library unsafe.Pointer }

// Open returns the stand-in; false when the driver is another one.
func Open() (*Emulator, bool) {
	l, err := driver.Load()
	if err != nil {
		return nil, false
	}
	path := C.CString(l.Path)
	defer C.free(unsafe.Pointer(path))
	library := C.dlopen(path, C.RTLD_NOW|C.RTLD_NOLOAD)
	if library == nil || C.has(library) == 0 {
		return nil, false
	}
	return &Emulator{library}, true
}

// Flags of a fault.
const (
	Sticky = uint(C.OFFHOST_EMU_FAULT_STICKY) // it leaves the process without a device
	Late   = uint(C.OFFHOST_EMU_FAULT_LATE)   // not the call fails, but the work that it queued
	Thread = uint(C.OFFHOST_EMU_FAULT_THREAD) // only calls of this thread count
)

// Fault lets the nth next call of a function, 1 being the next, return a code.
func (e *Emulator) Fault(function string, nth int, code int, flags uint) error {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	if r := C.fault(e.library, name, C.uint(nth), 1, C.int(code), C.uint(flags)); r != C.CUDA_SUCCESS {
		return fmt.Errorf("the stand-in does not fail %s so: error %d", function, r)
	}
	return nil
}

// Inject makes the fault of a text, "function:code" or "function:code:flags", in the next
// call of this thread.
func (e *Emulator) Inject(text string) error {
	part := strings.Split(text, ":")
	if len(part) == 2 {
		part = append(part, "0")
	}
	if len(part) != 3 {
		return fmt.Errorf("fault %q: want function:code or function:code:flags", text)
	}
	code, err := strconv.Atoi(part[1])
	if err != nil {
		return fmt.Errorf("fault %q: %w", text, err)
	}
	flags, err := strconv.Atoi(part[2])
	if err != nil {
		return fmt.Errorf("fault %q: %w", text, err)
	}
	return e.Fault(part[0], 1, code, uint(flags)|Thread)
}

// ClearFaults takes back those that were not made yet; Armed is how many these are.
func (e *Emulator) ClearFaults() { C.clearFaults(e.library) }
func (e *Emulator) Armed() int   { return int(C.armed(e.library)) }

// Misuses is how often each kind of misuse was seen.
func (e *Emulator) Misuses() map[string]int {
	seen := map[string]int{}
	for kind := range C.int(C.OFFHOST_EMU_MISUSES) {
		if n := C.misuses(e.library, kind); n > 0 {
			seen[C.GoString(C.misuseName(e.library, kind))] = int(n)
		}
	}
	return seen
}

// Said are the texts of the first misuses.
func (e *Emulator) Said() (list []string) {
	var text [1024]C.char
	for i := C.size_t(0); C.misuseText(e.library, i, &text[0], C.size_t(len(text))) > 0; i++ {
		list = append(list, C.GoString(&text[0]))
	}
	return list
}

// Leaks is how much this process holds of the driver's and has not given back. With note,
// each is a misuse.
func (e *Emulator) Leaks(note bool) int {
	n := C.int(0)
	if note {
		n = 1
	}
	return int(C.leaks(e.library, n))
}

// Reset forgets misuses and copies.
func (e *Emulator) Reset() { C.reset(e.library) }

// Kernel queues a kernel that reads a range for a time.
func (e *Emulator) Kernel(s *driver.Stream, at driver.Address, n int64, d time.Duration) error {
	stream := s.Raw()
	if r := C.kernel(e.library, C.CUstream(unsafe.Pointer(stream.C())), C.CUdeviceptr(at), C.size_t(n), C.OFFHOST_EMU_READ, 0, C.uint(d.Microseconds()), nil); r != C.CUDA_SUCCESS {
		return &driver.Error{Call: "offhostEmuKernel", Code: int(r)}
	}
	return nil
}

// A Copy is one that a copy engine has made.
type Copy struct {
	Begin, End time.Duration // by one clock
	Bytes      int64
	ToDevice   bool
}

// Copies are those that were completed, the oldest first.
func (e *Emulator) Copies() []Copy {
	n := C.copies(e.library, nil, 0)
	if n == 0 {
		return nil
	}
	raw := make([]C.struct_offhostEmuCopy, n)
	n = min(n, C.copies(e.library, &raw[0], n))
	var list []Copy
	for _, c := range raw[:n] {
		if c.direction != C.OFFHOST_EMU_D2D {
			list = append(list, Copy{Begin: time.Duration(c.begin), End: time.Duration(c.end), Bytes: int64(c.bytes), ToDevice: c.direction == C.OFFHOST_EMU_H2D})
		}
	}
	return list
}

// Bandwidth sets how fast copies are from now on, in bytes a second; 0 is as fast as can be.
func (e *Emulator) Bandwidth(h2d, d2h uint64) error {
	for direction, rate := range map[C.int]uint64{C.OFFHOST_EMU_H2D: h2d, C.OFFHOST_EMU_D2H: d2h} {
		if r := C.bandwidth(e.library, direction, C.uint64_t(rate)); r != C.CUDA_SUCCESS {
			return &driver.Error{Call: "offhostEmuBandwidth", Code: int(r)}
		}
	}
	return nil
}
