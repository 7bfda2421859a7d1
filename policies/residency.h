/* residency.h: what both built-in policies know about components.
 *
 * It follows the host's events into a table of components (how much of each is
 * resident, whether it may be evicted now) and a list of them from least to most
 * recently used (a call's beginning and its end are uses, as they are to the host's
 * own rule), and it writes decisions into the window. What to evict is the
 * policy's business, not this file's.
 *
 * Everything is static: no allocation, no import, no C library. A policy includes
 * this file once and calls residency_event first for every event.
 */
#ifndef OFFHOST_RESIDENCY_H
#define OFFHOST_RESIDENCY_H

#include "offhost.h"

/* One line of the module's custom section "offhost". By way of the assembler: an
 * attribute would put the text into the data instead. */
#define ABOUT(line) \
  __asm__(".section .custom_section.offhost,\"\",@\n.ascii \"" line "\\n\"\n.text\n")

/* 64 KiB of payload is the most that a host lends. */
enum { WINDOW = OFFHOST_EVENT_AREA + (64 << 10) + OFFHOST_DECISION_AREA };

typedef struct {
  uint64_t resident;     /* bytes on the device, always the component's first chunks */
  uint32_t calls;        /* whose DONE is to come, of those whose CALL was told */
  uint32_t refused;      /* the moment at which the host refused to evict it */
  uint16_t older, newer; /* neighbours in the list of recency, id + 1; 0 at its ends */
  uint16_t flags;        /* as the host told them last */
  uint8_t listed;        /* in the list of recency */
} component;

static _Alignas(8) uint8_t window[WINDOW];
static const offhost_event *const event = (const offhost_event *)window;
static uint32_t window_size;
static uint32_t answered; /* decisions written for this event */

static component components[OFFHOST_MAX_COMPONENTS];
static uint16_t oldest, newest; /* ends of the list of recency, id + 1 */
static uint32_t residents;      /* components with resident bytes */
static uint64_t chunk_bytes = 32 << 20;

/* A moment ends with every BEGIN, CALL, DONE and END: what the host refused in one
 * may be lawful in the next. */
static uint32_t moment = 1;

static void unlist(uint32_t id) {
  component *c = &components[id];
  if (!c->listed) return;
  if (c->older) components[c->older - 1].newer = c->newer;
  else oldest = c->newer;
  if (c->newer) components[c->newer - 1].older = c->older;
  else newest = c->older;
  c->listed = 0;
}

static void touch(uint32_t id) {
  component *c = &components[id];
  if (newest == id + 1) return;
  unlist(id);
  c->older = newest;
  c->newer = 0;
  c->listed = 1;
  if (newest) components[newest - 1].newer = (uint16_t)(id + 1);
  else oldest = (uint16_t)(id + 1);
  newest = (uint16_t)(id + 1);
}

static void set_resident(uint32_t id, uint64_t bytes) {
  component *c = &components[id];
  residents += (uint32_t)(bytes != 0) - (uint32_t)(c->resident != 0);
  c->resident = bytes;
  if (bytes == 0) return;
  if (!c->listed) touch(id);
}

/* An evictable component has resident bytes, and the host would let them go. A call uses
 * it if its CALL was told, whatever the flags were then, or if the flags say so: it may
 * have begun before this policy did. */
static int evictable(uint32_t id) {
  const component *c = &components[id];
  if (c->resident == 0 || c->refused == moment) return 0;
  return !(c->flags & (OFFHOST_F_PINNED | OFFHOST_F_IN_USE | OFFHOST_F_KEPT)) && c->calls == 0;
}

/* What an eviction of bytes frees: whole chunks, from the last one down. The last
 * chunk of a component is shorter than the others. */
static uint64_t frees(uint32_t id, uint64_t bytes) {
  uint64_t resident = components[id].resident;
  if (bytes >= resident) return resident;
  return resident - (resident - bytes) / chunk_bytes * chunk_bytes;
}

