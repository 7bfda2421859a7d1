/* What the stand-in driver offers beyond the driver's interface: a kernel that reads and
 * writes ranges, injected faults, the books of misuse and leaks, and the copy engines'
 * clock. A real driver has none of these names; whoever needs them asks dlsym. */
#ifndef OFFHOST_EMU_H
#define OFFHOST_EMU_H

#include <cuda.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. Its presence tells the stand-in from a real driver. */
#define OFFHOST_EMU_VERSION 1
int offhostEmuVersion(void);

/* Misuse: what a correct caller never does. The kinds are names, as in the lines that are
 * printed ("OFFHOST-EMU MISUSE use-after-free: ..."). README.md says what each means. */
enum offhostEmuMisuse {
  OFFHOST_EMU_UNMAP_IN_USE,
  OFFHOST_EMU_FREE_IN_USE,
  OFFHOST_EMU_USE_AFTER_FREE,
  OFFHOST_EMU_DOUBLE_FREE,
  OFFHOST_EMU_NOT_MAPPED,
  OFFHOST_EMU_NO_ACCESS,
  OFFHOST_EMU_UNPINNED_COPY,
  OFFHOST_EMU_RACE,
  OFFHOST_EMU_CHANGED_IN_USE,
  OFFHOST_EMU_CALL_IN_CALLBACK,
  OFFHOST_EMU_FOREIGN_DESCRIPTOR,
  OFFHOST_EMU_BAD_FAULT,
  OFFHOST_EMU_LEAK,
  OFFHOST_EMU_MISUSES
};

/* The name of a kind, NULL for a number that is none. */
const char *offhostEmuMisuseName(int kind);

/* How often a kind was seen since the start or the last reset; of all kinds for -1. */
unsigned long offhostEmuMisuseCount(int kind);

/* The text of the index-th misuse since the reset, 0 being the first; the first 256 are
 * kept. Returns its length, or 0 when there is none; writes at most bytes, ended by 0. */
size_t offhostEmuMisuseText(size_t index, char *text, size_t bytes);

/* Forgets the misuses and the copies that were noted. Faults stay armed. */
void offhostEmuReset(void);

/* Counts what this process holds and has not given back: allocations, handles, mappings,
 * reserved addresses, pinned ranges, streams, events, contexts. Notes each as a leak if
 * note is not 0, which in strict mode "abort" aborts. */
unsigned long offhostEmuLeaks(int note);

/* The error that the process is left with, CUDA_SUCCESS while there is none. */
CUresult offhostEmuSticky(void);

/* Faults. The nth call from now (1 is the next) of a function, named without its version
 * ("cuMemFree"), and the count - 1 after it return code and do nothing else; a count of 0
 * means all. STICKY leaves the process with the error as well. LATE lets the call succeed
 * and fails the work that it queued, when its turn comes; that error is always sticky.
 * THREAD counts and fails only calls of the thread that set the fault.
 * Returns CUDA_ERROR_NOT_FOUND for a function that the stand-in does not have. */
#define OFFHOST_EMU_FAULT_STICKY 1u
#define OFFHOST_EMU_FAULT_LATE 2u
#define OFFHOST_EMU_FAULT_THREAD 4u
CUresult offhostEmuFault(const char *function, unsigned nth, unsigned count, CUresult code,
                         unsigned flags);
void offhostEmuFaultsClear(void);

/* How many armed faults have calls left to fail. */
unsigned offhostEmuFaultsArmed(void);

/* A kernel that touches ranges of device memory, as an inference step touches weights.
 * It begins when the stream's earlier work is done, takes at least the given time, and
 * needs its access rights at its start and at its end. */
#define OFFHOST_EMU_READ 1u
#define OFFHOST_EMU_WRITE 2u
struct offhostEmuRange {
  CUdeviceptr address;
  size_t bytes;
  unsigned access; /* OFFHOST_EMU_READ, OFFHOST_EMU_WRITE or both */
  unsigned fill;   /* the byte that a writing kernel leaves everywhere */
};

/* checksum, if not NULL, gets the checksum of the ranges read, in their order, when the
 * kernel ends; it has to stay valid until then. */
CUresult offhostEmuKernel(CUstream stream, const struct offhostEmuRange *ranges, unsigned count,
                          unsigned microseconds, uint64_t *checksum);

/* The checksum that the kernel computes. A range of several parts has the checksum of the
 * first, given as seed to the next and so on, if all but the last are multiples of 8
 * bytes; the first seed is 0. */
uint64_t offhostEmuChecksum(uint64_t seed, const void *bytes, size_t count);

/* The copy engines' clock, nanoseconds of CLOCK_MONOTONIC. */
int64_t offhostEmuNow(void);

enum offhostEmuDirection {
  OFFHOST_EMU_H2D,
  OFFHOST_EMU_D2H,
  OFFHOST_EMU_D2D /* and host to host: memory of one side, paced by nothing */
};

struct offhostEmuCopy {
  int64_t begin; /* when the engine took it up */
  int64_t end;   /* when its last byte had arrived */
  uint64_t bytes;
  CUstream stream; /* NULL for the default stream */
  int direction;
};

/* Copies completed since the start or the last reset, the oldest first, at most count of
 * them; the last 65536 are kept. Returns how many there are. */
size_t offhostEmuCopies(struct offhostEmuCopy *copies, size_t count);

/* Sets an engine's bandwidth from the next copy on, bytes a second, 0 for unpaced. */
CUresult offhostEmuBandwidth(int direction, uint64_t bytesPerSecond);

#ifdef __cplusplus
}
#endif

#endif
