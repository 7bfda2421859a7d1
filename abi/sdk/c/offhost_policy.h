/* offhost_policy.h: writing a policy in C (C11) or C++ (C++17), in one header.
 *
 *   #include "offhost_policy.h"
 *
 *   OFFHOST_ABOUT("name=mine");
 *
 *   static void on_event(const offhost_event *e) {
 *     offhost_follow(e);
 *     if (e->kind == OFFHOST_NEED) offhost_evict(..., 0, 1);
 *   }
 *   OFFHOST_POLICY(on_event)
 *
 * It adds convenience to offhost.h and hides nothing of it: the event is the struct
 * that SPEC.md describes, where the host wrote it. What a policy does not use costs
 * nothing, neither code nor memory nor an import. There is no allocation and no C
 * library. Include it in one source file of a policy: what it keeps is static.
 */
#ifndef OFFHOST_POLICY_H
#define OFFHOST_POLICY_H

#ifdef __cplusplus
#define OFFHOST_ALIGNED(n) alignas(n)
#define OFFHOST_C extern "C"
extern "C" {
#include "offhost.h"
}
#else
#include <stdbool.h>
#define OFFHOST_ALIGNED(n) _Alignas(n)
#define OFFHOST_C
#include "offhost.h"
#endif

#include <stddef.h>

/* One line of the module's custom section, such as "name=mine", "version=1" or
 * "reason.1=least recently used", which the host shows. */
#define OFFHOST_ABOUT(line) \
  __asm__(".section .custom_section.offhost,\"\",@\n.ascii \"" line "\\n\"\n.text\n")

/* ---- the window ------------------------------------------------------------------ */

OFFHOST_ALIGNED(8) static uint8_t offhost_window[OFFHOST_MAX_WINDOW];
static uint32_t offhost_window_size;
static uint32_t offhost_answered; /* decisions written for this event */

static inline uint32_t offhost_lend(uint32_t size) {
  if (size < OFFHOST_MIN_WINDOW || size > OFFHOST_MAX_WINDOW || size % 8 != 0) return 0;
  offhost_window_size = size;
  return (uint32_t)(uintptr_t)offhost_window;
}

/* Bytes that the payload area holds. */
static inline uint32_t offhost_payload_room(void) {
  return offhost_window_size - OFFHOST_EVENT_AREA - OFFHOST_DECISION_AREA;
}

/* The payload of the event in the window: *size bytes. */
static inline const uint8_t *offhost_payload(uint32_t *size) {
  uint32_t told = ((const offhost_event *)offhost_window)->payload_len;
  uint32_t room = offhost_payload_room();
  *size = told < room ? told : room;
  return offhost_window + OFFHOST_EVENT_AREA;
}

/* REJECTED's payload, or NULL if the event is another one. */
static inline const offhost_rejected *offhost_rejection(const offhost_event *e) {
  if (e->kind != OFFHOST_REJECTED || e->payload_len < sizeof(offhost_rejected)) return NULL;
  return (const offhost_rejected *)(offhost_window + OFFHOST_EVENT_AREA);
}

/* Defines the exports that every policy has. on_event is void (const offhost_event *);
 * what it decides is written by the functions below, and nothing means the host's
 * default. */
#define OFFHOST_POLICY(on_event) \
  OFFHOST_C uint32_t offhost_v1_buffer(uint32_t size) { return offhost_lend(size); } \
  OFFHOST_C int32_t offhost_v1_event(uint32_t len) { \
    offhost_answered = 0; \
    if (len < OFFHOST_EVENT_SIZE) return 0; \
    on_event((const offhost_event *)offhost_window); \
    return (int32_t)offhost_answered; \
  }

/* ---- decisions ------------------------------------------------------------------- */

/* Decisions that the answer has room for. */
static inline uint32_t offhost_room(void) { return OFFHOST_MAX_DECISIONS - offhost_answered; }

/* Writes a decision. False: the answer is full, and nothing was written. The order is
 * the order of preference; SPEC.md says what each operation takes. */
