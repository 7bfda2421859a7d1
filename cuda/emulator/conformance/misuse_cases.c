/* Mistakes that a real driver leaves undefined and the stand-in notices. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

static struct offhostEmuRange reading(CUdeviceptr address, size_t bytes) {
  return (struct offhostEmuRange){address, bytes, OFFHOST_EMU_READ, 0};
}

static struct offhostEmuRange writing(CUdeviceptr address, size_t bytes) {
  return (struct offhostEmuRange){address, bytes, OFFHOST_EMU_WRITE, 1};
}

static CUstream inference(const struct region *r, unsigned microseconds) {
  CUstream s = new_stream();
  struct offhostEmuRange range = reading(r->address, r->bytes);
  OK(d.offhostEmuKernel(s, &range, 1, microseconds, NULL));
  return s;
}

/* Both were noticed, once each: at the mistake, and when the work met its consequence. */
static void misused_twice(int mistake, int consequence) {
  CHECK(d.offhostEmuMisuseCount(mistake) == 1);
  CHECK(d.offhostEmuMisuseCount(consequence) == 1);
  CHECK(d.offhostEmuMisuseCount(-1) == 2);
  d.offhostEmuReset();
}

CASE(evicted_while_in_use, MISUSE) {
  begin();
  struct region r = map_new(granule());
  CUstream s = inference(&r, VERY_LONG);
  usleep(LONG);                         /* it runs */
  OK(d.cuMemUnmap(r.address, r.bytes)); /* does not wait, as the real one does not */
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
  misused_twice(OFFHOST_EMU_UNMAP_IN_USE, OFFHOST_EMU_USE_AFTER_FREE);
  IS(d.cuMemRelease(r.handle), CUDA_ERROR_ILLEGAL_ADDRESS); /* nothing works any more */
}

CASE(evicted_while_queued, MISUSE) {
  struct gate g;
  begin();
  make_gate(&g);
  struct region r = map_new(granule());
  struct offhostEmuRange range = reading(r.address + 4096, 100);
  CUstream s = new_stream();
  hold(s, &g);
  OK(d.offhostEmuKernel(s, &range, 1, SHORT, NULL));
  OK(d.cuMemUnmap(r.address, r.bytes));
  MISUSED(OFFHOST_EMU_UNMAP_IN_USE, 1);
  let_go(&g);
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 1);
}

CASE(evicted_after_waiting, MISUSE) {
  begin();
  struct region r = map_new(granule());
  CUstream s = inference(&r, SHORT);
  OK(d.cuStreamSynchronize(s));
  unmap(r);
  OK(d.cuStreamDestroy_v2(s));
  CHECK(d.offhostEmuMisuseCount(-1) == 0 && d.offhostEmuLeaks(0) == 1); /* the context */
}

CASE(launched_after_eviction, MISUSE) {
  begin();
  struct region r = map_new(granule());
  OK(d.cuMemUnmap(r.address, r.bytes));
  CUstream s = inference(&r, SHORT);
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 1);
  CHECK(d.offhostEmuSticky() == CUDA_ERROR_ILLEGAL_ADDRESS);
}

CASE(released_while_mapped_is_no_misuse, MISUSE) {
  begin();
  struct region r = map_new(granule());
  CUstream s = inference(&r, SHORT);
  OK(d.cuMemRelease(r.handle)); /* the mapping keeps it */
  OK(d.cuStreamSynchronize(s));
  OK(d.cuMemUnmap(r.address, r.bytes));
  OK(d.cuMemAddressFree(r.address, r.bytes));
  OK(d.cuStreamDestroy_v2(s));
}

CASE(access_taken_away_while_in_use, MISUSE) {
  begin();
  struct region r = map_new(granule());
  CUstream s = inference(&r, VERY_LONG);
  allow(r.address, r.bytes, CU_MEM_ACCESS_FLAGS_PROT_NONE);
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
  misused_twice(OFFHOST_EMU_UNMAP_IN_USE, OFFHOST_EMU_NO_ACCESS);
}

