// Loading the driver's library behind the jumps of trampoline.S.
#ifndef OFFHOST_LOAD_H
#define OFFHOST_LOAD_H

// offhost_cu_load opens a library and lets all jumps lead there. It returns NULL, or why
// that cannot be. Symbols that the library does not have return CUDA_ERROR_NOT_SUPPORTED.
// To be called once, before anything uses the jumps.
const char *offhost_cu_load(const char *path);

// offhost_cu_has reports whether a symbol was loaded.
int offhost_cu_has(const char *name);

#endif
