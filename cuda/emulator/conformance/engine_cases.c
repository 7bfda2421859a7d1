/* The copy engines and their clock, and the emulated kernel. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "suite.h"

enum { MIB = 1 << 20 };
static const int64_t ms = 1000000;

static void *pinned(size_t bytes) {
  void *p;
  OK(d.cuMemHostAlloc(&p, bytes, 0));
  return p;
}

static CUdeviceptr device(size_t bytes) {
  CUdeviceptr p;
  OK(d.cuMemAlloc_v2(&p, bytes));
  return p;
}

static struct offhostEmuCopy copy_number(size_t i) {
  struct offhostEmuCopy all[16];
  CHECK(d.offhostEmuCopies(all, 16) > i);
  return all[i];
}

/* 200 MiB/s is a pace that any machine keeps; a copy that ends later than planned is
 * tolerated, one that ends before is not. */
static void pace(const char *bytes_per_second) {
  set("OFFHOST_EMU_H2D", bytes_per_second);
  set("OFFHOST_EMU_D2H", bytes_per_second);
}

CASE(a_copy_takes_as_long_as_its_bytes, CLOCK) {
  float took;
  pace("200MiB");
  begin();
  void *h = pinned(8 * MIB);
  CUdeviceptr m = device(8 * MIB);
  CUstream s = new_stream();
  CUevent a = new_event(), b = new_event();
  OK(d.cuEventRecord(a, s));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, 8 * MIB, s));
  OK(d.cuEventRecord(b, s));
  OK(d.cuEventSynchronize(b));
  OK(d.cuEventElapsedTime(&took, a, b));
  struct offhostEmuCopy c = copy_number(0);
  CHECK(c.bytes == 8 * MIB && c.direction == OFFHOST_EMU_H2D && c.stream == s);
  CHECK(c.end - c.begin >= 40 * ms);
  CHECK(took >= 40 && (double)took * 1e6 >= (double)(c.end - c.begin) - 1000);
  CHECK(d.offhostEmuNow() >= c.end);
}

CASE(an_engine_makes_one_copy_at_a_time, CLOCK) {
  pace("200MiB");
  begin();
  void *h = pinned(8 * MIB);
  CUdeviceptr m = device(8 * MIB);
  CUstream a = new_stream(), b = new_stream();
  OK(d.cuMemcpyHtoDAsync_v2(m, h, 4 * MIB, a));
  OK(d.cuMemcpyHtoDAsync_v2(m + 4 * MIB, (char *)h + 4 * MIB, 4 * MIB, b));
  OK(d.cuCtxSynchronize());
  struct offhostEmuCopy first = copy_number(0), second = copy_number(1);
  CHECK(second.begin >= first.end);
  CHECK(second.end - first.begin >= 40 * ms);
}

CASE(opposite_directions_overlap, CLOCK) {
  pace("200MiB");
  begin();
  void *h = pinned(16 * MIB);
  CUdeviceptr m = device(16 * MIB);
  CUstream a = new_stream(), b = new_stream();
  CUevent start = new_event();
  OK(d.offhostEmuKernel(a, NULL, 0, LONG, NULL)); /* both are queued before either begins */
  OK(d.cuEventRecord(start, a));
  OK(d.cuStreamWaitEvent(b, start, 0));
  OK(d.cuMemcpyHtoDAsync_v2(m, h, 8 * MIB, a));
  OK(d.cuMemcpyDtoHAsync_v2((char *)h + 8 * MIB, m + 8 * MIB, 8 * MIB, b));
  OK(d.cuCtxSynchronize());
  struct offhostEmuCopy x = copy_number(0), y = copy_number(1);
  CHECK(x.direction != y.direction);
  CHECK(x.begin < y.end && y.begin < x.end);
}

CASE(many_small_copies_keep_the_pace, CLOCK) {
  enum { COPIES = 800, EACH = 16 << 10 };
  static struct offhostEmuCopy all[COPIES];
  pace("200MiB");
  begin();
  void *h = pinned(EACH);
  CUdeviceptr m = device(EACH);
  CUstream s = new_stream();
  for (int i = 0; i < COPIES; i++) OK(d.cuMemcpyHtoDAsync_v2(m, h, EACH, s));
  OK(d.cuStreamSynchronize(s));
  CHECK(d.offhostEmuCopies(all, COPIES) == COPIES);
  for (int i = 1; i < COPIES; i++) CHECK(all[i].begin >= all[i - 1].end);
  CHECK(all[COPIES - 1].end - all[0].begin >= 62 * ms);
  CHECK(d.offhostEmuNow() >= all[COPIES - 1].end);
  d.offhostEmuReset();
  CHECK(d.offhostEmuCopies(NULL, 0) == 0);
}

