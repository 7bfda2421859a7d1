/* Virtual memory management: allocations without an address, addresses without memory,
 * and what maps the one at the other; descriptors that carry an allocation elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "emu.h"

static bool on_device(const CUmemLocation *l) {
  return l->type == CU_MEM_LOCATION_TYPE_DEVICE && l->id == 0;
}
static bool aligned(uint64_t n) { return n % settings.granularity == 0; }

static CUresult check_properties(const CUmemAllocationProp *prop) {
  if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  if (prop->location.id != 0) return CUDA_ERROR_INVALID_DEVICE;
  bool posix = prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return posix || prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE ? CUDA_SUCCESS
                                                                        : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult granularity(size_t *size, const CUmemAllocationProp *prop,
                            CUmemAllocationGranularity_flags option) {
  bool known =
      option == CU_MEM_ALLOC_GRANULARITY_MINIMUM || option == CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
  if (!size || !known) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = check_properties(prop);
  if (!result) *size = settings.granularity;
  return result;
}

static CUresult create(CUmemGenericAllocationHandle *handle, uint64_t size,
                       const CUmemAllocationProp *prop, unsigned long long flags) {
  if (!handle || flags || !size || !aligned(size)) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = check_properties(prop);
  if (result) return result;
  struct physical *p;
  result = physical_new(
      size, prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, true, &p);
  if (result) return result;
  *handle = physical_handle(p);
  physical_drop(p);
  return CUDA_SUCCESS;
}

static struct physical *find(CUmemGenericAllocationHandle handle) {
  struct physical *p = handle_get(AN_ALLOCATION, handle);
  if (!p && handle_was(AN_ALLOCATION, handle))
    misuse(strcmp(current_call(), "cuMemRelease") ? OFFHOST_EMU_USE_AFTER_FREE
                                                  : OFFHOST_EMU_DOUBLE_FREE,
           "%s: allocation 0x%llx was released before", current_call(), handle);
  return p;
}

static CUresult release(CUmemGenericAllocationHandle handle) {
  struct physical *p = find(handle);
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  physical_release(p);
  return CUDA_SUCCESS;
}

static CUresult retain(CUmemGenericAllocationHandle *handle, uint64_t address) {
  struct reservation *r = space_find(address);
  struct mapping *m = r && !r->asked ? space_mapping(address) : NULL;
  if (!handle || !m) return CUDA_ERROR_INVALID_VALUE;
  *handle = physical_handle(m->physical);
  return CUDA_SUCCESS;
}

static CUresult properties(CUmemAllocationProp *prop, CUmemGenericAllocationHandle handle) {
  struct physical *p = find(handle);
  if (!prop || !p) return CUDA_ERROR_INVALID_VALUE;
  memset(prop, 0, sizeof *prop);
  prop->type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop->requestedHandleTypes =
      p->exportable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
  prop->location = (CUmemLocation){CU_MEM_LOCATION_TYPE_DEVICE, 0};
  return CUDA_SUCCESS;
}

/* Whether the real driver's descriptor survives an exec is told nowhere, so here it does:
 * a caller has to see to it. */
