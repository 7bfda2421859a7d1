/* Streams and events: order, queries, ends that do not wait. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

CASE(a_new_stream_and_a_new_event_are_done, ANY) {
  begin();
  CUstream s = new_stream();
  CUevent e = new_event();
  OK(d.cuStreamQuery(s));
  OK(d.cuStreamSynchronize(s));
  OK(d.cuEventQuery(e));
  OK(d.cuEventSynchronize(e));
  OK(d.cuStreamWaitEvent(s, e, 0));
  OK(d.cuCtxSynchronize());
  OK(d.cuEventDestroy_v2(e));
  OK(d.cuStreamDestroy_v2(s));
}

CASE(streams_have_flags_priorities_and_a_context, ANY) {
  CUcontext c = begin(), of = NULL;
  CUstream s;
  unsigned flags = 99;
  int least, greatest, priority = 99;
  OK(d.cuCtxGetStreamPriorityRange(&least, &greatest));
  CHECK(least >= greatest); /* lower numbers are more urgent */
  OK(d.cuStreamCreateWithPriority(&s, CU_STREAM_NON_BLOCKING, greatest));
  OK(d.cuStreamGetPriority(s, &priority));
  CHECK(priority == greatest);
  OK(d.cuStreamGetFlags(s, &flags));
  CHECK(flags == CU_STREAM_NON_BLOCKING);
  OK(d.cuStreamGetCtx(s, &of));
  CHECK(of == c);
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuStreamCreateWithPriority(&s, 0, greatest - 100)); /* brought into the range */
  OK(d.cuStreamGetPriority(s, &priority));
  CHECK(priority == greatest);
  OK(d.cuStreamDestroy_v2(s));
  IS(d.cuStreamCreate(&s, 0x100), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuStreamCreate(NULL, 0), CUDA_ERROR_INVALID_VALUE);
}

