/* What the files of the stand-in driver share.
 *
 *   state.c     the one lock, the way into every call, settings, fork and exit
 *   fault.c     faults that tests inject           misuse.c   what a caller did wrong
 *   errors.c    names of results                   handles.c  handles that outlive their use
 *   gpu.c       the memory that processes share    physical.c this process's part of it
 *   space.c     device addresses and mappings      pinned.c   page-locked host memory
 *   device.c    the one device                     context.c  contexts
 *   stream.c    queues, their threads, fences      event.c    fences with a name
 *   engine.c    copy engines and their clock       copy.c     copies and fills
 *   kernel.c    work that reads and writes ranges  memory.c   plain allocations
 *   vmm.c       virtual memory management          pointer.c  what an address is
 *   procaddr.c  entry points by name               legacy.c   old entry points
 *
 * One lock guards all of it; it is held inside every function that is not said to be
 * called without it, and released only while bytes move, a thread waits or a caller's
 * function runs. */
#ifndef EMU_H
#define EMU_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "offhost_emu.h"

#define API __attribute__((visibility("default")))
#define PRINTF(text, first) __attribute__((format(printf, text, first)))

enum {
  PAGE = 64 << 10, /* what a plain allocation is rounded up to: any host's page size divides it */
  VERSION = 12040  /* of the driver interface */
};

/* state.c */

/* What a call asks of the state before it runs. */
enum needs {
  ANYTIME, /* nothing, not even cuInit */
  INIT,    /* cuInit */
  LIVE,    /* and no sticky error */
  CONTEXT  /* and a current context */
};

struct settings {
  uint64_t memory;         /* bytes that the GPU has */
  uint64_t granularity;    /* of physical allocations and mappings */
  uint64_t context;        /* bytes of them that each context takes */
  uint64_t bandwidth[3];   /* by enum offhostEmuDirection, bytes a second; 0 is unpaced */
  bool memory_given;       /* rather than the default */
  bool abort;              /* on misuse */
  bool read_only_register; /* CU_MEMHOSTREGISTER_READ_ONLY is offered */
  CUresult init;           /* what cuInit returns */
};

extern struct settings settings;

/* Enters a call: takes the lock and returns CUDA_SUCCESS, or returns the call's error. */
CUresult enter(const char *call, enum needs needs);

/* Leaves it. */
CUresult leave(CUresult result);

/* What an exported function does: the result is computed under the lock. */
#define ENTRY(call, needs, result)                                                                 \
  do {                                                                                             \
    CUresult entered = enter(call, needs);                                                         \
    return entered ? entered : leave(result);                                                      \
  } while (0)

void lock(void);
void unlock(void);

/* Waits for any change of the state, such as the end of an operation; or on a condition
 * of its own. The lock is released meanwhile. */
void wait_for_change(void);
void wait_on(pthread_cond_t *condition);
void changed(void);

/* The name of the call that this thread is in. */
const char *current_call(void);

/* Marks this thread as running a caller's host function, where calls are not allowed. */
void in_callback(bool inside);

/* The process's sticky error. */
CUresult poisoned(void);
void poison(CUresult code);

/* A line that starts with OFFHOST-EMU, on standard error. */
void say(const char *format, ...) PRINTF(1, 2);

/* Memory that is never refused: the process ends instead. */
void *allocate(size_t bytes);

/* fault.c */

/* The result that this call of a function is to have; CUDA_SUCCESS: none. */
CUresult fault_take(const char *call);

/* The error that the operation queued by this call is to end with, taken once. */
CUresult fault_late(void);
CUresult faults_parse(const char *text);
void fault_unused(void);

/* misuse.c */

void misuse(enum offhostEmuMisuse kind, const char *format, ...) PRINTF(2, 3);

/* errors.c */

bool error_known(CUresult code);
const char *error_name(CUresult code);

/* handles.c */

enum kind { A_CONTEXT = 1, A_STREAM, AN_EVENT, AN_ALLOCATION };

uint64_t handle_new(enum kind kind, void *object);

