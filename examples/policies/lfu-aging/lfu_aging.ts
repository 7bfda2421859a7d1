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

/** Victims in one answer, at the most. */
const VICTIMS: u32 = 32;
/**
 * Each search for a victim looks at all components: so many looks keep an answer within the fuel
 * of an event. The host asks again while room is lacking.
 */
const LOOKS: u32 = 8192;
/** How far a name is searched for when it is restored. */
const LOOKED: u32 = 16;

/** How often a component was called. */
@unmanaged
class Use {
  worth: u64;    // of its calls, at the age below
  age: u32;      // halvings at its last call
  last: u32;     // number of its last call, to tell equals apart
  taken: u32;    // the answer in which it is a victim
}

const uses: usize = memory.data(4096 * 24, 8);
let calls: u64 = 0;
let halfLife: u64 = DEFAULT_HALF_LIFE; // calls in which what was counted loses half its worth
let answers: u32 = 0;

// @ts-ignore: decorator
@inline
function use(id: u32): Use {
  return changetype<Use>(uses + id * 24);
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

/** The evictable component whose calls are worth least, or NONE. */
function least(asking: u32): u32 {
  const now = age();
  let best = NONE;
  let lowest = u64.MAX_VALUE;
  let last = u32.MAX_VALUE;
  for (let id: u32 = 0; id < world.end; id++) {
    if (component(id).resident == 0) continue;
    const u = use(id);
    const w = worth(u, now);
    if (w > lowest || (w == lowest && u.last >= last)) continue;
    if (id == asking || u.taken == answers || !evictable(id)) continue;
    best = id;
    lowest = w;
    last = u.last;
  }
  return best;
}

function need(asking: u32, amount: u64): void {
  answers++;
  let missing = amount;
  const most = min(VICTIMS, LOOKS / max<u32>(world.end, 1));
  for (let n: u32 = 0; n < most && missing > 0; n++) {
    const id = least(asking);
    if (id == NONE) return;
    missing -= min(missing, evictPart(id, missing, SELDOM_USED));
    use(id).taken = answers;
  }
}

export function offhost_v1_event(len: u32): i32 {
  if (!begin(len)) return 0;
  if (event.kind == Kind.CONFIG) halfLife = max<u64>(configNumber("half_life", DEFAULT_HALF_LIFE), 1);
  if (!follow()) return 0;
  switch (event.kind) {
    case Kind.COMPONENT:
      if (event.flags & Flag.REMOVED) memory.fill(uses + event.component * 24, 0, 24);
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
