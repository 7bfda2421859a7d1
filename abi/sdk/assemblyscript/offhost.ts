// Policies for offhost in AssemblyScript: the event as a typed view of the window, decisions
// that cannot leave it, a mirror of the world, configuration, logging, learned state. README.md
// beside this file has an example. Nothing here allocates: compile with --runtime stub.

// ---- the window ---------------------------------------------------------------------

export const MAX_COMPONENTS: u32 = 4096;
export const MAX_DECISIONS: u32 = 128;
export const NONE: u32 = 0xffffffff; // "no component"

const EVENT_SIZE: u32 = 128;
const EVENT_AREA: u32 = 256;
const DECISION_AREA: u32 = 2048;
const MIN_WINDOW: u32 = 4096;
const MAX_WINDOW: u32 = 67840;
const MAX_BLOB: u32 = 64 << 10;

const window: usize = memory.data(<i32>MAX_WINDOW, 8);
let windowSize: u32 = 0;

/** Kinds of events: SPEC.md, section 4. There may be more. */
export namespace Kind {
  export const CONFIG: u16 = 1;
  export const COMPONENT: u16 = 2;
  export const LOADED: u16 = 3;
  export const EVICTED: u16 = 4;
  export const ENQUEUED: u16 = 5;
  export const BEGIN: u16 = 6;
  export const CALL: u16 = 7;
  export const DONE: u16 = 8;
  export const END: u16 = 9;
  export const NEED: u16 = 10;
  export const IDLE: u16 = 11;
  export const PRESSURE: u16 = 12;
  export const REJECTED: u16 = 13;
}

/** Bits of Event.flags: SPEC.md, section 3. There may be more. */
export namespace Flag {
  export const RESIDENT: u16 = 1 << 0;
  export const PINNED: u16 = 1 << 1;
  export const IN_USE: u16 = 1 << 2;
  export const DIRTY: u16 = 1 << 3;
  export const LOOP_HINT: u16 = 1 << 4;
  export const KEPT: u16 = 1 << 5;
  export const READ_ONLY: u16 = 1 << 6;
  export const REMOVED: u16 = 1 << 7;
  export const TRUNCATED: u16 = 1 << 8;
  export const THRASH: u16 = 1 << 9;
}

/** Operations: SPEC.md, section 5. */
export namespace Op {
  export const EVICT: u16 = 1;
  export const RETAIN: u16 = 2;
  export const PREFETCH: u16 = 3;
}

/** The ABI's own record. Sizes are bytes of device memory; what an event does not use is 0. */
@unmanaged
export class Event {
  kind: u16;
  flags: u16;
  component: u32;    // id, 0 to MAX_COMPONENTS-1, or NONE
  parent: u32;       // id of the component's parent, or NONE
  index: u32;        // position among the parent's children
  nameHash: u64;     // FNV-1a of its name; of the pipeline's for BEGIN and ENQUEUED
  session: u32;
  request: u32;      // 0 outside requests
  step: u32;         // position of the call in its request, from 1
  steps: u32;        // calls in the request, 0 when unknown
  seq: u64;          // number of the event in the run, from 1
  timeNs: u64;       // since the run began; never decreases
  bytes: u64;        // size of the component
  resident: u64;     // of it, what is resident
  free: u64;         // of the budget, what is neither used nor promised
  budget: u64;
  foreign: u64;      // of the budget, what others use
  workspace: u64;    // what the call needs beside the weights
  loadCostNs: u64;   // time to bring the whole component to the device
  amount: u64;       // NEED: bytes to free; LOADED, EVICTED: bytes moved; PRESSURE: bytes short
  payloadLen: u32;
  reserved: u32;
}

/** The ABI's own record. */
@unmanaged
export class Decision {
  op: u16;
  reason: u16;       // the policy's own code
  component: u32;
  arg: u64;          // EVICT, PREFETCH: bytes, 0 for all; RETAIN: calls to hold, 1 to 65536
}

/** The event in the window. */
export const event: Event = changetype<Event>(window);

/** To be exported by the policy: export { offhost_v1_buffer } from "…/offhost". */
export function offhost_v1_buffer(size: u32): usize {
  if (size < MIN_WINDOW || size > MAX_WINDOW || size % 8 != 0) return 0;
  windowSize = size;
  return window;
}

