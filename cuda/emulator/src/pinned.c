/* Page-locked host memory: what copies may read and write on their own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emu.h"

static struct pinned *all;

struct pinned *pinned_find(uint64_t address) {
  struct pinned *p = all;
  while (p && (address < p->address || address - p->address >= p->size)) p = p->next;
  return p;
}

static bool overlaps(uint64_t address, uint64_t size) {
  for (struct pinned *p = all; p; p = p->next)
    if (address < p->address + p->size && p->address < address + size) return true;
  return false;
}

static void add(uint64_t address, uint64_t size, unsigned flags, bool allocated) {
  struct pinned *p = allocate(sizeof *p);
  *p = (struct pinned){.next = all,
                       .address = address,
                       .size = size,
                       .flags = flags,
                       .allocated = allocated,
                       .context = context_current()->handle};
  p->read_only = !allocated && (flags & CU_MEMHOSTREGISTER_READ_ONLY);
  all = p;
}

static void discard(struct pinned *p) {
  struct pinned **at = &all;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  gone_note(p->address, p->size,
            p->allocated ? "freed by cuMemFreeHost" : "unregistered by cuMemHostUnregister");
  if (p->allocated) munmap((void *)(uintptr_t)p->address, p->size);
  free(p);
}

/* Whether all of a range is mapped in this process, and writable too: what a driver needs
 * to lock its pages for a device that writes. */
static bool present(uint64_t address, uint64_t size, bool write) {
  FILE *maps = fopen("/proc/self/maps", "re");
  char line[512], rights[8];
  uint64_t at = address, from, to;
  while (maps && at < address + size && fgets(line, sizeof line, maps)) {
    bool whole = strchr(line, '\n') != NULL;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, rights) == 3 && from <= at &&
        at < to && rights[0] == 'r' && (!write || rights[1] == 'w'))
      at = to;
    for (int c; !whole && (c = fgetc(maps)) != EOF && c != '\n';) continue;
  }
  if (maps) fclose(maps);
  return at >= address + size;
}

static CUresult allocate_host(void **address, size_t size, unsigned flags) {
  if (!address || !size || (flags & ~7u)) return CUDA_ERROR_INVALID_VALUE;
  void *p =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (p == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  add((uint64_t)(uintptr_t)p, size, flags, true);
  *address = p;
  return CUDA_SUCCESS;
}

static bool in_use(struct pinned *p) {
  char text[160];
  struct operation *op = operation_on(p->address, p->size);
  if (op)
    misuse(OFFHOST_EMU_FREE_IN_USE, "%s(0x%" PRIx64 "): %s still uses the memory", current_call(),
           p->address, operation_text(op, text, sizeof text));
  return op != NULL;
}

/* Where memory is still used, what the misuse leads to on a real driver is not told
 * anywhere; here the call waits, and leaves the caller alive to be told. */
static void wait_if_in_use(struct pinned *p) {
  uint64_t address = p->address;
  if (!in_use(p)) return;
  while (pinned_find(address) && operation_on(address, pinned_find(address)->size))
    wait_for_change();
}

static CUresult free_host(uint64_t address) {
  struct pinned *p = pinned_find(address);
  if (!p || p->address != address || !p->allocated) {
    const char *how = gone_how(address, 1);
    if (how && !p)
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuMemFreeHost(0x%" PRIx64 "): %s before", address, how);
    return CUDA_ERROR_INVALID_VALUE;
  }
  wait_if_in_use(p);
  if ((p = pinned_find(address))) discard(p);
  return CUDA_SUCCESS;
}

static CUresult register_host(uint64_t address, size_t size, unsigned flags) {
  const unsigned known =
      CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_READ_ONLY;
  bool read_only = flags & CU_MEMHOSTREGISTER_READ_ONLY;
  if (flags & CU_MEMHOSTREGISTER_IOMEMORY) return CUDA_ERROR_NOT_SUPPORTED;
  if (!address || !size || size > UINT64_MAX - address || (flags & ~known))
    return CUDA_ERROR_INVALID_VALUE;
  if (read_only && !settings.read_only_register) return CUDA_ERROR_NOT_SUPPORTED;
  if (overlaps(address, size)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  if (!present(address, size, !read_only)) return CUDA_ERROR_INVALID_VALUE;
  add(address, size, flags, false);
  return CUDA_SUCCESS;
}

static CUresult unregister_host(uint64_t address) {
  struct pinned *p = pinned_find(address);
  if (!p || p->address != address || p->allocated) {
    const char *how = gone_how(address, 1);
    if (how && !p)
      misuse(OFFHOST_EMU_DOUBLE_FREE, "cuMemHostUnregister(0x%" PRIx64 "): %s before", address,
             how);
    return p && p->allocated ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
  wait_if_in_use(p);
  if ((p = pinned_find(address))) discard(p);
  return CUDA_SUCCESS;
}

static CUresult device_pointer(CUdeviceptr *device, uint64_t host, unsigned flags) {
  if (!device || flags || !pinned_find(host)) return CUDA_ERROR_INVALID_VALUE;
  *device = host; /* one address space, CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING */
  return CUDA_SUCCESS;
}

static CUresult get_flags(unsigned *flags, uint64_t host) {
  struct pinned *p = pinned_find(host);
  if (!flags || !p || !p->allocated) return CUDA_ERROR_INVALID_VALUE;
  *flags = p->flags;
  return CUDA_SUCCESS;
}

void pinned_free_of(CUcontext context) {
  for (struct pinned *p = all, *next; p; p = next) {
    next = p->next;
    if (p->context == context) discard(p);
  }
}

unsigned long pinned_leaks(CUcontext context, bool note) {
  unsigned long n = 0;
  for (struct pinned *p = all; p; p = p->next) {
    if (context && p->context != context) continue;
    n++;
    if (note)
      misuse(OFFHOST_EMU_LEAK, "host memory 0x%" PRIx64 " of %" PRIu64 " bytes was not %s",
             p->address, p->size, p->allocated ? "freed" : "unregistered");
  }
  return n;
}

#define HOST(p) ((uint64_t)(uintptr_t)(p))

API CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) {
  ENTRY("cuMemHostAlloc", CONTEXT, allocate_host(address, size, flags));
}
API CUresult cuMemAllocHost_v2(void **address, size_t size) {
  ENTRY("cuMemAllocHost", CONTEXT, allocate_host(address, size, 0));
}
API CUresult cuMemFreeHost(void *address) {
  ENTRY("cuMemFreeHost", CONTEXT, free_host(HOST(address)));
}
API CUresult cuMemHostRegister_v2(void *address, size_t size, unsigned flags) {
  ENTRY("cuMemHostRegister", CONTEXT, register_host(HOST(address), size, flags));
}
API CUresult cuMemHostUnregister(void *address) {
  ENTRY("cuMemHostUnregister", CONTEXT, unregister_host(HOST(address)));
}
API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags) {
  ENTRY("cuMemHostGetDevicePointer", CONTEXT, device_pointer(device, HOST(host), flags));
}
API CUresult cuMemHostGetFlags(unsigned *flags, void *host) {
  ENTRY("cuMemHostGetFlags", CONTEXT, get_flags(flags, HOST(host)));
}
