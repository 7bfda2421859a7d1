/* What an address is. */
#include <stdbool.h>
#include <string.h>

#include "emu.h"

/* Writes one attribute; for an address that the driver does not know, CUDA_ERROR_INVALID_VALUE
 * and what the reference says the plural call puts in its place. */
static CUresult attribute(void *value, CUpointer_attribute which, uint64_t address) {
  struct reservation *r = space_find(address);
  struct mapping *m = r ? space_mapping(address) : NULL;
  struct pinned *p = r ? NULL : pinned_find(address);
  bool plain = r && r->asked;
  bool known =
      p || m ||
      (r && which >= CU_POINTER_ATTRIBUTE_RANGE_START_ADDR && which <= CU_POINTER_ATTRIBUTE_MAPPED);
  CUresult result = known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  switch (which) {
  case CU_POINTER_ATTRIBUTE_CONTEXT:
    *(CUcontext *)value = plain ? r->context : p ? p->context : NULL;
    return known && !plain && !p ? CUDA_ERROR_INVALID_VALUE : result; /* virtual memory has none */
  case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    *(unsigned *)value = p ? CU_MEMORYTYPE_HOST : m ? CU_MEMORYTYPE_DEVICE : 0;
    return result;
  case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    *(CUdeviceptr *)value = known ? address : 0;
    return result;
  case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    *(void **)value = p ? (void *)(uintptr_t)address : NULL;
    return p ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
  case CU_POINTER_ATTRIBUTE_IS_MANAGED:
  case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: *(bool *)value = false; return result;
  case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    *(unsigned long long *)value = r ? r->id : 0;
    return plain ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = known ? 0 : -2; return result;
  case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    *(CUdeviceptr *)value = r ? r->address : p ? p->address : 0;
    return result;
  case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    *(size_t *)value = plain ? r->asked : r ? r->size : p ? p->size : 0;
    return result;
  case CU_POINTER_ATTRIBUTE_MAPPED: *(bool *)value = m || p; return result;
  case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    *(unsigned long long *)value = m && m->physical->exportable
                                       ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
                                       : CU_MEM_HANDLE_TYPE_NONE;
    return result;
  case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
    *(int *)value = m ? (int)m->access : p ? (int)CU_MEM_ACCESS_FLAGS_PROT_READWRITE : 0;
    return result;
  default: return CUDA_ERROR_NOT_SUPPORTED;
  }
}

static CUresult one(void *value, CUpointer_attribute which, uint64_t address) {
  char buffer[sizeof(void *)];
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = attribute(buffer, which, address);
  return result ? result : attribute(value, which, address); /* nothing is written on failure */
}

/* Unlike the call for one, this does not fail for an unknown address. */
static CUresult several(unsigned count, const CUpointer_attribute *which, void **values,
                        uint64_t address) {
  if (!count || !which || !values) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; i++)
    if (!values[i] || attribute(values[i], which[i], address) == CUDA_ERROR_NOT_SUPPORTED)
      return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

API CUresult cuPointerGetAttribute(void *value, CUpointer_attribute which, CUdeviceptr address) {
  ENTRY("cuPointerGetAttribute", CONTEXT, one(value, which, address));
}
API CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute *which, void **values,
                                    CUdeviceptr address) {
  ENTRY("cuPointerGetAttributes", CONTEXT, several(count, which, values, address));
}
