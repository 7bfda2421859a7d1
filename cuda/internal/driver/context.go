//go:build cuda

package driver

// #include <cuda.h>
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/google/uuid"
	"gorgonia.org/cu"
)

// A GPU is a device of the driver's.
type GPU struct {
	Name  string
	UUID  string // "GPU-" and a UUID, or "MIG-" for a part of one, as nvidia-smi prints it
	Total int64  // bytes of memory
	PCI   string // address on the bus; empty when the driver does not say
	// VirtualMemory and Export say whether memory can be mapped at fixed addresses, and
	// given to other processes as descriptors. ReadOnlyPin says whether memory can be
	// pinned that must not be written.
	VirtualMemory, Export, ReadOnlyPin bool

	device cu.Device
}

// GPUs lists the devices.
func GPUs() ([]GPU, error) {
	n, err := cu.NumDevices()
	if err != nil {
		return nil, wrap("cuDeviceGetCount", err)
	}
	list := make([]GPU, n)
	for i := range list {
		if err := list[i].describe(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (g *GPU) describe(ordinal int) (err error) {
	if g.device, err = cu.GetDevice(ordinal); err != nil {
		return wrap("cuDeviceGet", err)
	}
	if g.Name, err = g.device.Name(); err != nil {
		return wrap("cuDeviceGetName", err)
	}
	if g.Total, err = g.device.TotalMem(); err != nil {
		return wrap("cuDeviceTotalMem", err)
	}
	if g.UUID, err = uuidOf(g.device); err != nil {
		return err
	}
	var pci [32]C.char
	if C.cuDeviceGetPCIBusId(&pci[0], C.int(len(pci)), C.CUdevice(g.device)) == C.CUDA_SUCCESS {
		g.PCI = C.GoString(&pci[0])
	}
	has := func(a C.CUdevice_attribute) bool {
		var v C.int
		return C.cuDeviceGetAttribute(&v, a, C.CUdevice(g.device)) == C.CUDA_SUCCESS && v != 0
	}
	g.VirtualMemory = has(C.CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED)
	g.Export = has(C.CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED)
	g.ReadOnlyPin = has(C.CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED)
	return nil
}

// uuidOf prefers the call that tells the parts of a divided GPU apart, which gorgonia
// does not bind.
func uuidOf(d cu.Device) (string, error) {
	whole, err := d.UUID()
	var id C.CUuuid
	if C.cuDeviceGetUuid_v2(&id, C.CUdevice(d)) == C.CUDA_SUCCESS {
		var u uuid.UUID
		for i := range u {
			u[i] = byte(id.bytes[i])
		}
		if err == nil && u != whole {
			return "MIG-" + u.String(), nil
		}
		return "GPU-" + u.String(), nil
	}
	if err != nil {
		return "", wrap("cuDeviceGetUuid", err)
	}
	return "GPU-" + whole.String(), nil
}

// ErrNoGPU is why a device could not be found.
var ErrNoGPU = errors.New("no such GPU")

// Find returns the device of a UUID, in full or its beginning, or the first when it is
// empty.
func Find(id string) (GPU, error) {
	list, err := GPUs()
	if err != nil {
		return GPU{}, err
	}
	var names []string
	var found []GPU
	for _, g := range list {
		names = append(names, fmt.Sprintf("%s (%s)", g.UUID, g.Name))
		if strings.HasPrefix(strings.ToLower(g.UUID), strings.ToLower(id)) {
			found = append(found, g)
		}
	}
	switch {
	case len(list) == 0:
		return GPU{}, fmt.Errorf("%w: the driver has none", ErrNoGPU)
	case id == "" || len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return GPU{}, fmt.Errorf("%w: %q is the beginning of %d of %s", ErrNoGPU, id, len(found), strings.Join(names, ", "))
	}
	return GPU{}, fmt.Errorf("%w: %q: want one of %s", ErrNoGPU, id, strings.Join(names, ", "))
}

// A Context is a device's primary context, the one that torch uses too.
type Context struct {
	GPU GPU
	ctx cu.CUContext
	// alone: physical memory is not made to be exported.
	alone bool
}

// Open retains a device's context. The caller's goroutine need not be locked.
func Open(g GPU) (*Context, error) {
	ctx, err := g.device.RetainPrimaryCtx()
	if err != nil {
		return nil, wrap("cuDevicePrimaryCtxRetain", err)
	}
	return &Context{GPU: g, ctx: ctx}, nil
}

// TryExport finds out whether memory can be exported, which under WSL a device says and
// the driver then refuses. From then on memory is made accordingly.
func (c *Context) TryExport() error {
	c.alone = !c.GPU.Export
	gran, err := c.Granularity()
	if err != nil && !c.alone {
		c.alone, c.GPU.Export = true, false
		_, err = c.Granularity()
	}
	if err != nil || c.alone {
		return err
	}
	h, err := c.Create(gran)
	if OutOfMemory(err) {
		return nil // it cannot be told now
	}
	if err == nil {
		var f *os.File
		if f, err = h.Export(); err == nil {
			f.Close()
		}
		if failed := h.Release(); failed != nil {
			return failed
		}
	}
	if err != nil {
		c.alone, c.GPU.Export = true, false
	}
	return nil
}

// Close releases it. Nothing that was made in it may be used any more.
func (c *Context) Close() error {
	return wrap("cuDevicePrimaryCtxRelease", c.GPU.device.ReleasePrimaryCtx())
}

// Bind locks the calling goroutine to its thread for good and makes the context current
// on it.
func (c *Context) Bind() error {
	runtime.LockOSThread()
	return wrap("cuCtxSetCurrent", cu.SetCurrentContext(c.ctx))
}

// Synchronize waits until all work in the context has ended.
func (c *Context) Synchronize() error { return wrap("cuCtxSynchronize", cu.Synchronize()) }

// Memory returns how much memory of the whole device is free, and how much there is.
func (c *Context) Memory() (free, total int64, err error) {
	free, total, err = cu.MemInfo()
	return free, total, wrap("cuMemGetInfo", err)
}