static inline bool offhost_decide(uint16_t op, uint32_t component, uint64_t arg, uint16_t reason) {
  if (offhost_room() == 0) return false;
  offhost_decision *d = (offhost_decision *)(offhost_window + offhost_window_size - OFFHOST_DECISION_AREA);
  d += offhost_answered++;
  d->op = op;
  d->reason = reason;
  d->component = component;
  d->arg = arg;
  return true;
}

/* bytes: 0 for all that is resident; whole chunks are freed. */
static inline bool offhost_evict(uint32_t component, uint64_t bytes, uint16_t reason) {
  return offhost_decide(OFFHOST_EVICT, component, bytes, reason);
}

/* calls: 1 to 65536. */
static inline bool offhost_retain(uint32_t component, uint64_t calls, uint16_t reason) {
  return offhost_decide(OFFHOST_RETAIN, component, calls, reason);
}

/* bytes: 0 for all that is missing; whole chunks are loaded. */
static inline bool offhost_prefetch(uint32_t component, uint64_t bytes, uint16_t reason) {
  return offhost_decide(OFFHOST_PREFETCH, component, bytes, reason);
}

/* ---- configuration: only while CONFIG is in the window ---------------------------- */

/* The value of a key, *size bytes without an ending NUL, or NULL if it is not set. */
static inline const char *offhost_config(const char *key, uint32_t *size) {
  uint32_t end;
  const char *text = (const char *)offhost_payload(&end);
  for (uint32_t at = 0; at < end;) {
    uint32_t k = 0;
    while (key[k] != 0 && at + k < end && text[at + k] == key[k]) k++;
    bool found = key[k] == 0 && at + k < end && text[at + k] == '=';
    uint32_t value = at + k + 1;
    while (at < end && text[at] != '\n') at++;
    if (found) {
      *size = at - value;
      return text + value;
    }
    at++;
  }
  return NULL;
}

/* The value of a key as a decimal number; otherwise if it is not set or is none that
 * fits. */
static inline uint64_t offhost_config_number(const char *key, uint64_t otherwise) {
  uint32_t size;
  const char *text = offhost_config(key, &size);
  if (!text || size == 0) return otherwise;
  uint64_t n = 0;
  for (uint32_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return otherwise;
    uint64_t digit = (uint64_t)(text[i] - '0');
    if (n > (UINT64_MAX - digit) / 10) return otherwise;
    n = n * 10 + digit;
  }
  return n;
}

/* What name_hash is of a component of this name: how one that configuration names is known
 * again when events are about it. */