static CUresult export(int *fd, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
                       unsigned long long flags) {
  struct physical *p = find(handle);
  if (!fd || !p || flags || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !p->exportable ||
      p->imported)
    return CUDA_ERROR_INVALID_VALUE;
  int duplicate = fcntl(p->fd, F_DUPFD, 3);
  if (duplicate < 0) {
    say("cannot duplicate a descriptor: %s", strerror(errno));
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  *fd = duplicate;
  return CUDA_SUCCESS;
}

static CUresult import(CUmemGenericAllocationHandle *handle, int fd,
                       CUmemAllocationHandleType type) {
  if (!handle || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
  struct physical *p;
  CUresult result = physical_import(fd, &p);
  if (result) return result;
  *handle = physical_handle(p);
  physical_drop(p);
  return CUDA_SUCCESS;
}

static CUresult reserve(CUdeviceptr *address, uint64_t size, uint64_t alignment, uint64_t wanted,
                        unsigned long long flags) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  if (!address || flags || !size || size % page || wanted % page || (alignment & (alignment - 1)))
    return CUDA_ERROR_INVALID_VALUE;
  if (size > (uint64_t)1 << 46 || alignment > (uint64_t)1 << 40) return CUDA_ERROR_OUT_OF_MEMORY;
  struct reservation *r =
      space_reserve(size, alignment > settings.granularity ? alignment : settings.granularity,
                    wanted);
  if (!r) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = r->address;
  return CUDA_SUCCESS;
}

static CUresult unreserve(uint64_t address, uint64_t size) {
  struct reservation *r = space_find(address);
  if (!r || r->asked || r->address != address || r->size != size || r->mappings) {
    const char *how = r ? NULL : gone_how(address, 1);
    if (how)
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuMemAddressFree(0x%" PRIx64 "): %s before", address, how);
    return CUDA_ERROR_INVALID_VALUE;
  }
  gone_note(address, size, "given back by cuMemAddressFree");
  space_unreserve(r);
  return CUDA_SUCCESS;
}

/* The reservation that holds all of a range, NULL if none does. */
static struct reservation *around(uint64_t address, uint64_t size) {
  struct reservation *r = space_find(address);
  return r && !r->asked && size && size <= r->size - (address - r->address) ? r : NULL;
}

static CUresult map(uint64_t address, uint64_t size, uint64_t offset,
                    CUmemGenericAllocationHandle handle, unsigned long long flags) {
  struct physical *p = find(handle);
  struct reservation *r = around(address, size);
  if (!p || !r || flags || offset || !aligned(address) || !aligned(size))
    return CUDA_ERROR_INVALID_VALUE;
  if (size != p->size) return CUDA_ERROR_NOT_SUPPORTED;
  return space_map(r, address, size, p) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Nothing waits here, as nothing does in the real driver. */
static void look_for_users(uint64_t address, uint64_t size) {
  char text[160];
  struct operation *op = operation_on(address, size);
  if (op)
    misuse(OFFHOST_EMU_UNMAP_IN_USE, "%s(0x%" PRIx64 ", %" PRIu64 "): %s still uses it",
           current_call(), address, size, operation_text(op, text, sizeof text));
}

static CUresult unmap(uint64_t address, uint64_t size) {
  struct reservation *r = around(address, size);
  if (!r || !space_tiled(r, address, size)) {
    const char *how = space_mapping(address) ? NULL : gone_how(address, size);
    if (how)
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuMemUnmap(0x%" PRIx64 ", %" PRIu64 "): %s before", address,
             size, how);
    return CUDA_ERROR_INVALID_VALUE;
  }
  look_for_users(address, size);
  gone_note(address, size, "unmapped by cuMemUnmap");
  for (uint64_t end = address + size; address < end;) {
    struct mapping *m = space_mapping(address);
    address += m->size;
    space_unmap(r, m);
  }
  return CUDA_SUCCESS;
}

static CUresult set_access(uint64_t address, uint64_t size, const CUmemAccessDesc *access,
                           size_t count) {
  struct reservation *r = around(address, size);
  if (!r || !access || !count || !space_tiled(r, address, size)) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++) {
    CUmemAccess_flags f = access[i].flags;
    if (f != CU_MEM_ACCESS_FLAGS_PROT_NONE && f != CU_MEM_ACCESS_FLAGS_PROT_READ &&
        f != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
      return CUDA_ERROR_INVALID_VALUE;
    if (!on_device(&access[i].location)) return CUDA_ERROR_INVALID_DEVICE;
  }
  CUmemAccess_flags allowed = access[count - 1].flags;
  for (struct mapping *m = space_mapping(address); m && m->address < address + size; m = m->next) {
    if (allowed < m->access) look_for_users(m->address, m->size);
    m->access = allowed;
  }
  return CUDA_SUCCESS;
}

static CUresult get_access(unsigned long long *flags, const CUmemLocation *location,
                           uint64_t address) {
  struct mapping *m = space_mapping(address);
  if (!flags || !location || !m) return CUDA_ERROR_INVALID_VALUE;
  if (!on_device(location)) return CUDA_ERROR_INVALID_DEVICE;
  *flags = m->access;
  return CUDA_SUCCESS;
}

unsigned long vmm_leaks(bool note) {
  unsigned long n = physical_leaks(note);
  for (struct reservation *r = space_all(); r; r = r->next) {
    if (r->asked) continue;
    unsigned long mapped = 0;
    for (struct mapping *m = r->mappings; m; m = m->next) mapped++;
    n += 1 + mapped;
    if (note)
      misuse(OFFHOST_EMU_LEAK,
             "addresses 0x%" PRIx64 " and %" PRIu64
             " bytes on were not given back; %lu mappings are left there",
             r->address, r->size, mapped);
  }
  return n;
}

API CUresult cuMemGetAllocationGranularity(size_t *size, const CUmemAllocationProp *prop,
                                           CUmemAllocationGranularity_flags option) {
  ENTRY("cuMemGetAllocationGranularity", INIT, granularity(size, prop, option));
}
API CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                         const CUmemAllocationProp *prop, unsigned long long flags) {
  ENTRY("cuMemCreate", LIVE, create(handle, size, prop, flags));
}
API CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  ENTRY("cuMemRelease", LIVE, release(handle));
}
API CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
  ENTRY("cuMemRetainAllocationHandle", LIVE, retain(handle, (uint64_t)(uintptr_t)address));
}
API CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                    CUmemGenericAllocationHandle handle) {
  ENTRY("cuMemGetAllocationPropertiesFromHandle", LIVE, properties(prop, handle));
}
API CUresult cuMemExportToShareableHandle(void *shareable, CUmemGenericAllocationHandle handle,
                                          CUmemAllocationHandleType type,
                                          unsigned long long flags) {
  ENTRY("cuMemExportToShareableHandle", LIVE, export(shareable, handle, type, flags));
}
API CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *shareable,
                                            CUmemAllocationHandleType type) {
  ENTRY("cuMemImportFromShareableHandle", LIVE, import(handle, (int)(intptr_t)shareable, type));
}
API CUresult cuMemAddressReserve(CUdeviceptr *address, size_t size, size_t alignment,
                                 CUdeviceptr wanted, unsigned long long flags) {
  ENTRY("cuMemAddressReserve", LIVE, reserve(address, size, alignment, wanted, flags));
}
API CUresult cuMemAddressFree(CUdeviceptr address, size_t size) {
  ENTRY("cuMemAddressFree", LIVE, unreserve(address, size));
}
API CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset,
                      CUmemGenericAllocationHandle handle, unsigned long long flags) {
  ENTRY("cuMemMap", LIVE, map(address, size, offset, handle, flags));
}
API CUresult cuMemUnmap(CUdeviceptr address, size_t size) {
  ENTRY("cuMemUnmap", LIVE, unmap(address, size));
}
API CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc *access,
                            size_t count) {
  ENTRY("cuMemSetAccess", LIVE, set_access(address, size, access, count));
}
API CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location,
                            CUdeviceptr address) {
  ENTRY("cuMemGetAccess", LIVE, get_access(flags, location, address));
}
