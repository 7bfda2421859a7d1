/* Plain allocations, copies and fills that wait, what an address is. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "suite.h"

CASE(what_is_copied_there_comes_back, ANY) {
  CUdeviceptr p, q;
  const size_t n = (1 << 20) + 17;
  begin();
  OK(d.cuMemAlloc_v2(&p, n));
  OK(d.cuMemAlloc_v2(&q, n));
  CHECK(p && q && p != q && p % 256 == 0);
  put_pattern(p, n, 1);
  put_pattern(q, n, 2);
  CHECK(has_pattern(p, n, 1));
  OK(d.cuMemcpyDtoD_v2(q, p, n));
  CHECK(has_pattern(q, n, 1));
  put_pattern(p + 1000, 1000, 3); /* a part */
  CHECK(has_pattern(p + 1000, 1000, 3));
  CHECK(!has_pattern(p, n, 1));
  OK(d.cuMemFree_v2(p));
  OK(d.cuMemFree_v2(q));
}

CASE(unified_copies_know_which_side_is_which, ANY) {
  CUdeviceptr p, q;
  char a[300], b[300] = "", c[300] = "";
  begin();
  OK(d.cuMemAlloc_v2(&p, sizeof a));
  OK(d.cuMemAlloc_v2(&q, sizeof a));
  fill_pattern(a, sizeof a, 1);
  OK(d.cuMemcpy(p, (uintptr_t)a, sizeof a));
  OK(d.cuMemcpy(q, p, sizeof a));
  OK(d.cuMemcpy((uintptr_t)b, q, sizeof b));
  CHECK(!memcmp(a, b, sizeof a));
  OK(d.cuMemcpy((uintptr_t)c, (uintptr_t)a, sizeof c));
  CHECK(!memcmp(a, c, sizeof a));
  OK(d.cuMemFree_v2(p));
  OK(d.cuMemFree_v2(q));
}

CASE(allocations_that_cannot_be, ANY) {
  CUdeviceptr p;
  size_t total;
  begin();
  IS(d.cuMemAlloc_v2(&p, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemAlloc_v2(NULL, 4096), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuDeviceTotalMem_v2(&total, 0));
  IS(d.cuMemAlloc_v2(&p, total + 1), CUDA_ERROR_OUT_OF_MEMORY);
}

CASE(only_the_beginning_of_an_allocation_is_freed, ANY) {
  CUdeviceptr p;
  begin();
  OK(d.cuMemAlloc_v2(&p, 4096));
  IS(d.cuMemFree_v2(p + 256), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemFree_v2(p));
}

CASE(fills_have_widths, ANY) {
  CUdeviceptr p;
  unsigned char got[64];
  begin();
  OK(d.cuMemAlloc_v2(&p, sizeof got));
  OK(d.cuMemsetD8_v2(p, 0xab, 64));
  OK(d.cuMemsetD16_v2(p + 2, 0x1234, 3));
  OK(d.cuMemsetD32_v2(p + 16, 0xcafebabe, 2));
  OK(d.cuMemcpyDtoH_v2(got, p, sizeof got));
  const uint16_t two = 0x1234;
  const uint32_t four = 0xcafebabe;
  CHECK(got[0] == 0xab && got[1] == 0xab && !memcmp(got + 2, &two, 2) &&
        !memcmp(got + 6, &two, 2) && got[8] == 0xab);
  CHECK(got[15] == 0xab && !memcmp(got + 16, &four, 4) && !memcmp(got + 20, &four, 4) &&
        got[24] == 0xab && got[63] == 0xab);
  IS(d.cuMemsetD16_v2(p + 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemsetD32_v2(p + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemFree_v2(p));
}

CASE(an_address_has_a_range, ANY) {
  CUdeviceptr p, base = 0;
  size_t n = 0;
  begin();
  OK(d.cuMemAlloc_v2(&p, 10000));
  OK(d.cuMemGetAddressRange_v2(&base, &n, p + 5000));
  CHECK(base == p && n == 10000);
  OK(d.cuMemGetAddressRange_v2(NULL, NULL, p));
  OK(d.cuMemFree_v2(p));
}

CASE(what_an_address_is, ANY) {
  CUcontext c = begin(), of = NULL;
  CUdeviceptr p, q = 0;
  unsigned type = 0;
  int ordinal = -1;
  void *host = NULL, *pinned;
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p));
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  OK(d.cuPointerGetAttribute(&of, CU_POINTER_ATTRIBUTE_CONTEXT, p));
  CHECK(of == c);
  OK(d.cuPointerGetAttribute(&q, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, p + 100));
  CHECK(q == p + 100);
  IS(d.cuPointerGetAttribute(&host, CU_POINTER_ATTRIBUTE_HOST_POINTER, p),
     CUDA_ERROR_INVALID_VALUE);
  CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                 CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&type, &ordinal};
  OK(d.cuPointerGetAttributes(2, which, values, p));
  CHECK(type == CU_MEMORYTYPE_DEVICE && ordinal == 0);
  OK(d.cuMemHostAlloc(&pinned, 4096, 0));
  OK(d.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (uintptr_t)pinned));
  CHECK(type == CU_MEMORYTYPE_HOST);
  OK(d.cuPointerGetAttribute(&host, CU_POINTER_ATTRIBUTE_HOST_POINTER, (uintptr_t)pinned + 8));
  CHECK(host == (char *)pinned + 8);
  /* Memory that the driver does not know: an error from one call, none from the other. */
  int unknown = 0;
  IS(d.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (uintptr_t)&unknown),
     CUDA_ERROR_INVALID_VALUE);
  OK(d.cuPointerGetAttributes(1, which, values, (uintptr_t)&unknown));
  CHECK(type == 0);
  OK(d.cuMemFreeHost(pinned));
  OK(d.cuMemFree_v2(p));
}

