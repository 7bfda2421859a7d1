/* Names of results, and what they mean in a few words. */
#include "emu.h"

#define R(code, text) {code, #code, text}

static const struct {
  CUresult code;
  const char *name, *text;
} results[] = {
    R(CUDA_SUCCESS, "no error"),
    R(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    R(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    R(CUDA_ERROR_NOT_INITIALIZED, "the driver was not initialised"),
    R(CUDA_ERROR_DEINITIALIZED, "the driver is shutting down"),
    R(CUDA_ERROR_PROFILER_DISABLED, "the profiler is disabled"),
    R(CUDA_ERROR_PROFILER_NOT_INITIALIZED, "the profiler was not initialised"),
    R(CUDA_ERROR_PROFILER_ALREADY_STARTED, "the profiler was started already"),
    R(CUDA_ERROR_PROFILER_ALREADY_STOPPED, "the profiler was stopped already"),
    R(CUDA_ERROR_STUB_LIBRARY, "this library is a stub"),
    R(CUDA_ERROR_DEVICE_UNAVAILABLE, "the device is unavailable"),
    R(CUDA_ERROR_NO_DEVICE, "no device"),
    R(CUDA_ERROR_INVALID_DEVICE, "invalid device"),
    R(CUDA_ERROR_DEVICE_NOT_LICENSED, "the device is not licensed"),
    R(CUDA_ERROR_INVALID_IMAGE, "invalid kernel image"),
    R(CUDA_ERROR_INVALID_CONTEXT, "invalid context"),
    R(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, "the context is current already"),
    R(CUDA_ERROR_MAP_FAILED, "mapping failed"),
    R(CUDA_ERROR_UNMAP_FAILED, "unmapping failed"),
    R(CUDA_ERROR_ARRAY_IS_MAPPED, "the array is mapped"),
    R(CUDA_ERROR_ALREADY_MAPPED, "the resource is mapped already"),
    R(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image for this device"),
    R(CUDA_ERROR_ALREADY_ACQUIRED, "the resource was acquired already"),
    R(CUDA_ERROR_NOT_MAPPED, "the resource is not mapped"),
    R(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, "the resource is not mapped as an array"),
    R(CUDA_ERROR_NOT_MAPPED_AS_POINTER, "the resource is not mapped as a pointer"),
    R(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error"),
    R(CUDA_ERROR_UNSUPPORTED_LIMIT, "the limit is not supported"),
    R(CUDA_ERROR_CONTEXT_ALREADY_IN_USE, "the context is in use by another thread"),
    R(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported"),
    R(CUDA_ERROR_INVALID_PTX, "invalid PTX"),
    R(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, "invalid graphics context"),
    R(CUDA_ERROR_NVLINK_UNCORRECTABLE, "uncorrectable NVLink error"),
    R(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, "no PTX compiler"),
    R(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the PTX is of an unsupported version"),
    R(CUDA_ERROR_JIT_COMPILATION_DISABLED, "PTX compilation is disabled"),
    R(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "the execution affinity is not supported"),
    R(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC, "synchronising on the device is not supported"),
    R(CUDA_ERROR_INVALID_SOURCE, "invalid kernel source"),
    R(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    R(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, "a shared object's symbol was not found"),
    R(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "a shared object could not be initialised"),
    R(CUDA_ERROR_OPERATING_SYSTEM, "a call of the operating system failed"),
    R(CUDA_ERROR_INVALID_HANDLE, "invalid handle"),
    R(CUDA_ERROR_ILLEGAL_STATE, "illegal state"),
    R(CUDA_ERROR_LOSSY_QUERY, "the query would lose information"),
    R(CUDA_ERROR_NOT_FOUND, "not found"),
    R(CUDA_ERROR_NOT_READY, "not ready"),
    R(CUDA_ERROR_ILLEGAL_ADDRESS, "illegal memory access"),
    R(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources asked for a launch"),
    R(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out"),
    R(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING, "the launch's texturing is incompatible"),
    R(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is enabled already"),
    R(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access is not enabled"),
    R(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "the primary context is active"),
    R(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the context was destroyed"),
    R(CUDA_ERROR_ASSERT, "an assertion failed on the device"),
    R(CUDA_ERROR_TOO_MANY_PEERS, "too many peers"),
    R(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "the host memory is registered already"),
    R(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "the host memory is not registered"),
    R(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    R(CUDA_ERROR_ILLEGAL_INSTRUCTION, "illegal instruction"),
    R(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    R(CUDA_ERROR_INVALID_ADDRESS_SPACE, "invalid address space"),
    R(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    R(CUDA_ERROR_LAUNCH_FAILED, "the launch failed"),
    R(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "the cooperative launch is too large"),
    R(CUDA_ERROR_NOT_PERMITTED, "not permitted"),
    R(CUDA_ERROR_NOT_SUPPORTED, "not supported"),
    R(CUDA_ERROR_SYSTEM_NOT_READY, "the system is not ready"),
    R(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "driver and library do not match"),
    R(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
      "the compatibility mode is not supported on this device"),
    R(CUDA_ERROR_MPS_CONNECTION_FAILED, "no connection to MPS"),
    R(CUDA_ERROR_MPS_RPC_FAILURE, "a call to MPS failed"),
    R(CUDA_ERROR_MPS_SERVER_NOT_READY, "the MPS server is not ready"),
    R(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "MPS has no client left to give"),
    R(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "MPS has no connection left to give"),
    R(CUDA_ERROR_MPS_CLIENT_TERMINATED, "the MPS client was ended"),
    R(CUDA_ERROR_CDP_NOT_SUPPORTED, "CUDA dynamic parallelism is not supported"),
    R(CUDA_ERROR_CDP_VERSION_MISMATCH, "CUDA dynamic parallelism is of another version"),
    R(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "not permitted while the stream is captured"),
    R(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture is no longer valid"),
    R(CUDA_ERROR_STREAM_CAPTURE_MERGE, "the capture would merge two captures"),
    R(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "the capture does not match"),
    R(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "the capture has unjoined work"),
    R(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "the capture would depend on work outside it"),
    R(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the capture would depend on the legacy stream"),
    R(CUDA_ERROR_CAPTURED_EVENT, "the event was captured"),
    R(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture was begun by another thread"),
    R(CUDA_ERROR_TIMEOUT, "the wait timed out"),
    R(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph could not be updated"),
    R(CUDA_ERROR_EXTERNAL_DEVICE, "error of an external device"),
    R(CUDA_ERROR_INVALID_CLUSTER_SIZE, "invalid cluster size"),
    R(CUDA_ERROR_UNKNOWN, "unknown error"),
};

enum { RESULTS = sizeof results / sizeof *results };

static int find(CUresult code) {
  int i = 0;
  while (i < RESULTS && results[i].code != code) i++;
  return i;
}

bool error_known(CUresult code) { return find(code) < RESULTS; }
const char *error_name(CUresult code) {
  return error_known(code) ? results[find(code)].name : "unknown result";
}

/* Both set the text to NULL for a code that they do not know. Neither is a call that can
 * fail otherwise: they serve where everything else does. */

API CUresult cuGetErrorName(CUresult code, const char **name) {
  if (!name) return CUDA_ERROR_INVALID_VALUE;
  *name = error_known(code) ? results[find(code)].name : NULL;
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API CUresult cuGetErrorString(CUresult code, const char **text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  *text = error_known(code) ? results[find(code)].text : NULL;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
