/* Device addresses: what is reserved, what is mapped where, and what was given back. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "emu.h"

/* Reserved addresses are addresses of this process that nobody may touch: a host that
 * takes a device pointer for its own faults, as it does with the real driver. They start
 * here, where Linux and Go put nothing, to be recognised in a message, and are not used
 * again until the range is spent, so that a stale pointer stays one. */
static const uint64_t first = (uint64_t)64 << 30, end = (uint64_t)256 << 30;
static uint64_t next_address = (uint64_t)64 << 30;

static struct reservation *all;
static uint64_t last_id;

struct reservation *space_all(void) { return all; }

static uint64_t take_at(uint64_t address, uint64_t size, bool fixed) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED_NOREPLACE : 0);
  void *p = mmap((void *)(uintptr_t)address, size, PROT_NONE, flags, -1, 0);
  if (p == MAP_FAILED) return 0;
  uint64_t got = (uint64_t)(uintptr_t)p;
  if (!fixed || got == address) return got;
  munmap(p, size); /* a kernel that does not know the flag */
  return 0;
}

/* Anywhere, aligned: more is taken, and what is too much given back. */
static uint64_t take_anywhere(uint64_t size, uint64_t alignment) {
  uint64_t got = take_at(0, size + alignment, false);
  if (!got) return 0;
  uint64_t address = (got + alignment - 1) / alignment * alignment;
  if (address > got) munmap((void *)(uintptr_t)got, address - got);
  if (got + alignment > address)
    munmap((void *)(uintptr_t)(address + size), got + alignment - address);
  return address;
}

static uint64_t take(uint64_t size, uint64_t alignment, uint64_t wanted) {
  uint64_t address = wanted && wanted % alignment == 0 ? take_at(wanted, size, true) : 0;
  if (address) return address;
  for (int tries = 0; tries < 16; tries++) {
    address = (next_address + alignment - 1) / alignment * alignment;
    if (address > end || size > end - address) address = first;
    next_address = address + size;
    if (next_address <= end && take_at(address, size, true)) return address;
  }
  return take_anywhere(size, alignment);
}

struct reservation *space_reserve(uint64_t size, uint64_t alignment, uint64_t wanted) {
  uint64_t address = take(size, alignment, wanted);
  if (!address) return NULL;
  struct reservation *r = allocate(sizeof *r);
  *r = (struct reservation){.next = all, .address = address, .size = size, .id = ++last_id};
  all = r;
  return r;
}

void space_unreserve(struct reservation *r) {
  while (r->mappings) space_unmap(r, r->mappings);
  struct reservation **at = &all;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  munmap((void *)(uintptr_t)r->address, r->size);
  free(r);
}

struct reservation *space_find(uint64_t address) {
  struct reservation *r = all;
  while (r && (address < r->address || address - r->address >= r->size)) r = r->next;
  return r;
}

bool space_device(uint64_t address) {
  return space_find(address) || (address >= first && address < end);
}

struct mapping *space_map(struct reservation *r, uint64_t address, uint64_t size,
                          struct physical *p) {
  struct mapping **at = &r->mappings;
  while (*at && (*at)->address + (*at)->size <= address) at = &(*at)->next;
  if (*at && (*at)->address < address + size) return NULL;
  struct mapping *m = allocate(sizeof *m);
  *m =
      (struct mapping){.next = *at, .address = address, .size = size, .physical = physical_keep(p)};
  *at = m;
  return m;
}

void space_unmap(struct reservation *r, struct mapping *m) {
  struct mapping **at = &r->mappings;
  while (*at != m) at = &(*at)->next;
  *at = m->next;
  physical_drop(m->physical);
  free(m);
}

static struct mapping *mapping_in(struct reservation *r, uint64_t address) {
  struct mapping *m = r ? r->mappings : NULL;
  while (m && (address < m->address || address - m->address >= m->size)) m = m->next;
  return m;
}

struct mapping *space_mapping(uint64_t address) { return mapping_in(space_find(address), address); }

bool space_tiled(struct reservation *r, uint64_t address, uint64_t size) {
  uint64_t at = address;
  for (struct mapping *m; at < address + size; at += m->size) {
    m = mapping_in(r, at);
    if (!m || m->address != at) return false;
  }
  return size && at == address + size;
}

enum access space_check(uint64_t address, uint64_t size, bool write) {
  struct reservation *r = space_find(address);
  uint64_t room = r ? (r->asked ? r->asked : r->size) : 0;
  if (!r || address - r->address > room || size > room - (address - r->address)) return UNMAPPED;
  enum access verdict = CAN;
  for (uint64_t at = address; at < address + size;) {
    struct mapping *m = mapping_in(r, at);
    if (!m) return UNMAPPED;
    bool allowed = write ? m->access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                         : m->access != CU_MEM_ACCESS_FLAGS_PROT_NONE;
    if (!allowed) verdict = FORBIDDEN;
    at = m->address + m->size;
  }
  return verdict;
}

struct segments space_segments(uint64_t address, uint64_t size) {
  struct segments s = {0};
  struct reservation *r = space_find(address);
  for (uint64_t at = address; at < address + size; s.count++) {
    struct mapping *m = mapping_in(r, at);
    uint64_t until = m->address + m->size < address + size ? m->address + m->size : address + size;
    if ((s.count & (s.count - 1)) == 0) { /* a power of two: full */
      struct segment *grown = realloc(s.list, (s.count ? 2 * s.count : 1) * sizeof *grown);
      if (!grown) abort();
      s.list = grown;
    }
    s.list[s.count] = (struct segment){m->physical->bytes + (at - m->address), until - at,
                                       physical_keep(m->physical)};
    at = until;
  }
  return s;
}

struct segments host_segments(uint64_t address, uint64_t size) {
  struct segments s = {allocate(sizeof *s.list), 1};
  s.list[0] = (struct segment){(unsigned char *)(uintptr_t)address, size, NULL};
  return s;
}

void segments_free(struct segments *s) {
  for (size_t i = 0; i < s->count; i++)
    if (s->list[i].physical) physical_drop(s->list[i].physical);
  free(s->list);
  *s = (struct segments){0};
}

/* The last ranges that were given back, enough to tell a mistake from a wild pointer. */
enum { GONE = 4096 };
static struct {
  uint64_t address, size;
  const char *how;
} gone[GONE];
static size_t gone_count;

void gone_note(uint64_t address, uint64_t size, const char *how) {
  size_t i = gone_count++ % GONE;
  gone[i].address = address;
  gone[i].size = size;
  gone[i].how = how;
}

const char *gone_how(uint64_t address, uint64_t size) {
  size_t kept = gone_count < GONE ? gone_count : GONE;
  for (size_t n = 0; n < kept; n++) {
    size_t i = (gone_count - 1 - n) % GONE;
    if (address < gone[i].address + gone[i].size && gone[i].address < address + (size ? size : 1))
      return gone[i].how;
  }
  return NULL;
}

void misuse_unmapped(const char *what, uint64_t address, uint64_t size) {
  const char *how = gone_how(address, size);
  if (how)
    misuse(OFFHOST_EMU_USE_AFTER_FREE, "%s: 0x%" PRIx64 " and %" PRIu64 " bytes on: %s before",
           what, address, size, how);
  else
    misuse(OFFHOST_EMU_NOT_MAPPED, "%s: 0x%" PRIx64 " and %" PRIu64 " bytes on are not all mapped",
           what, address, size);
}
