/* Contexts: the primary one, others, and what is current where. */
#include <pthread.h>
#include <stdlib.h>

#include "suite.h"

CASE(work_needs_a_current_context, ANY) {
  CUdeviceptr p;
  CUstream s;
  CUevent e;
  size_t n;
  OK(d.cuInit(0));
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuStreamCreate(&s, 0), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuEventCreate(&e, 0), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuMemGetInfo_v2(&n, &n), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuCtxPopCurrent_v2(NULL), CUDA_ERROR_INVALID_CONTEXT);
  CUcontext c = (CUcontext)1;
  OK(d.cuCtxGetCurrent(&c));
  CHECK(c == NULL);
}

CASE(the_primary_context_is_one_and_counted, ANY) {
  CUcontext a, b;
  unsigned flags;
  int active = -1;
  OK(d.cuInit(0));
  OK(d.cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(!active);
  OK(d.cuDevicePrimaryCtxRetain(&a, 0));
  OK(d.cuDevicePrimaryCtxRetain(&b, 0));
  CHECK(a == b);
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
  OK(d.cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(active);
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
  OK(d.cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(!active);
  IS(d.cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
  IS(d.cuDevicePrimaryCtxRetain(&a, 1000), CUDA_ERROR_INVALID_DEVICE);
}

static void *without_context(void *shared) {
  CUdeviceptr p;
  CUcontext c;
  OK(d.cuCtxGetCurrent(&c));
  CHECK(c == NULL);
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_INVALID_CONTEXT);
  OK(d.cuCtxSetCurrent(shared));
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemFree_v2(p));
  return NULL;
}

CASE(a_context_is_current_to_a_thread, ANY) {
  CUcontext c = begin();
  pthread_t t;
  CHECK(pthread_create(&t, NULL, without_context, c) == 0);
  CHECK(pthread_join(t, NULL) == 0);
}

CASE(contexts_are_stacked, ANY) {
  CUcontext primary = begin(), other, c;
  CUdevice device = -1;
  OK(d.cuCtxCreate_v2(&other, CU_CTX_SCHED_BLOCKING_SYNC, 0));
  CHECK(other != primary);
  OK(d.cuCtxGetCurrent(&c));
  CHECK(c == other);
  OK(d.cuCtxGetDevice(&device));
  CHECK(device == 0);
  OK(d.cuCtxPushCurrent_v2(primary));
  OK(d.cuCtxPopCurrent_v2(&c));
  CHECK(c == primary);
  OK(d.cuCtxDestroy_v2(other)); /* current: popped */
  OK(d.cuCtxGetCurrent(&c));
  CHECK(c == primary);
  OK(d.cuCtxSetCurrent(NULL));
  OK(d.cuCtxGetCurrent(&c));
  CHECK(c == NULL);
}

static pthread_barrier_t barrier;

static void *keep_current(void *context) {
  CUdeviceptr p;
  OK(d.cuCtxSetCurrent(context));
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* destroyed meanwhile */
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  return NULL;
}

CASE(a_destroyed_context_is_known_as_such, ANY) {
  CUcontext c;
  pthread_t t;
  begin();
  OK(d.cuCtxCreate_v2(&c, 0, 0));
  pthread_barrier_init(&barrier, NULL, 2);
  CHECK(pthread_create(&t, NULL, keep_current, c) == 0);
  pthread_barrier_wait(&barrier);
  OK(d.cuCtxDestroy_v2(c));
  pthread_barrier_wait(&barrier);
  CHECK(pthread_join(t, NULL) == 0);
}

CASE(flags_of_contexts, ANY) {
  unsigned flags = 0;
  int active;
  OK(d.cuInit(0));
  OK(d.cuDevicePrimaryCtxSetFlags_v2(0, CU_CTX_SCHED_BLOCKING_SYNC));
  OK(d.cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC);
  begin();
  OK(d.cuCtxGetFlags(&flags));
  CHECK((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC);
  IS(d.cuDevicePrimaryCtxSetFlags_v2(0, 3), CUDA_ERROR_INVALID_VALUE);
  unsigned version = 0;
  OK(d.cuCtxGetApiVersion(NULL, &version));
  CHECK(version >= 3020);
}

CASE(a_context_takes_its_memory_along, ACCOUNTING) {
  begin();
  size_t before = memory_used();
  CUcontext c;
  CUdeviceptr p;
  OK(d.cuCtxCreate_v2(&c, 0, 0));
  OK(d.cuMemAlloc_v2(&p, 4 << 20));
  CHECK(memory_used() == before + (4 << 20));
  OK(d.cuCtxDestroy_v2(c));
  MISUSED(OFFHOST_EMU_LEAK, 1);
  CHECK(memory_used() == before);
}

CASE(a_reset_empties_the_primary_context, ACCOUNTING) {
  CUcontext c = begin(), same;
  CUdeviceptr p;
  size_t before = memory_used();
  OK(d.cuMemAlloc_v2(&p, 4 << 20));
  OK(d.cuMemsetD8_v2(p, 1, 4 << 20));
  CUstream s = new_stream();
  OK(d.cuDevicePrimaryCtxReset_v2(0));
  OK(d.cuDevicePrimaryCtxRetain(&same, 0));
  CHECK(same == c);
  CHECK(memory_used() == before);
  IS(d.cuStreamQuery(s), CUDA_ERROR_INVALID_HANDLE);
  MISUSED(OFFHOST_EMU_USE_AFTER_FREE, 1);
  OK(d.cuMemAlloc_v2(&p, 4096)); /* the default stream is there again */
  put_pattern(p, 4096, 1);
  CHECK(has_pattern(p, 4096, 1));
  OK(d.cuMemFree_v2(p));
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
}

CASE(a_context_costs_memory, SETTINGS) {
  set("OFFHOST_EMU_CONTEXT", "8MiB");
  begin();
  CHECK(memory_used() == 8 << 20);
}
