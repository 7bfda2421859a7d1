/* Entry points by name: a plain name and a version of the interface give the function
 * that the name stood for in that version. There are no variants for a default stream of
 * each thread; who asks for those gets the others, as the reference has it. */
#include <string.h>

#include "emu.h"

#undef cuGetProcAddress
API CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags);

/* Plain name, the version of CUDA that brought the entry point, the entry point. */
#define FUNCTIONS(F)                                                                               \
  F(cuInit, 2000, cuInit)                                                                          \
  F(cuDriverGetVersion, 2020, cuDriverGetVersion)                                                  \
  F(cuGetErrorName, 6000, cuGetErrorName)                                                          \
  F(cuGetErrorString, 6000, cuGetErrorString)                                                      \
  F(cuGetProcAddress, 11030, cuGetProcAddress)                                                     \
  F(cuGetProcAddress, 12000, cuGetProcAddress_v2)                                                  \
  F(cuDeviceGet, 2000, cuDeviceGet)                                                                \
  F(cuDeviceGetCount, 2000, cuDeviceGetCount)                                                      \
  F(cuDeviceGetName, 2000, cuDeviceGetName)                                                        \
  F(cuDeviceGetUuid, 9020, cuDeviceGetUuid)                                                        \
  F(cuDeviceGetUuid, 11040, cuDeviceGetUuid_v2)                                                    \
  F(cuDeviceTotalMem, 3020, cuDeviceTotalMem_v2)                                                   \
  F(cuDeviceGetAttribute, 2000, cuDeviceGetAttribute)                                              \
  F(cuDeviceGetPCIBusId, 4010, cuDeviceGetPCIBusId)                                                \
  F(cuDeviceGetByPCIBusId, 4010, cuDeviceGetByPCIBusId)                                            \
  F(cuDevicePrimaryCtxRetain, 7000, cuDevicePrimaryCtxRetain)                                      \
  F(cuDevicePrimaryCtxRelease, 11000, cuDevicePrimaryCtxRelease_v2)                                \
  F(cuDevicePrimaryCtxReset, 11000, cuDevicePrimaryCtxReset_v2)                                    \
  F(cuDevicePrimaryCtxSetFlags, 11000, cuDevicePrimaryCtxSetFlags_v2)                              \
  F(cuDevicePrimaryCtxGetState, 7000, cuDevicePrimaryCtxGetState)                                  \
  F(cuCtxCreate, 3020, cuCtxCreate_v2)                                                             \
  F(cuCtxDestroy, 4000, cuCtxDestroy_v2)                                                           \
  F(cuCtxPushCurrent, 4000, cuCtxPushCurrent_v2)                                                   \
  F(cuCtxPopCurrent, 4000, cuCtxPopCurrent_v2)                                                     \
  F(cuCtxSetCurrent, 4000, cuCtxSetCurrent)                                                        \
  F(cuCtxGetCurrent, 4000, cuCtxGetCurrent)                                                        \
  F(cuCtxGetDevice, 2000, cuCtxGetDevice)                                                          \
  F(cuCtxGetFlags, 7000, cuCtxGetFlags)                                                            \
  F(cuCtxGetApiVersion, 3020, cuCtxGetApiVersion)                                                  \
  F(cuCtxSynchronize, 2000, cuCtxSynchronize)                                                      \
  F(cuCtxGetStreamPriorityRange, 5050, cuCtxGetStreamPriorityRange)                                \
  F(cuStreamCreate, 2000, cuStreamCreate)                                                          \
  F(cuStreamCreateWithPriority, 5050, cuStreamCreateWithPriority)                                  \
  F(cuStreamDestroy, 4000, cuStreamDestroy_v2)                                                     \
  F(cuStreamQuery, 2000, cuStreamQuery)                                                            \
  F(cuStreamSynchronize, 2000, cuStreamSynchronize)                                                \
  F(cuStreamWaitEvent, 3020, cuStreamWaitEvent)                                                    \
  F(cuStreamGetFlags, 5050, cuStreamGetFlags)                                                      \
  F(cuStreamGetPriority, 5050, cuStreamGetPriority)                                                \
  F(cuStreamGetCtx, 9020, cuStreamGetCtx)                                                          \
  F(cuLaunchHostFunc, 10000, cuLaunchHostFunc)                                                     \
  F(cuEventCreate, 2000, cuEventCreate)                                                            \
  F(cuEventDestroy, 4000, cuEventDestroy_v2)                                                       \
  F(cuEventRecord, 2000, cuEventRecord)                                                            \
  F(cuEventQuery, 2000, cuEventQuery)                                                              \
  F(cuEventSynchronize, 2000, cuEventSynchronize)                                                  \
  F(cuEventElapsedTime, 2000, cuEventElapsedTime)                                                  \
  F(cuMemGetInfo, 3020, cuMemGetInfo_v2)                                                           \
  F(cuMemAlloc, 3020, cuMemAlloc_v2)                                                               \
  F(cuMemFree, 3020, cuMemFree_v2)                                                                 \
  F(cuMemGetAddressRange, 3020, cuMemGetAddressRange_v2)                                           \
  F(cuMemAllocHost, 3020, cuMemAllocHost_v2)                                                       \
  F(cuMemHostAlloc, 2020, cuMemHostAlloc)                                                          \
  F(cuMemFreeHost, 2000, cuMemFreeHost)                                                            \
  F(cuMemHostRegister, 6050, cuMemHostRegister_v2)                                                 \
  F(cuMemHostUnregister, 4000, cuMemHostUnregister)                                                \
  F(cuMemHostGetDevicePointer, 3020, cuMemHostGetDevicePointer_v2)                                 \
  F(cuMemHostGetFlags, 2030, cuMemHostGetFlags)                                                    \
  F(cuPointerGetAttribute, 4000, cuPointerGetAttribute)                                            \
  F(cuPointerGetAttributes, 7000, cuPointerGetAttributes)                                          \
  F(cuMemcpy, 4000, cuMemcpy)                                                                      \
  F(cuMemcpyAsync, 4000, cuMemcpyAsync)                                                            \
  F(cuMemcpyHtoD, 3020, cuMemcpyHtoD_v2)                                                           \
  F(cuMemcpyDtoH, 3020, cuMemcpyDtoH_v2)                                                           \
  F(cuMemcpyDtoD, 3020, cuMemcpyDtoD_v2)                                                           \
  F(cuMemcpyHtoDAsync, 3020, cuMemcpyHtoDAsync_v2)                                                 \
  F(cuMemcpyDtoHAsync, 3020, cuMemcpyDtoHAsync_v2)                                                 \
  F(cuMemcpyDtoDAsync, 3020, cuMemcpyDtoDAsync_v2)                                                 \
  F(cuMemsetD8, 3020, cuMemsetD8_v2)                                                               \
  F(cuMemsetD16, 3020, cuMemsetD16_v2)                                                             \
  F(cuMemsetD32, 3020, cuMemsetD32_v2)                                                             \
  F(cuMemsetD8Async, 3020, cuMemsetD8Async)                                                        \
  F(cuMemsetD16Async, 3020, cuMemsetD16Async)                                                      \
  F(cuMemsetD32Async, 3020, cuMemsetD32Async)                                                      \
  F(cuMemGetAllocationGranularity, 10020, cuMemGetAllocationGranularity)                           \
  F(cuMemCreate, 10020, cuMemCreate)                                                               \
  F(cuMemRelease, 10020, cuMemRelease)                                                             \
  F(cuMemRetainAllocationHandle, 11000, cuMemRetainAllocationHandle)                               \
  F(cuMemGetAllocationPropertiesFromHandle, 10020, cuMemGetAllocationPropertiesFromHandle)         \
  F(cuMemExportToShareableHandle, 10020, cuMemExportToShareableHandle)                             \
  F(cuMemImportFromShareableHandle, 10020, cuMemImportFromShareableHandle)                         \
  F(cuMemAddressReserve, 10020, cuMemAddressReserve)                                               \
  F(cuMemAddressFree, 10020, cuMemAddressFree)                                                     \
  F(cuMemMap, 10020, cuMemMap)                                                                     \
  F(cuMemUnmap, 10020, cuMemUnmap)                                                                 \
  F(cuMemSetAccess, 10020, cuMemSetAccess)                                                         \
  F(cuMemGetAccess, 10020, cuMemGetAccess)

