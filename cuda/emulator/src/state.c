/* The one lock, the way into every call, settings, fork and exit. */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emu.h"

struct settings settings;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static bool initialised;
static bool configured;
static atomic_bool forked;
static CUresult sticky;

static __thread const char *call_name = "no call";
static __thread bool callback;

void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }
void wait_for_change(void) { pthread_cond_wait(&change, &mutex); }
void wait_on(pthread_cond_t *condition) { pthread_cond_wait(condition, &mutex); }
void changed(void) { pthread_cond_broadcast(&change); }
const char *current_call(void) { return call_name; }
void in_callback(bool inside) { callback = inside; }
CUresult poisoned(void) { return sticky; }

void poison(CUresult code) {
  if (sticky == CUDA_SUCCESS) {
    sticky = code;
    say("sticky error %s: nothing more can be done in process %d", error_name(code), (int)getpid());
  }
  changed();
}

void say(const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (n < 0) return;
  if ((size_t)n > sizeof line - 2) n = sizeof line - 2;
  line[n] = '\n';
  line[n + 1] = 0;
  fprintf(stderr, "OFFHOST-EMU %s", line); /* one write: processes share the stream */
}

void *allocate(size_t bytes) {
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p) {
    say("no memory for %zu bytes of books", bytes);
    abort();
  }
  return p;
}

/* Settings. A value that cannot be read makes cuInit fail, with a line that says why. */

static bool number(const char *name, uint64_t *value) {
  const char *text = getenv(name);
  if (!text || !*text) return true;
  char *rest;
  errno = 0;
  unsigned long long n = strtoull(text, &rest, 10);
  unsigned shift = !strcmp(rest, "KiB")   ? 10
                   : !strcmp(rest, "MiB") ? 20
                   : !strcmp(rest, "GiB") ? 30
                                          : 0;
  if (*text < '0' || *text > '9' || errno || (*rest && !shift) || n > UINT64_MAX >> shift) {
    say("%s=%s: want a number, with KiB, MiB or GiB behind it if it should count those", name,
        text);
    return false;
  }
  *value = (uint64_t)n << shift;
  return true;
}

static CUresult configure(void) {
  uint64_t init = 0, read_only = 1;
  settings.memory = (uint64_t)1 << 30;
  settings.granularity = 2 << 20;
  settings.memory_given = getenv("OFFHOST_EMU_MEMORY") && *getenv("OFFHOST_EMU_MEMORY");
  settings.abort = true;
  if (!number("OFFHOST_EMU_MEMORY", &settings.memory) ||
      !number("OFFHOST_EMU_GRANULARITY", &settings.granularity) ||
      !number("OFFHOST_EMU_CONTEXT", &settings.context) ||
      !number("OFFHOST_EMU_H2D", &settings.bandwidth[OFFHOST_EMU_H2D]) ||
      !number("OFFHOST_EMU_D2H", &settings.bandwidth[OFFHOST_EMU_D2H]) ||
      !number("OFFHOST_EMU_READ_ONLY_REGISTER", &read_only) || !number("OFFHOST_EMU_INIT", &init))
    return CUDA_ERROR_SYSTEM_NOT_READY;
  settings.read_only_register = read_only != 0;
  unsigned long long granularity = settings.granularity;
  if (granularity < PAGE || granularity & (granularity - 1)) {
    say("OFFHOST_EMU_GRANULARITY is %llu bytes: want a power of two from %d on", granularity, PAGE);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  if (settings.memory < granularity || settings.memory % granularity) {
    say("OFFHOST_EMU_MEMORY is %llu bytes: want a multiple of %llu above 0",
        (unsigned long long)settings.memory, granularity);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  if (init > INT32_MAX || !error_known((CUresult)init)) {
    say("OFFHOST_EMU_INIT=%llu is no result of the driver", (unsigned long long)init);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  settings.init = (CUresult)init;
  const char *strict = getenv("OFFHOST_EMU_STRICT");
  if (strict && *strict) {
    settings.abort = !strcmp(strict, "abort");
    if (!settings.abort && strcmp(strict, "report")) {
      say("OFFHOST_EMU_STRICT=%s: want abort or report", strict);
      return CUDA_ERROR_SYSTEM_NOT_READY;
    }
  }
  const char *faults = getenv("OFFHOST_EMU_FAULT");
  return faults && *faults ? faults_parse(faults) : CUDA_SUCCESS;
}

/* A child of fork has the parent's books and none of its threads; as with the real
 * driver, nothing works there until it executes another program. */
static void before_fork(void) { lock(); }
static void after_fork_in_parent(void) { unlock(); }
static void after_fork_in_child(void) {
  unlock();
  if (initialised) atomic_store(&forked, true);
}

__attribute__((constructor)) static void load(void) {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

__attribute__((destructor)) static void unload(void) {
  if (atomic_load(&forked)) return;
  lock();
  bool report = initialised && !sticky;
  unlock();
  call_name = "exit";
  if (report) offhostEmuLeaks(1);
}

CUresult enter(const char *call, enum needs needs) {
  if (atomic_load(&forked)) return CUDA_ERROR_NOT_INITIALIZED;
  lock();
  call_name = call;
  CUresult result = CUDA_SUCCESS;
  if (callback) {
    misuse(
        OFFHOST_EMU_CALL_IN_CALLBACK,
        "%s is called by a host function of cuLaunchHostFunc, which may call nothing of the driver",
        call);
    result = CUDA_ERROR_NOT_PERMITTED;
  } else if (needs >= INIT && !initialised) {
    result = CUDA_ERROR_NOT_INITIALIZED;
  }
  if (!result) result = fault_take(call);
  if (!result && needs >= LIVE) result = sticky;
  if (!result && needs == CONTEXT) result = context_check();
  if (result) {
    fault_late();
    call_name = "no call";
    unlock();
  }
  return result;
}

CUresult leave(CUresult result) {
  fault_unused();
  call_name = "no call";
  unlock();
  return result;
}

static CUresult init(unsigned flags) {
  if (flags) return CUDA_ERROR_INVALID_VALUE;
  if (initialised) return CUDA_SUCCESS;
  CUresult result = settings.init ? settings.init : gpu_open();
  initialised = result == CUDA_SUCCESS;
  return result;
}

/* The settings are read once, before the first call that they concern: faults of cuInit
 * itself are among them. */
API CUresult cuInit(unsigned flags) {
  lock();
  CUresult result = configured ? CUDA_SUCCESS : configure();
  configured = result == CUDA_SUCCESS;
  unlock();
  if (result) return result;
  ENTRY("cuInit", ANYTIME, init(flags));
}

static CUresult version(int *v) {
  if (!v) return CUDA_ERROR_INVALID_VALUE;
  *v = VERSION;
  return CUDA_SUCCESS;
}

API CUresult cuDriverGetVersion(int *v) { ENTRY("cuDriverGetVersion", ANYTIME, version(v)); }

API int offhostEmuVersion(void) { return OFFHOST_EMU_VERSION; }

API CUresult offhostEmuSticky(void) {
  lock();
  CUresult code = sticky;
  unlock();
  return code;
}

API unsigned long offhostEmuLeaks(int note) {
  lock();
  unsigned long n = vmm_leaks(note) + memory_leaks(NULL, note) + pinned_leaks(NULL, note) +
                    streams_leaks(NULL, note) + events_leaks(NULL, note) + context_leaks(note);
  unlock();
  return n;
}