/** Begins an answer. False: there is no event in the window, the answer is 0. */
// @ts-ignore: decorator
@inline
export function begin(len: u32): bool {
  written = 0;
  return len >= EVENT_SIZE;
}

// @ts-ignore: decorator
@inline
function payloadRoom(): u32 {
  return windowSize - EVENT_AREA - DECISION_AREA;
}

/** Where the payload is: a name, a declared order, configuration. */
// @ts-ignore: decorator
@inline
export function payload(): usize {
  return window + EVENT_AREA;
}

/** Bytes of payload. */
export function payloadSize(): u32 {
  return min<u32>(event.payloadLen, payloadRoom());
}

/** REJECTED: the decision that was refused, null with other events. */
export function rejected(): Decision | null {
  if (event.kind != Kind.REJECTED || payloadSize() < 24) return null;
  return changetype<Decision>(payload());
}

/** REJECTED: why, SPEC.md, section 5. */
export function rejectedCode(): u32 {
  return load<u32>(payload(), 16);
}

// ---- decisions ----------------------------------------------------------------------

let written: u32 = 0;

/** What offhost_v1_event is to return. */
// @ts-ignore: decorator
@inline
export function answered(): i32 {
  return <i32>written;
}

/** Decisions that still fit. */
// @ts-ignore: decorator
@inline
export function room(): u32 {
  return MAX_DECISIONS - written;
}

/** Adds a decision, in the order of preference. False: the answer is full, and nothing was added. */
export function decide(op: u16, component: u32, arg: u64, reason: u16): bool {
  if (written >= MAX_DECISIONS) return false;
  const at = window + windowSize - DECISION_AREA + (written++ << 4);
  store<u64>(at, <u64>component << 32 | <u64>reason << 16 | op); // the first three fields of Decision
  store<u64>(at, arg, 8);
  return true;
}

/** Evicts so many bytes, 0 for all; whole chunks go. */
export function evict(component: u32, bytes: u64, reason: u16): bool {
  return decide(Op.EVICT, component, bytes, reason);
}

/** Wishes that a component stay for so many calls, 1 to 65536. */
export function retain(component: u32, calls: u64, reason: u16): bool {
  return decide(Op.RETAIN, component, calls, reason);
}

/** Loads so many missing bytes, 0 for all; whole chunks come. */
export function prefetch(component: u32, bytes: u64, reason: u16): bool {
  return decide(Op.PREFETCH, component, bytes, reason);
}

// ---- configuration: only while CONFIG is in the window ------------------------------

/** Bytes of the value that config found last. */
export let configSize: u32 = 0;

/** Where the value of a key is, configSize bytes; 0 if it is not set. Keys are ASCII. */
export function config(key: string): usize {
  const end = payload() + payloadSize();
  const length = <u32>key.length;
  for (let at = payload(); at < end; at++) {
    let k: u32 = 0;
    while (k < length && at + k < end && load<u8>(at + k) == <u8>key.charCodeAt(k)) k++;
    const found = k == length && at + k < end && load<u8>(at + k) == 0x3d; // =
    const value = at + k + 1;
    while (at < end && load<u8>(at) != 0x0a) at++;
    if (found) {
      configSize = <u32>(at - value);
      return value;
    }
  }
  return 0;
}

/** The value of a key as a decimal number; otherwise if it is not set or is none that fits. */
export function configNumber(key: string, otherwise: u64): u64 {
  const at = config(key);
  if (at == 0 || configSize == 0) return otherwise;
  let n: u64 = 0;
  for (let i: u32 = 0; i < configSize; i++) {
    const digit = <u64>load<u8>(at + i) - 0x30;
    if (digit > 9 || n > (u64.MAX_VALUE - digit) / 10) return otherwise;
    n = n * 10 + digit;
  }
  return n;
}

/**
 * What nameHash is of a component whose name is these bytes, as of configuration: how one that it
 * names is known again when events are about it.
 */
