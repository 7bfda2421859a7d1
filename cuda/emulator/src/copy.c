/* Copies and fills: what is checked when they are queued, and how they are done. */
#include <inttypes.h>
#include <string.h>

#include "emu.h"

struct side {
  uint64_t address;
  bool device;
};

struct copy {
  struct side to, from;
  uint64_t size;
  int direction;
  bool sampled;    /* the source is host memory that has to stay as it is meanwhile */
  uint64_t sample; /* of it, when the copy was queued */
};

/* A checksum of 64 places at most, spread over all: enough to notice that a buffer was
 * filled anew, and little beside the copy. */
static uint64_t sample(const unsigned char *p, uint64_t size) {
  enum { PLACES = 64, BYTES = 4096 };
  if (size <= PLACES * BYTES) return offhostEmuChecksum(0, p, size);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < PLACES; i++)
    sum = offhostEmuChecksum(sum, p + (size - BYTES) / (PLACES - 1) * i, BYTES);
  return sum;
}

static struct segments segments_of(struct side s, uint64_t size) {
  return s.device ? space_segments(s.address, size) : host_segments(s.address, size);
}

static int64_t run_copy(struct operation *op, int64_t earliest) {
  struct copy *c = op->data;
  struct segments to = segments_of(c->to, c->size), from = segments_of(c->from, c->size);
  int64_t end = engine_move(c->direction, &to, &from, earliest, op->stream->handle);
  char text[160];
  if (c->sampled && sample(from.list[0].bytes, c->size) != c->sample)
    misuse(OFFHOST_EMU_CHANGED_IN_USE,
           "%s: the host memory at 0x%" PRIx64 " was changed before the copy had ended",
           operation_text(op, text, sizeof text), c->from.address);
  segments_free(&to);
  segments_free(&from);
  return end;
}

static CUresult check_device(uint64_t address, uint64_t size, bool write) {
  if (space_check(address, size, write) != UNMAPPED) return CUDA_SUCCESS;
  misuse_unmapped(current_call(), address, size);
  return CUDA_ERROR_INVALID_VALUE;
}

/* Whether the device can reach host memory by itself. What it cannot, the real driver
 * copies in steps of its own, with no promise about when; here that is done before the
 * call returns, and is misuse if the call was meant to return before. */
