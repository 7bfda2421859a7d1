//! The lru of ../../lru/rust as one would write it without the SDK.
#![no_std]
#![crate_type = "cdylib"]

#[derive(Clone, Copy)]
struct Component { resident: u64, calls: u32, refused: u32, older: u16, newer: u16, flags: u16, listed: bool }

const NEW: Component = Component { resident: 0, calls: 0, refused: 0, older: 0, newer: 0, flags: 0, listed: false };

#[repr(C, align(8))]
struct Window([u8; 67840]);

struct State { size: usize, answered: usize, oldest: u16, newest: u16, chunk: u64, moment: u32 }

static mut WINDOW: Window = Window([0; 67840]);
static mut C: [Component; 4096] = [NEW; 4096];
static mut S: State = State { size: 0, answered: 0, oldest: 0, newest: 0, chunk: 32 << 20, moment: 1 };

unsafe fn u16_at(at: usize) -> u16 { *(WINDOW.0.as_ptr().add(at) as *const u16) }
unsafe fn u32_at(at: usize) -> u32 { *(WINDOW.0.as_ptr().add(at) as *const u32) }
unsafe fn u64_at(at: usize) -> u64 { *(WINDOW.0.as_ptr().add(at) as *const u64) }

unsafe fn unlist(id: usize) {
    let c = C[id];
    if !c.listed { return; }
    if c.older != 0 { C[c.older as usize - 1].newer = c.newer } else { S.oldest = c.newer }
    if c.newer != 0 { C[c.newer as usize - 1].older = c.older } else { S.newest = c.older }
    C[id].listed = false;
}

unsafe fn touch(id: usize) {
    let this = id as u16 + 1;
    if S.newest == this { return; }
    unlist(id);
    C[id].older = S.newest;
    C[id].newer = 0;
    C[id].listed = true;
    if S.newest != 0 { C[S.newest as usize - 1].newer = this } else { S.oldest = this }
    S.newest = this;
}

unsafe fn need(asking: usize, mut missing: u64) {
    let mut i = S.oldest as usize;
    while i != 0 && missing > 0 && S.answered < 128 {
        let id = i - 1;
        let c = &C[id];
        i = c.newer as usize;
        if id == asking || c.resident == 0 || c.refused == S.moment || c.flags & 0x26 != 0 || c.calls != 0 { continue; }
        let freed = if missing >= c.resident { c.resident } else { c.resident - (c.resident - missing) / S.chunk * S.chunk };
        let d = WINDOW.0.as_mut_ptr().add(S.size - 2048 + 16 * S.answered);
        *(d as *mut u32) = 1 | 1 << 16;
        *(d.add(4) as *mut u32) = id as u32;
        *(d.add(8) as *mut u64) = if freed == c.resident { 0 } else { freed };
        S.answered += 1;
        missing = missing.saturating_sub(freed);
    }
}

unsafe fn configure() {
    let len = (u32_at(120) as usize).min(S.size - 2304);
    for line in WINDOW.0[256..256 + len].split(|b| *b == b'\n') {
        if let Some(digits) = line.strip_prefix(b"offhost.chunk_bytes=") {
            S.chunk = digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'));
        }
    }
}

#[no_mangle]
unsafe extern "C" fn offhost_v1_buffer(size: u32) -> *const u8 {
    if size as usize > 67840 { return core::ptr::null(); }
    S.size = size as usize;
    WINDOW.0.as_ptr()
}

#[no_mangle]
unsafe extern "C" fn offhost_v1_event(len: u32) -> i32 {
    S.answered = 0;
    if len < 128 { return 0; }
    let (kind, flags, id) = (u16_at(0), u16_at(2), u32_at(4) as usize);
    match kind {
        1 => configure(),
        6 | 9 => S.moment += 1,
        13 => if let Some(c) = C.get_mut(u32_at(260) as usize) { c.refused = S.moment },
        10 if id >= 4096 => need(id, u64_at(112)),
        2 | 3 | 4 | 7 | 8 | 10 if id < 4096 => {
            let c = &mut C[id];
            c.flags = flags;
            match kind {
                2 => if flags & 0x80 != 0 { c.resident = 0; c.calls = 0; unlist(id) },
                3 | 4 => { c.resident = u64_at(64); if c.resident != 0 && !c.listed { touch(id) } }
                7 => { S.moment += 1; c.calls += 1; touch(id) }
                8 => { S.moment += 1; if c.calls > 0 { c.calls -= 1 } touch(id) }
                _ => need(id, u64_at(112)),
            }
        }
        _ => {}
    }
    S.answered as i32
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { core::arch::wasm32::unreachable() }
