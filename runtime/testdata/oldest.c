/* A policy as one writes it in C, for benchmarks: it remembers when each of 64
 * components was called last, and when room is needed evicts the oldest ones until
 * it is enough. No library, no allocation.
 *
 * clang-19 --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I../../abi -o oldest.wasm oldest.c
 */
#include "offhost.h"

enum { COMPONENTS = 64, WINDOW = 4096 };

static struct {
  uint64_t called, resident;
} components[COMPONENTS];

static _Alignas(8) unsigned char window[WINDOW];

uint32_t offhost_v1_buffer(uint32_t size) { return size <= WINDOW ? (uint32_t)window : 0; }

int32_t offhost_v1_event(uint32_t len) {
  const offhost_event *e = (const offhost_event *)window;
  offhost_decision *answer = (offhost_decision *)(window + WINDOW - OFFHOST_DECISION_AREA);
  if (len < OFFHOST_EVENT_SIZE) return -1;
  if (e->component < COMPONENTS) {
    components[e->component].resident = e->resident;
    if (e->kind == OFFHOST_CALL) components[e->component].called = e->seq;
  }
  if (e->kind != OFFHOST_NEED) return 0;
  int32_t n = 0;
  uint64_t freed = 0, taken = 0;
  while (freed < e->amount && n < OFFHOST_MAX_DECISIONS) {
    uint32_t best = COMPONENTS;
    for (uint32_t i = 0; i < COMPONENTS; i++) {
      if (i == e->component || !components[i].resident || (taken >> i & 1)) continue;
      if (best == COMPONENTS || components[i].called < components[best].called) best = i;
    }
    if (best == COMPONENTS) break;
    taken |= 1ull << best;
    uint64_t bytes = components[best].resident;
    if (bytes > e->amount - freed) bytes = e->amount - freed;
    answer[n++] = (offhost_decision){OFFHOST_EVICT, 1, best, bytes};
    freed += bytes;
  }
  return n;
}
