/* A component is expected back after as many calls as it stayed away last time. What is
 * expected last goes first, and before it what did not come when it was expected. */
#include "offhost.h"

typedef struct { uint64_t resident, called, away; uint32_t held; } component;

static _Alignas(8) uint8_t window[OFFHOST_MAX_WINDOW];
static offhost_decision *answer;
static component components[OFFHOST_MAX_COMPONENTS], *end = components;
static uint64_t now; /* in calls */

static uint64_t expected_in(const component *c) { return c->called + c->away - now; }

uint32_t offhost_v1_buffer(uint32_t size) {
  if (size > sizeof window) return 0;
  answer = (offhost_decision *)(window + size - OFFHOST_DECISION_AREA);
  return (uint32_t)window;
}

int32_t offhost_v1_event(uint32_t len) {
  const offhost_event *e = (const offhost_event *)window;
  if (len < OFFHOST_EVENT_SIZE || e->kind > OFFHOST_REJECTED || e->component >= OFFHOST_MAX_COMPONENTS) return 0;
  component *c = &components[e->component];
  if (c >= end) end = c + 1;
  c->resident = e->resident;
  c->held = e->flags & (OFFHOST_F_PINNED | OFFHOST_F_KEPT | OFFHOST_F_IN_USE);
  if (e->kind == OFFHOST_CALL || e->kind == OFFHOST_NEED) c->held = 1; /* until DONE */
  if (e->kind == OFFHOST_CALL) c->away = ++now - c->called, c->called = now;
  if (e->kind != OFFHOST_NEED) return 0;

  int32_t n = 0;
  for (uint64_t need = e->amount; need > 0 && n < 4; n++) { /* the host asks again */
    component *last = 0;
    for (c = components; c < end; c++)
      if (c->resident && !c->held && (!last || expected_in(c) > expected_in(last))) last = c;
    if (!last) break;
    uint64_t bytes = last->resident < need ? last->resident : need;
    answer[n] = (offhost_decision){OFFHOST_EVICT, 0, (uint32_t)(last - components), bytes};
    last->resident -= bytes, need -= bytes;
  }
  return n;
}
