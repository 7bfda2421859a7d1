/* What a caller did wrong: printed, counted, kept; and by default the end of the process,
 * so that no test can overlook it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emu.h"

static const char *const names[OFFHOST_EMU_MISUSES] = {
    [OFFHOST_EMU_UNMAP_IN_USE] = "unmap-in-use",
    [OFFHOST_EMU_FREE_IN_USE] = "free-in-use",
    [OFFHOST_EMU_USE_AFTER_FREE] = "use-after-free",
    [OFFHOST_EMU_DOUBLE_FREE] = "double-free",
    [OFFHOST_EMU_NOT_MAPPED] = "not-mapped",
    [OFFHOST_EMU_NO_ACCESS] = "no-access",
    [OFFHOST_EMU_UNPINNED_COPY] = "unpinned-copy",
    [OFFHOST_EMU_RACE] = "race",
    [OFFHOST_EMU_CHANGED_IN_USE] = "changed-in-use",
    [OFFHOST_EMU_CALL_IN_CALLBACK] = "call-in-callback",
    [OFFHOST_EMU_FOREIGN_DESCRIPTOR] = "foreign-descriptor",
    [OFFHOST_EMU_BAD_FAULT] = "bad-fault",
    [OFFHOST_EMU_LEAK] = "leak",
};

enum { KEPT = 256 };

static unsigned long counts[OFFHOST_EMU_MISUSES];
static char *kept[KEPT];
static size_t kept_count;

void misuse(enum offhostEmuMisuse kind, const char *format, ...) {
  char text[900];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  counts[kind]++;
  if (kept_count < KEPT) {
    size_t bytes = strlen(names[kind]) + 2 + strlen(text) + 1;
    kept[kept_count] = allocate(bytes);
    snprintf(kept[kept_count++], bytes, "%s: %s", names[kind], text);
  }
  say("MISUSE %s: %s [process %d]", names[kind], text, (int)getpid());
  if (settings.abort) abort();
}

API const char *offhostEmuMisuseName(int kind) {
  return kind >= 0 && kind < OFFHOST_EMU_MISUSES ? names[kind] : NULL;
}

API unsigned long offhostEmuMisuseCount(int kind) {
  unsigned long n = 0;
  lock();
  for (int k = 0; k < OFFHOST_EMU_MISUSES; k++)
    if (kind == -1 || kind == k) n += counts[k];
  unlock();
  return n;
}

API size_t offhostEmuMisuseText(size_t index, char *text, size_t bytes) {
  size_t n = 0;
  lock();
  if (index < kept_count) {
    n = strlen(kept[index]);
    if (text && bytes) snprintf(text, bytes, "%s", kept[index]);
  }
  unlock();
  return n;
}

API void offhostEmuReset(void) {
  lock();
  memset(counts, 0, sizeof counts);
  while (kept_count) free(kept[--kept_count]);
  engines_reset();
  unlock();
}
