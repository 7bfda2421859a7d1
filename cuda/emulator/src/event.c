/* Events: names for the fence of the work that was last recorded under them. */
#include <stdlib.h>

#include "emu.h"

struct event {
  struct event *next;
  CUevent handle;
  CUcontext context;
  unsigned flags;
  struct fence *last; /* NULL until it is recorded */
};

static struct event *all;

static void discard(struct event *e) {
  struct event **at = &all;
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  handle_free((uint64_t)(uintptr_t)e->handle);
  fence_drop(e->last);
  free(e);
}

static CUresult find(CUevent handle, struct event **found) {
  *found = handle_get(AN_EVENT, (uint64_t)(uintptr_t)handle);
  if (*found) return CUDA_SUCCESS;
  if (handle_was(AN_EVENT, (uint64_t)(uintptr_t)handle))
    misuse(OFFHOST_EMU_USE_AFTER_FREE, "%s: event %p was destroyed before", current_call(),
           (void *)handle);
  return CUDA_ERROR_INVALID_HANDLE;
}

static CUresult create(CUevent *handle, unsigned flags) {
  const unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
  bool timed_interprocess = (flags & CU_EVENT_INTERPROCESS) && !(flags & CU_EVENT_DISABLE_TIMING);
  if (!handle || (flags & ~known) || timed_interprocess) return CUDA_ERROR_INVALID_VALUE;
  struct event *e = allocate(sizeof *e);
  *e = (struct event){.next = all, .context = context_current()->handle, .flags = flags};
  e->handle = *handle = (CUevent)(uintptr_t)handle_new(AN_EVENT, e);
  all = e;
  return CUDA_SUCCESS;
}

/* The work that it was recorded after goes on, and so do those who wait for that. */
static CUresult destroy(CUevent handle) {
  struct event *e = handle_get(AN_EVENT, (uint64_t)(uintptr_t)handle);
  if (!e) {
    if (handle_was(AN_EVENT, (uint64_t)(uintptr_t)handle))
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuEventDestroy(%p): the event was destroyed before",
             (void *)handle);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  discard(e);
  return CUDA_SUCCESS;
}

static CUresult record(CUevent handle, CUstream stream) {
  struct event *e;
  struct stream *s;
  CUresult result = find(handle, &e);
  if (!result) result = stream_find(stream, &s);
  if (!result && e->context != s->context->handle) result = CUDA_ERROR_INVALID_HANDLE;
  if (result) return result;
  struct operation *op = operation_new(NULL, NULL);
  fence_drop(e->last);
  e->last = fence_keep(op->done);
  return operation_submit(s, op);
}

static CUresult wait_for(CUstream stream, CUevent handle, unsigned flags) {
  struct event *e;
  struct stream *s;
  CUresult result = find(handle, &e);
  if (!result) result = stream_find(stream, &s);
  if (!result && flags) result = CUDA_ERROR_INVALID_VALUE;
  if (result || !e->last || e->last->done) return result;
  struct operation *op = operation_new(NULL, NULL);
  operation_after(op, e->last);
  return operation_submit(s, op);
}

static CUresult query(CUevent handle) {
  struct event *e;
  CUresult result = find(handle, &e);
  return result ? result : !e->last || e->last->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static CUresult synchronize(CUevent handle) {
  struct event *e;
  CUresult result = find(handle, &e);
  return result ? result : fence_wait(e->last);
}

static CUresult elapsed(float *milliseconds, CUevent start, CUevent end) {
  struct event *a, *b;
  CUresult result = find(start, &a);
  if (!result) result = find(end, &b);
  if (result) return result;
  if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
  if (((a->flags | b->flags) & CU_EVENT_DISABLE_TIMING) || !a->last || !b->last)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!a->last->done || !b->last->done) return CUDA_ERROR_NOT_READY;
  *milliseconds = (float)((double)(b->last->at - a->last->at) / 1e6);
  return CUDA_SUCCESS;
}

void events_close_of(CUcontext context) {
  for (struct event *e = all, *next; e; e = next) {
    next = e->next;
    if (e->context == context) discard(e);
  }
}

unsigned long events_leaks(CUcontext context, bool note) {
  unsigned long n = 0;
  for (struct event *e = all; e; e = e->next) {
    if (context && e->context != context) continue;
    n++;
    if (note) misuse(OFFHOST_EMU_LEAK, "event %p was not destroyed", (void *)e->handle);
  }
  return n;
}

API CUresult cuEventCreate(CUevent *event, unsigned flags) {
  ENTRY("cuEventCreate", CONTEXT, create(event, flags));
}
API CUresult cuEventDestroy_v2(CUevent event) { ENTRY("cuEventDestroy", CONTEXT, destroy(event)); }
API CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTRY("cuEventRecord", CONTEXT, record(event, stream));
}
API CUresult cuEventQuery(CUevent event) { ENTRY("cuEventQuery", CONTEXT, query(event)); }
API CUresult cuEventSynchronize(CUevent event) {
  ENTRY("cuEventSynchronize", CONTEXT, synchronize(event));
}
API CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  ENTRY("cuEventElapsedTime", CONTEXT, elapsed(milliseconds, start, end));
}
API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  ENTRY("cuStreamWaitEvent", CONTEXT, wait_for(stream, event, flags));
}
