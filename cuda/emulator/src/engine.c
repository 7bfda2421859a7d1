/* The copy engines: one for each direction, each doing one copy at a time, in the order
 * in which streams come to them, at the bandwidth that it has.
 *
 * Their clock is a plan: a copy begins when its stream and the engine are free and ends
 * when its bytes have had their time, whatever the host's scheduler makes of it; the
 * bytes arrive and the copy completes when that time has come. So intervals are exact as
 * long as the host keeps up, and where it does not, the plan follows it. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "emu.h"

enum {
  SLICE = 256 << 10,     /* bytes between two looks at the clock */
  NAP = 200 * 1000,      /* ns; a shorter sleep is not worth it */
  LATE = 5 * 1000 * 1000 /* ns that a copy may end late before the plan follows */
};

static struct engine {
  unsigned long next, serving; /* tickets */
  int64_t free_at;
} engines[3];

enum { KEPT = 65536 };
static struct offhostEmuCopy copies[KEPT];
static size_t copy_count;

int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_until(int64_t at) {
  struct timespec t = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

static int64_t duration(uint64_t bytes, uint64_t bandwidth) {
  return bandwidth ? (int64_t)((double)bytes * 1e9 / (double)bandwidth) : 0;
}

/* Without the lock. Both sides have the same length. */
static uint64_t move(const struct segments *to, const struct segments *from, int64_t begin,
                     uint64_t bandwidth) {
  uint64_t done = 0, t = 0, f = 0;
  for (size_t i = 0, k = 0; i < to->count && k < from->count;) {
    uint64_t room = to->list[i].size - t, left = from->list[k].size - f;
    uint64_t n = room < left ? room : left;
    if (n > SLICE) n = SLICE;
    memmove(to->list[i].bytes + t, from->list[k].bytes + f, n);
    done += n;
    if ((t += n) == to->list[i].size) t = 0, i++;
    if ((f += n) == from->list[k].size) f = 0, k++;
    int64_t due = begin + duration(done, bandwidth);
    if (bandwidth && due - now() > NAP) sleep_until(due);
  }
  return done;
}

int64_t engine_move(int direction, const struct segments *to, const struct segments *from,
                    int64_t earliest, CUstream stream) {
  struct engine *e = &engines[direction];
  unsigned long ticket = e->next++;
  while (e->serving != ticket) wait_for_change();
  uint64_t bandwidth = settings.bandwidth[direction];
  int64_t begin = earliest > e->free_at ? earliest : e->free_at;
  unlock();
  uint64_t bytes = move(to, from, begin, bandwidth);
  int64_t end = begin + duration(bytes, bandwidth);
  if (bandwidth) sleep_until(end);
  int64_t at = now();
  if (!bandwidth || at > end + LATE) end = at;
  lock();
  copies[copy_count++ % KEPT] = (struct offhostEmuCopy){begin, end, bytes, stream, direction};
  e->free_at = end;
  e->serving++;
  changed();
  return end;
}

void engines_reset(void) { copy_count = 0; }

API int64_t offhostEmuNow(void) { return now(); }

API size_t offhostEmuCopies(struct offhostEmuCopy *out, size_t count) {
  lock();
  size_t kept = copy_count < KEPT ? copy_count : KEPT;
  for (size_t i = 0; i < kept && i < count; i++) out[i] = copies[(copy_count - kept + i) % KEPT];
  unlock();
  return kept;
}

API CUresult offhostEmuBandwidth(int direction, uint64_t bandwidth) {
  if (direction != OFFHOST_EMU_H2D && direction != OFFHOST_EMU_D2H) return CUDA_ERROR_INVALID_VALUE;
  lock();
  settings.bandwidth[direction] = bandwidth;
  unlock();
  return CUDA_SUCCESS;
}