CASE(flags_of_events, ANY) {
  CUevent e;
  begin();
  OK(d.cuEventCreate(&e, CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING));
  OK(d.cuEventDestroy_v2(e));
  OK(d.cuEventCreate(&e, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
  OK(d.cuEventDestroy_v2(e));
  IS(d.cuEventCreate(&e, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuEventCreate(&e, 0x100), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuEventCreate(NULL, 0), CUDA_ERROR_INVALID_VALUE);
}

/* Host functions make order visible on any driver. One that waits may keep those of all
 * other streams waiting, and does on a real driver: what is to pass it is a fill. */

static void append(void *data) {
  static atomic_int turn;
  atomic_store((atomic_int *)data, atomic_fetch_add(&turn, 1) + 1);
}

CASE(a_stream_does_one_thing_after_another, ANY) {
  struct gate g;
  atomic_int first = 0, second = 0;
  make_gate(&g);
  begin();
  CUstream s = new_stream();
  CUevent before = new_event(), behind = new_event();
  OK(d.cuEventRecord(before, s));
  hold(s, &g);
  OK(d.cuLaunchHostFunc(s, append, &first));
  OK(d.cuLaunchHostFunc(s, append, &second));
  OK(d.cuEventRecord(behind, s));
  OK(d.cuEventSynchronize(before));
  IS(d.cuEventQuery(behind), CUDA_ERROR_NOT_READY);
  IS(d.cuStreamQuery(s), CUDA_ERROR_NOT_READY);
  CHECK(first == 0);
  let_go(&g);
  OK(d.cuEventSynchronize(behind));
  CHECK(g.reached == 1 && first == 1 && second == 2);
  OK(d.cuStreamSynchronize(s));
  OK(d.cuStreamQuery(s));
  OK(d.cuEventDestroy_v2(before));
  OK(d.cuEventDestroy_v2(behind));
  OK(d.cuStreamDestroy_v2(s));
}

CASE(streams_do_not_wait_for_each_other, ANY) {
  struct gate g;
  make_gate(&g);
  begin();
  CUstream a = new_stream(), b = new_stream();
  CUdeviceptr m;
  OK(d.cuMemAlloc_v2(&m, 4096));
  hold(a, &g);
  OK(d.cuMemsetD8Async(m, 1, 4096, b));
  OK(d.cuStreamSynchronize(b));
  IS(d.cuStreamQuery(a), CUDA_ERROR_NOT_READY);
  let_go(&g);
  OK(d.cuStreamSynchronize(a));
  OK(d.cuMemFree_v2(m));
  OK(d.cuStreamDestroy_v2(a));
  OK(d.cuStreamDestroy_v2(b));
}

CASE(a_stream_waits_for_an_event_as_recorded_then, ANY) {
  struct gate first, second;
  CUdeviceptr m;
  make_gate(&first);
  make_gate(&second);
  begin();
  CUstream a = new_stream(), b = new_stream();
  CUevent e = new_event();
  OK(d.cuMemAlloc_v2(&m, 4096));
  hold(a, &first);
  OK(d.cuEventRecord(e, a));
  OK(d.cuStreamWaitEvent(b, e, 0));
  hold(a, &second);
  OK(d.cuEventRecord(e, a)); /* no concern of b */
  OK(d.cuMemsetD8Async(m, 1, 4096, b));
  IS(d.cuStreamQuery(b), CUDA_ERROR_NOT_READY);
  let_go(&first);
  OK(d.cuStreamSynchronize(b));
  IS(d.cuEventQuery(e), CUDA_ERROR_NOT_READY);
  let_go(&second);
  OK(d.cuEventSynchronize(e));
  OK(d.cuMemFree_v2(m));
  OK(d.cuEventDestroy_v2(e));
  OK(d.cuStreamDestroy_v2(a));
  OK(d.cuStreamDestroy_v2(b));
}

CASE(streams_and_events_may_be_destroyed_at_work, ANY) {
  struct gate g;
  atomic_int done = 0;
  make_gate(&g);
  begin();
  CUstream a = new_stream(), b = new_stream();
  CUevent e = new_event();
  hold(a, &g);
  OK(d.cuEventRecord(e, a));
  OK(d.cuStreamWaitEvent(b, e, 0));
  OK(d.cuLaunchHostFunc(b, append, &done));
  OK(d.cuEventDestroy_v2(e));
  OK(d.cuStreamDestroy_v2(a)); /* returns though the gate is shut */
  IS(d.cuStreamQuery(b), CUDA_ERROR_NOT_READY);
  let_go(&g);
  OK(d.cuStreamSynchronize(b));
  CHECK(done == 1);
  OK(d.cuStreamDestroy_v2(b));
}

CASE(the_context_waits_for_all_streams, ANY) {
  struct gate g;
  make_gate(&g);
  begin();
  CUstream a = new_stream(), b = new_stream();
  hold(a, &g);
  hold(b, &g);
  let_go(&g);
  let_go(&g);
  OK(d.cuCtxSynchronize());
  OK(d.cuStreamQuery(a));
  OK(d.cuStreamQuery(b));
  CHECK(g.reached == 2);
  OK(d.cuStreamDestroy_v2(a));
  OK(d.cuStreamDestroy_v2(b));
}

CASE(the_default_stream_is_in_step_with_blocking_streams, ANY) {
  struct gate g;
  atomic_int after = 0;
  CUstream blocking;
  CUdeviceptr m;
  make_gate(&g);
  begin();
  OK(d.cuMemAlloc_v2(&m, 4096));
  CUstream free_running = new_stream();
  OK(d.cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
  hold(blocking, &g);
  OK(d.cuLaunchHostFunc(NULL, append, &after));
  OK(d.cuStreamSynchronize(free_running));
  usleep(20000);
  CHECK(after == 0);
  let_go(&g);
  OK(d.cuStreamSynchronize(CU_STREAM_LEGACY));
  CHECK(after == 1);
  /* And the other way round. */
  hold(NULL, &g);
  OK(d.cuLaunchHostFunc(blocking, append, &after));
  OK(d.cuMemsetD8Async(m, 1, 4096, free_running));
  OK(d.cuStreamSynchronize(free_running));
  CHECK(after == 1);
  IS(d.cuStreamQuery(blocking), CUDA_ERROR_NOT_READY);
  let_go(&g);
  OK(d.cuStreamSynchronize(blocking));
  CHECK(after == 2);
  OK(d.cuMemFree_v2(m));
  OK(d.cuStreamDestroy_v2(blocking));
  OK(d.cuStreamDestroy_v2(free_running));
}

CASE(elapsed_time, ANY) {
  struct gate g;
  float ms = -1;
  CUevent untimed;
  make_gate(&g);
  begin();
  CUstream s = new_stream();
  CUevent a = new_event(), b = new_event(), never = new_event();
  OK(d.cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
  OK(d.cuEventRecord(a, s));
  hold(s, &g);
  OK(d.cuEventRecord(b, s));
  OK(d.cuEventRecord(untimed, s));
  IS(d.cuEventElapsedTime(&ms, a, b), CUDA_ERROR_NOT_READY);
  usleep(20000);
  let_go(&g);
  OK(d.cuStreamSynchronize(s));
  OK(d.cuEventElapsedTime(&ms, a, b));
  CHECK(ms >= 15 && ms < 30000);
  IS(d.cuEventElapsedTime(&ms, a, never), CUDA_ERROR_INVALID_HANDLE);
  IS(d.cuEventElapsedTime(&ms, a, untimed), CUDA_ERROR_INVALID_HANDLE);
  CUevent all[] = {a, b, never, untimed};
  for (int i = 0; i < 4; i++) OK(d.cuEventDestroy_v2(all[i]));
  OK(d.cuStreamDestroy_v2(s));
}

CASE(events_and_streams_belong_to_a_context, ANY) {
  CUcontext other;
  begin();
  CUevent e = new_event();
  OK(d.cuCtxCreate_v2(&other, 0, 0));
  CUstream s = new_stream();
  IS(d.cuEventRecord(e, s), CUDA_ERROR_INVALID_HANDLE);
  OK(d.cuStreamDestroy_v2(s));
  OK(d.cuCtxDestroy_v2(other));
  OK(d.cuEventDestroy_v2(e));
}

CASE(work_goes_to_a_stream_of_the_current_context, SETTINGS) {
  CUcontext other;
  CUdeviceptr m;
  begin();
  CUstream s = new_stream();
  OK(d.cuCtxCreate_v2(&other, 0, 0));
  OK(d.cuMemAlloc_v2(&m, 4096));
  IS(d.cuMemsetD8Async(m, 0, 4096, s), CUDA_ERROR_INVALID_HANDLE);
  OK(d.cuStreamSynchronize(s)); /* waiting for it is another matter */
  OK(d.cuMemFree_v2(m));
  OK(d.cuCtxDestroy_v2(other));
  OK(d.cuStreamDestroy_v2(s));
}

enum { THREADS = 4, ROUNDS = 50 };

static void *use_streams(void *context) {
  OK(d.cuCtxSetCurrent(context));
  void *host;
  CUdeviceptr m;
  OK(d.cuMemHostAlloc(&host, 8192, CU_MEMHOSTALLOC_PORTABLE));
  OK(d.cuMemAlloc_v2(&m, 4096));
  for (int i = 0; i < ROUNDS; i++) {
    CUstream s = new_stream();
    CUevent e = new_event();
    fill_pattern(host, 4096, (uint64_t)i);
    OK(d.cuMemcpyHtoDAsync_v2(m, host, 4096, s));
    OK(d.cuMemcpyDtoHAsync_v2((char *)host + 4096, m, 4096, s));
    OK(d.cuEventRecord(e, s));
    OK(d.cuStreamDestroy_v2(s));
    OK(d.cuEventSynchronize(e));
    CHECK(!memcmp(host, (char *)host + 4096, 4096));
    OK(d.cuEventDestroy_v2(e));
  }
  OK(d.cuMemFree_v2(m));
  OK(d.cuMemFreeHost(host));
  return NULL;
}

CASE(threads_share_a_context, ANY) {
  CUcontext c = begin();
  pthread_t t[THREADS];
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&t[i], NULL, use_streams, c) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(t[i], NULL) == 0);
  OK(d.cuDevicePrimaryCtxRelease_v2(0));
}
