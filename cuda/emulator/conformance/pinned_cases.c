/* Page-locked host memory. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suite.h"

CASE(pinned_memory_is_memory, ANY) {
  void *p = NULL, *q = NULL;
  CUdeviceptr device = 0;
  unsigned flags = 0;
  begin();
  OK(d.cuMemHostAlloc(&p, 100000, CU_MEMHOSTALLOC_PORTABLE));
  OK(d.cuMemAllocHost_v2(&q, 100000));
  memset(p, 1, 100000);
  memset(q, 2, 100000);
  OK(d.cuMemHostGetFlags(&flags, p));
  CHECK(flags & CU_MEMHOSTALLOC_PORTABLE);
  OK(d.cuMemHostGetDevicePointer_v2(&device, p, 0));
  CHECK(device == (uintptr_t)p); /* one address space */
  IS(d.cuMemHostAlloc(&p, 100000, 0x100), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemFreeHost(p));
  OK(d.cuMemFreeHost(q));
}

CASE(pinned_copies_go_both_ways, ANY) {
  void *p;
  CUdeviceptr m;
  const size_t n = 3 << 20;
  begin();
  CUstream s = new_stream();
  OK(d.cuMemHostAlloc(&p, n, 0));
  OK(d.cuMemAlloc_v2(&m, n));
  fill_pattern(p, n, 7);
  OK(d.cuMemcpyHtoDAsync_v2(m, p, n, s));
  OK(d.cuStreamSynchronize(s));
  CHECK(has_pattern(m, n, 7));
  put_pattern(m, n, 8);
  OK(d.cuMemcpyDtoHAsync_v2(p, m, n, s));
  OK(d.cuStreamSynchronize(s));
  char want[1000];
  fill_pattern(want, sizeof want, 8);
  CHECK(!memcmp(p, want, sizeof want));
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuMemFree_v2(m));
  OK(d.cuMemFreeHost(p));
}

static char *shared_memory(size_t bytes, int protection) {
  int fd = memfd_create("weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
  char *p = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
  CHECK(p != MAP_FAILED);
  close(fd);
  return p;
}

CASE(shared_memory_can_be_registered, ANY) {
  const size_t n = 2 << 20;
  CUdeviceptr m;
  begin();
  char *p = shared_memory(n, PROT_READ | PROT_WRITE);
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, n));
  fill_pattern(p, n, 4);
  OK(d.cuMemHostRegister_v2(p, n, CU_MEMHOSTREGISTER_PORTABLE));
  OK(d.cuMemcpyHtoDAsync_v2(m, p, n, s));
  OK(d.cuStreamSynchronize(s));
  CHECK(has_pattern(m, n, 4));
  OK(d.cuMemHostUnregister(p));
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuMemFree_v2(m));
}

CASE(memory_is_registered_once, ANY) {
  const size_t n = 1 << 20;
  begin();
  char *p = shared_memory(n, PROT_READ | PROT_WRITE);
  OK(d.cuMemHostRegister_v2(p, n, 0));
  IS(d.cuMemHostRegister_v2(p, n, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  OK(d.cuMemHostUnregister(p));
  OK(d.cuMemHostRegister_v2(p, n, 0)); /* and again */
  OK(d.cuMemHostUnregister(p));
}

CASE(registrations_that_cannot_be, ANY) {
  begin();
  char *p = shared_memory(1 << 20, PROT_READ | PROT_WRITE);
  IS(d.cuMemHostRegister_v2(NULL, 4096, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemHostRegister_v2(p, 0, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemHostUnregister(p), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  CHECK(munmap(p, 1 << 20) == 0);
  IS(d.cuMemHostRegister_v2(p, 1 << 20, 0), CUDA_ERROR_INVALID_VALUE);
}

/* Sealed weights are mapped for reading alone: the driver has to be told, if it can be. */
CASE(read_only_memory_needs_its_flag, ANY) {
  const size_t n = 1 << 20;
  int supported = 0;
  CUdeviceptr m;
  begin();
  OK(d.cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 0));
  char *p = shared_memory(n, PROT_READ);
  if (!supported) {
    IS(d.cuMemHostRegister_v2(p, n, CU_MEMHOSTREGISTER_READ_ONLY), CUDA_ERROR_NOT_SUPPORTED);
    skip("the device registers no read-only memory");
  }
  CHECK(d.cuMemHostRegister_v2(p, n, 0) != CUDA_SUCCESS);
  OK(d.cuMemHostRegister_v2(p, n, CU_MEMHOSTREGISTER_READ_ONLY));
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, n));
  OK(d.cuMemcpyHtoDAsync_v2(m, p, n, s));
  OK(d.cuStreamSynchronize(s));
  OK(d.cuMemHostUnregister(p));
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuMemFree_v2(m));
}

CASE(a_device_may_register_nothing_read_only, SETTINGS) {
  set("OFFHOST_EMU_READ_ONLY_REGISTER", "0");
  begin();
  char *p = shared_memory(4096, PROT_READ);
  IS(d.cuMemHostRegister_v2(p, 4096, CU_MEMHOSTREGISTER_READ_ONLY), CUDA_ERROR_NOT_SUPPORTED);
}