/* The plain names of cuda.h are macros: these keep them as they are written. */
#define F(plain, since, entry) {#plain, since, (void *)(uintptr_t)entry},
static const struct {
  const char *name;
  int since;
  void *function;
} functions[] = {FUNCTIONS(F)};

enum { COUNT = sizeof functions / sizeof *functions };

bool function_known(const char *name) {
  for (int i = 0; i < COUNT; i++)
    if (!strcmp(functions[i].name, name)) return true;
  return !strcmp(name, "offhostEmuKernel");
}

static CUresult find(const char *symbol, void **function, int version, cuuint64_t flags,
                     CUdriverProcAddressQueryResult *status) {
  const cuuint64_t known =
      CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  if (!symbol || !function || (flags & ~known) || flags == known || version > VERSION)
    return CUDA_ERROR_INVALID_VALUE;
  CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  *function = NULL; /* what is asked for and does not exist is no error */
  for (int i = 0; i < COUNT; i++) {
    if (strcmp(functions[i].name, symbol)) continue;
    if (functions[i].since <= version) *function = functions[i].function;
    found = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
  }
  if (status) *status = found;
  return CUDA_SUCCESS;
}

/* Before CUDA 12: without a status, so with an error. */
static CUresult find_or_fail(const char *symbol, void **function, int version, cuuint64_t flags) {
  CUresult result = find(symbol, function, version, flags, NULL);
  return result || *function ? result : CUDA_ERROR_NOT_FOUND;
}

API CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                                 CUdriverProcAddressQueryResult *status) {
  ENTRY("cuGetProcAddress", ANYTIME, find(symbol, function, version, flags, status));
}

API CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags) {
  ENTRY("cuGetProcAddress", ANYTIME, find_or_fail(symbol, function, version, flags));
}
