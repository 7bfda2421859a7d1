/* Streams: queues of operations, each worked off by a thread. Order between them is made
 * by fences alone: an operation runs when those that it names are done. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "emu.h"

static struct stream *all; /* closed ones too, until their work is done */

struct fence *fence_keep(struct fence *f) {
  f->references++;
  return f;
}

void fence_drop(struct fence *f) {
  if (f && !--f->references) free(f);
}

CUresult fence_wait(struct fence *f) {
  if (f) {
    fence_keep(f);
    while (!f->done) wait_for_change();
    fence_drop(f);
  }
  return poisoned();
}

struct operation *operation_new(int64_t (*run)(struct operation *, int64_t), void *data) {
  struct operation *op = allocate(sizeof *op);
  op->done = allocate(sizeof *op->done);
  op->done->references = 1;
  op->call = current_call();
  op->run = run;
  op->data = data;
  return op;
}

static void *grow(void *list, size_t count, size_t size) {
  void *grown = realloc(list, (count + 1) * size);
  if (!grown) abort();
  return grown;
}

void operation_touches(struct operation *op, struct touch t) {
  op->touches = grow(op->touches, op->touch_count, sizeof t);
  op->touches[op->touch_count++] = t;
}

void operation_after(struct operation *op, struct fence *f) {
  if (!f || f->done) return;
  op->after = grow(op->after, op->after_count, sizeof f);
  op->after[op->after_count++] = fence_keep(f);
}

void operation_free(struct operation *op) {
  for (size_t i = 0; i < op->after_count; i++) fence_drop(op->after[i]);
  fence_drop(op->done);
  free(op->after);
  free(op->touches);
  free(op->data);
  free(op);
}

const char *operation_text(const struct operation *op, char *text, size_t bytes) {
  snprintf(text, bytes, "%s on stream %p (%s)", op->call, (void *)op->stream->handle,
           op->running ? "running" : "queued");
  return text;
}

struct operation *operation_on(uint64_t address, uint64_t size) {
  for (struct stream *s = all; s; s = s->next)
    for (struct operation *op = s->head; op; op = op->next)
      for (size_t i = 0; i < op->touch_count; i++)
        if (address < op->touches[i].address + op->touches[i].size &&
            op->touches[i].address < address + size)
          return op;
  return NULL;
}

bool operation_may(const struct operation *op) {
  char text[160];
  for (size_t i = 0; i < op->touch_count; i++) {
    const struct touch *t = &op->touches[i];
    enum access verdict = t->device ? space_check(t->address, t->size, t->write) : CAN;
    if (verdict == CAN) continue;
    operation_text(op, text, sizeof text);
    poison(CUDA_ERROR_ILLEGAL_ADDRESS);
    if (verdict == UNMAPPED)
      misuse_unmapped(text, t->address, t->size);
    else
      misuse(OFFHOST_EMU_NO_ACCESS,
             "%s: 0x%" PRIx64 " and %" PRIu64
             " bytes on may not be %s; cuMemSetAccess did not allow it",
             text, t->address, t->size, t->write ? "written" : "read");
    return false;
  }
  return true;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

/* Whether two ranges have bytes in common. On the device that is not a matter of their
 * addresses: the same memory may be mapped twice, and imported again. */
static bool meet(const struct touch *a, const struct touch *b) {
  if (a->device != b->device) return false;
  if (!a->device) return overlap(a->address, a->size, b->address, b->size);
  struct segments x = space_segments(a->address, a->size);
  struct segments y = space_segments(b->address, b->size);
  bool found = false;
  for (size_t i = 0; i < x.count && !found; i++)
    for (size_t k = 0; k < y.count && !found; k++) {
      const struct segment *p = &x.list[i], *q = &y.list[k];
      found = p->physical->inode == q->physical->inode &&
              overlap((uint64_t)(p->bytes - p->physical->bytes), p->size,
                      (uint64_t)(q->bytes - q->physical->bytes), q->size);
    }
  segments_free(&x);
  segments_free(&y);
  return found;
}

/* Two operations at once on the same bytes, one of them writing: no order was asked for. */
static void look_for_rivals(struct operation *op) {
  char mine[160], other[160];
  for (struct stream *s = all; s; s = s->next) {
    struct operation *rival = s->head;
    if (!rival || rival == op || !rival->running) continue;
    for (size_t i = 0; i < op->touch_count; i++)
      for (size_t k = 0; k < rival->touch_count; k++) {
        const struct touch *a = &op->touches[i], *b = &rival->touches[k];
        if (!(a->write || b->write) || !meet(a, b)) continue;
        misuse(OFFHOST_EMU_RACE, "%s %s what %s %s, at 0x%" PRIx64 ", and nothing orders them",
               operation_text(op, mine, sizeof mine), a->write ? "writes" : "reads",
               operation_text(rival, other, sizeof other), b->write ? "writes" : "reads",
               a->address > b->address ? a->address : b->address);
        return;
      }
  }
}

/* The lock is held all through, but where bytes move or time passes. */
static void run(struct stream *s, struct operation *op) {
  int64_t earliest = op->submitted > s->at ? op->submitted : s->at;
  for (size_t i = 0; i < op->after_count; i++) {
    struct fence *f = op->after[i];
    while (!f->done) wait_for_change();
    if (f->at > earliest) earliest = f->at;
  }
  op->running = true;
  s->at = earliest;
  if (!poisoned() && op->late) poison(op->late);
  if (!poisoned() && op->run && operation_may(op)) {
    look_for_rivals(op);
    s->at = op->run(op, earliest);
  }
  op->done->done = true;
  op->done->at = s->at;
  s->head = op->next;
  if (!s->head) s->tail = NULL;
  operation_free(op);
  changed();
}

static void forget(struct stream *s) {
  struct stream **at = &all;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  pthread_cond_destroy(&s->work);
  fence_drop(s->last);
  free(s);
  changed();
}

/* Ends with the stream, once that is closed and its work is done. */
static void *work(void *argument) {
  struct stream *s = argument;
  lock();
  while (s->head || !s->closing) {
    if (s->head)
      run(s, s->head);
    else
      wait_on(&s->work);
  }
  forget(s);
  unlock();
  return NULL;
}

struct stream *stream_open(struct context *c, unsigned flags, int priority, bool null_stream) {
  struct stream *s = allocate(sizeof *s);
  *s = (struct stream){.context = c, .flags = flags, .priority = priority};
  pthread_cond_init(&s->work, NULL);
  /* Signals are the caller's threads' business. */
  sigset_t every, before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  pthread_t thread;
  int failed = pthread_create(&thread, NULL, work, s);
  if (!failed) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed) {
    pthread_cond_destroy(&s->work);
    free(s);
    return NULL;
  }
  if (!null_stream) s->handle = (CUstream)(uintptr_t)handle_new(A_STREAM, s);
  s->next = all;
  all = s;
  return s;
}

