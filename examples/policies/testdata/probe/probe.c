/* Shows all that the SDK gives, for a test that knows what it has to show. */
#include "offhost_policy.h"

static uint64_t threshold;

static void fields(const offhost_event *e) {
  const uint64_t all[] = {e->kind, e->flags, e->component, e->parent, e->index, e->name_hash, e->session, e->request,
                          e->step, e->steps, e->seq, e->time_ns, e->bytes, e->resident, e->free, e->budget,
                          e->foreign, e->workspace, e->load_cost_ns, e->amount};
  for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++) offhost_retain(i, all[i], 0);
}

static void on_event(const offhost_event *e) {
  uint32_t size = 0;
  const char *greeting;
  const offhost_rejected *r = offhost_rejection(e);
  if (r) offhost_retain(r->decision.component, r->decision.arg, (uint16_t)(100 * r->code + r->decision.reason));
  bool follows = offhost_follow(e);
  switch (e->kind) {
  case OFFHOST_CONFIG:
    threshold = follows ? offhost_config_number("threshold", 7) : 0;
    greeting = offhost_config("greeting", &size);
    if (greeting) offhost_log(greeting, size);
    if (greeting) OFFHOST_LOG_NUMBERS("the hash is {}", offhost_name_hash(greeting, size));
    OFFHOST_LOG_NUMBERS("the threshold is {}, {} and {} bytes: {}", threshold, size, UINT64_MAX);
    break;
  case OFFHOST_ENQUEUED:
    fields(e);
    break;
  case OFFHOST_IDLE:
    for (uint32_t i = 0; i < 200; i++)
      if (!offhost_evict(i, i, 1) && offhost_room() == 0) threshold++;
    break;
  case OFFHOST_PRESSURE:
    offhost_retain(0, threshold, 0);
    break;
  case OFFHOST_NEED:
    for (uint32_t id = 0; id < offhost_world.end; id++)
      offhost_prefetch(id, offhost_frees(id, e->amount),
                       (uint16_t)(offhost_evictable(id) + 2 * offhost_components[id].known));
    offhost_evict_part(0, e->amount, 9);
    offhost_retain(offhost_world.end, offhost_world.free, 0);
    offhost_retain(offhost_world.end, offhost_world.budget, 0);
    offhost_retain(1, offhost_components[1].bytes, 0);
    offhost_retain(1, offhost_components[1].load_cost_ns, 0);
    offhost_retain(1, offhost_components[1].name_hash, 0);
    break;
  case 99:
    offhost_retain(0, follows, 0);
  }
}
OFFHOST_POLICY(on_event)

static void save(offhost_blob *b) { offhost_put(b, threshold, 8); }

static bool restore(offhost_blob *b) {
  uint64_t kept = offhost_get(b, 8);
  if (b->ok) threshold = kept;
  return true;
}
OFFHOST_STATE(save, restore)
