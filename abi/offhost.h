/* offhost.h: the policy ABI, version 1, for freestanding C (C11 or later).
 *
 * A policy exports `memory` and the two functions declared below; SPEC.md says
 * what they mean. Nothing needs to be imported, no C library is needed:
 *
 *   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o policy.wasm policy.c
 *
 * Large copies and clearings may become calls of memcpy and memset, which are not
 * there: write loops with -fno-builtin, or define them.
 */
#ifndef OFFHOST_H
#define OFFHOST_H

#include <stdint.h>

/* kinds of events */
enum {
  OFFHOST_CONFIG = 1, OFFHOST_COMPONENT, OFFHOST_LOADED, OFFHOST_EVICTED, OFFHOST_ENQUEUED,
  OFFHOST_BEGIN, OFFHOST_CALL, OFFHOST_DONE, OFFHOST_END, OFFHOST_NEED, OFFHOST_IDLE,
  OFFHOST_PRESSURE, OFFHOST_REJECTED
};

/* bits of offhost_event.flags */
enum {
  OFFHOST_F_RESIDENT = 1 << 0, OFFHOST_F_PINNED = 1 << 1, OFFHOST_F_IN_USE = 1 << 2,
  OFFHOST_F_DIRTY = 1 << 3, OFFHOST_F_LOOP_HINT = 1 << 4, OFFHOST_F_KEPT = 1 << 5,
  OFFHOST_F_READ_ONLY = 1 << 6, OFFHOST_F_REMOVED = 1 << 7, OFFHOST_F_TRUNCATED = 1 << 8,
  OFFHOST_F_THRASH = 1 << 9
};

/* operations */
enum { OFFHOST_EVICT = 1, OFFHOST_RETAIN, OFFHOST_PREFETCH };

/* codes of REJECTED */
enum {
  OFFHOST_R_NOT_RESIDENT = 1, OFFHOST_R_PINNED, OFFHOST_R_KEPT, OFFHOST_R_IN_USE,
  OFFHOST_R_ASKED_FOR, OFFHOST_R_NO_ROOM, OFFHOST_R_ALL_RESIDENT, OFFHOST_R_TOO_SMALL,
  OFFHOST_R_BAD_ARGUMENT
};

#define OFFHOST_NONE 0xffffffffu
#define OFFHOST_MAX_COMPONENTS 4096
#define OFFHOST_EVENT_SIZE 128
#define OFFHOST_EVENT_AREA 256
#define OFFHOST_MAX_DECISIONS 128
#define OFFHOST_DECISION_AREA 2048
#define OFFHOST_MIN_WINDOW 4096
#define OFFHOST_MAX_WINDOW 67840

typedef struct {
  uint16_t kind, flags;
  uint32_t component, parent, index;
  uint64_t name_hash;
  uint32_t session, request, step, steps;
  uint64_t seq, time_ns;
  uint64_t bytes, resident, free, budget, foreign, workspace;
  uint64_t load_cost_ns;
  uint64_t amount;
  uint32_t payload_len, reserved;
} offhost_event;

typedef struct {
  uint16_t op, reason;
  uint32_t component;
  uint64_t arg;
} offhost_decision;

typedef struct {
  offhost_decision decision;
  uint32_t code, reserved;
} offhost_rejected;

#define OFFHOST_EXPORT(name) __attribute__((export_name(name)))

/* Defined by the policy. The host calls buffer once, then event for each event. */
OFFHOST_EXPORT("offhost_v1_buffer") uint32_t offhost_v1_buffer(uint32_t size);
OFFHOST_EXPORT("offhost_v1_event") int32_t offhost_v1_event(uint32_t len);

_Static_assert(sizeof(offhost_event) == OFFHOST_EVENT_SIZE, "event is 128 bytes");
_Static_assert(sizeof(offhost_decision) == 16, "decision is 16 bytes");
_Static_assert(sizeof(offhost_rejected) == 24, "rejected is 24 bytes");

#endif