static void close_stream(struct stream *s) {
  if (s->handle) handle_free((uint64_t)(uintptr_t)s->handle);
  s->closing = true;
  pthread_cond_signal(&s->work);
}

CUresult operation_submit(struct stream *s, struct operation *op) {
  struct context *c = s->context;
  /* The default stream waits for the others and they for it, but for those that asked to
   * be left out. */
  if (s == c->null_stream) {
    for (struct stream *t = all; t; t = t->next)
      if (t != s && t->context == c && !(t->flags & CU_STREAM_NON_BLOCKING))
        operation_after(op, t->last);
  } else if (c->null_stream && !(s->flags & CU_STREAM_NON_BLOCKING)) {
    operation_after(op, c->null_stream->last);
  }
  op->stream = s;
  op->submitted = now();
  op->late = fault_late();
  fence_drop(s->last);
  s->last = fence_keep(op->done);
  if (s->tail)
    s->tail->next = op;
  else
    s->head = op;
  s->tail = op;
  pthread_cond_signal(&s->work);
  return CUDA_SUCCESS;
}

CUresult stream_find(CUstream handle, struct stream **found) {
  struct context *c = context_current();
  if (!handle || handle == CU_STREAM_LEGACY) {
    if (!c->null_stream) c->null_stream = stream_open(c, CU_STREAM_DEFAULT, 0, true);
    *found = c->null_stream;
    return c->null_stream ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (handle == CU_STREAM_PER_THREAD) return CUDA_ERROR_NOT_SUPPORTED;
  *found = handle_get(A_STREAM, (uint64_t)(uintptr_t)handle);
  if (*found) return CUDA_SUCCESS;
  if (handle_was(A_STREAM, (uint64_t)(uintptr_t)handle))
    misuse(OFFHOST_EMU_USE_AFTER_FREE, "%s: stream %p was destroyed before", current_call(),
           (void *)handle);
  return CUDA_ERROR_INVALID_HANDLE;
}

CUresult stream_find_own(CUstream handle, struct stream **found) {
  CUresult result = stream_find(handle, found);
  return !result && (*found)->context != context_current() ? CUDA_ERROR_INVALID_HANDLE : result;
}

CUresult context_wait(struct context *c) {
  struct fence **fences = NULL;
  size_t count = 0;
  for (struct stream *s = all; s; s = s->next)
    if (s->context == c && s->last) {
      fences = grow(fences, count, sizeof *fences);
      fences[count++] = fence_keep(s->last);
    }
  for (size_t i = 0; i < count; i++) {
    fence_wait(fences[i]);
    fence_drop(fences[i]);
  }
  free(fences);
  return poisoned();
}

void streams_close_of(struct context *c) {
  for (struct stream *s = all; s; s = s->next)
    if (s->context == c && !s->closing) close_stream(s);
  for (struct stream *s = all; s;) {
    bool left = s->context == c;
    if (left) wait_for_change();
    s = left ? all : s->next;
  }
}

unsigned long streams_leaks(CUcontext context, bool note) {
  unsigned long n = 0;
  for (struct stream *s = all; s; s = s->next) {
    if (!s->handle || s->closing || (context && s->context->handle != context)) continue;
    n++;
    if (note) misuse(OFFHOST_EMU_LEAK, "stream %p was not destroyed", (void *)s->handle);
  }
  return n;
}

static CUresult create(CUstream *handle, unsigned flags, int priority) {
  if (!handle || (flags & ~(unsigned)CU_STREAM_NON_BLOCKING)) return CUDA_ERROR_INVALID_VALUE;
  /* What is out of range is brought into it, says the documentation. */
  priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
  struct stream *s = stream_open(context_current(), flags, priority, false);
  if (!s) return CUDA_ERROR_OUT_OF_MEMORY;
  *handle = s->handle;
  return CUDA_SUCCESS;
}

/* Returns at once; the work that is queued is still done. */
static CUresult destroy(CUstream handle) {
  struct stream *s = NULL;
  if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!(s = handle_get(A_STREAM, (uint64_t)(uintptr_t)handle))) {
    if (handle_was(A_STREAM, (uint64_t)(uintptr_t)handle))
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuStreamDestroy(%p): the stream was destroyed before",
             (void *)handle);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  close_stream(s);
  return CUDA_SUCCESS;
}