export function nameHash(name: usize, size: u32): u64 {
  let hash: u64 = 0xcbf29ce484222325;
  for (let i: u32 = 0; i < size; i++) hash = (hash ^ <u64>load<u8>(name + i)) * 0x100000001b3;
  return hash;
}

// ---- logging: imports fd_write of WASI if it is used --------------------------------

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fdWrite(fd: u32, list: usize, count: u32, written: usize): u32;

const line: usize = memory.data(1024);
const iovec: usize = memory.data(16, 8); // address and length; behind it, how much was written

/** Logs a line of at most 255 characters; the rest is cut. The host takes 4 an event, 256 bytes a line. */
export function log(text: string): void {
  writeLine(String.UTF8.encodeUnsafe(changetype<usize>(text), min(text.length, 255), line));
}

/**
 * Logs a line in which each {} is the next of the numbers, in decimal; what is beyond 255 bytes
 * is cut. It allocates nothing, as toString and `${n}` do each time.
 */
export function logNumbers(text: string, a: u64, b: u64 = 0, c: u64 = 0): void {
  const from = memory.data(1024);
  const end = from + String.UTF8.encodeUnsafe(changetype<usize>(text), min(text.length, 255), from);
  let size: usize = 0;
  let numbers = 3;
  for (let at = from; at < end && size < 255; at++) {
    if (numbers > 0 && at + 1 < end && load<u16>(at) == 0x7d7b) {
      let unit: u64 = 1;
      while (a / unit >= 10) unit *= 10;
      for (; unit > 0 && size < 255; unit /= 10) store<u8>(line + size++, <u8>(0x30 + a / unit % 10));
      a = b;
      b = c;
      numbers--;
      at++;
    } else {
      store<u8>(line + size++, load<u8>(at));
    }
  }
  writeLine(size);
}

function writeLine(size: usize): void {
  store<u8>(line + size, 0x0a);
  store<u32>(iovec, <u32>line);
  store<u32>(iovec, <u32>size + 1, 4);
  fdWrite(2, iovec, 1, iovec + 8);
}

// ---- learned state: what offhost_v1_save and offhost_v1_restore consist of ----------

let blobAt: u32 = 0;
let blobEnd: u32 = 0;
let blobFits: bool = true;

/** Begins to save. */
export function saving(): void {
  blobAt = 0;
  blobEnd = min(payloadRoom(), MAX_BLOB);
  blobFits = true;
}

/** Writes a number, little-endian, in as many bytes as its type has: put<u64>(n). */
export function put<T>(value: T): void {
  blobFits = blobFits && blobEnd - blobAt >= <u32>sizeof<T>();
  if (!blobFits) return;
  store<T>(payload() + blobAt, value);
  blobAt += <u32>sizeof<T>();
}

/** What offhost_v1_save is to return: 0 if something did not fit. */
export function saved(): i32 {
  return blobFits ? <i32>blobAt : 0;
}

/** Begins to restore a blob of that length. */
export function restoring(len: u32): void {
  blobAt = 0;
  blobEnd = len;
  blobFits = len <= payloadRoom();
}

/** Reads what put wrote; 0 if it is not there. */
export function get<T>(): T {
  blobFits = blobFits && blobEnd - blobAt >= <u32>sizeof<T>();
  if (!blobFits) return <T>0;
  const value = load<T>(payload() + blobAt);
  blobAt += <u32>sizeof<T>();
  return value;
}

/** Whether all that was read was there; offhost_v1_restore returns 0 then, if it takes it. */
export function restored(): bool {
  return blobFits;
}

// ---- the world, as events tell it ---------------------------------------------------

/** What is known of a component. What does not change is as its COMPONENT event told it. */
@unmanaged
export class Component {
  bytes: u64;        // its size
  resident: u64;     // of it, the lowest chunks are on the device
  loadCostNs: u64;   // time to bring all of it to the device
  nameHash: u64;
  parent: u32;
  index: u32;
  calls: u32;        // whose DONE is to come, of those whose CALL was told
  refused: u32;      // the moment at which the host refused to evict it
  flags: u16;        // as the host told them last
  known: bool;       // registered, and not removed
}

const components: usize = memory.data(4096 * 56, 8);