static CUresult check_host(uint64_t address, uint64_t size, bool write, bool queued, bool *locked) {
  struct pinned *p = pinned_find(address);
  *locked = p && size <= p->size - (address - p->address);
  if (!address) return CUDA_ERROR_INVALID_VALUE;
  if (*locked && write && p->read_only) {
    misuse(OFFHOST_EMU_NO_ACCESS,
           "%s: 0x%" PRIx64
           " would be written, but was registered with CU_MEMHOSTREGISTER_READ_ONLY",
           current_call(), address);
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (*locked || !queued) return CUDA_SUCCESS;
  const char *how = p ? NULL : gone_how(address, size);
  if (how) {
    misuse(OFFHOST_EMU_USE_AFTER_FREE,
           "%s: host memory 0x%" PRIx64 " and %" PRIu64 " bytes on: %s before", current_call(),
           address, size, how);
    return CUDA_ERROR_INVALID_VALUE;
  }
  misuse(OFFHOST_EMU_UNPINNED_COPY,
         "%s: host memory 0x%" PRIx64 " and %" PRIu64 " bytes on is not page-locked%s",
         current_call(), address, size, p ? " to its end" : "");
  return CUDA_SUCCESS;
}

static CUresult check_side(struct side s, uint64_t size, bool write, bool queued,
                           struct operation *op, bool *locked) {
  *locked = true;
  CUresult result = s.device ? check_device(s.address, size, write)
                             : check_host(s.address, size, write, queued, locked);
  if (!result && *locked) operation_touches(op, (struct touch){s.address, size, write, s.device});
  return result;
}

/* queued: the call may return before the copy is done. */
static CUresult copy(struct side to, struct side from, uint64_t size, CUstream stream,
                     bool queued) {
  struct stream *s;
  CUresult result = stream_find_own(stream, &s);
  if (result || !size) return result;
  if (size > UINT64_MAX - to.address || size > UINT64_MAX - from.address)
    return CUDA_ERROR_INVALID_VALUE;
  struct copy *c = allocate(sizeof *c);
  *c = (struct copy){.to = to, .from = from, .size = size};
  c->direction = to.device == from.device ? OFFHOST_EMU_D2D
                 : to.device              ? OFFHOST_EMU_H2D
                                          : OFFHOST_EMU_D2H;
  struct operation *op = operation_new(run_copy, c);
  bool to_locked = true, from_locked = true;
  result = check_side(to, size, true, queued, op, &to_locked);
  if (!result) result = check_side(from, size, false, queued, op, &from_locked);
  if (result) {
    operation_free(op);
    return result;
  }
  if (queued && from_locked && !from.device) {
    c->sampled = true;
    c->sample = sample((const unsigned char *)(uintptr_t)from.address, size);
  }
  operation_submit(s, op);
  return queued && to_locked && from_locked ? CUDA_SUCCESS : fence_wait(s->last);
}

static struct side device(uint64_t address) { return (struct side){address, true}; }
static struct side host(const void *p) { return (struct side){(uint64_t)(uintptr_t)p, false}; }
static struct side either(uint64_t address) {
  return (struct side){address, space_device(address)};
}

/* Of memory on the device to such memory, no copy waits: neither does a fill. */
static CUresult copy_unified(uint64_t to, uint64_t from, uint64_t size, CUstream stream,
                             bool queued) {
  struct side a = either(to), b = either(from);
  return copy(a, b, size, stream, queued || (a.device && b.device));
}

struct fill {
  uint64_t address, size;
  unsigned char pattern[4];
  size_t width; /* bytes of the pattern */
};

static int64_t run_fill(struct operation *op, int64_t earliest) {
  struct fill *f = op->data;
  struct segments to = space_segments(f->address, f->size);
  unlock();
  for (size_t i = 0; i < to.count; i++)
    for (uint64_t at = 0; at < to.list[i].size; at += f->width)
      memcpy(to.list[i].bytes + at, f->pattern, f->width);
  int64_t at = now();
  lock();
  segments_free(&to);
  return at > earliest ? at : earliest;
}

static CUresult fill(uint64_t address, unsigned value, size_t width, uint64_t count,
                     CUstream stream) {
  struct stream *s;
  CUresult result = stream_find_own(stream, &s);
  if (result) return result;
  if (address % width || count > UINT64_MAX / width) return CUDA_ERROR_INVALID_VALUE;
  if (!count) return CUDA_SUCCESS;
  result = check_device(address, count * width, true);
  if (result) return result;
  struct fill *f = allocate(sizeof *f);
  *f = (struct fill){.address = address, .size = count * width, .width = width};
  uint8_t one = (uint8_t)value;
  uint16_t two = (uint16_t)value;
  uint32_t four = value;
  memcpy(f->pattern, width == 1 ? (void *)&one : width == 2 ? (void *)&two : (void *)&four, width);
  struct operation *op = operation_new(run_fill, f);
  operation_touches(op, (struct touch){address, count * width, true, true});
  return operation_submit(s, op);
}

API CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t n) {
  ENTRY("cuMemcpy", CONTEXT, copy_unified(to, from, n, NULL, false));
}
API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
  ENTRY("cuMemcpyAsync", CONTEXT, copy_unified(to, from, n, s, true));
}
API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t n) {
  ENTRY("cuMemcpyHtoD", CONTEXT, copy(device(to), host(from), n, NULL, false));
}
API CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t n) {
  ENTRY("cuMemcpyDtoH", CONTEXT, copy(host(to), device(from), n, NULL, false));
}
API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) {
  ENTRY("cuMemcpyDtoD", CONTEXT, copy(device(to), device(from), n, NULL, true));
}
API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream s) {
  ENTRY("cuMemcpyHtoDAsync", CONTEXT, copy(device(to), host(from), n, s, true));
}
API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream s) {
  ENTRY("cuMemcpyDtoHAsync", CONTEXT, copy(host(to), device(from), n, s, true));
}
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
  ENTRY("cuMemcpyDtoDAsync", CONTEXT, copy(device(to), device(from), n, s, true));
}
API CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
  ENTRY("cuMemsetD8", CONTEXT, fill(to, value, 1, n, NULL));
}
API CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t n) {
  ENTRY("cuMemsetD16", CONTEXT, fill(to, value, 2, n, NULL));
}
API CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) {
  ENTRY("cuMemsetD32", CONTEXT, fill(to, value, 4, n, NULL));
}
API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream s) {
  ENTRY("cuMemsetD8Async", CONTEXT, fill(to, value, 1, n, s));
}
API CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, CUstream s) {
  ENTRY("cuMemsetD16Async", CONTEXT, fill(to, value, 2, n, s));
}
API CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream s) {
  ENTRY("cuMemsetD32Async", CONTEXT, fill(to, value, 4, n, s));
}
