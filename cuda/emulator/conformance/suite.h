/* The conformance suite: cases that hold the stand-in driver, or a real one, to the
 * documented behaviour. A case runs in a process of its own, forked before the driver was
 * initialised there, and says what it needs beyond a driver; where that is not to be had
 * it is skipped by name. */
#ifndef SUITE_H
#define SUITE_H

#include <cuda.h>
#include <offhost_emu.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What only the stand-in has. */
enum {
  ANY = 0,
  FAULTS = 1,      /* errors on demand */
  CLOCK = 2,       /* copies that take as long as they should, and a record of them */
  MISUSE = 4,      /* mistakes that are noticed; on a real driver they are undefined */
  KERNEL = 8,      /* work of a given length that reads and writes memory */
  ACCOUNTING = 16, /* a GPU whose memory nobody else uses, with exact figures */
  SETTINGS = 32    /* environment variables of the stand-in */
};

/* A case: CASE(name, needs) { ... }. It passes by returning. */
#define CASE(name, needs)                                                                          \
  static void name(void);                                                                          \
  __attribute__((constructor)) static void add_##name(void) { add_case(#name, needs, name); }      \
  static void name(void)

void add_case(const char *name, unsigned needs, void (*run)(void));

/* A condition that has to hold; a result that a call has to have. */
#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)
#define OK(call) check_result(call, CUDA_SUCCESS, #call, __FILE__, __LINE__)
#define IS(call, result) check_result(call, result, #call, __FILE__, __LINE__)

void check(bool condition, const char *text, const char *file, int line);
void check_result(CUresult got, CUresult want, const char *text, const char *file, int line);

/* Ends the case as skipped: this driver or device lacks what the case needs. */
void skip(const char *why) __attribute__((noreturn));

/* Whether the driver is the stand-in. */
bool emulated(void);

/* Initialises the driver and makes the primary context of device 0 current. */
CUcontext begin(void);

/* What was misused since the last look: exactly count times this kind and no other. With
 * a real driver nothing is looked at. What is left over at the end fails the case. */
#define MISUSED(kind, count) check_misuse(kind, count, __FILE__, __LINE__)
void check_misuse(int kind, unsigned long count, const char *file, int line);

/* Another process, which starts without an initialised driver and is connected by a
 * socket; it passes by returning. */
struct peer {
  pid_t pid;
  int socket;
};
struct peer spawn(void (*run)(int socket));
void join(struct peer p);
void kill_peer(struct peer p);

/* Messages between processes: a number, with or without a descriptor (-1). */
void tell(int socket, uint64_t number, int fd);
uint64_t hear(int socket, int *fd);

/* An environment variable for drivers that are yet to be initialised. */
void set(const char *name, const char *value);

/* Runs something in a child and returns how it ended, as waitpid has it. */
int run_in_child(void (*run)(void));

/* Virtual memory of whole granules, mapped and accessible. */
struct region {
  CUdeviceptr address;
  size_t bytes;
  CUmemGenericAllocationHandle handle;
};
size_t granule(void);
CUmemAllocationProp properties(void);
CUmemGenericAllocationHandle create(size_t bytes);
struct region map_new(size_t bytes);
void map_at(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle,
            CUmemAccess_flags access);
void unmap(struct region r); /* and release and give the addresses back */
void allow(CUdeviceptr address, size_t bytes, CUmemAccess_flags access);
int export_fd(CUmemGenericAllocationHandle handle);
CUmemGenericAllocationHandle import_fd(int fd);

/* Device memory that holds, or has to hold, a pattern made from a seed. */
void fill_pattern(void *bytes, size_t count, uint64_t seed);
void put_pattern(CUdeviceptr address, size_t bytes, uint64_t seed);
bool has_pattern(CUdeviceptr address, size_t bytes, uint64_t seed);

size_t memory_used(void);

CUstream new_stream(void); /* non-blocking */
CUevent new_event(void);   /* with timing */

/* Something that a stream waits for until the case lets it go: a host function. */
struct gate {
  sem_t open;
  atomic_int reached;
};
void make_gate(struct gate *g);
void hold(CUstream s, struct gate *g);
void let_go(struct gate *g);

/* Lengths of emulated kernels, microseconds: so long that a case is not late for it even
 * on a busy machine. */
enum { SHORT = 2000, LONG = 150000, VERY_LONG = 1000000 };