CASE(freed_while_in_use, MISUSE) {
  CUdeviceptr m;
  begin();
  OK(d.cuMemAlloc_v2(&m, 4096));
  CUstream s = new_stream();
  struct offhostEmuRange range = reading(m, 4096);
  OK(d.offhostEmuKernel(s, &range, 1, VERY_LONG, NULL));
  OK(d.cuMemFree_v2(m));
  MISUSED(OFFHOST_EMU_FREE_IN_USE, 1);
  OK(d.cuStreamQuery(s)); /* it waited */
  OK(d.cuStreamDestroy_v2(s));
}

CASE(host_memory_let_go_while_in_use, MISUSE) {
  void *h;
  CUdeviceptr m;
  const size_t n = 8 << 20;
  set("OFFHOST_EMU_H2D", "20MiB");
  begin();
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, n));
  OK(d.cuMemHostAlloc(&h, n, 0));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, n, s));
  OK(d.cuMemFreeHost(h));
  MISUSED(OFFHOST_EMU_FREE_IN_USE, 1);
  h = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK(d.cuMemHostRegister_v2(h, n, 0));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, n, s));
  OK(d.cuMemHostUnregister(h));
  MISUSED(OFFHOST_EMU_FREE_IN_USE, 1);
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuMemFree_v2(m));
}

CASE(an_unpinned_copy_on_a_stream, MISUSE) {
  static char plain[100000];
  CUdeviceptr m;
  begin();
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, sizeof plain));
  fill_pattern(plain, sizeof plain, 2);
  OK(d.cuMemcpyHtoDAsync_v2(m, plain, sizeof plain, s));
  MISUSED(OFFHOST_EMU_UNPINNED_COPY, 1);
  memset(plain, 0, sizeof plain); /* it was made before the call returned */
  CHECK(has_pattern(m, sizeof plain, 2));
  OK(d.cuMemcpyDtoHAsync_v2(plain, m, sizeof plain, s));
  MISUSED(OFFHOST_EMU_UNPINNED_COPY, 1);
  /* Page-locked, but not to its end. */
  OK(d.cuMemHostRegister_v2(plain, 50000, 0));
  OK(d.cuMemcpyHtoDAsync_v2(m, plain, 60000, s));
  MISUSED(OFFHOST_EMU_UNPINNED_COPY, 1);
  OK(d.cuMemcpyHtoDAsync_v2(m, plain, 50000, s));
  OK(d.cuStreamSynchronize(s));
  OK(d.cuMemcpyHtoD_v2(m, plain, 60000)); /* a copy that waits may be of anything */
  OK(d.cuMemHostUnregister(plain));
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuMemFree_v2(m));
}

CASE(host_memory_used_after_it_was_freed, MISUSE) {
  void *h;
  CUdeviceptr m;
  begin();
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemHostAlloc(&h, 4096, 0));
  OK(d.cuMemFreeHost(h));
  IS(d.cuMemcpyHtoDAsync_v2(m, h, 4096, s), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 1);
}

CASE(device_memory_used_after_it_was_freed, MISUSE) {
  char c[64] = "";
  CUdeviceptr m;
  begin();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemFree_v2(m));
  IS(d.cuMemcpyHtoD_v2(m + 100, c, sizeof c), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemcpyDtoH_v2(c, m, sizeof c), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemsetD8_v2(m, 0, 10), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 3);
  CHECK(d.offhostEmuSticky() == CUDA_SUCCESS);
}

CASE(a_copy_beyond_an_allocation, MISUSE) {
  char c[64] = "";
  CUdeviceptr m;
  begin();
  OK(d.cuMemAlloc_v2(&m, 100));
  IS(d.cuMemcpyHtoD_v2(m + 50, c, 51), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemcpyHtoD_v2(m + 100, c, 1), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemcpyHtoD_v2(12345, c, 1), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_NOT_MAPPED, 3);
  OK(d.cuMemcpyHtoD_v2(m + 50, c, 50));
}

CASE(a_copy_without_access, MISUSE) {
  char c[64] = "";
  CUdeviceptr a;
  begin();
  size_t g = granule();
  CUmemGenericAllocationHandle h = create(g);
  OK(d.cuMemAddressReserve(&a, g, 0, 0, 0));
  IS(d.cuMemcpyHtoD_v2(a, c, sizeof c), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_NOT_MAPPED, 1);
  OK(d.cuMemMap(a, g, 0, h, 0));
  IS(d.cuMemcpyHtoD_v2(a, c, sizeof c), CUDA_ERROR_ILLEGAL_ADDRESS);
  MISUSED(OFFHOST_EMU_NO_ACCESS, 1);
}