/** What is known of a component; id is below MAX_COMPONENTS. */
// @ts-ignore: decorator
@inline
export function component(id: u32): Component {
  return changetype<Component>(components + id * 56);
}

/** What else is known. */
export namespace world {
  /** Ids from here on were never told of. */
  export let end: u32 = 0;
  /** Of the budget, what is neither used nor promised: every event says it. */
  // @ts-ignore: decorator
  @inline
  export function free(): u64 {
    return event.free;
  }
  // @ts-ignore: decorator
  @inline
  export function budget(): u64 {
    return event.budget;
  }
  /** The unit in which components move, in bytes. */
  export let chunkBytes: u64 = 32 << 20;
}

// A moment ends with every BEGIN, CALL, DONE and END: what the host refused in one may be lawful
// in the next.
let moment: u32 = 1;

/**
 * Brings the world up to date with the event. Call it first, for every event, or not at all.
 * False: it leaves the policy nothing to do (it is REJECTED, of a later version, or about a
 * component that cannot be).
 */
// @ts-ignore: decorator
@inline
export function follow(): bool {
  const e = event;
  const kind = e.kind;
  switch (kind) {
    case Kind.CONFIG: {
      const n = configNumber("offhost.chunk_bytes", 0);
      if (n != 0) world.chunkBytes = n;
      return true;
    }
    case Kind.REJECTED: {
      const d = rejected();
      if (d && d.op == Op.EVICT && d.component < MAX_COMPONENTS) component(d.component).refused = moment;
      return false;
    }
    case Kind.BEGIN:
    case Kind.END:
      moment++;
      return true;
    case Kind.ENQUEUED:
    case Kind.IDLE:
      return true;
    case Kind.CALL:
    case Kind.DONE:
      moment++;
      break;
    case Kind.COMPONENT:
    case Kind.LOADED:
    case Kind.EVICTED:
      break;
    case Kind.NEED:
    case Kind.PRESSURE:
      if (e.component == NONE) return true;
      break;
    default:
      return false;
  }
  if (e.component >= MAX_COMPONENTS) return false;
  const c = component(e.component);
  c.flags = e.flags;
  c.resident = e.resident;
  if (kind == Kind.CALL) {
    c.calls++;
  } else if (kind == Kind.DONE) {
    if (c.calls > 0) c.calls--;
  } else if (kind == Kind.COMPONENT) {
    if (e.component >= world.end) world.end = e.component + 1;
    c.bytes = e.bytes;
    c.loadCostNs = e.loadCostNs;
    c.nameHash = e.nameHash;
    c.parent = e.parent;
    c.index = e.index;
    c.known = (e.flags & Flag.REMOVED) == 0;
    if (!c.known) {
      c.resident = 0;
      c.calls = 0;
    }
  }
  return true;
}

/**
 * Whether a component has resident bytes that the host would let go now. What an event asks room
 * for is for the caller to leave out.
 */
export function evictable(id: u32): bool {
  const c = component(id);
  if (c.resident == 0 || c.refused == moment) return false;
  // A call uses it if its CALL was told, whatever the flags were then, or if the flags say so: it
  // may have begun before this policy did.
  return (c.flags & (Flag.PINNED | Flag.IN_USE | Flag.KEPT)) == 0 && c.calls == 0;
}

/**
 * What evicting so many bytes of a component frees: whole chunks from the last one down, which
 * is shorter than the others.
 */
export function frees(id: u32, bytes: u64): u64 {
  return part(component(id).resident, bytes);
}

// @ts-ignore: decorator
@inline
function part(resident: u64, bytes: u64): u64 {
  if (bytes == 0) return 0;
  return bytes >= resident ? resident : resident - (resident - bytes) / world.chunkBytes * world.chunkBytes;
}

/**
 * Evicts as much of a component as is needed to free so many bytes, and returns what that frees:
 * 0 if the answer is full. For 0 bytes it evicts nothing, where evict would evict all.
 */
export function evictPart(id: u32, bytes: u64, reason: u16): u64 {
  if (bytes == 0) return 0;
  const resident = component(id).resident;
  const freed = part(resident, bytes);
  return evict(id, freed == resident ? 0 : freed, reason) ? freed : 0;
}
