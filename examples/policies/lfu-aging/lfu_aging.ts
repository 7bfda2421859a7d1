// Least frequently used, with aging: what is called seldom goes first, and old calls count for
// less. For experts and adapters, whose next call nobody can know. README.md says more.
import {
  answered, begin, configNumber, event, evictable, evictPart, Flag, follow, get, component, Kind, NONE,
  put, restored, restoring, saved, saving, world,
} from "../../../abi/sdk/assemblyscript/offhost";

export { offhost_v1_buffer } from "../../../abi/sdk/assemblyscript/offhost";

const SELDOM_USED: u16 = 1;

/** What a call is worth when it is made; room for halving. */
const CALL_WORTH: u64 = 1 << 20;
const DEFAULT_HALF_LIFE: u64 = 200;

/** Victims in one answer, at the most. The host asks again while room is lacking. */
const VICTIMS: u32 = 32;
/** How far a name is searched for when it is restored. */
const LOOKED: u32 = 16;

/** How often a component was called. */
@unmanaged
class Use {
  worth: u64;    // of its calls, at the age below
  age: u32;      // halvings at its last call
  last: u32;     // number of its last call, to tell equals apart
}

const uses: usize = memory.data(4096 * 16, 8);
const victims: usize = memory.data(32 * 16, 8);
let calls: u64 = 0;
let halfLife: u64 = DEFAULT_HALF_LIFE; // calls in which what was counted loses half its worth

// @ts-ignore: decorator
@inline
function use(id: u32): Use {
  return changetype<Use>(uses + id * 16);
}

/** A component that may go, with what its calls are worth now. */
@unmanaged
class Victim {
  worth: u64;
  id: u32;
  last: u32;
}

// @ts-ignore: decorator
@inline
function victim(place: u32): Victim {
  return changetype<Victim>(victims + (place << 4));
}

function age(): u32 {
  return <u32>(calls / halfLife);
}

/** What a component's calls are worth now. */
// @ts-ignore: decorator
@inline
function worth(u: Use, now: u32): u64 {
  const halvings = now - u.age;
  return halvings < 64 ? u.worth >> halvings : 0;
}

function called(id: u32): void {
  const u = use(id);
  const now = age();
  u.worth = worth(u, now) + CALL_WORTH;
  u.age = now;
  u.last = <u32>++calls;
}

/**
 * Finds the evictable components whose calls are worth least, the least first: as many as free so
 * much, if that many fit, and returns how many. Each component is looked at once, since there may
 * be thousands.
 */
function least(asking: u32, missing: u64): u32 {
  const now = age();
  let n: u32 = 0;
  let freed: u64 = 0;
  for (let id: u32 = 0; id < world.end; id++) {
    const resident = component(id).resident;
    if (resident == 0) continue;
    const u = use(id), w = worth(u, now), last = u.last;
    if (n > 0 && (n == VICTIMS || freed >= missing)) {
      const most = victim(n - 1);
      if (w > most.worth || (w == most.worth && last >= most.last)) continue;
    }
    if (id == asking || !evictable(id)) continue;
    if (n == VICTIMS) freed -= component(victim(--n).id).resident;
    let at = n;
    for (; at > 0; at--) {
      const before = victim(at - 1);
      if (w > before.worth || (w == before.worth && last >= before.last)) break;
      const v = victim(at);
      v.worth = before.worth;
      v.id = before.id;
      v.last = before.last;
    }
    const v = victim(at);
    v.worth = w;
    v.id = id;
    v.last = last;
    n++;
    freed += resident;
    while (n > 1) {
      const spare = component(victim(n - 1).id).resident;
      if (freed - spare < missing) break;
      freed -= spare;
      n--;
    }
  }
  return n;
}

function need(asking: u32, amount: u64): void {
  let missing = amount;
  const n = least(asking, amount);
  for (let place: u32 = 0; place < n && missing > 0; place++) {
    missing -= min(missing, evictPart(victim(place).id, missing, SELDOM_USED));
  }
}

export function offhost_v1_event(len: u32): i32 {
  if (!begin(len)) return 0;
  if (event.kind == Kind.CONFIG) halfLife = max<u64>(configNumber("half_life", DEFAULT_HALF_LIFE), 1);
  if (!follow()) return 0;
  switch (event.kind) {
    case Kind.COMPONENT:
      if (event.flags & Flag.REMOVED) memory.fill(uses + event.component * 16, 0, 16);
      break;
    case Kind.CALL:
      called(event.component);
      break;
    case Kind.NEED:
      need(event.component, event.amount);
      break;
  }
  return answered();
}

// What is called often is known by name in the next run, too: 16 bytes each.

export function offhost_v1_save(): i32 {
  saving();
  const now = age();
  for (let id: u32 = 0; id < world.end; id++) {
    const w = worth(use(id), now);
    if (w == 0 || !component(id).known) continue;
    put<u64>(component(id).nameHash);
    put<u64>(w);
  }
  return saved();
}

export function offhost_v1_restore(len: u32): i32 {
  restoring(len);
  if (len % 16 != 0) return 1;
  // Saved in the order of ids, which the next run gives in the same order as a rule: the search
  // goes on from the last one that was found.
  let from: u32 = 0;
  for (let at: u32 = 0; at < len; at += 16) {
    const name = get<u64>();
    const w = get<u64>();
    for (let looked: u32 = 0; looked < min<u32>(world.end, LOOKED); looked++) {
      const id = (from + looked) % world.end;
      if (component(id).nameHash != name) continue;
      use(id).worth = w;
      use(id).age = age();
      from = id + 1;
      break;
    }
  }
  return restored() ? 0 : 1;
}
