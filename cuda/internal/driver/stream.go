//go:build cuda

package driver

import (
	"unsafe"

	"gorgonia.org/cu"
)

// An Address is one on the device.
type Address uintptr

// A Stream is a queue of work for the device, which does not wait for the default one.
type Stream struct{ s cu.Stream }

// Priorities returns the numbers of the least and the most urgent streams.
func (c *Context) Priorities() (least, most int, err error) {
	least, most, err = cu.StreamPriorityRange()
	return least, most, wrap("cuCtxGetStreamPriorityRange", err)
}

// NewStream makes a stream of a priority.
func (c *Context) NewStream(priority int) (*Stream, error) {
	s, err := cu.MakeStreamWithPriority(priority, cu.NonBlocking)
	if err != nil {
		return nil, wrap("cuStreamCreateWithPriority", err)
	}
	return &Stream{s}, nil
}

// Raw is the driver's own.
func (s *Stream) Raw() cu.Stream { return s.s }

// Close gives the stream back; work that is in it goes on.
func (s *Stream) Close() error { return wrap("cuStreamDestroy", s.s.Destroy()) }

// ToDevice queues a copy. The source must be pinned, and stay as it is until the copy has
// ended.
func (s *Stream) ToDevice(dst Address, src []byte) error {
	return wrap("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(cu.DevicePtr(dst), pointer(src), int64(len(src)), s.s))
}

// ToHost queues a copy. The destination must be pinned.
func (s *Stream) ToHost(dst []byte, src Address) error {
	return wrap("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(pointer(dst), cu.DevicePtr(src), int64(len(dst)), s.s))
}

// SetBytes queues setting n bytes, each a stride after the one before, to a value.
func (s *Stream) SetBytes(dst Address, stride int64, value byte, n int64) error {
	return wrap("cuMemsetD2D8Async", cu.MemsetD2D8Async(cu.DevicePtr(dst), stride, value, 1, n, s.s))
}

// Wait lets what is queued from now on wait for an event.
func (s *Stream) Wait(e *Event) error { return wrap("cuStreamWaitEvent", s.s.Wait(e.e, 0)) }

// Synchronize waits until the stream has run empty.
func (s *Stream) Synchronize() error { return wrap("cuStreamSynchronize", s.s.Synchronize()) }

// CopyToDevice copies memory that need not be pinned, and waits.
func CopyToDevice(dst Address, src []byte) error {
	return wrap("cuMemcpyHtoD", cu.MemcpyHtoD(cu.DevicePtr(dst), pointer(src), int64(len(src))))
}

// CopyToHost is the other direction.
func CopyToHost(dst []byte, src Address) error {
	return wrap("cuMemcpyDtoH", cu.MemcpyDtoH(pointer(dst), cu.DevicePtr(src), int64(len(dst))))
}

func pointer(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

// An Event marks a place in a stream.
type Event struct{ e cu.Event }

// NewEvent makes an event that keeps the time when it was reached, and on which a thread
// sleeps rather than spins.
func (c *Context) NewEvent() (*Event, error) {
	e, err := cu.MakeEvent(cu.BlockingSyncEvent)
	if err != nil {
		return nil, wrap("cuEventCreate", err)
	}
	return &Event{e}, nil
}

// Close gives the event back.
func (e *Event) Close() error { return wrap("cuEventDestroy", cu.DestroyEvent(&e.e)) }

// Record puts the event at the end of a stream.
func (e *Event) Record(s *Stream) error { return wrap("cuEventRecord", e.e.Record(s.s)) }

// Reached reports whether what was queued before the event has ended.
func (e *Event) Reached() (bool, error) {
	err := e.e.Query()
	if err == cu.NotReady {
		return false, nil
	}
	return err == nil, wrap("cuEventQuery", err)
}

// Synchronize waits until it is reached.
func (e *Event) Synchronize() error { return wrap("cuEventSynchronize", e.e.Synchronize()) }

// Since returns the seconds from another event to this one; both were reached.
func (e *Event) Since(begin *Event) (float64, error) {
	ms, err := begin.e.Elapsed(e.e)
	return ms / 1e3, wrap("cuEventElapsedTime", err)
}
