/* accelerate-chain: the rule of accelerate's CpuOffload hooks under diffusers'
 * enable_model_cpu_offload, as a policy. Before a model runs, its predecessor in the
 * pipeline's declared order is evicted, whatever memory is free; when a request ends, all
 * that it called is. README.md says more. */
#include "offhost_policy.h"

OFFHOST_ABOUT("name=accelerate-chain");
OFFHOST_ABOUT("version=1");
OFFHOST_ABOUT("reason.1=its successor in the declared order runs");
OFFHOST_ABOUT("reason.2=the request has ended");

enum { SUCCESSOR_RUNS = 1, REQUEST_ENDED };

/* A request that is open, with the order of its pipeline's models. What is beyond these
 * limits has no chain: its components go when it ends. */
enum { OPEN = 16, ORDER = 64 };

static struct {
  uint32_t number, size;
  uint32_t order[ORDER];
} requests[OPEN]; /* number 0: not in use */

/* What is known beside the world. */
static struct {
  uint32_t request; /* the last one that called it */
  uint8_t leaving;  /* the reason for which it is to be evicted, 0 for none */
} components[OFFHOST_MAX_COMPONENTS];
static uint32_t leaving;

static uint32_t root(uint32_t id) {
  for (int depth = 0; depth < 16; depth++) {
    uint32_t parent = offhost_components[id].parent;
    if (parent >= OFFHOST_MAX_COMPONENTS) break;
    id = parent;
  }
  return id;
}

static void leave(uint32_t id, uint8_t reason) {
  if (components[id].leaving == 0) leaving++;
  components[id].leaving = reason;
}

static void stay(uint32_t id) {
  if (components[id].leaving != 0) leaving--;
  components[id].leaving = 0;
}

/* Evicts what is to leave and may, as much as the answer holds. The rest goes with the
 * next events: the evictions themselves are some. */
static void evict_leaving(uint32_t asking) {
  for (uint32_t id = 0; leaving > 0 && id < offhost_world.end && offhost_room() > 0; id++) {
    if (components[id].leaving == 0) continue;
    if (id != asking && offhost_evictable(id)) offhost_evict(id, 0, components[id].leaving);
    stay(id);
  }
}

static void begin(const offhost_event *e) {
  uint32_t size;
  const uint8_t *payload = offhost_payload(&size);
  for (uint32_t i = 0; i < OPEN; i++) {
    if (requests[i].number != 0) continue;
    requests[i].number = e->request;
    requests[i].size = size / 4 < ORDER ? size / 4 : ORDER;
    for (uint32_t k = 0; k < requests[i].size; k++) requests[i].order[k] = ((const uint32_t *)payload)[k];
    return;
  }
}

static void end(const offhost_event *e) {
  for (uint32_t i = 0; i < OPEN; i++)
    if (requests[i].number == e->request) requests[i].number = 0;
  for (uint32_t id = 0; id < offhost_world.end; id++)
    if (components[id].request == e->request && offhost_components[id].resident > 0) leave(id, REQUEST_ENDED);
}

/* The model before this one in its request's order, or OFFHOST_NONE. */
static uint32_t predecessor(uint32_t request, uint32_t model) {
  for (uint32_t i = 0; i < OPEN; i++) {
    if (requests[i].number != request) continue;
    for (uint32_t k = 1; k < requests[i].size; k++)
      if (requests[i].order[k] == model) return requests[i].order[k - 1];
  }
  return OFFHOST_NONE;
}

static void call(const offhost_event *e) {
  uint32_t model = root(e->component);
  components[e->component].request = e->request;
  stay(e->component);
  /* The hook is the whole model's: its blocks, called while it is, have none. */
  if (model != e->component && offhost_in_use(model)) return;
  uint32_t before = predecessor(e->request, model);
  if (before == OFFHOST_NONE) return;
  for (uint32_t id = 0; id < offhost_world.end; id++)
    if (offhost_components[id].resident > 0 && root(id) == before) leave(id, SUCCESSOR_RUNS);
}

static void on_event(const offhost_event *e) {
  if (!offhost_follow(e)) return;
  switch (e->kind) {
  case OFFHOST_BEGIN:
    begin(e);
    break;
  case OFFHOST_END:
    end(e);
    break;
  case OFFHOST_CALL:
    call(e);
    break;
  case OFFHOST_NEED: /* no answer: the chain asks for no room, so the host finds it */
    return;
  }
  if (leaving > 0) evict_leaving(e->component);
}
OFFHOST_POLICY(on_event)
