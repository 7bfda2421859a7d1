/* Faults that tests inject, by the function's name and the number of the call. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu.h"

struct fault {
  struct fault *next;
  char function[64];
  unsigned until; /* calls that still pass */
  unsigned count; /* calls that then fail, if not all */
  bool all;
  CUresult code;
  unsigned flags;
  pthread_t thread; /* that armed it */
};

static struct fault *faults;

/* The late fault of the call that this thread is in. */
static __thread CUresult late;

static void remove_spent(void) {
  for (struct fault **at = &faults; *at;) {
    struct fault *f = *at;
    if (f->all || f->count) {
      at = &f->next;
      continue;
    }
    *at = f->next;
    free(f);
  }
}

CUresult fault_take(const char *call) {
  CUresult code = CUDA_SUCCESS;
  for (struct fault *f = faults; f && !code; f = f->next) {
    if (strcmp(f->function, call)) continue;
    if (f->flags & OFFHOST_EMU_FAULT_THREAD && !pthread_equal(f->thread, pthread_self())) continue;
    if (f->until) {
      f->until--;
      continue;
    }
    if (!f->all) f->count--;
    if (f->flags & OFFHOST_EMU_FAULT_LATE) {
      late = f->code;
      break;
    }
    code = f->code;
    if (f->flags & OFFHOST_EMU_FAULT_STICKY) poison(code);
  }
  remove_spent();
  return code;
}

CUresult fault_late(void) {
  CUresult code = late;
  late = CUDA_SUCCESS;
  return code;
}

void fault_unused(void) {
  if (!late) return;
  misuse(OFFHOST_EMU_BAD_FAULT, "a late fault (%s) was set for %s, which queued no work",
         error_name(late), current_call());
  late = CUDA_SUCCESS;
}

static CUresult arm(const char *function, unsigned nth, unsigned count, CUresult code,
                    unsigned flags) {
  if (!function || !nth || !code || !error_known(code) ||
      (flags & ~(OFFHOST_EMU_FAULT_STICKY | OFFHOST_EMU_FAULT_LATE | OFFHOST_EMU_FAULT_THREAD)))
    return CUDA_ERROR_INVALID_VALUE;
  if (!function_known(function)) return CUDA_ERROR_NOT_FOUND;
  struct fault *f = allocate(sizeof *f), **end = &faults;
  snprintf(f->function, sizeof f->function, "%s", function);
  f->until = nth - 1;
  f->count = count;
  f->all = count == 0;
  f->code = code;
  f->flags = flags;
  f->thread = pthread_self();
  while (*end) end = &(*end)->next;
  *end = f;
  return CUDA_SUCCESS;
}

/* function:nth:code[:sticky|:late], nth being 3 (once), 3x5 (five times) or 3+ (from then
 * on). Returns what is behind it, NULL if it is not one. */
static const char *parse_one(const char *text, CUresult *result) {
  char function[64];
  unsigned nth, count = 1, flags = 0;
  int code, n = 0;
  if (sscanf(text, "%63[A-Za-z0-9_]:%u%n", function, &nth, &n) != 2) return NULL;
  text += n;
  if (*text == '+') {
    count = 0;
    text++;
  } else if (*text == 'x') {
    if (sscanf(text, "x%u%n", &count, &n) != 1 || count == 0) return NULL;
    text += n;
  }
  if (sscanf(text, ":%d%n", &code, &n) != 1) return NULL;
  text += n;
  if (!strncmp(text, ":sticky", 7)) {
    flags = OFFHOST_EMU_FAULT_STICKY;
    text += 7;
  } else if (!strncmp(text, ":late", 5)) {
    flags = OFFHOST_EMU_FAULT_LATE;
    text += 5;
  }
  if (*text && *text != ',') return NULL;
  *result = arm(function, nth, count, (CUresult)code, flags);
  return *text ? text + 1 : text;
}

CUresult faults_parse(const char *text) {
  while (*text) {
    CUresult result = CUDA_SUCCESS;
    const char *rest = parse_one(text, &result);
    if (!rest || result) {
      say("OFFHOST_EMU_FAULT: cannot use %s: want function:nth:code[:sticky|:late], nth being 3, 3x5 or 3+, separated by commas, with a function of the stand-in and a result of the driver",
          text);
      return CUDA_ERROR_SYSTEM_NOT_READY;
    }
    text = rest;
  }
  return CUDA_SUCCESS;
}

API CUresult offhostEmuFault(const char *function, unsigned nth, unsigned count, CUresult code,
                             unsigned flags) {
  lock();
  CUresult result = arm(function, nth, count, code, flags);
  unlock();
  return result;
}

API void offhostEmuFaultsClear(void) {
  lock();
  while (faults) {
    struct fault *f = faults;
    faults = f->next;
    free(f);
  }
  unlock();
}

API unsigned offhostEmuFaultsArmed(void) {
  lock();
  unsigned n = 0;
  for (struct fault *f = faults; f; f = f->next) n++;
  unlock();
  return n;
}
