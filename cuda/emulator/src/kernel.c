/* A kernel that reads and writes ranges: the inference that weights must not be taken
 * from under. Like a real launch it checks nothing when it is queued. */
#include <inttypes.h>
#include <string.h>

#include "emu.h"

struct kernel {
  unsigned microseconds;
  uint64_t *checksum;
  unsigned count;
  struct offhostEmuRange ranges[];
};

API uint64_t offhostEmuChecksum(uint64_t seed, const void *bytes, size_t count) {
  const unsigned char *p = bytes;
  uint64_t h = seed ^ 0xcbf29ce484222325u, word;
  for (; count >= 8; p += 8, count -= 8) {
    memcpy(&word, p, 8);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  for (; count; p++, count--) h = (h ^ *p) * 0x100000001b3u;
  return h ^ 0xcbf29ce484222325u;
}

static uint64_t checksum_of(const struct segments *s, uint64_t seed) {
  for (size_t i = 0; i < s->count; i++)
    seed = offhostEmuChecksum(seed, s->list[i].bytes, s->list[i].size);
  return seed;
}

/* With the lock; released while memory is read. */
static uint64_t read_all(const struct kernel *k) {
  uint64_t h = 0;
  for (unsigned i = 0; i < k->count; i++) {
    if (!(k->ranges[i].access & OFFHOST_EMU_READ)) continue;
    struct segments s = space_segments(k->ranges[i].address, k->ranges[i].bytes);
    unlock();
    h = checksum_of(&s, h);
    lock();
    segments_free(&s);
  }
  return h;
}

static void write_all(const struct kernel *k) {
  for (unsigned i = 0; i < k->count; i++) {
    if (!(k->ranges[i].access & OFFHOST_EMU_WRITE)) continue;
    struct segments s = space_segments(k->ranges[i].address, k->ranges[i].bytes);
    unlock();
    for (size_t n = 0; n < s.count; n++)
      memset(s.list[n].bytes, (int)k->ranges[i].fill, s.list[n].size);
    lock();
    segments_free(&s);
  }
}

static int64_t run(struct operation *op, int64_t earliest) {
  const struct kernel *k = op->data;
  char text[160];
  int64_t end = earliest + (int64_t)k->microseconds * 1000;
  uint64_t before = read_all(k);
  unlock();
  sleep_until(end);
  lock();
  if (operation_may(op)) {
    uint64_t after = read_all(k);
    if (after != before)
      misuse(OFFHOST_EMU_CHANGED_IN_USE, "%s: what it reads was changed meanwhile",
             operation_text(op, text, sizeof text));
    write_all(k);
    if (k->checksum) *k->checksum = after;
  }
  int64_t at = now();
  return at > end ? at : end;
}

static CUresult launch(CUstream stream, const struct offhostEmuRange *ranges, unsigned count,
                       unsigned microseconds, uint64_t *checksum) {
  struct stream *s;
  CUresult result = stream_find_own(stream, &s);
  if (result) return result;
  if (count && !ranges) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; i++) {
    const struct offhostEmuRange *r = &ranges[i];
    unsigned known = OFFHOST_EMU_READ | OFFHOST_EMU_WRITE;
    if (!r->bytes || !r->access || (r->access & ~known) || r->fill > 255 ||
        r->bytes > UINT64_MAX - r->address)
      return CUDA_ERROR_INVALID_VALUE;
  }
  struct kernel *k = allocate(sizeof *k + count * sizeof *ranges);
  k->microseconds = microseconds;
  k->checksum = checksum;
  k->count = count;
  if (count) memcpy(k->ranges, ranges, count * sizeof *ranges);
  struct operation *op = operation_new(run, k);
  for (unsigned i = 0; i < count; i++)
    operation_touches(op, (struct touch){ranges[i].address, ranges[i].bytes,
                                         ranges[i].access & OFFHOST_EMU_WRITE, true});
  return operation_submit(s, op);
}

API CUresult offhostEmuKernel(CUstream stream, const struct offhostEmuRange *ranges, unsigned count,
                              unsigned microseconds, uint64_t *checksum) {
  ENTRY("offhostEmuKernel", CONTEXT, launch(stream, ranges, count, microseconds, checksum));
}
