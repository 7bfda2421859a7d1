// Package weights holds the weights of components in host memory, once. It packs a
// component's tensors into one arena of shared memory, filled from safetensors files
// or from a seed, and says what lies where (Manifest), what it is (LayoutHash,
// Digest) and which part of it had to stay in files because the host's memory is
// too small (Plan). Devices copy from its spans; the simulator asks Plan only.
//
// A read-only component is sealed when it is loaded: neither this process nor one
// that gets its descriptor can change it. A component that is written has memory of
// its own, and a new digest after a change.
//
// It does not copy to devices, does not decide what is resident there, and does not
// find out how much memory the host has: package machine does.
//
// Shared memory with seals is Linux's. Elsewhere components lie in the process's own
// memory, can be read and written, and cannot be exported or received.
package weights
