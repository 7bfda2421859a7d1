/* Injected faults, and what a sticky error leaves behind. */
#include <pthread.h>

#include "suite.h"

CASE(the_nth_call_fails, FAULTS) {
  CUdeviceptr p;
  begin();
  OK(d.offhostEmuFault("cuMemAlloc", 2, 1, CUDA_ERROR_OUT_OF_MEMORY, 0));
  CHECK(d.offhostEmuFaultsArmed() == 1);
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemFree_v2(p));
  p = 1;
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(p == 1); /* nothing else happened */
  CHECK(d.offhostEmuFaultsArmed() == 0);
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemFree_v2(p));
}

CASE(several_calls_fail, FAULTS) {
  CUdeviceptr p;
  begin();
  OK(d.offhostEmuFault("cuMemAlloc", 1, 2, CUDA_ERROR_UNKNOWN, 0));
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_UNKNOWN);
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_UNKNOWN);
  OK(d.cuMemAlloc_v2(&p, 4096));
  OK(d.cuMemFree_v2(p));
  OK(d.offhostEmuFault("cuMemAlloc", 2, 0, CUDA_ERROR_OUT_OF_MEMORY, 0));
  OK(d.cuMemAlloc_v2(&p, 4096));
  CUdeviceptr q;
  for (int i = 0; i < 5; i++) IS(d.cuMemAlloc_v2(&q, 4096), CUDA_ERROR_OUT_OF_MEMORY);
  d.offhostEmuFaultsClear();
  OK(d.cuMemAlloc_v2(&q, 4096));
  OK(d.cuMemFree_v2(p));
  OK(d.cuMemFree_v2(q));
}

CASE(faults_come_from_the_environment, FAULTS) {
  CUmemGenericAllocationHandle h;
  set("OFFHOST_EMU_FAULT", "cuMemCreate:2x2:2,cuMemMap:1:1,cuInit:1:999");
  IS(d.cuInit(0), CUDA_ERROR_UNKNOWN);
  begin();
  size_t g = granule();
  CUmemAllocationProp p = properties();
  OK(d.cuMemCreate(&h, g, &p, 0));
  CUmemGenericAllocationHandle other;
  IS(d.cuMemCreate(&other, g, &p, 0), CUDA_ERROR_OUT_OF_MEMORY);
  IS(d.cuMemCreate(&other, g, &p, 0), CUDA_ERROR_OUT_OF_MEMORY);
  CUdeviceptr a;
  OK(d.cuMemAddressReserve(&a, g, 0, 0, 0));
  IS(d.cuMemMap(a, g, 0, h, 0), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemMap(a, g, 0, h, 0));
  CHECK(d.offhostEmuFaultsArmed() == 0);
}

static void *calls_elsewhere(void *context) {
  size_t n;
  OK(d.cuCtxSetCurrent(context));
  OK(d.cuMemGetInfo_v2(&n, &n));
  return NULL;
}

CASE(a_fault_of_one_thread, FAULTS) {
  pthread_t t;
  size_t n;
  CUcontext c = begin();
  OK(d.offhostEmuFault("cuMemGetInfo", 1, 1, CUDA_ERROR_UNKNOWN, OFFHOST_EMU_FAULT_THREAD));
  CHECK(pthread_create(&t, NULL, calls_elsewhere, c) == 0);
  CHECK(pthread_join(t, NULL) == 0);
  CHECK(d.offhostEmuFaultsArmed() == 1);
  IS(d.cuMemGetInfo_v2(&n, &n), CUDA_ERROR_UNKNOWN);
  OK(d.cuMemGetInfo_v2(&n, &n));
}