/* The object of a live handle, NULL if it is none; was_one says that it once was. */
void *handle_get(enum kind kind, uint64_t handle);
bool handle_was(enum kind kind, uint64_t handle);
void handle_free(uint64_t handle);

/* gpu.c: memory as all processes see it */

CUresult gpu_open(void);
uint64_t gpu_total(void);
uint64_t gpu_used(void);
void gpu_uuid(char bytes[16]);

/* Takes size bytes; the open file is what keeps them taken. */
CUresult gpu_take(uint64_t size, bool exportable, bool filled, int *fd, ino_t *inode);

/* Recognises a descriptor of memory that was taken here. */
bool gpu_recognise(int fd, uint64_t *size, bool *exportable, ino_t *inode);

/* After a file was closed: frees the memory if nobody else holds it. */
void gpu_drop(uint64_t size, bool exportable, ino_t inode);

/* physical.c */

struct physical {
  struct physical *next;
  ino_t inode;
  int fd;
  uint64_t size;
  bool exportable, imported;
  unsigned references;  /* handles, mappings, operations */
  unsigned handles;     /* how often the handle has to be released */
  uint64_t handle;      /* 0: none */
  unsigned char *bytes; /* where the stand-in itself reaches the memory */
};

/* filled: its pages are there from the start, as they have to be for copies to keep pace. */
CUresult physical_new(uint64_t size, bool exportable, bool filled, struct physical **made);
CUresult physical_import(int fd, struct physical **imported);
struct physical *physical_keep(struct physical *p);
void physical_drop(struct physical *p);
struct physical *physical_of_inode(ino_t inode);

/* The handle, made or counted once more; and given back. */
uint64_t physical_handle(struct physical *p);
void physical_release(struct physical *p);
unsigned long physical_leaks(bool note);

/* space.c */

struct mapping {
  struct mapping *next; /* by address */
  uint64_t address, size;
  struct physical *physical;
  CUmemAccess_flags access;
};

struct reservation {
  struct reservation *next;
  uint64_t address, size;
  uint64_t asked;    /* bytes of a plain allocation, 0 for reserved addresses */
  CUcontext context; /* that a plain allocation belongs to */
  uint64_t id;
  struct mapping *mappings;
};

/* Reserves addresses; at wanted if that is possible and not 0. */
struct reservation *space_reserve(uint64_t size, uint64_t alignment, uint64_t wanted);
void space_unreserve(struct reservation *r);
struct reservation *space_find(uint64_t address);
struct reservation *space_all(void);

/* Whether an address is a device's: reserved now, or in the part where those are made. */
bool space_device(uint64_t address);
struct mapping *space_map(struct reservation *r, uint64_t address, uint64_t size,
                          struct physical *p);
void space_unmap(struct reservation *r, struct mapping *m);
struct mapping *space_mapping(uint64_t address);

/* True if mappings of one reservation tile the range exactly, and none reaches out of it. */
bool space_tiled(struct reservation *r, uint64_t address, uint64_t size);

/* A stretch of memory that an operation uses: kept until it ends. */
struct segment {
  unsigned char *bytes;
  uint64_t size;
  struct physical *physical; /* NULL for host memory */
};
struct segments {
  struct segment *list;
  size_t count;
};

enum access { CAN = 0, UNMAPPED, FORBIDDEN };

/* Whether a range is mapped, and mapped for reading (and writing). */
enum access space_check(uint64_t address, uint64_t size, bool write);

/* The memory of a range that passed the check. */
struct segments space_segments(uint64_t address, uint64_t size);
struct segments host_segments(uint64_t address, uint64_t size);
void segments_free(struct segments *s);

/* Ranges that were given back: what makes a use after free known as one. */
void gone_note(uint64_t address, uint64_t size, const char *how);
const char *gone_how(uint64_t address, uint64_t size);

/* Says what is wrong with a range that is not mapped. */
void misuse_unmapped(const char *what, uint64_t address, uint64_t size);

/* pinned.c */

struct pinned {
  struct pinned *next;
  uint64_t address, size;
  unsigned flags;
  bool allocated; /* rather than registered */
  bool read_only;
  CUcontext context;
};