CASE(bandwidth_can_be_changed, CLOCK) {
  begin();
  void *h = pinned(8 * MIB);
  CUdeviceptr m = device(8 * MIB);
  OK(d.offhostEmuBandwidth(OFFHOST_EMU_H2D, 100 * MIB));
  IS(d.offhostEmuBandwidth(OFFHOST_EMU_D2D, 1), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemcpyHtoD_v2(m, h, 8 * MIB));
  struct offhostEmuCopy c = copy_number(0);
  CHECK(c.end - c.begin >= 80 * ms && c.stream == NULL);
}

/* The kernel. */

static struct offhostEmuRange range(CUdeviceptr address, size_t bytes, unsigned access) {
  return (struct offhostEmuRange){address, bytes, access, 0x5a};
}

CASE(a_kernel_reads_what_is_there, KERNEL) {
  uint64_t sum = 0;
  static unsigned char host[100003];
  begin();
  CUdeviceptr m = device(sizeof host);
  CUstream s = new_stream();
  put_pattern(m, sizeof host, 1);
  fill_pattern(host, sizeof host, 1);
  struct offhostEmuRange r = range(m, sizeof host, OFFHOST_EMU_READ);
  OK(d.offhostEmuKernel(s, &r, 1, SHORT, &sum));
  OK(d.cuStreamSynchronize(s));
  CHECK(sum == d.offhostEmuChecksum(0, host, sizeof host));
  CHECK(sum != d.offhostEmuChecksum(0, host, sizeof host - 1));
}

CASE(a_kernel_sums_ranges_in_their_order, KERNEL) {
  uint64_t whole = 0, parts = 0, swapped = 0;
  begin();
  CUdeviceptr m = device(4096);
  put_pattern(m, 4096, 1);
  struct offhostEmuRange all = range(m, 4096, OFFHOST_EMU_READ);
  struct offhostEmuRange two[] = {range(m, 1000, OFFHOST_EMU_READ),
                                  range(m + 1000, 3096, OFFHOST_EMU_READ)};
  struct offhostEmuRange back[] = {two[1], two[0]};
  OK(d.offhostEmuKernel(NULL, &all, 1, 0, &whole));
  OK(d.offhostEmuKernel(NULL, two, 2, 0, &parts));
  OK(d.offhostEmuKernel(NULL, back, 2, 0, &swapped));
  OK(d.cuCtxSynchronize());
  CHECK(whole == parts && whole != swapped);
}

CASE(a_kernel_writes_and_takes_its_time, KERNEL) {
  float took;
  unsigned char got[64];
  begin();
  CUdeviceptr m = device(64);
  CUstream s = new_stream();
  CUevent a = new_event(), b = new_event();
  struct offhostEmuRange r = range(m, 64, OFFHOST_EMU_WRITE);
  OK(d.cuEventRecord(a, s));
  OK(d.offhostEmuKernel(s, &r, 1, LONG, NULL));
  OK(d.cuEventRecord(b, s));
  IS(d.cuStreamQuery(s), CUDA_ERROR_NOT_READY);
  OK(d.cuStreamSynchronize(s));
  OK(d.cuEventElapsedTime(&took, a, b));
  CHECK(took >= LONG / 1000);
  OK(d.cuMemcpyDtoH_v2(got, m, 64));
  for (int i = 0; i < 64; i++) CHECK(got[i] == 0x5a);
}

CASE(a_kernel_is_launched_sensibly, KERNEL) {
  begin();
  struct offhostEmuRange none = range(4096, 0, OFFHOST_EMU_READ), idle = range(4096, 16, 0);
  IS(d.offhostEmuKernel(NULL, &none, 1, 0, NULL), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuKernel(NULL, &idle, 1, 0, NULL), CUDA_ERROR_INVALID_VALUE);
  IS(d.offhostEmuKernel(NULL, NULL, 1, 0, NULL), CUDA_ERROR_INVALID_VALUE);
  OK(d.offhostEmuKernel(NULL, NULL, 0, 0, NULL));
  OK(d.cuCtxSynchronize());
}