/* The driver's functions, found with dlsym. */
#define DRIVER(F)                                                                                  \
  F(cuInit)                                                                                        \
  F(cuDriverGetVersion)                                                                            \
  F(cuGetErrorName)                                                                                \
  F(cuGetErrorString)                                                                              \
  F(cuGetProcAddress_v2)                                                                           \
  F(cuDeviceGet)                                                                                   \
  F(cuDeviceGetCount)                                                                              \
  F(cuDeviceGetName)                                                                               \
  F(cuDeviceGetUuid_v2)                                                                            \
  F(cuDeviceTotalMem_v2)                                                                           \
  F(cuDeviceGetAttribute)                                                                          \
  F(cuDeviceGetPCIBusId)                                                                           \
  F(cuDeviceGetByPCIBusId)                                                                         \
  F(cuDevicePrimaryCtxRetain)                                                                      \
  F(cuDevicePrimaryCtxRelease_v2)                                                                  \
  F(cuDevicePrimaryCtxReset_v2)                                                                    \
  F(cuDevicePrimaryCtxSetFlags_v2)                                                                 \
  F(cuDevicePrimaryCtxGetState)                                                                    \
  F(cuCtxCreate_v2)                                                                                \
  F(cuCtxDestroy_v2)                                                                               \
  F(cuCtxPushCurrent_v2)                                                                           \
  F(cuCtxPopCurrent_v2)                                                                            \
  F(cuCtxSetCurrent)                                                                               \
  F(cuCtxGetCurrent)                                                                               \
  F(cuCtxGetDevice)                                                                                \
  F(cuCtxGetFlags)                                                                                 \
  F(cuCtxGetApiVersion)                                                                            \
  F(cuCtxSynchronize)                                                                              \
  F(cuCtxGetStreamPriorityRange)                                                                   \
  F(cuStreamCreate)                                                                                \
  F(cuStreamCreateWithPriority)                                                                    \
  F(cuStreamDestroy_v2)                                                                            \
  F(cuStreamQuery)                                                                                 \
  F(cuStreamSynchronize)                                                                           \
  F(cuStreamWaitEvent)                                                                             \
  F(cuStreamGetFlags)                                                                              \
  F(cuStreamGetPriority)                                                                           \
  F(cuStreamGetCtx)                                                                                \
  F(cuLaunchHostFunc)                                                                              \
  F(cuEventCreate)                                                                                 \
  F(cuEventDestroy_v2)                                                                             \
  F(cuEventRecord)                                                                                 \
  F(cuEventQuery)                                                                                  \
  F(cuEventSynchronize)                                                                            \
  F(cuEventElapsedTime)                                                                            \
  F(cuMemGetInfo_v2)                                                                               \
  F(cuMemAlloc_v2)                                                                                 \
  F(cuMemFree_v2)                                                                                  \
  F(cuMemGetAddressRange_v2)                                                                       \
  F(cuMemAllocHost_v2)                                                                             \
  F(cuMemHostAlloc)                                                                                \
  F(cuMemFreeHost)                                                                                 \
  F(cuMemHostRegister_v2)                                                                          \
  F(cuMemHostUnregister)                                                                           \
  F(cuMemHostGetDevicePointer_v2)                                                                  \
  F(cuMemHostGetFlags)                                                                             \
  F(cuPointerGetAttribute)                                                                         \
  F(cuPointerGetAttributes)                                                                        \
  F(cuMemcpy)                                                                                      \
  F(cuMemcpyAsync)                                                                                 \
  F(cuMemcpyHtoD_v2)                                                                               \
  F(cuMemcpyDtoH_v2)                                                                               \
  F(cuMemcpyDtoD_v2)                                                                               \
  F(cuMemcpyHtoDAsync_v2)                                                                          \
  F(cuMemcpyDtoHAsync_v2)                                                                          \
  F(cuMemcpyDtoDAsync_v2)                                                                          \
  F(cuMemsetD8_v2)                                                                                 \
  F(cuMemsetD16_v2)                                                                                \
  F(cuMemsetD32_v2)                                                                                \
  F(cuMemsetD8Async)                                                                               \
  F(cuMemsetD16Async)                                                                              \
  F(cuMemsetD32Async)                                                                              \
  F(cuMemGetAllocationGranularity)                                                                 \
  F(cuMemCreate)                                                                                   \
  F(cuMemRelease)                                                                                  \
  F(cuMemRetainAllocationHandle)                                                                   \
  F(cuMemGetAllocationPropertiesFromHandle)                                                        \
  F(cuMemExportToShareableHandle)                                                                  \
  F(cuMemImportFromShareableHandle)                                                                \
  F(cuMemAddressReserve)                                                                           \
  F(cuMemAddressFree)                                                                              \
  F(cuMemMap)                                                                                      \
  F(cuMemUnmap)                                                                                    \
  F(cuMemSetAccess)                                                                                \
  F(cuMemGetAccess)

/* And those that only the stand-in has. */
#define EMULATOR(F)                                                                                \
  F(offhostEmuVersion)                                                                             \
  F(offhostEmuMisuseName)                                                                          \
  F(offhostEmuMisuseCount)                                                                         \
  F(offhostEmuMisuseText)                                                                          \
  F(offhostEmuReset)                                                                               \
  F(offhostEmuLeaks)                                                                               \
  F(offhostEmuSticky)                                                                              \
  F(offhostEmuFault)                                                                               \
  F(offhostEmuFaultsClear)                                                                         \
  F(offhostEmuFaultsArmed)                                                                         \
  F(offhostEmuKernel)                                                                              \
  F(offhostEmuChecksum)                                                                            \
  F(offhostEmuNow)                                                                                 \
  F(offhostEmuCopies)                                                                              \
  F(offhostEmuBandwidth)

#define MEMBER(name) __typeof__(name) *name;
struct driver {
  DRIVER(MEMBER)
  EMULATOR(MEMBER)
};
#undef MEMBER
extern struct driver d;
extern void *library;

#endif
