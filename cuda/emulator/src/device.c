/* The one device. */
#include <stdio.h>
#include <string.h>

#include "emu.h"

/* What offhost asks for is true of the stand-in; the rest is plausible. */
static const struct {
  CUdevice_attribute which;
  int value;
} attributes[] = {
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
    {CU_DEVICE_ATTRIBUTE_INTEGRATED, 0},
    {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, 0},
    {CU_DEVICE_ATTRIBUTE_TCC_DRIVER, 0},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0},
    {CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, 0},
    {CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD, 0},
    {CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 0x0f},
    {CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 0},
    {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 0},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 9},
    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 1536},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 0},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1000000},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 128},
};

static const char bus_id[] = "0000:0F:00.0";

static CUresult get(CUdevice *device, int ordinal) {
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}

static CUresult count(int *n) {
  if (!n) return CUDA_ERROR_INVALID_VALUE;
  *n = 1;
  return CUDA_SUCCESS;
}

static CUresult name(char *text, int length, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  if (!text || length < 1) return CUDA_ERROR_INVALID_VALUE;
  snprintf(text, (size_t)length, "offhost stand-in GPU");
  return CUDA_SUCCESS;
}

static CUresult uuid(CUuuid *id, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  if (!id) return CUDA_ERROR_INVALID_VALUE;
  gpu_uuid(id->bytes);
  return CUDA_SUCCESS;
}

static CUresult total(size_t *bytes, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  if (!bytes) return CUDA_ERROR_INVALID_VALUE;
  *bytes = gpu_total();
  return CUDA_SUCCESS;
}

static CUresult attribute(int *value, CUdevice_attribute which, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  if (which == CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED) {
    *value = settings.read_only_register;
    return CUDA_SUCCESS;
  }
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    if (attributes[i].which == which) {
      *value = attributes[i].value;
      return CUDA_SUCCESS;
    }
  return CUDA_ERROR_INVALID_VALUE;
}

static CUresult get_bus_id(char *text, int length, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  if (!text || length < (int)sizeof bus_id) return CUDA_ERROR_INVALID_VALUE;
  memcpy(text, bus_id, sizeof bus_id);
  return CUDA_SUCCESS;
}

/* [domain:]bus:device[.function] */
static CUresult by_bus_id(CUdevice *device, const char *text) {
  unsigned domain = 0, bus, slot, function = 0;
  if (!device || !text) return CUDA_ERROR_INVALID_VALUE;
  bool read = sscanf(text, "%x:%x:%x.%x", &domain, &bus, &slot, &function) >= 3;
  if (!read) domain = function = 0, read = sscanf(text, "%x:%x.%x", &bus, &slot, &function) >= 2;
  if (!read) return CUDA_ERROR_INVALID_VALUE;
  if (domain || bus != 0x0f || slot || function) return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}

API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTRY("cuDeviceGet", INIT, get(device, ordinal));
}
API CUresult cuDeviceGetCount(int *n) { ENTRY("cuDeviceGetCount", INIT, count(n)); }
API CUresult cuDeviceGetName(char *text, int length, CUdevice device) {
  ENTRY("cuDeviceGetName", INIT, name(text, length, device));
}
API CUresult cuDeviceGetUuid(CUuuid *id, CUdevice device) {
  ENTRY("cuDeviceGetUuid", INIT, uuid(id, device));
}
API CUresult cuDeviceGetUuid_v2(CUuuid *id, CUdevice device) {
  ENTRY("cuDeviceGetUuid", INIT, uuid(id, device));
}
API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  ENTRY("cuDeviceTotalMem", INIT, total(bytes, device));
}
API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
  ENTRY("cuDeviceGetAttribute", INIT, attribute(value, which, device));
}
API CUresult cuDeviceGetPCIBusId(char *text, int length, CUdevice device) {
  ENTRY("cuDeviceGetPCIBusId", INIT, get_bus_id(text, length, device));
}
API CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *text) {
  ENTRY("cuDeviceGetByPCIBusId", INIT, by_bus_id(device, text));
}
