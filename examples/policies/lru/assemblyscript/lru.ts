// Least recently used, sized: when memory is needed, the component whose last use (the
// beginning or the end of a call) lies furthest back goes first, no more of it than is lacking.
import {
  answered, begin, event, evictable, evictPart, Flag, follow, Kind, room,
} from "../../../../abi/sdk/assemblyscript/offhost";

export { offhost_v1_buffer } from "../../../../abi/sdk/assemblyscript/offhost";

const LEAST_RECENTLY_USED: u16 = 1;

/** Neighbours in the list of recency, as ids + 1; 0 at its ends. */
@unmanaged
class Link {
  older: u32;
  newer: u32;
  listed: bool;
}

const links: usize = memory.data(4096 * 12, 4);
let oldest: u32 = 0;
let newest: u32 = 0;

// @ts-ignore: decorator
@inline
function link(id: u32): Link {
  return changetype<Link>(links + id * 12);
}

function unlist(id: u32): void {
  const l = link(id);
  if (!l.listed) return;
  if (l.older != 0) link(l.older - 1).newer = l.newer;
  else oldest = l.newer;
  if (l.newer != 0) link(l.newer - 1).older = l.older;
  else newest = l.older;
  l.listed = false;
}

function touch(id: u32): void {
  if (newest == id + 1) return;
  unlist(id);
  const l = link(id);
  l.older = newest;
  l.newer = 0;
  l.listed = true;
  if (newest != 0) link(newest - 1).newer = id + 1;
  else oldest = id + 1;
  newest = id + 1;
}

function need(asking: u32, missing: u64): void {
  for (let i = oldest; i != 0 && missing > 0 && room() > 0; i = link(i - 1).newer) {
    const id = i - 1;
    if (id != asking && evictable(id)) missing -= min(missing, evictPart(id, missing, LEAST_RECENTLY_USED));
  }
}

export function offhost_v1_event(len: u32): i32 {
  if (!begin(len) || !follow()) return 0;
  switch (event.kind) {
    case Kind.COMPONENT:
      if (event.flags & Flag.REMOVED) unlist(event.component);
      break;
    case Kind.LOADED:
    case Kind.EVICTED: // attached in the middle, it learns of what is there
      if (event.resident > 0 && !link(event.component).listed) touch(event.component);
      break;
    case Kind.CALL:
    case Kind.DONE:
      touch(event.component);
      break;
    case Kind.NEED:
      need(event.component, event.amount);
      break;
  }
  return answered();
}
