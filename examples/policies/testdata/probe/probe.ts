// Shows all that the SDK gives, for a test that knows what it has to show.
import {
  answered, begin, component, config, configNumber, configSize, event, evict, evictable, evictPart, follow, frees, get,
  Kind, log, logNumbers, nameHash, prefetch, put, rejected, rejectedCode, restored, restoring, retain, room, saved, saving, world,
} from "../../../../abi/sdk/assemblyscript/offhost";

export { offhost_v1_buffer } from "../../../../abi/sdk/assemblyscript/offhost";

let threshold: u64 = 0;

function fields(): void {
  const e = event;
  retain(0, e.kind, 0);
  retain(1, e.flags, 0);
  retain(2, e.component, 0);
  retain(3, e.parent, 0);
  retain(4, e.index, 0);
  retain(5, e.nameHash, 0);
  retain(6, e.session, 0);
  retain(7, e.request, 0);
  retain(8, e.step, 0);
  retain(9, e.steps, 0);
  retain(10, e.seq, 0);
  retain(11, e.timeNs, 0);
  retain(12, e.bytes, 0);
  retain(13, e.resident, 0);
  retain(14, e.free, 0);
  retain(15, e.budget, 0);
  retain(16, e.foreign, 0);
  retain(17, e.workspace, 0);
  retain(18, e.loadCostNs, 0);
  retain(19, e.amount, 0);
}

export function offhost_v1_event(len: u32): i32 {
  if (!begin(len)) return 0;
  const r = rejected();
  if (r) retain(r.component, r.arg, <u16>(100 * rejectedCode() + r.reason));
  const follows = follow();
  if (event.kind == Kind.CONFIG) {
    threshold = follows ? configNumber("threshold", 7) : 0;
    const text = config("greeting");
    if (text) log(String.UTF8.decodeUnsafe(text, configSize));
    if (text) logNumbers("the hash is {}", nameHash(text, configSize));
    logNumbers("the threshold is {}, {} and {} bytes: {}", threshold, text ? configSize : 0, u64.MAX_VALUE);
  } else if (event.kind == Kind.ENQUEUED) {
    fields();
  } else if (event.kind == Kind.IDLE) {
    for (let i: u32 = 0; i < 200; i++) if (!evict(i, i, 1) && room() == 0) threshold++;
  } else if (event.kind == Kind.PRESSURE) {
    retain(0, threshold, 0);
  } else if (event.kind == Kind.NEED) {
    for (let id: u32 = 0; id < world.end; id++) {
      prefetch(id, frees(id, event.amount), <u16>evictable(id) + 2 * <u16>component(id).known);
    }
    evictPart(0, event.amount, 9);
    retain(world.end, world.free(), 0);
    retain(world.end, world.budget(), 0);
    const c = component(1);
    retain(1, c.bytes, 0);
    retain(1, c.loadCostNs, 0);
    retain(1, c.nameHash, 0);
  } else if (event.kind == 99) {
    retain(0, follows, 0);
  }
  return answered();
}

export function offhost_v1_save(): i32 {
  saving();
  put<u64>(threshold);
  return saved();
}

export function offhost_v1_restore(len: u32): i32 {
  restoring(len);
  const kept = get<u64>();
  if (restored()) threshold = kept;
  return restored() ? 0 : 1;
}
