// Package cuda is the device that moves weights on an NVIDIA GPU, through gorgonia.org/cu.
//
// A Device is the host's end: it implements host.Worker and speaks to a worker process,
// which alone has the GPU (package internal/worker, over internal/driver). When the GPU is
// lost to the worker, by an error that is final for its process, or the worker dies, every
// action in flight ends as host.Lost; Restore starts another worker, on which nothing is,
// and the engine loads again what it needs. The host process and its weights stay.
//
// The worker sees the weights through shared memory that it cannot write. Bytes that host
// memory does not hold, and those that are copied back, pass through a ring of shared
// memory: the host reads a chunk's file into a slot before it asks for the copy, and takes
// a chunk that has come back whole out of its slot.
//
// The package itself needs no cgo: only the worker does, which is in the binary when it was
// built with the tag cuda (make build). It decides nothing; whoever drives an engine uses
// it as any other host.Worker. It needs Linux.
package cuda