static inline uint64_t offhost_name_hash(const char *name, uint32_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (uint32_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3;
  return hash;
}

/* ---- logging: imports fd_write of WASI if it is used ------------------------------ */

typedef struct {
  uint32_t at, size;
} offhost_iovec;

OFFHOST_C __attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
int32_t offhost_fd_write(int32_t fd, const offhost_iovec *list, uint32_t count, uint32_t *written);

/* Logs a line of size bytes; OFFHOST_LOG("a literal") knows its own. The host takes 4
 * lines an event, 256 bytes a line. */
#define OFFHOST_LOG(text) offhost_log("" text, sizeof(text) - 1)

static inline void offhost_log(const char *text, uint32_t size) {
  const offhost_iovec list[2] = {{(uint32_t)(uintptr_t)text, size}, {(uint32_t)(uintptr_t)"\n", 1}};
  uint32_t written;
  offhost_fd_write(2, list, 2, &written);
}

/* Logs a line in which each {} is the next of the numbers, in decimal. What is beyond 255
 * bytes is cut. OFFHOST_LOG_NUMBERS("{} of {} bytes", part, all) counts its own, which are
 * uint64_t or narrower, and unsigned. */
#define OFFHOST_LOG_NUMBERS(text, ...) \
  do { \
    const uint64_t offhost_numbers[] = {__VA_ARGS__}; \
    offhost_log_numbers("" text, offhost_numbers, sizeof offhost_numbers / sizeof offhost_numbers[0]); \
  } while (0)

static inline void offhost_log_numbers(const char *text, const uint64_t *numbers, uint32_t count) {
  char line[255];
  uint32_t size = 0;
  while (*text != 0 && size < sizeof line) {
    if (count == 0 || text[0] != '{' || text[1] != '}') {
      line[size++] = *text++;
      continue;
    }
    uint64_t unit = 1;
    while (*numbers / unit >= 10) unit *= 10;
    for (; unit > 0 && size < sizeof line; unit /= 10) line[size++] = (char)('0' + *numbers / unit % 10);
    text += 2, numbers++, count--;
  }
  offhost_log(line, size);
}

/* ---- saved state ------------------------------------------------------------------ */

/* Integers, little-endian, one after the other in the payload area. Whoever writes too
 * much or reads what is not there leaves ok false; reading gives 0 then. */
typedef struct {
  uint32_t at, end;
  bool ok;
} offhost_blob;

static inline void offhost_put(offhost_blob *b, uint64_t value, uint32_t bytes) {
  b->ok = b->ok && bytes <= b->end - b->at;
  if (!b->ok) return;
  uint8_t *to = offhost_window + OFFHOST_EVENT_AREA + b->at;
  for (uint32_t i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> 8 * i);
  b->at += bytes;
}

static inline uint64_t offhost_get(offhost_blob *b, uint32_t bytes) {
  b->ok = b->ok && bytes <= b->end - b->at;
  if (!b->ok) return 0;
  const uint8_t *from = offhost_window + OFFHOST_EVENT_AREA + b->at;
  uint64_t value = 0;
  for (uint32_t i = 0; i < bytes; i++) value |= (uint64_t)from[i] << 8 * i;
  b->at += bytes;
  return value;
}

/* Defines the exports of a policy that keeps what it learned: save is
 * void (offhost_blob *), restore is bool (offhost_blob *), true if it takes the blob.
 * A save that does not fit saves nothing. */
#define OFFHOST_STATE(save, restore) \
  OFFHOST_C OFFHOST_EXPORT("offhost_v1_save") int32_t offhost_v1_save(void) { \
    uint32_t room = offhost_payload_room(); \
    offhost_blob blob = {0, room < 65536 ? room : 65536, true}; \
    save(&blob); \
    return blob.ok ? (int32_t)blob.at : 0; \
  } \
  OFFHOST_C OFFHOST_EXPORT("offhost_v1_restore") int32_t offhost_v1_restore(uint32_t len) { \
    offhost_blob blob = {0, len, len <= offhost_payload_room()}; \
    return restore(&blob) && blob.ok ? 0 : 1; \
  }

/* ---- the world, as events tell it -------------------------------------------------- */

/* What is known of a component. resident are its lowest chunks; what does not change is as
 * its COMPONENT event told it. */
typedef struct {
  uint64_t bytes, resident; /* its size; of it, bytes on the device */
  uint64_t load_cost_ns;    /* time to bring all of it to the device */
  uint64_t name_hash;
  uint32_t parent, index;
  uint32_t calls;   /* whose DONE is to come, of those whose CALL was told */
  uint32_t refused; /* the moment at which the host refused to evict it */
  uint16_t flags;   /* as the host told them last */
  bool known;       /* registered, and not removed */
} offhost_component;

/* By id. */
static offhost_component offhost_components[OFFHOST_MAX_COMPONENTS];

/* What else is known. */
static struct {
  uint32_t end;    /* ids from here on were never told of */
  uint64_t free;   /* bytes of the budget that are neither used nor promised */
  uint64_t budget;
  uint64_t chunk_bytes;
  /* A moment ends with every BEGIN, CALL, DONE and END: what the host refused in one
   * may be lawful in the next. */
  uint32_t moment;
} offhost_world = {0, 0, 0, 32 << 20, 1};

static inline void offhost_follow_component(const offhost_event *e) {
  offhost_component *c = &offhost_components[e->component];
  c->flags = e->flags;
  c->resident = e->resident;
  if (e->kind == OFFHOST_CALL) {
    c->calls++;
  } else if (e->kind == OFFHOST_DONE) {
    if (c->calls > 0) c->calls--;
  } else if (e->kind == OFFHOST_COMPONENT) {
    if (e->component >= offhost_world.end) offhost_world.end = e->component + 1;
    c->bytes = e->bytes;
    c->load_cost_ns = e->load_cost_ns;
    c->name_hash = e->name_hash;
    c->parent = e->parent;
    c->index = e->index;
    c->known = !(e->flags & OFFHOST_F_REMOVED);
    if (!c->known) c->resident = 0, c->calls = 0;
  }
}

/* Brings both up to date with the event. Call it first, for every event, or
 * not at all. False: it leaves the policy nothing to do (it is REJECTED, of a later
 * version, or about a component that cannot be). */
static inline bool offhost_follow(const offhost_event *e) {
  offhost_world.free = e->free;
  offhost_world.budget = e->budget;
  switch (e->kind) {
  case OFFHOST_CONFIG: {
    uint64_t n = offhost_config_number("offhost.chunk_bytes", 0);
    if (n != 0) offhost_world.chunk_bytes = n;
    return true;
  }
  case OFFHOST_REJECTED: {
    const offhost_rejected *r = offhost_rejection(e);
    if (r && r->decision.op == OFFHOST_EVICT && r->decision.component < OFFHOST_MAX_COMPONENTS)
      offhost_components[r->decision.component].refused = offhost_world.moment;
    return false;
  }
  case OFFHOST_BEGIN:
  case OFFHOST_END:
    offhost_world.moment++;
    return true;
  case OFFHOST_CALL:
  case OFFHOST_DONE:
    offhost_world.moment++;
    break;
  case OFFHOST_COMPONENT:
  case OFFHOST_LOADED:
  case OFFHOST_EVICTED:
    break;
  case OFFHOST_NEED:
  case OFFHOST_PRESSURE:
    if (e->component == OFFHOST_NONE) return true;
    break;
  case OFFHOST_ENQUEUED:
  case OFFHOST_IDLE:
    return true;
  default:
    return false;
  }
  if (e->component >= OFFHOST_MAX_COMPONENTS) return false;
  offhost_follow_component(e);
  return true;
}

/* Whether a call uses a component: its CALL was told, whatever the flags were then, or the
 * flags say so, since it began before this policy did. */
static inline bool offhost_in_use(uint32_t id) {
  return (offhost_components[id].flags & OFFHOST_F_IN_USE) || offhost_components[id].calls > 0;
}

/* Whether a component has resident bytes that the host would let go now. What an event
 * asks room for is for the caller to leave out. */
static inline bool offhost_evictable(uint32_t id) {
  const offhost_component *c = &offhost_components[id];
  if (c->resident == 0 || c->refused == offhost_world.moment) return false;
  return !(c->flags & (OFFHOST_F_PINNED | OFFHOST_F_KEPT)) && !offhost_in_use(id);
}

/* What evicting so many bytes of a component frees: whole chunks from the last one
 * down, which is shorter than the others. */
static inline uint64_t offhost_frees(uint32_t id, uint64_t bytes) {
  uint64_t resident = offhost_components[id].resident;
  if (bytes == 0) return 0;
  if (bytes >= resident) return resident;
  return resident - (resident - bytes) / offhost_world.chunk_bytes * offhost_world.chunk_bytes;
}

/* Evicts as much of a component as is needed to free so many bytes, and returns what
 * that frees: 0 if the answer is full. For 0 bytes it evicts nothing, where offhost_evict
 * would evict all. */
static inline uint64_t offhost_evict_part(uint32_t id, uint64_t bytes, uint16_t reason) {
  if (bytes == 0) return 0;
  uint64_t freed = offhost_frees(id, bytes);
  bool all = freed == offhost_components[id].resident;
  return offhost_evict(id, all ? 0 : freed, reason) ? freed : 0;
}

#endif