static CUresult query(CUstream handle) {
  struct stream *s;
  CUresult result = stream_find(handle, &s);
  return result ? result : !s->last || s->last->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static CUresult synchronize(CUstream handle) {
  struct stream *s;
  CUresult result = stream_find(handle, &s);
  return result ? result : fence_wait(s->last);
}

static CUresult get_flags(CUstream handle, unsigned *flags) {
  struct stream *s;
  CUresult result = stream_find(handle, &s);
  if (!result && !flags) result = CUDA_ERROR_INVALID_VALUE;
  if (!result) *flags = s->flags;
  return result;
}

static CUresult get_priority(CUstream handle, int *priority) {
  struct stream *s;
  CUresult result = stream_find(handle, &s);
  if (!result && !priority) result = CUDA_ERROR_INVALID_VALUE;
  if (!result) *priority = s->priority;
  return result;
}

static CUresult get_context(CUstream handle, CUcontext *context) {
  struct stream *s;
  CUresult result = stream_find(handle, &s);
  if (!result && !context) result = CUDA_ERROR_INVALID_VALUE;
  if (!result) *context = s->context->handle;
  return result;
}

struct host_call {
  CUhostFn function;
  void *data;
};

/* One host function runs at a time, whatever its stream. */
static pthread_mutex_t calling_host = PTHREAD_MUTEX_INITIALIZER;

static int64_t call_host(struct operation *op, int64_t earliest) {
  struct host_call *h = op->data;
  unlock();
  pthread_mutex_lock(&calling_host);
  in_callback(true);
  h->function(h->data);
  in_callback(false);
  pthread_mutex_unlock(&calling_host);
  lock();
  int64_t at = now();
  return at > earliest ? at : earliest;
}

static CUresult launch_host(CUstream handle, CUhostFn function, void *data) {
  struct stream *s;
  CUresult result = stream_find_own(handle, &s);
  if (!result && !function) result = CUDA_ERROR_INVALID_VALUE;
  if (result) return result;
  struct host_call *h = allocate(sizeof *h);
  *h = (struct host_call){function, data};
  return operation_submit(s, operation_new(call_host, h));
}

API CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  ENTRY("cuStreamCreate", CONTEXT, create(stream, flags, 0));
}
API CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
  ENTRY("cuStreamCreateWithPriority", CONTEXT, create(stream, flags, priority));
}
API CUresult cuStreamDestroy_v2(CUstream stream) {
  ENTRY("cuStreamDestroy", CONTEXT, destroy(stream));
}
API CUresult cuStreamQuery(CUstream stream) { ENTRY("cuStreamQuery", CONTEXT, query(stream)); }
API CUresult cuStreamSynchronize(CUstream stream) {
  ENTRY("cuStreamSynchronize", CONTEXT, synchronize(stream));
}
API CUresult cuStreamGetFlags(CUstream stream, unsigned *flags) {
  ENTRY("cuStreamGetFlags", CONTEXT, get_flags(stream, flags));
}
API CUresult cuStreamGetPriority(CUstream stream, int *priority) {
  ENTRY("cuStreamGetPriority", CONTEXT, get_priority(stream, priority));
}
API CUresult cuStreamGetCtx(CUstream stream, CUcontext *context) {
  ENTRY("cuStreamGetCtx", CONTEXT, get_context(stream, context));
}
API CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data) {
  ENTRY("cuLaunchHostFunc", CONTEXT, launch_host(stream, function, data));
}
