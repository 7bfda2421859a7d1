/* Contexts: the primary one and others, and which of them is current on a thread. */
#include <inttypes.h>
#include <stdlib.h>

#include "emu.h"

enum { DEPTH = 64 };

static __thread CUcontext stack[DEPTH];
static __thread unsigned depth;

static struct context *primary;
static unsigned retained, primary_flags;
static unsigned contexts; /* live ones that cuCtxCreate made */

static struct context *object(CUcontext handle) {
  return handle_get(A_CONTEXT, (uint64_t)(uintptr_t)handle);
}
static CUcontext current(void) { return depth ? stack[depth - 1] : NULL; }
struct context *context_current(void) { return object(current()); }

static CUresult check(CUcontext handle) {
  if (object(handle)) return CUDA_SUCCESS;
  return handle_was(A_CONTEXT, (uint64_t)(uintptr_t)handle) ? CUDA_ERROR_CONTEXT_IS_DESTROYED
                                                            : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult context_check(void) { return check(current()); }

static bool flags_valid(unsigned flags) {
  unsigned schedule = flags & CU_CTX_SCHED_MASK;
  bool one = schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN ||
             schedule == CU_CTX_SCHED_YIELD || schedule == CU_CTX_SCHED_BLOCKING_SYNC;
  return one &&
         !(flags & ~(unsigned)(CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX));
}

static CUresult make(unsigned flags, struct context **made) {
  struct physical *overhead = NULL;
  if (settings.context) {
    CUresult result =
        physical_new((settings.context + PAGE - 1) / PAGE * PAGE, false, false, &overhead);
    if (result) return result;
  }
  struct context *c = allocate(sizeof *c);
  *c = (struct context){.flags = flags, .overhead = overhead};
  c->handle = (CUcontext)(uintptr_t)handle_new(A_CONTEXT, c);
  *made = c;
  return CUDA_SUCCESS;
}

/* What belongs to a context goes with it, once the work queued there is done. Virtual
 * memory belongs to the process. */
static void empty(struct context *c, CUcontext handle) {
  context_wait(c);
  streams_close_of(c);
  c->null_stream = NULL;
  events_close_of(handle);
  memory_free_of(handle);
  pinned_free_of(handle);
}

static void destroy(struct context *c) {
  CUcontext handle = c->handle;
  context_wait(c);
  memory_leaks(handle, true);
  pinned_leaks(handle, true);
  streams_leaks(handle, true);
  events_leaks(handle, true);
  handle_free((uint64_t)(uintptr_t)handle);
  empty(c, handle);
  if (c->overhead) physical_drop(c->overhead);
  free(c);
}

static CUresult device_valid(CUdevice device) {
  return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult retain(CUcontext *handle, CUdevice device) {
  CUresult result = device_valid(device);
  if (!result && !handle) result = CUDA_ERROR_INVALID_VALUE;
  if (!result && !primary) {
    result = make(primary_flags, &primary);
    if (!result) primary->primary = true;
  }
  if (result) return result;
  retained++;
  *handle = primary->handle;
  return CUDA_SUCCESS;
}

static CUresult release(CUdevice device) {
  if (device_valid(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!retained) return CUDA_ERROR_INVALID_CONTEXT;
  if (--retained || !primary) return CUDA_SUCCESS;
  struct context *c = primary;
  primary = NULL;
  destroy(c);
  return CUDA_SUCCESS;
}

/* It stays retained, and current where it is. */
static CUresult reset(CUdevice device) {
  if (device_valid(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (primary) empty(primary, primary->handle);
  return CUDA_SUCCESS;
}

static CUresult set_flags(CUdevice device, unsigned flags) {
  if (device_valid(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!flags_valid(flags)) return CUDA_ERROR_INVALID_VALUE;
  primary_flags = flags;
  if (primary) primary->flags = flags;
  return CUDA_SUCCESS;
}

static CUresult state(CUdevice device, unsigned *flags, int *active) {
  if (device_valid(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
  *flags = primary_flags;
  *active = primary != NULL;
  return CUDA_SUCCESS;
}

static CUresult push(CUcontext handle) {
  CUresult result = check(handle);
  if (!result && depth == DEPTH) result = CUDA_ERROR_OUT_OF_MEMORY;
  if (!result) stack[depth++] = handle;
  return result;
}

static CUresult create(CUcontext *handle, unsigned flags, CUdevice device) {
  if (device_valid(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!handle || !flags_valid(flags)) return CUDA_ERROR_INVALID_VALUE;
  if (depth == DEPTH) return CUDA_ERROR_OUT_OF_MEMORY;
  struct context *c;
  CUresult result = make(flags, &c);
  if (result) return result;
  contexts++;
  *handle = c->handle;
  return push(c->handle);
}

static CUresult destroy_created(CUcontext handle) {
  struct context *c = object(handle);
  if (!c || c->primary) {
    if (!c && handle_was(A_CONTEXT, (uint64_t)(uintptr_t)handle))
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuCtxDestroy(%p): the context was destroyed before",
             (void *)handle);
    return check(handle) ? check(handle) : CUDA_ERROR_INVALID_CONTEXT;
  }
  if (current() == handle) depth--;
  contexts--;
  destroy(c);
  return CUDA_SUCCESS;
}

static CUresult pop(CUcontext *handle) {
  if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
  if (handle) *handle = current();
  depth--;
  return CUDA_SUCCESS;
}

static CUresult set_current(CUcontext handle) {
  CUresult result = handle ? check(handle) : CUDA_SUCCESS;
  if (result) return result;
  if (depth) depth--;
  if (handle) stack[depth++] = handle;
  return CUDA_SUCCESS;
}

static CUresult get_current(CUcontext *handle) {
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  *handle = current();
  return CUDA_SUCCESS;
}

static CUresult get_device(CUdevice *device) {
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  *device = 0;
  return CUDA_SUCCESS;
}

static CUresult get_flags(unsigned *flags) {
  if (!flags) return CUDA_ERROR_INVALID_VALUE;
  *flags = context_current()->flags;
  return CUDA_SUCCESS;
}

static CUresult api_version(CUcontext handle, unsigned *version) {
  CUresult result = handle ? check(handle) : context_check();
  if (!result && !version) result = CUDA_ERROR_INVALID_VALUE;
  if (!result) *version = 3020;
  return result;
}

static CUresult priorities(int *least, int *greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return CUDA_SUCCESS;
}

unsigned long context_leaks(bool note) {
  unsigned long n = retained + contexts;
  if (n && note)
    misuse(OFFHOST_EMU_LEAK,
           "the primary context is retained %u times, %u other contexts were not destroyed",
           retained, contexts);
  return n;
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  ENTRY("cuDevicePrimaryCtxRetain", LIVE, retain(context, device));
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  ENTRY("cuDevicePrimaryCtxRelease", LIVE, release(device));
}
API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  ENTRY("cuDevicePrimaryCtxReset", LIVE, reset(device));
}
API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  ENTRY("cuDevicePrimaryCtxSetFlags", LIVE, set_flags(device, flags));
}
API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  ENTRY("cuDevicePrimaryCtxGetState", INIT, state(device, flags, active));
}
API CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
  ENTRY("cuCtxCreate", LIVE, create(context, flags, device));
}
API CUresult cuCtxDestroy_v2(CUcontext context) {
  ENTRY("cuCtxDestroy", LIVE, destroy_created(context));
}
API CUresult cuCtxPushCurrent_v2(CUcontext context) {
  ENTRY("cuCtxPushCurrent", INIT, push(context));
}
API CUresult cuCtxPopCurrent_v2(CUcontext *context) {
  ENTRY("cuCtxPopCurrent", INIT, pop(context));
}
API CUresult cuCtxSetCurrent(CUcontext context) {
  ENTRY("cuCtxSetCurrent", INIT, set_current(context));
}
API CUresult cuCtxGetCurrent(CUcontext *context) {
  ENTRY("cuCtxGetCurrent", INIT, get_current(context));
}
API CUresult cuCtxGetDevice(CUdevice *device) {
  ENTRY("cuCtxGetDevice", CONTEXT, get_device(device));
}
API CUresult cuCtxGetFlags(unsigned *flags) { ENTRY("cuCtxGetFlags", CONTEXT, get_flags(flags)); }
API CUresult cuCtxGetApiVersion(CUcontext context, unsigned *version) {
  ENTRY("cuCtxGetApiVersion", LIVE, api_version(context, version));
}
API CUresult cuCtxSynchronize(void) {
  ENTRY("cuCtxSynchronize", CONTEXT, context_wait(context_current()));
}
API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  ENTRY("cuCtxGetStreamPriorityRange", CONTEXT, priorities(least, greatest));
}
