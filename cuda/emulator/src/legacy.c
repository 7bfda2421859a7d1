/* Entry points of CUDA 3.1 and before, with 32-bit sizes and addresses, which the driver
 * still has under the plain names. Nobody means to call them: who does was compiled
 * against a header that lost its version suffixes, and would pass half an address. */
#include <stdlib.h>

#include "emu.h"

#define LEGACY(plain)                                                                              \
  API void plain(void);                                                                            \
  API void plain(void) {                                                                           \
    say("MISUSE old-entry-point: " #plain " was called; what is meant is its later version "       \
        "(" #plain "_v2), which NVIDIA's header puts in its place");                               \
    abort();                                                                                       \
  }

#undef cuDeviceTotalMem
#undef cuDevicePrimaryCtxRelease
#undef cuDevicePrimaryCtxReset
#undef cuDevicePrimaryCtxSetFlags
#undef cuCtxCreate
#undef cuCtxDestroy
#undef cuCtxPushCurrent
#undef cuCtxPopCurrent
#undef cuStreamDestroy
#undef cuEventDestroy
#undef cuMemGetInfo
#undef cuMemAlloc
#undef cuMemAllocPitch
#undef cuMemFree
#undef cuMemGetAddressRange
#undef cuMemAllocHost
#undef cuMemHostGetDevicePointer
#undef cuMemHostRegister
#undef cuMemcpyHtoD
#undef cuMemcpyDtoH
#undef cuMemcpyDtoD
#undef cuMemcpyDtoA
#undef cuMemcpyAtoD
#undef cuMemcpyHtoA
#undef cuMemcpyAtoH
#undef cuMemcpyAtoA
#undef cuMemcpyHtoAAsync
#undef cuMemcpyAtoHAsync
#undef cuMemcpyHtoDAsync
#undef cuMemcpyDtoHAsync
#undef cuMemcpyDtoDAsync
#undef cuMemcpy2D
#undef cuMemcpy2DUnaligned
#undef cuMemcpy2DAsync
#undef cuMemcpy3D
#undef cuMemcpy3DAsync
#undef cuMemsetD8
#undef cuMemsetD16
#undef cuMemsetD32
#undef cuMemsetD2D8
#undef cuMemsetD2D16
#undef cuMemsetD2D32
#undef cuArrayCreate
#undef cuArrayGetDescriptor
#undef cuArray3DCreate
#undef cuArray3DGetDescriptor
#undef cuModuleGetGlobal
#undef cuTexRefSetAddress
#undef cuTexRefSetAddress2D
#undef cuTexRefGetAddress

LEGACY(cuDeviceTotalMem)
LEGACY(cuDevicePrimaryCtxRelease)
LEGACY(cuDevicePrimaryCtxReset)
LEGACY(cuDevicePrimaryCtxSetFlags)
LEGACY(cuCtxCreate)
LEGACY(cuCtxDestroy)
LEGACY(cuCtxPushCurrent)
LEGACY(cuCtxPopCurrent)
LEGACY(cuStreamDestroy)
LEGACY(cuEventDestroy)
LEGACY(cuMemGetInfo)
LEGACY(cuMemAlloc)
LEGACY(cuMemAllocPitch)
LEGACY(cuMemFree)
LEGACY(cuMemGetAddressRange)
LEGACY(cuMemAllocHost)
LEGACY(cuMemHostGetDevicePointer)
LEGACY(cuMemHostRegister)
LEGACY(cuMemcpyHtoD)
LEGACY(cuMemcpyDtoH)
LEGACY(cuMemcpyDtoD)
LEGACY(cuMemcpyDtoA)
LEGACY(cuMemcpyAtoD)
LEGACY(cuMemcpyHtoA)
LEGACY(cuMemcpyAtoH)
LEGACY(cuMemcpyAtoA)
LEGACY(cuMemcpyHtoAAsync)
LEGACY(cuMemcpyAtoHAsync)
LEGACY(cuMemcpyHtoDAsync)
LEGACY(cuMemcpyDtoHAsync)
LEGACY(cuMemcpyDtoDAsync)
LEGACY(cuMemcpy2D)
LEGACY(cuMemcpy2DUnaligned)
LEGACY(cuMemcpy2DAsync)
LEGACY(cuMemcpy3D)
LEGACY(cuMemcpy3DAsync)
LEGACY(cuMemsetD8)
LEGACY(cuMemsetD16)
LEGACY(cuMemsetD32)
LEGACY(cuMemsetD2D8)
LEGACY(cuMemsetD2D16)
LEGACY(cuMemsetD2D32)
LEGACY(cuArrayCreate)
LEGACY(cuArrayGetDescriptor)
LEGACY(cuArray3DCreate)
LEGACY(cuArray3DGetDescriptor)
LEGACY(cuModuleGetGlobal)
LEGACY(cuTexRefSetAddress)
LEGACY(cuTexRefSetAddress2D)
LEGACY(cuTexRefGetAddress)
