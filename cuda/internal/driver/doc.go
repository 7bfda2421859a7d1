// Package driver is the CUDA driver as this project uses it: one library that is loaded at
// run time, the calls that gorgonia.org/cu binds and, in a thin cgo file of our own, those
// that it lacks (pinned memory, virtual memory management, names of errors).
//
// The binary names no NVIDIA library. gorgonia's package calls cuInit before main does
// anything and ends the process when that fails, and it links every symbol by name. So
// each symbol is defined here, as a jump through a slot: at first to a function that says
// "not initialized" (cuInit's says success), after Load to the library's. A machine without
// a driver runs the same binary.
//
// A context is current on a thread: whoever calls anything but Load does so on a goroutine
// that is locked to one, after Context.Bind. Errors are of type *Error.
//
// The worker process calls this package, and so do the clients that import chunks. It holds
// no state of its own beside the loaded library, and knows neither components nor engines.
// It needs cgo, the build tag cuda, and Linux on amd64 or arm64.
package driver