CASE(ids_of_allocations_are_not_used_again, ANY) {
  unsigned long long a = 0, b = 0;
  CUdeviceptr p;
  begin();
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuPointerGetAttribute(&a, CU_POINTER_ATTRIBUTE_BUFFER_ID, p));
  OK(d.cuMemFree_v2(p));
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuPointerGetAttribute(&b, CU_POINTER_ATTRIBUTE_BUFFER_ID, p));
  CHECK(a != b);
  OK(d.cuMemFree_v2(p));
}

CASE(a_copy_of_nothing_is_one, ANY) {
  CUdeviceptr p;
  char c = 0;
  begin();
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemcpyHtoD_v2(p, &c, 0));
  OK(d.cuMemsetD8_v2(p, 0, 0));
  OK(d.cuMemFree_v2(p));
}

CASE(memory_is_counted, ACCOUNTING) {
  CUdeviceptr p, q;
  begin();
  CHECK(memory_used() == 0);
  OK(d.cuMemAlloc_v2(&p, 8 << 20));
  CHECK(memory_used() == 8 << 20);
  OK(d.cuMemAlloc_v2(&q, 1));
  CHECK(memory_used() > 8 << 20 && memory_used() <= 9 << 20);
  OK(d.cuMemFree_v2(q));
  OK(d.cuMemFree_v2(p));
  CHECK(memory_used() == 0);
}

CASE(memory_runs_out_and_comes_back, ACCOUNTING) {
  CUdeviceptr p[4], q;
  begin();
  for (int i = 0; i < 4; i++) OK(d.cuMemAlloc_v2(&p[i], 16 << 20));
  IS(d.cuMemAlloc_v2(&q, 1), CUDA_ERROR_OUT_OF_MEMORY);
  OK(d.cuMemFree_v2(p[2]));
  OK(d.cuMemAlloc_v2(&p[2], 16 << 20));
  for (int i = 0; i < 4; i++) OK(d.cuMemFree_v2(p[i]));
}

/* Free memory is the host's again at once, not at the next look at the books. */
CASE(free_memory_leaves_nothing_behind, SETTINGS) {
  CUdeviceptr p;
  begin();
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemFree_v2(p));
  struct region r = map_new(granule());
  unmap(r);
  DIR *files = opendir(getenv("OFFHOST_EMU_DIR"));
  CHECK(files != NULL);
  int count = 0;
  while (readdir(files)) count++;
  closedir(files);
  CHECK(count == 4); /* itself, its parent, and two files that are always there */
}

static void touch_device_memory(void) {
  CUdeviceptr p;
  begin();
  OK(d.cuMemAlloc_v2(&p, 4096));
  *(volatile char *)(uintptr_t)p = 1;
}

CASE(the_host_cannot_touch_device_memory, SETTINGS) {
  int status = run_in_child(touch_device_memory);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) ||
        (WIFEXITED(status) && WEXITSTATUS(status) != 0));
}
