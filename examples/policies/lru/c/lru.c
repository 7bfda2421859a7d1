/* Least recently used, sized: when memory is needed, the component whose last use (the
 * beginning or the end of a call) lies furthest back goes first, no more of it than is
 * lacking. */
#include "offhost_policy.h"

OFFHOST_ABOUT("name=lru-c");
OFFHOST_ABOUT("version=1");
OFFHOST_ABOUT("reason.1=least recently used");

enum { LEAST_RECENTLY_USED = 1 };

/* A list of components from least to most recently used. Links are ids + 1, so that
 * zeroed memory is an empty list. */
static struct { uint32_t older, newer; bool listed; } list[OFFHOST_MAX_COMPONENTS];
static uint32_t oldest, newest;

static void unlist(uint32_t id) {
  if (!list[id].listed) return;
  uint32_t older = list[id].older, newer = list[id].newer;
  *(older ? &list[older - 1].newer : &oldest) = newer;
  *(newer ? &list[newer - 1].older : &newest) = older;
  list[id].listed = false;
}

static void touch(uint32_t id) {
  if (newest == id + 1) return;
  unlist(id);
  list[id].older = newest;
  list[id].newer = 0;
  list[id].listed = true;
  *(newest ? &list[newest - 1].newer : &oldest) = id + 1;
  newest = id + 1;
}

static void need(uint32_t asking, uint64_t amount) {
  uint64_t freed = 0;
  for (uint32_t i = oldest; i != 0 && freed < amount && offhost_room() > 0; i = list[i - 1].newer) {
    uint32_t id = i - 1;
    if (id != asking && offhost_evictable(id))
      freed += offhost_evict_part(id, amount - freed, LEAST_RECENTLY_USED);
  }
}

static void on_event(const offhost_event *e) {
  if (!offhost_follow(e)) return;
  switch (e->kind) {
  case OFFHOST_COMPONENT:
    if (e->flags & OFFHOST_F_REMOVED) unlist(e->component);
    break;
  case OFFHOST_LOADED:
  case OFFHOST_EVICTED: /* a policy attached in the middle learns of what is there */
    if (e->resident > 0 && !list[e->component].listed) touch(e->component);
    break;
  case OFFHOST_CALL:
  case OFFHOST_DONE:
    touch(e->component);
    break;
  case OFFHOST_NEED:
    need(e->component, e->amount);
    break;
  }
}
OFFHOST_POLICY(on_event)