/* The range that holds an address, NULL if none does. */
struct pinned *pinned_find(uint64_t address);
void pinned_free_of(CUcontext context);
unsigned long pinned_leaks(CUcontext context, bool note);

/* context.c */

struct context {
  CUcontext handle;
  bool primary;
  unsigned flags;
  struct stream *null_stream;
  struct physical *overhead; /* what a context costs, if it costs anything */
};

/* The calling thread's, which a call that needs CONTEXT has; and whether it has one. */
struct context *context_current(void);
CUresult context_check(void);
unsigned long context_leaks(bool note);

/* stream.c */

/* The end of an operation. */
struct fence {
  unsigned references;
  bool done;
  int64_t at; /* by the engines' clock, once done */
};

/* A range that an operation touches, to know what may not be taken from under it. */
struct touch {
  uint64_t address, size;
  bool write;
  bool device; /* rather than page-locked host memory */
};

struct operation {
  struct operation *next;
  const char *call; /* that queued it */
  struct stream *stream;
  int64_t submitted;
  struct fence *done;
  struct fence **after; /* what has to end first, besides the stream's earlier work */
  size_t after_count;
  CUresult late; /* an injected end */
  bool running;
  struct touch *touches;
  size_t touch_count;

  /* Runs it, from the earliest time on, and returns when it ended. NULL: nothing to do. */
  int64_t (*run)(struct operation *op, int64_t earliest);
  void *data; /* freed with it */
};

struct stream {
  struct stream *next;
  CUstream handle; /* NULL for the default stream */
  struct context *context;
  unsigned flags;
  int priority;
  struct fence *last; /* of the operation queued last, NULL if none was */
  struct operation *head, *tail;
  bool closing;
  int64_t at;          /* when its last operation ended */
  pthread_cond_t work; /* something was queued, or the stream is closing */
};

struct operation *operation_new(int64_t (*run)(struct operation *, int64_t), void *data);
void operation_touches(struct operation *op, struct touch t);
void operation_after(struct operation *op, struct fence *f);

/* Frees one that was not queued. */
void operation_free(struct operation *op);

/* Queues it. Always succeeds: it returns CUDA_SUCCESS for its callers to return. */
CUresult operation_submit(struct stream *s, struct operation *op);

/* Whether all the device memory that it touches can be used as it wants to. If not, that
 * is misuse, and the process's use of the GPU ends. */
bool operation_may(const struct operation *op);

/* The first operation, queued or running, that touches a range; NULL if none does. */
struct operation *operation_on(uint64_t address, uint64_t size);

/* "cuMemcpyHtoDAsync on stream 0x123 (running)", for messages. */
const char *operation_text(const struct operation *op, char *text, size_t bytes);

struct fence *fence_keep(struct fence *f);
void fence_drop(struct fence *f);

/* Waits for a fence, which may be NULL, and returns the sticky error. */
CUresult fence_wait(struct fence *f);

CUresult stream_find(CUstream handle, struct stream **found);
CUresult stream_find_own(CUstream handle, struct stream **found);
struct stream *stream_open(struct context *c, unsigned flags, int priority, bool null_stream);

/* Waits for everything that was queued in a context. */
CUresult context_wait(struct context *c);
void streams_close_of(struct context *c);
unsigned long streams_leaks(CUcontext context, bool note);

/* event.c */

void events_close_of(CUcontext context);
unsigned long events_leaks(CUcontext context, bool note);

/* engine.c */

int64_t now(void);
void sleep_until(int64_t at);

/* Moves bytes through an engine; the lock is released meanwhile. */
int64_t engine_move(int direction, const struct segments *to, const struct segments *from,
                    int64_t earliest, CUstream stream);
void engines_reset(void);

/* memory.c */

void memory_free_of(CUcontext context);
unsigned long memory_leaks(CUcontext context, bool note);

/* vmm.c */

unsigned long vmm_leaks(bool note);

/* procaddr.c */

bool function_known(const char *name);

#endif