CASE(a_write_to_what_may_be_read, MISUSE) {
  char c[64] = "";
  begin();
  struct region r = map_new(granule());
  put_pattern(r.address, r.bytes, 1);
  allow(r.address, r.bytes, CU_MEM_ACCESS_FLAGS_PROT_READ);
  CHECK(has_pattern(r.address, r.bytes, 1));
  IS(d.cuMemcpyHtoD_v2(r.address, c, sizeof c), CUDA_ERROR_ILLEGAL_ADDRESS);
  MISUSED(OFFHOST_EMU_NO_ACCESS, 1);
}

CASE(a_write_to_what_was_registered_read_only, MISUSE) {
  static char plain[8192];
  CUdeviceptr m;
  begin();
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemHostRegister_v2(plain, sizeof plain, CU_MEMHOSTREGISTER_READ_ONLY));
  IS(d.cuMemcpyDtoHAsync_v2(plain, m, 4096, s), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_NO_ACCESS, 1);
  OK(d.cuMemHostUnregister(plain));
}

CASE(everything_freed_twice, MISUSE) {
  static char plain[4096];
  void *h;
  CUdeviceptr m;
  CUcontext c;
  CUevent e;
  begin();
  struct region r = map_new(granule());
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemFree_v2(m));
  IS(d.cuMemFree_v2(m), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  OK(d.cuMemHostAlloc(&h, 4096, 0));
  OK(d.cuMemFreeHost(h));
  IS(d.cuMemFreeHost(h), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  OK(d.cuMemHostRegister_v2(plain, sizeof plain, 0));
  OK(d.cuMemHostUnregister(plain));
  IS(d.cuMemHostUnregister(plain), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  unmap(r);
  IS(d.cuMemUnmap(r.address, r.bytes), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  IS(d.cuMemRelease(r.handle), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  IS(d.cuMemAddressFree(r.address, r.bytes), CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  OK(d.cuStreamDestroy_v2(s));
  IS(d.cuStreamDestroy_v2(s), CUDA_ERROR_INVALID_HANDLE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  OK(d.cuEventCreate(&e, 0));
  OK(d.cuEventDestroy_v2(e));
  IS(d.cuEventDestroy_v2(e), CUDA_ERROR_INVALID_HANDLE);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  OK(d.cuCtxCreate_v2(&c, 0, 0));
  OK(d.cuCtxDestroy_v2(c));
  IS(d.cuCtxDestroy_v2(c), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
}

CASE(handles_used_after_they_were_destroyed, MISUSE) {
  CUdeviceptr a;
  CUevent e;
  int fd;
  begin();
  size_t g = granule();
  CUstream s = new_stream(), successor;
  OK(d.cuStreamDestroy_v2(s));
  successor = new_stream(); /* in its place, and not mistaken for it */
  CHECK(s != successor);
  IS(d.cuStreamQuery(s), CUDA_ERROR_INVALID_HANDLE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 1);
  OK(d.cuEventCreate(&e, 0));
  OK(d.cuEventDestroy_v2(e));
  IS(d.cuEventRecord(e, successor), CUDA_ERROR_INVALID_HANDLE);
  IS(d.cuStreamWaitEvent(successor, e, 0), CUDA_ERROR_INVALID_HANDLE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 2);
  CUmemGenericAllocationHandle h = create(g);
  OK(d.cuMemAddressReserve(&a, g, 0, 0, 0));
  OK(d.cuMemRelease(h));
  IS(d.cuMemMap(a, g, 0, h, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
     CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 2);
  IS(d.cuStreamQuery((CUstream)(uintptr_t)0x12340), CUDA_ERROR_INVALID_HANDLE); /* never one */
  CHECK(d.offhostEmuMisuseCount(-1) == 0);
}

CASE(two_writers_that_nothing_orders, MISUSE) {
  CUdeviceptr m;
#ifdef __SANITIZE_THREAD__
  skip("the stand-in's threads do race then, and the thread sanitizer ends them");
#endif
  begin();
  CUstream a = new_stream(), b = new_stream();
  OK(d.cuMemAlloc_v2(&m, 4096));
  struct offhostEmuRange one = writing(m, 1000), two = writing(m + 999, 1000);
  OK(d.offhostEmuKernel(a, &one, 1, VERY_LONG, NULL));
  OK(d.offhostEmuKernel(b, &two, 1, VERY_LONG, NULL));
  OK(d.cuCtxSynchronize());
  MISUSED(OFFHOST_EMU_RACE, 1);
}

CASE(readers_and_neighbours_are_no_race, MISUSE) {
  CUdeviceptr m;
  begin();
  CUstream a = new_stream(), b = new_stream();
  OK(d.cuMemAlloc_v2(&m, 4096));
  struct offhostEmuRange read = reading(m, 1000), beside = writing(m + 1000, 1000);
  OK(d.offhostEmuKernel(a, &read, 1, LONG, NULL));
  OK(d.offhostEmuKernel(b, &read, 1, LONG, NULL));
  OK(d.cuStreamSynchronize(b));
  OK(d.offhostEmuKernel(b, &beside, 1, SHORT, NULL));
  OK(d.cuCtxSynchronize());
}

CASE(an_event_orders_writers, MISUSE) {
  CUdeviceptr m;
  begin();
  CUstream a = new_stream(), b = new_stream();
  CUevent e = new_event();
  OK(d.cuMemAlloc_v2(&m, 4096));
  struct offhostEmuRange one = writing(m, 1000);
  OK(d.offhostEmuKernel(a, &one, 1, SHORT, NULL));
  OK(d.cuEventRecord(e, a));
  OK(d.cuStreamWaitEvent(b, e, 0));
  OK(d.offhostEmuKernel(b, &one, 1, SHORT, NULL));
  OK(d.cuCtxSynchronize());
}

/* The same memory mapped elsewhere: here, as another process would have it. */
CASE(weights_overwritten_while_read, MISUSE) {
  CUdeviceptr elsewhere;
  begin();
  struct region r = map_new(granule());
  put_pattern(r.address, r.bytes, 1);
  OK(d.cuMemAddressReserve(&elsewhere, r.bytes, 0, 0, 0));
  map_at(elsewhere, r.bytes, r.handle, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CUstream s = new_stream();
  struct offhostEmuRange range = reading(r.address, r.bytes);
  OK(d.offhostEmuKernel(s, &range, 1, VERY_LONG, NULL));
  usleep(2 * LONG);
  put_pattern(elsewhere, 100, 2);
  OK(d.cuStreamSynchronize(s));
  /* Seen as it is done, by another mapping, and in what the kernel read. */
  CHECK(d.offhostEmuMisuseCount(OFFHOST_EMU_RACE) == 1);
  CHECK(d.offhostEmuMisuseCount(OFFHOST_EMU_CHANGED_IN_USE) == 1);
  CHECK(d.offhostEmuMisuseCount(-1) == 2);
  d.offhostEmuReset();
}

CASE(memory_read_before_its_copy_has_ended, MISUSE) {
#ifdef __SANITIZE_THREAD__
  skip("the stand-in's threads do race then, and the thread sanitizer ends them");
#endif
  begin();
  void *h;
  OK(d.cuMemHostAlloc(&h, granule(), 0));
  struct region r = map_new(granule()), again;
  again.bytes = r.bytes;
  OK(d.cuMemAddressReserve(&again.address, r.bytes, 0, 0, 0));
  map_at(again.address, r.bytes, r.handle, CU_MEM_ACCESS_FLAGS_PROT_READ);
  CUstream a = new_stream(), b = new_stream();
  OK(d.offhostEmuBandwidth(OFFHOST_EMU_H2D, granule())); /* a second */
  OK(d.cuMemcpyHtoDAsync_v2(r.address, h, r.bytes, a));
  usleep(2 * LONG);
  struct offhostEmuRange range = reading(again.address, 100);
  OK(d.offhostEmuKernel(b, &range, 1, SHORT, NULL));
  OK(d.cuStreamSynchronize(b));
  OK(d.cuStreamSynchronize(a));
  MISUSED(OFFHOST_EMU_RACE, 1);
}

CASE(a_pinned_buffer_filled_again_too_early, MISUSE) {
#ifdef __SANITIZE_THREAD__
  skip("the case races with the stand-in's thread, and the thread sanitizer ends it");
#endif
  begin();
  CUdeviceptr m;
  size_t n = 4 * granule();
  void *h;
  OK(d.cuMemHostAlloc(&h, n, 0));
  CUstream s = new_stream();
  OK(d.cuMemAlloc_v2(&m, n));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, n, s)); /* and left alone */
  OK(d.cuStreamSynchronize(s));
  OK(d.offhostEmuBandwidth(OFFHOST_EMU_H2D, 10 * n));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, n, s));
  memset(h, 7, n);
  OK(d.cuStreamSynchronize(s));
  MISUSED(OFFHOST_EMU_CHANGED_IN_USE, 1);
}

static void call_driver(void *data) {
  size_t n;
  *(CUresult *)data = d.cuMemGetInfo_v2(&n, &n);
}

CASE(a_host_function_calls_the_driver, MISUSE) {
  CUresult inside = CUDA_SUCCESS;
  begin();
  OK(d.cuLaunchHostFunc(NULL, call_driver, &inside));
  OK(d.cuCtxSynchronize());
  CHECK(inside == CUDA_ERROR_NOT_PERMITTED);
  MISUSED(OFFHOST_EMU_CALL_IN_CALLBACK, 1);
}

CASE(leaks_are_counted_by_what_they_are, MISUSE) {
  static char plain[4096];
  CUdeviceptr m, a;
  void *h;
  begin();
  size_t g = granule();
  CHECK(d.offhostEmuLeaks(0) == 1); /* the context */
  OK(d.cuMemAlloc_v2(&m, 4096));
  CHECK(d.offhostEmuLeaks(0) == 2);
  CUstream s = new_stream();
  CUevent e = new_event();
  CHECK(d.offhostEmuLeaks(0) == 4);
  OK(d.cuMemHostAlloc(&h, 4096, 0));
  OK(d.cuMemHostRegister_v2(plain, sizeof plain, 0));
  CHECK(d.offhostEmuLeaks(0) == 6);
  CUmemGenericAllocationHandle handle = create(g);
  OK(d.cuMemAddressReserve(&a, g, 0, 0, 0));
  CHECK(d.offhostEmuLeaks(0) == 8);
  OK(d.cuMemMap(a, g, 0, handle, 0));
  CHECK(d.offhostEmuLeaks(0) == 9);
  CHECK(d.offhostEmuMisuseCount(-1) == 0);
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
  MISUSED(OFFHOST_EMU_LEAK, 5); /* memory, stream, event, both kinds of host memory */
  CHECK(d.offhostEmuLeaks(1) == 3);
  MISUSED(OFFHOST_EMU_LEAK, 2); /* the handle, and the addresses with the mapping */
  (void)s, (void)e;
}

static void leak(void) {
  begin();
  create(granule());
}

static void clean_up(void) {
  begin();
  OK(d.cuMemRelease(create(granule())));
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
}

CASE(a_leak_at_exit_aborts, MISUSE) {
  set("OFFHOST_EMU_STRICT", "abort");
  int status = run_in_child(leak);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  status = run_in_child(clean_up);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  set("OFFHOST_EMU_STRICT", "report");
  status = run_in_child(leak);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void free_twice(void) {
  CUdeviceptr m;
  begin();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemFree_v2(m));
  d.cuMemFree_v2(m);
  _exit(0);
}

CASE(misuse_aborts_unless_told_otherwise, MISUSE) {
  unsetenv("OFFHOST_EMU_STRICT");
  int status = run_in_child(free_twice);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

CASE(misuse_is_told_in_words, MISUSE) {
  CUdeviceptr m;
  char text[300];
  begin();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemFree_v2(m));
  d.cuMemFree_v2(m);
  CHECK(d.offhostEmuMisuseText(0, text, sizeof text) > 20);
  CHECK(!strncmp(text, "double-free: cuMemFree(0x", 25) &&
        strstr(text, "freed by cuMemFree before"));
  CHECK(d.offhostEmuMisuseText(1, text, sizeof text) == 0);
  CHECK(!strcmp(d.offhostEmuMisuseName(OFFHOST_EMU_LEAK), "leak") &&
        !d.offhostEmuMisuseName(OFFHOST_EMU_MISUSES));
  MISUSED(OFFHOST_EMU_DOUBLE_FREE, 1);
  CHECK(d.offhostEmuMisuseText(0, text, sizeof text) == 0);
}
