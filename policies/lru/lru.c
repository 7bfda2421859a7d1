/* lru: the component whose last use lies furthest back goes first. The known
 * control, and the same rule as the host's own floor. README.md says more. */
#include "../residency.h"

ABOUT("name=lru");
ABOUT("version=1");
ABOUT("reason.1=least recently used");

enum { LEAST_RECENTLY_USED = 1 };

OFFHOST_EXPORT("offhost_v1_event") int32_t offhost_v1_event(uint32_t len) {
  if (residency_event(len) != OFFHOST_NEED) return 0;
  uint64_t freed = 0;
  for (uint32_t i = oldest; i != 0 && freed < event->amount && answered < OFFHOST_MAX_DECISIONS;) {
    uint32_t id = i - 1;
    i = components[id].newer;
    if (id != event->component && evictable(id))
      freed += evict(id, event->amount - freed, LEAST_RECENTLY_USED);
  }
  return (int32_t)answered;
}
