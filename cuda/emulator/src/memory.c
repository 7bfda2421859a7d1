/* Plain allocations: physical memory, addresses and a mapping in one. */
#include <inttypes.h>

#include "emu.h"

static CUresult allocate_plain(CUdeviceptr *address, uint64_t size) {
  if (!address || !size) return CUDA_ERROR_INVALID_VALUE;
  if (size > gpu_total()) return CUDA_ERROR_OUT_OF_MEMORY;
  uint64_t rounded = (size + PAGE - 1) / PAGE * PAGE;
  struct physical *p;
  CUresult result = physical_new(rounded, false, true, &p);
  if (result) return result;
  struct reservation *r = space_reserve(rounded, PAGE, 0);
  if (r) {
    r->asked = size;
    r->context = context_current()->handle;
    space_map(r, r->address, rounded, p)->access = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    *address = r->address;
  }
  physical_drop(p); /* the mapping keeps it */
  return r ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The real driver waits for the device here, which its reference only implies: to rely on
 * that is misuse, and waiting is what keeps a caller who does alive. */
static CUresult free_plain(uint64_t address) {
  char text[160];
  struct reservation *r = space_find(address);
  if (!r || r->address != address || !r->asked) {
    const char *how = r ? NULL : gone_how(address, 1);
    if (how) misuse(OFFHOST_EMU_DOUBLE_FREE, "cuMemFree(0x%" PRIx64 "): %s before", address, how);
    return CUDA_ERROR_INVALID_VALUE;
  }
  struct operation *op = operation_on(address, r->asked);
  if (op)
    misuse(OFFHOST_EMU_FREE_IN_USE, "cuMemFree(0x%" PRIx64 "): %s still uses it", address,
           operation_text(op, text, sizeof text));
  CUresult result = context_wait(context_current());
  r = space_find(address); /* another thread may have freed it meanwhile */
  if (result || !r || r->address != address) return result;
  gone_note(address, r->asked, "freed by cuMemFree");
  space_unreserve(r);
  return CUDA_SUCCESS;
}

static CUresult info(size_t *available, size_t *total) {
  uint64_t all = gpu_total(), used = gpu_used();
  if (available) *available = used < all ? all - used : 0;
  if (total) *total = all;
  return CUDA_SUCCESS;
}

static CUresult range(CUdeviceptr *base, size_t *size, uint64_t address) {
  struct reservation *r = space_find(address);
  struct mapping *m = r && !r->asked ? space_mapping(address) : NULL;
  if (!r || (!r->asked && !m)) return CUDA_ERROR_NOT_FOUND;
  if (base) *base = m ? m->address : r->address;
  if (size) *size = m ? m->size : r->asked;
  return CUDA_SUCCESS;
}

void memory_free_of(CUcontext context) {
  for (struct reservation *r = space_all(), *next; r; r = next) {
    next = r->next;
    if (!r->asked || r->context != context) continue;
    gone_note(r->address, r->asked, "freed with its context");
    space_unreserve(r);
  }
}

unsigned long memory_leaks(CUcontext context, bool note) {
  unsigned long n = 0;
  for (struct reservation *r = space_all(); r; r = r->next) {
    if (!r->asked || (context && r->context != context)) continue;
    n++;
    if (note)
      misuse(OFFHOST_EMU_LEAK, "device memory 0x%" PRIx64 " of %" PRIu64 " bytes was not freed",
             r->address, r->asked);
  }
  return n;
}

API CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
  ENTRY("cuMemAlloc", CONTEXT, allocate_plain(address, size));
}
API CUresult cuMemFree_v2(CUdeviceptr address) { ENTRY("cuMemFree", CONTEXT, free_plain(address)); }
API CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  ENTRY("cuMemGetInfo", CONTEXT, info(available, total));
}
API CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr address) {
  ENTRY("cuMemGetAddressRange", CONTEXT, range(base, size, address));
}