static uint64_t evict(uint32_t id, uint64_t bytes, uint16_t reason) {
  offhost_decision *d = (offhost_decision *)(window + window_size - OFFHOST_DECISION_AREA);
  uint64_t freed = frees(id, bytes);
  d += answered++;
  d->op = OFFHOST_EVICT;
  d->reason = reason;
  d->component = id;
  d->arg = freed == components[id].resident ? 0 : freed;
  return freed;
}

/* The line offhost.chunk_bytes=N of the configuration; anything else in it is not
 * for these policies. */
static void configure(const uint8_t *text, uint32_t size) {
  static const char key[] = "offhost.chunk_bytes=";
  enum { KEY = sizeof key - 1 };
  for (uint32_t at = 0; at < size;) {
    uint32_t n = 0;
    while (n < KEY && at + n < size && text[at + n] == (uint8_t)key[n]) n++;
    if (n == KEY) {
      uint64_t value = 0;
      for (at += KEY; at < size && text[at] >= '0' && text[at] <= '9' && value < 1ull << 50; at++)
        value = value * 10 + (text[at] - '0');
      if (value != 0) chunk_bytes = value;
    }
    while (at < size && text[at++] != '\n') {}
  }
}

static void refuse(const offhost_rejected *r) {
  uint32_t id = r->decision.component;
  if (id >= OFFHOST_MAX_COMPONENTS) return;
  components[id].refused = moment;
}

static void component_event(component *c, uint32_t id) {
  c->flags = event->flags;
  switch (event->kind) {
  case OFFHOST_COMPONENT:
    if (!(event->flags & OFFHOST_F_REMOVED)) break;
    set_resident(id, 0);
    unlist(id);
    c->calls = 0;
    break;
  case OFFHOST_LOADED:
  case OFFHOST_EVICTED:
    set_resident(id, event->resident);
    break;
  case OFFHOST_CALL:
    moment++;
    c->calls++;
    touch(id);
    break;
  case OFFHOST_DONE:
    moment++;
    if (c->calls > 0) c->calls--;
    touch(id);
    break;
  }
}

/* Follows the event in the window into the table. The result is its kind, or 0 when
 * there is nothing in it for a policy: it is cut short, of a kind that these
 * policies do not know, or about a component that cannot exist. */
static int residency_event(uint32_t len) {
  answered = 0;
  if (len < OFFHOST_EVENT_SIZE) return 0;
  const uint8_t *payload = window + OFFHOST_EVENT_AREA;
  uint32_t room = window_size - OFFHOST_EVENT_AREA - OFFHOST_DECISION_AREA;
  uint32_t size = event->payload_len < room ? event->payload_len : room;

  switch (event->kind) {
  case OFFHOST_CONFIG:
    configure(payload, size);
    return 0;
  case OFFHOST_REJECTED:
    if (size >= sizeof(offhost_rejected)) refuse((const offhost_rejected *)payload);
    return 0;
  case OFFHOST_BEGIN:
  case OFFHOST_END:
    moment++;
    return event->kind;
  case OFFHOST_NEED:
    if (event->component >= OFFHOST_MAX_COMPONENTS) return event->kind;
    break;
  case OFFHOST_COMPONENT:
  case OFFHOST_LOADED:
  case OFFHOST_EVICTED:
  case OFFHOST_CALL:
  case OFFHOST_DONE:
    if (event->component >= OFFHOST_MAX_COMPONENTS) return 0;
    break;
  default:
    return 0;
  }
  component_event(&components[event->component], event->component);
  return event->kind;
}

OFFHOST_EXPORT("offhost_v1_buffer") uint32_t offhost_v1_buffer(uint32_t size) {
  if (size < OFFHOST_MIN_WINDOW || size > WINDOW) return 0;
  window_size = size;
  return (uint32_t)(uintptr_t)window;
}

#endif