CASE(faults_that_make_no_sense, FAULTS) {
  IS(d.offhostEmuFault("cuMakeCoffee", 1, 1, CUDA_ERROR_UNKNOWN, 0), CUDA_ERROR_NOT_FOUND);
  IS(d.offhostEmuFault("cuMemAlloc", 0, 1, CUDA_ERROR_UNKNOWN, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuFault("cuMemAlloc", 1, 1, CUDA_SUCCESS, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuFault("cuMemAlloc", 1, 1, (CUresult)12345, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuFault(NULL, 1, 1, CUDA_ERROR_UNKNOWN, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuFault("cuMemAlloc", 1, 1, CUDA_ERROR_UNKNOWN, 8), CUDA_ERROR_INVALID_VALUE);
}

static void nothing_works(CUresult error) {
  CUdeviceptr p;
  CUcontext c;
  size_t n;
  int v;
  const char *name;
  IS(d.cuMemAlloc_v2(&p, 4096), error);
  IS(d.cuMemGetInfo_v2(&n, &n), error);
  IS(d.cuCtxSynchronize(), error);
  IS(d.cuDevicePrimaryCtxRetain(&c, 0), error);
  IS(d.cuDevicePrimaryCtxReset_v2(0), error); /* no way back but a new process */
  IS(d.cuMemAlloc_v2(&p, 4096), error);
  CHECK(d.offhostEmuSticky() == error);
  OK(d.cuGetErrorName(error, &name));
  OK(d.cuDriverGetVersion(&v));
}

CASE(a_sticky_error_stays, FAULTS) {
  begin();
  CUstream s = new_stream();
  OK(d.offhostEmuFault("cuStreamSynchronize", 1, 1, CUDA_ERROR_LAUNCH_FAILED,
                       OFFHOST_EMU_FAULT_STICKY));
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_LAUNCH_FAILED);
  IS(d.cuStreamQuery(s), CUDA_ERROR_LAUNCH_FAILED);
  nothing_works(CUDA_ERROR_LAUNCH_FAILED);
}

CASE(a_late_error_comes_with_the_work, FAULTS) {
  void *h;
  CUdeviceptr m;
  begin();
  CUstream s = new_stream();
  CUevent e = new_event();
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemHostAlloc(&h, 4096, 0));
  OK(d.offhostEmuFault("cuMemcpyHtoDAsync", 2, 1, CUDA_ERROR_ECC_UNCORRECTABLE,
                       OFFHOST_EMU_FAULT_LATE));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, 4096, s));
  OK(d.cuStreamSynchronize(s));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, 4096, s)); /* queued */
  CUresult queued = d.cuEventRecord(e, s);
  CHECK(queued == CUDA_SUCCESS || queued == CUDA_ERROR_ECC_UNCORRECTABLE);
  IS(d.cuEventSynchronize(e), CUDA_ERROR_ECC_UNCORRECTABLE);
  IS(d.cuEventQuery(e), CUDA_ERROR_ECC_UNCORRECTABLE);
  nothing_works(CUDA_ERROR_ECC_UNCORRECTABLE);
}

CASE(a_late_fault_needs_work, FAULTS) {
  CUdeviceptr p;
  begin();
  OK(d.offhostEmuFault("cuMemAlloc", 1, 1, CUDA_ERROR_UNKNOWN, OFFHOST_EMU_FAULT_LATE));
  OK(d.cuMemAlloc_v2(&p, 4096));
  MISUSED(OFFHOST_EMU_BAD_FAULT, 1);
}

static void fail_and_wait(int socket) {
  CUdeviceptr p;
  begin();
  OK(d.offhostEmuFault("cuMemAlloc", 1, 1, CUDA_ERROR_ILLEGAL_ADDRESS, OFFHOST_EMU_FAULT_STICKY));
  IS(d.cuMemAlloc_v2(&p, 4096), CUDA_ERROR_ILLEGAL_ADDRESS);
  tell(socket, 0, -1);
  hear(socket, NULL);
}

CASE(a_sticky_error_is_the_process_s_own, FAULTS) {
  CUdeviceptr m;
  struct peer p = spawn(fail_and_wait);
  begin();
  hear(p.socket, NULL);
  OK(d.cuMemAlloc_v2(&m, 4096));
  OK(d.cuMemFree_v2(m));
  tell(p.socket, 0, -1);
  join(p);
}

/* Work queued behind the failure does not run, and nobody waits for it for ever. */
static void set_flag(void *flag) { *(int *)flag = 1; }

CASE(work_behind_an_error_is_dropped, FAULTS) {
  static int ran;
  begin();
  CUstream before = new_stream(), s = new_stream();
  CUevent hold = new_event();
  OK(d.offhostEmuKernel(before, NULL, 0, LONG, NULL)); /* time to queue it all */
  OK(d.cuEventRecord(hold, before));
  OK(d.cuStreamWaitEvent(s, hold, 0));
  OK(d.offhostEmuFault("offhostEmuKernel", 1, 1, CUDA_ERROR_LAUNCH_FAILED, OFFHOST_EMU_FAULT_LATE));
  OK(d.offhostEmuKernel(s, NULL, 0, 0, NULL));
  OK(d.cuLaunchHostFunc(s, set_flag, &ran));
  IS(d.cuStreamSynchronize(s), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(ran == 0);
}
