// The lru of ../../lru/assemblyscript as one would write it without the SDK.
const window: usize = memory.data(67840, 8);
// 32 bytes each: resident 0, calls 8, refused 12, older 16, newer 18, flags 20, listed 22
const components: usize = memory.data(4096 * 32, 8);
let size: u32 = 0, answered: u32 = 0, oldest: u32 = 0, newest: u32 = 0;
let chunk: u64 = 32 << 20;
let moment: u32 = 1;

// @ts-ignore: decorator
@inline
function at(id: u32): usize { return components + (id << 5); }

function unlist(id: u32): void {
  const c = at(id);
  if (!load<u8>(c, 22)) return;
  const older = load<u16>(c, 16), newer = load<u16>(c, 18);
  if (older) store<u16>(at(older - 1), newer, 18); else oldest = newer;
  if (newer) store<u16>(at(newer - 1), older, 16); else newest = older;
  store<u8>(c, 0, 22);
}

function touch(id: u32): void {
  if (newest == id + 1) return;
  unlist(id);
  const c = at(id);
  store<u16>(c, <u16>newest, 16);
  store<u16>(c, 0, 18);
  store<u8>(c, 1, 22);
  if (newest) store<u16>(at(newest - 1), <u16>(id + 1), 18); else oldest = id + 1;
  newest = id + 1;
}

function need(asking: u32, amount: u64): void {
  let missing = amount;
  for (let i = oldest; i != 0 && missing > 0 && answered < 128; i = load<u16>(at(i - 1), 18)) {
    const id = i - 1, c = at(id), resident = load<u64>(c);
    if (id == asking || resident == 0 || load<u32>(c, 12) == moment) continue;
    if (load<u32>(c, 8) != 0 || (load<u16>(c, 20) & 0x26) != 0) continue;
    const freed = missing >= resident ? resident : resident - (resident - missing) / chunk * chunk;
    const d = window + size - 2048 + (answered++ << 4);
    store<u32>(d, 0x10001);
    store<u32>(d, id, 4);
    store<u64>(d, freed == resident ? 0 : freed, 8);
    missing -= min(missing, freed);
  }
}

function configure(): void {
  const key = "offhost.chunk_bytes=", end = window + 256 + min<u32>(load<u32>(window, 120), size - 2304);
  for (let p = window + 256; p < end; p++) {
    let k = 0;
    while (k < 20 && p + k < end && load<u8>(p + k) == <u8>key.charCodeAt(k)) k++;
    if (k == 20) for (chunk = 0, p += 20; p < end && load<u8>(p) >= 0x30; p++) chunk = chunk * 10 + load<u8>(p) - 0x30;
    while (p < end && load<u8>(p) != 10) p++;
  }
}

export function offhost_v1_buffer(bytes: u32): usize {
  if (bytes > 67840) return 0;
  size = bytes;
  return window;
}

export function offhost_v1_event(len: u32): i32 {
  answered = 0;
  if (len < 128) return 0;
  const kind = load<u16>(window), flags = load<u16>(window, 2), id = load<u32>(window, 4);
  switch (kind) {
    case 1: configure(); return 0;
    case 6: case 9: moment++; return 0;
    case 13: if (load<u32>(window, 260) < 4096) store<u32>(at(load<u32>(window, 260)), moment, 12); return 0;
    case 2: case 3: case 4: case 7: case 8: break;
    case 10: if (id >= 4096) { need(id, load<u64>(window, 112)); return answered; } break;
    default: return 0;
  }
  if (id >= 4096) return 0;
  const c = at(id);
  store<u16>(c, flags, 20);
  switch (kind) {
    case 2: if (flags & 0x80) { store<u64>(c, 0); store<u32>(c, 0, 8); unlist(id); } break;
    case 3: case 4: store<u64>(c, load<u64>(window, 64)); if (load<u64>(c) && !load<u8>(c, 22)) touch(id); break;
    case 7:
      moment++;
      store<u32>(c, load<u32>(c, 8) + 1, 8);
      touch(id);
      break;
    case 8: moment++; if (load<u32>(c, 8)) store<u32>(c, load<u32>(c, 8) - 1, 8); touch(id); break;
    case 10: need(id, load<u64>(window, 112));
  }
  return answered;
}
