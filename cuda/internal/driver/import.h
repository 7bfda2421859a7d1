// A descriptor travels as a pointer, which Go code cannot make of a number.
#ifndef OFFHOST_IMPORT_H
#define OFFHOST_IMPORT_H

#include <cuda.h>
#include <stdint.h>

static inline CUresult offhost_cu_import(CUmemGenericAllocationHandle *h, int fd) {
	return cuMemImportFromShareableHandle(h, (void *)(uintptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
}

#endif
