// This policy decides what leaves the device when there is no room for what is called: of all
// that may go, the component that ranks highest.
import {
  answered, begin, component, configNumber, event, evictable, evictPart, Flag, follow, Kind, log, NONE, world,
} from "./sdk/offhost";

export { offhost_v1_buffer } from "./sdk/offhost";

const RANKS_HIGHEST: u16 = 1;

/** What it remembers of a component. Time is counted in calls. */
@unmanaged
class Seen {
  called: u64; // when it was called last
  away: u64; // how long it had not been called then
}

const table: usize = memory.data(4096 * 16, 8); // by id
let now: u64 = 0;
let smallest: u64 = 0; // components of fewer bytes stay: --policy-config smallest_mib=64

function seen(id: u32): Seen {
  return changetype<Seen>(table + id * 16);
}

/**
 * The rule, and the line to change. As it is, what was called longest ago goes first. Others:
 *   seen(id).called + seen(id).away - now  expected last, if it stays away as long again
 *   component(id).bytes                    the largest
 *   0 - component(id).loadCostNs           the quickest to load again
 */
function rank(id: u32): u64 {
  return now - seen(id).called;
}

/** Answers NEED: there are to be so many more bytes for the component that is called. */
function makeRoom(called: u32, bytes: u64): void {
  let first = NONE;
  let highest: u64 = 0;
  for (let id: u32 = 0; id < world.end; id++) {
    if (id == called || !evictable(id) || component(id).bytes < smallest) continue;
    const r = rank(id);
    if (first != NONE && r <= highest) continue;
    first = id;
    highest = r;
  }
  if (first != NONE) evictPart(first, bytes, RANKS_HIGHEST); // if it was too small, the host asks again
}

export function offhost_v1_event(len: u32): i32 {
  if (!begin(len) || !follow()) return 0;
  switch (event.kind) {
    case Kind.CONFIG:
      smallest = configNumber("smallest_mib", 0) << 20;
      if (smallest > 0) log("small components stay");
      break;
    case Kind.COMPONENT:
      if (event.flags & Flag.REMOVED) seen(event.component).called = seen(event.component).away = 0;
      break;
    case Kind.CALL:
      now++;
      seen(event.component).away = now - seen(event.component).called;
      seen(event.component).called = now;
      break;
    case Kind.NEED:
      makeRoom(event.component, event.amount);
      break;
  }
  return answered();
}
