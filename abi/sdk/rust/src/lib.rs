//! Policies for offhost in Rust, without `std` and without allocation.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use offhost_policy::{Answer, Event, Kind, Policy, World};
//!
//! struct First { world: World }
//!
//! impl Policy for First {
//!     fn event(&mut self, e: &Event, answer: &mut Answer) {
//!         if !self.world.follow(e) || e.kind != Kind::NEED { return; }
//!         let mut missing = e.amount;
//!         for id in 0..self.world.end() {
//!             if id != e.component && self.world.evictable(id) && missing > 0 {
//!                 missing = missing.saturating_sub(self.world.evict_part(answer, id, missing, 1));
//!             }
//!         }
//!     }
//! }
//!
//! offhost_policy::about!(b"name=first\nreason.1=the first that can go\n");
//! offhost_policy::policy!(First = First { world: World::new() });
//! ```
//!
//! The event is the ABI's own record (`abi/SPEC.md`), seen where the host wrote it. A policy
//! is a static value; one whose initial value is all zeros, as [`World::new`] is, takes no
//! room in the module. The traits and the world know nothing of WebAssembly, so that a policy
//! can be tested natively.

#![no_std]
#![deny(missing_docs)]

use core::ops::{BitAnd, BitOr, Deref};

/// Component ids are below this.
pub const MAX_COMPONENTS: usize = 4096;
/// Decisions that an answer holds.
pub const MAX_DECISIONS: usize = 128;
/// Stands for "no component".
pub const NONE: u32 = u32::MAX;
/// The largest window that a host asks for, in bytes.
pub const MAX_WINDOW: usize = 67_840;

/// What an event tells. There may be more kinds than are named here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Kind(pub u16);

#[allow(missing_docs)] // SPEC.md, section 4
impl Kind {
    pub const CONFIG: Kind = Kind(1);
    pub const COMPONENT: Kind = Kind(2);
    pub const LOADED: Kind = Kind(3);
    pub const EVICTED: Kind = Kind(4);
    pub const ENQUEUED: Kind = Kind(5);
    pub const BEGIN: Kind = Kind(6);
    pub const CALL: Kind = Kind(7);
    pub const DONE: Kind = Kind(8);
    pub const END: Kind = Kind(9);
    pub const NEED: Kind = Kind(10);
    pub const IDLE: Kind = Kind(11);
    pub const PRESSURE: Kind = Kind(12);
    pub const REJECTED: Kind = Kind(13);
}

/// Bits about the component of an event. There may be more than are named here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Flags(pub u16);

#[allow(missing_docs)] // SPEC.md, section 3
impl Flags {
    pub const RESIDENT: Flags = Flags(1 << 0);
    pub const PINNED: Flags = Flags(1 << 1);
    pub const IN_USE: Flags = Flags(1 << 2);
    pub const DIRTY: Flags = Flags(1 << 3);
    pub const LOOP_HINT: Flags = Flags(1 << 4);
    pub const KEPT: Flags = Flags(1 << 5);
    pub const READ_ONLY: Flags = Flags(1 << 6);
    pub const REMOVED: Flags = Flags(1 << 7);
    pub const TRUNCATED: Flags = Flags(1 << 8);
    pub const THRASH: Flags = Flags(1 << 9);

    /// Whether any of these bits is set.
    pub fn any(self, of: Flags) -> bool {
        (self & of).0 != 0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Flags;
    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

/// An event's fields. Sizes are bytes of device memory; what an event does not use is 0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Fields {
    /// What is told.
    pub kind: Kind,
    /// About the component, unless SPEC.md says otherwise.
    pub flags: Flags,
    /// Its id, or [`NONE`].
    pub component: u32,
    /// The id of its parent, or [`NONE`].
    pub parent: u32,
    /// Its position among the parent's children.
    pub index: u32,
    /// FNV-1a of its name; of the pipeline's for BEGIN and ENQUEUED.
    pub name_hash: u64,
    /// The client's session.
    pub session: u32,
    /// Number of the request, 0 outside requests.
    pub request: u32,
    /// Position of the call in its request, from 1.
    pub step: u32,
    /// Calls in the request, 0 when unknown.
    pub steps: u32,
    /// Number of the event in the run, from 1.
    pub seq: u64,
    /// Since the run began; never decreases.
    pub time_ns: u64,
    /// Size of the component.
    pub bytes: u64,
    /// Of it, what is resident.
    pub resident: u64,
    /// Of the budget, what is neither used nor promised.
    pub free: u64,
    /// Device memory that weights and workspace may take together.
    pub budget: u64,
    /// Of the budget, what others use.
    pub foreign: u64,
    /// What the call needs beside the weights.
    pub workspace: u64,
    /// Time to bring the whole component to the device.
    pub load_cost_ns: u64,
    /// NEED: bytes to free; LOADED, EVICTED: bytes moved; PRESSURE: bytes short.
    pub amount: u64,
    /// Bytes of payload, as the host says; [`Event::payload`] is what there is.
    pub payload_len: u32,
    /// 0.
    pub reserved: u32,
}

/// An event, with what comes with it.
pub struct Event<'a> {
    fields: &'a Fields,
    payload: &'a [u8],
}

impl<'a> Event<'a> {
    /// An event of one's own, for tests.
    pub fn new(fields: &'a Fields, payload: &'a [u8]) -> Event<'a> {
        Event { fields, payload }
    }

    /// A name, a declared order, configuration: SPEC.md, section 4.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// CONFIG: the value of a key.
    pub fn config(&self, key: &str) -> Option<&'a [u8]> {
        if self.kind != Kind::CONFIG {
            return None;
        }
        for line in self.payload.split(|b| *b == b'\n') {
            if let Some(rest) = line.strip_prefix(key.as_bytes()) {
                if let Some(value) = rest.strip_prefix(b"=") {
                    return Some(value);
                }
            }
        }
        None
    }

    /// CONFIG: the value of a key as a decimal number; `None` if it is none that fits.
    pub fn config_number(&self, key: &str) -> Option<u64> {
        let text = self.config(key)?;
        if text.is_empty() {
            return None;
        }
        let mut n = 0u64;
        for b in text {
            let digit = b.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            n = n.checked_mul(10)?.checked_add(digit.into())?;
        }
        Some(n)
    }

    /// REJECTED: the decision that was refused, and why (SPEC.md, section 5).
    pub fn rejection(&self) -> Option<(Decision, u32)> {
        if self.kind != Kind::REJECTED || self.payload.len() < 24 {
            return None;
        }
        let u16_at = |at: usize| u16::from_le_bytes([self.payload[at], self.payload[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let arg = u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32;
        let d = Decision { op: Op(u16_at(0)), reason: u16_at(2), component: u32_at(4), arg };
        Some((d, u32_at(16)))
    }
}

impl Deref for Event<'_> {
    type Target = Fields;
    fn deref(&self) -> &Fields {
        self.fields
    }
}

/// What a decision asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Op(pub u16);

#[allow(missing_docs)] // SPEC.md, section 5
impl Op {
    pub const EVICT: Op = Op(1);
    pub const RETAIN: Op = Op(2);
    pub const PREFETCH: Op = Op(3);
}

/// One decision, as the host reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Decision {
    /// What is asked for.
    pub op: Op,
    /// The policy's own code, shown beside the movement.
    pub reason: u16,
    /// The component's id.
    pub component: u32,
    /// EVICT, PREFETCH: bytes, 0 for all; RETAIN: calls to hold, 1 to 65536.
    pub arg: u64,
}

/// The answer to one event. An empty one leaves everything to the host.
pub struct Answer<'a> {
    area: &'a mut [Decision],
    len: usize,
}

impl<'a> Answer<'a> {
    /// An empty answer that is written to `area`, for tests.
    pub fn new(area: &'a mut [Decision]) -> Answer<'a> {
        Answer { area, len: 0 }
    }

    /// Decisions that still fit.
    pub fn room(&self) -> usize {
        self.area.len() - self.len
    }

    /// What was decided, in the order of preference.
    pub fn decisions(&self) -> &[Decision] {
        &self.area[..self.len]
    }

    /// Adds a decision. False: the answer is full, and nothing was added.
    pub fn push(&mut self, d: Decision) -> bool {
        match self.area.get_mut(self.len) {
            Some(slot) => *slot = d,
            None => return false,
        }
        self.len += 1;
        true
    }

    /// Evicts so many bytes of a component, 0 for all; whole chunks go.
    pub fn evict(&mut self, component: u32, bytes: u64, reason: u16) -> bool {
        self.push(Decision { op: Op::EVICT, reason, component, arg: bytes })
    }

    /// Wishes that a component stay for so many calls, 1 to 65536.
    pub fn retain(&mut self, component: u32, calls: u64, reason: u16) -> bool {
        self.push(Decision { op: Op::RETAIN, reason, component, arg: calls })
    }

    /// Loads so many missing bytes of a component, 0 for all; whole chunks come.
    pub fn prefetch(&mut self, component: u32, bytes: u64, reason: u16) -> bool {
        self.push(Decision { op: Op::PREFETCH, reason, component, arg: bytes })
    }
}

/// A policy is told what happens and may answer.
pub trait Policy {
    /// One event. What is pushed is the answer, in the order of preference.
    fn event(&mut self, e: &Event, answer: &mut Answer);
}

/// A policy whose learned state outlives it.
pub trait State {
    /// Writes what was learned. If it does not fit, nothing is saved.
    fn save(&self, to: &mut Writer);
    /// Takes what `save` wrote, perhaps of another version; false to decline it.
    fn restore(&mut self, from: &mut Reader) -> bool;
}

/// Writes integers, little-endian, one after the other.
pub struct Writer<'a> {
    area: &'a mut [u8],
    at: usize,
    ok: bool,
}

impl<'a> Writer<'a> {
    /// Writes to the beginning of `area`.
    pub fn new(area: &'a mut [u8]) -> Writer<'a> {
        Writer { area, at: 0, ok: true }
    }

    /// Bytes written, or `None` if something did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.ok { Some(self.at) } else { None }
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.area.get_mut(self.at..self.at + bytes.len()) {
            Some(to) if self.ok => to.copy_from_slice(bytes),
            _ => return self.ok = false,
        }
        self.at += bytes.len();
    }

    /// Writes 8 bytes.
    pub fn u64(&mut self, v: u64) {
        self.put(&v.to_le_bytes())
    }

    /// Writes 4 bytes.
    pub fn u32(&mut self, v: u32) {
        self.put(&v.to_le_bytes())
    }
}

/// Reads what a [`Writer`] wrote.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of `blob`.
    pub fn new(blob: &'a [u8]) -> Reader<'a> {
        Reader { rest: blob }
    }

    fn get<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.rest.get(..N)?);
        self.rest = &self.rest[N..];
        Some(bytes)
    }

    /// Reads 8 bytes, `None` at the end.
    pub fn u64(&mut self) -> Option<u64> {
        self.get().map(u64::from_le_bytes)
    }

    /// Reads 4 bytes, `None` at the end.
    pub fn u32(&mut self) -> Option<u32> {
        self.get().map(u32::from_le_bytes)
    }
}

/// What is known of a component. What does not change is as its COMPONENT event told it.
#[derive(Clone, Copy)]
pub struct Component {
    /// Its size.
    pub bytes: u64,
    /// Of it, what is on the device: its lowest chunks.
    pub resident: u64,
    /// Time to bring all of it to the device.
    pub load_cost_ns: u64,
    /// FNV-1a of its name.
    pub name_hash: u64,
    /// The id of its parent, or [`NONE`].
    pub parent: u32,
    /// Its position among the parent's children.
    pub index: u32,
    calls: u32,   // whose DONE is to come, of those whose CALL was told
    refused: u32, // 1 + the moment at which the host refused to evict it
    /// As the host told them last.
    pub flags: Flags,
    /// Registered, and not removed.
    pub known: bool,
}

/// What events have told so far: which components there are, and where.
pub struct World {
    components: [Component; MAX_COMPONENTS],
    end: u32,
    /// Of the budget, what is neither used nor promised.
    pub free: u64,
    /// Device memory that weights and workspace may take together.
    pub budget: u64,
    chunk_bytes: u64, // 0: not told
    // A moment ends with every BEGIN, CALL, DONE and END: what the host refused in one may be
    // lawful in the next.
    moment: u32,
}

impl World {
    /// Nothing is known. All zeros, so that a static world takes no room in the module.
    pub const fn new() -> World {
        const UNKNOWN: Component = Component {
            bytes: 0,
            resident: 0,
            load_cost_ns: 0,
            name_hash: 0,
            parent: 0,
            index: 0,
            calls: 0,
            refused: 0,
            flags: Flags(0),
            known: false,
        };
        World {
            components: [UNKNOWN; MAX_COMPONENTS],
            end: 0,
            free: 0,
            budget: 0,
            chunk_bytes: 0,
            moment: 0,
        }
    }

    /// Brings the world up to date. Call it first, for every event, or not at all. False: it
    /// leaves the policy nothing to do (it is REJECTED, of a later version, or about a component
    /// that cannot be).
    pub fn follow(&mut self, e: &Event) -> bool {
        self.free = e.free;
        self.budget = e.budget;
        match e.kind {
            Kind::CONFIG => {
                if let Some(n) = e.config_number("offhost.chunk_bytes") {
                    self.chunk_bytes = n;
                }
                return true;
            }
            Kind::REJECTED => {
                if let Some((d, _)) = e.rejection() {
                    if let Some(c) = self.components.get_mut(d.component as usize) {
                        if d.op == Op::EVICT {
                            c.refused = self.moment.wrapping_add(1);
                        }
                    }
                }
                return false;
            }
            Kind::BEGIN | Kind::END => {
                self.moment = self.moment.wrapping_add(1);
                return true;
            }
            Kind::ENQUEUED | Kind::IDLE => return true,
            Kind::NEED | Kind::PRESSURE if e.component == NONE => return true,
            Kind::CALL | Kind::DONE => self.moment = self.moment.wrapping_add(1),
            Kind::COMPONENT | Kind::LOADED | Kind::EVICTED | Kind::NEED | Kind::PRESSURE => {}
            _ => return false,
        }
        let c = match self.components.get_mut(e.component as usize) {
            Some(c) => c,
            None => return false,
        };
        c.flags = e.flags;
        c.resident = e.resident;
        match e.kind {
            Kind::CALL => c.calls = c.calls.wrapping_add(1),
            Kind::DONE => c.calls = c.calls.saturating_sub(1),
            Kind::COMPONENT => {
                self.end = self.end.max(e.component + 1);
                c.bytes = e.bytes;
                c.load_cost_ns = e.load_cost_ns;
                c.name_hash = e.name_hash;
                c.parent = e.parent;
                c.index = e.index;
                c.known = !e.flags.any(Flags::REMOVED);
                if !c.known {
                    c.resident = 0;
                    c.calls = 0;
                }
            }
            _ => {}
        }
        true
    }

    /// What is known of a component. Panics, which is a trap, when `id` is not below
    /// [`MAX_COMPONENTS`].
    pub fn component(&self, id: u32) -> &Component {
        &self.components[id as usize]
    }

    /// Ids from here on were never told of.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The unit in which components move.
    pub fn chunk_bytes(&self) -> u64 {
        if self.chunk_bytes == 0 { 32 << 20 } else { self.chunk_bytes }
    }

    /// Whether a component has resident bytes that the host would let go now. What an event
    /// asks room for is for the caller to leave out.
    pub fn evictable(&self, id: u32) -> bool {
        let c = self.component(id);
        // A call uses it if its CALL was told, whatever the flags were then, or if the flags say
        // so: it may have begun before this policy did.
        c.resident != 0
            && c.refused != self.moment.wrapping_add(1)
            && !c.flags.any(Flags::PINNED | Flags::IN_USE | Flags::KEPT)
            && c.calls == 0
    }

    /// What evicting so many bytes of a component frees: whole chunks from the last one down,
    /// which is shorter than the others.
    pub fn frees(&self, id: u32, bytes: u64) -> u64 {
        let resident = self.component(id).resident;
        if bytes == 0 {
            return 0;
        }
        if bytes >= resident {
            return resident;
        }
        let chunk = self.chunk_bytes();
        resident - (resident - bytes) / chunk * chunk
    }

    /// Evicts as much of a component as is needed to free so many bytes, and returns what that
    /// frees: 0 if the answer is full. For 0 bytes it evicts nothing, where
    /// [`Answer::evict`] would evict all.
    pub fn evict_part(&self, answer: &mut Answer, id: u32, bytes: u64, reason: u16) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let freed = self.frees(id, bytes);
        let all = freed == self.component(id).resident;
        if answer.evict(id, if all { 0 } else { freed }, reason) { freed } else { 0 }
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

/// What `name_hash` is of a component of this name: how one that configuration names is known
/// again when events are about it.
pub fn name_hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Logs a line. The host takes 4 lines an event, 256 bytes a line. Natively it does nothing.
pub fn log(line: &str) {
    #[cfg(target_arch = "wasm32")]
    guest::log(line.as_bytes());
    #[cfg(not(target_arch = "wasm32"))]
    let _ = line;
}

/// Logs a line in which each `{}` is the next of the numbers, in decimal:
/// `log_numbers("{} of {} bytes", &[part, all])`. What is beyond 255 bytes is cut. It is a
/// fraction of what `core::fmt` would put into the module.
pub fn log_numbers(text: &str, numbers: &[u64]) {
    let mut line = [0; 255];
    let line = fill(&mut line, text, numbers);
    #[cfg(target_arch = "wasm32")]
    guest::log(line);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = line;
}

fn fill<'a>(line: &'a mut [u8], text: &str, numbers: &[u64]) -> &'a [u8] {
    let mut size = 0;
    let mut put = |byte| {
        if let Some(to) = line.get_mut(size) {
            *to = byte;
            size += 1;
        }
    };
    let (mut text, mut numbers) = (text.as_bytes(), numbers);
    while let Some((&byte, rest)) = text.split_first() {
        match (text.strip_prefix(b"{}"), numbers.split_first()) {
            (Some(rest), Some((&n, others))) => {
                let mut unit = 1;
                while n / unit >= 10 {
                    unit *= 10;
                }
                while unit > 0 {
                    put(b'0' + (n / unit % 10) as u8);
                    unit /= 10;
                }
                text = rest;
                numbers = others;
            }
            _ => {
                put(byte);
                text = rest;
            }
        }
    }
    line.get(..size).unwrap_or_default()
}

/// What the module says of itself: lines `key=value`, such as `name=mine` and
/// `reason.1=least recently used`, as a byte string.
#[macro_export]
macro_rules! about {
    ($text:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[link_section = "offhost"]
        #[used]
        static ABOUT: [u8; $text.len()] = *$text;
    };
}

/// Defines the exports of a policy: `policy!(Type = initial value)`, and
/// `policy!(Type = initial value, state)` for one that is a [`State`], too. The value is a
/// static's. Natively, as for the policy's own tests, nothing is defined.
#[macro_export]
macro_rules! policy {
    ($type:ty = $init:expr) => {
        #[cfg(target_arch = "wasm32")]
        static mut POLICY: $type = $init;

        // Natively there is nothing to export, and what a policy consists of is in use all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            #[allow(dead_code)]
            fn policy() -> impl $crate::Policy {
                let policy: $type = $init;
                policy
            }
        };

        #[cfg(target_arch = "wasm32")]
        #[no_mangle]
        extern "C" fn offhost_v1_buffer(size: u32) -> u32 {
            $crate::guest::lend(size)
        }

        #[cfg(target_arch = "wasm32")]
        #[no_mangle]
        extern "C" fn offhost_v1_event(len: u32) -> i32 {
            // One event at a time, on one thread.
            unsafe { $crate::guest::event(&mut *core::ptr::addr_of_mut!(POLICY), len) }
        }
    };
    ($type:ty = $init:expr, state) => {
        $crate::policy!($type = $init);

        #[cfg(target_arch = "wasm32")]
        #[no_mangle]
        extern "C" fn offhost_v1_save() -> i32 {
            unsafe { $crate::guest::save(&*core::ptr::addr_of!(POLICY)) }
        }

        #[cfg(target_arch = "wasm32")]
        #[no_mangle]
        extern "C" fn offhost_v1_restore(len: u32) -> i32 {
            unsafe { $crate::guest::restore(&mut *core::ptr::addr_of_mut!(POLICY), len) }
        }
    };
}

/// What [`policy!`] expands to. It is not meant to be called otherwise.
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod guest {
    use super::*;
    use core::ptr::{addr_of, addr_of_mut};
    use core::slice;

    const EVENT_SIZE: u32 = 128;
    const EVENT_AREA: usize = 256;
    const DECISION_AREA: usize = 2048;
    const MIN_WINDOW: usize = 4096;
    const MAX_BLOB: usize = 64 << 10;

    #[repr(C, align(8))]
    struct Window([u8; MAX_WINDOW]);

    static mut WINDOW: Window = Window([0; MAX_WINDOW]);
    static mut SIZE: usize = 0;

    fn at(offset: usize) -> *mut u8 {
        unsafe { addr_of_mut!(WINDOW.0).cast::<u8>().add(offset) }
    }

    fn room() -> usize {
        unsafe { SIZE }.saturating_sub(EVENT_AREA + DECISION_AREA)
    }

    pub fn lend(size: u32) -> u32 {
        let size = size as usize;
        if size < MIN_WINDOW || size > MAX_WINDOW || size % 8 != 0 {
            return 0;
        }
        unsafe { SIZE = size };
        at(0) as u32
    }

    /// Nothing else may refer to the window meanwhile.
    pub unsafe fn event<P: Policy>(policy: &mut P, len: u32) -> i32 {
        if len < EVENT_SIZE || SIZE < MIN_WINDOW {
            return 0;
        }
        let fields = &*addr_of!(WINDOW).cast::<Fields>();
        let len = room().min(fields.payload_len as usize);
        let payload = slice::from_raw_parts(at(EVENT_AREA), len);
        let area = slice::from_raw_parts_mut(at(SIZE - DECISION_AREA).cast::<Decision>(), MAX_DECISIONS);
        let mut answer = Answer::new(area);
        policy.event(&Event { fields, payload }, &mut answer);
        answer.len as i32
    }

    /// Nothing else may refer to the window meanwhile.
    pub unsafe fn save<S: State>(state: &S) -> i32 {
        let area = slice::from_raw_parts_mut(at(EVENT_AREA), room().min(MAX_BLOB));
        let mut to = Writer::new(area);
        state.save(&mut to);
        to.finish().unwrap_or(0) as i32
    }

    /// Nothing else may refer to the window meanwhile.
    pub unsafe fn restore<S: State>(state: &mut S, len: u32) -> i32 {
        if len as usize > room() {
            return 1;
        }
        let blob = slice::from_raw_parts(at(EVENT_AREA), len as usize);
        if state.restore(&mut Reader::new(blob)) { 0 } else { 1 }
    }

    #[repr(C)]
    struct Iovec {
        at: *const u8,
        len: usize,
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        fn fd_write(fd: u32, list: *const Iovec, count: usize, written: *mut usize) -> u32;
    }

    fn write<const N: usize>(parts: [&[u8]; N]) {
        let list = parts.map(|part| Iovec { at: part.as_ptr(), len: part.len() });
        let mut written = 0;
        unsafe { fd_write(2, list.as_ptr(), list.len(), &mut written) };
    }

    pub fn log(line: &[u8]) {
        write([line, b"\n"]);
    }

    #[panic_handler]
    #[cfg_attr(not(feature = "log-panics"), allow(unused_variables))]
    fn panic(info: &core::panic::PanicInfo) -> ! {
        // A trap says in which function, and that is core's.
        #[cfg(feature = "log-panics")]
        if let Some(at) = info.location() {
            let mut line = [0; 24];
            write([b"panicked at ", at.file().as_bytes(), fill(&mut line, ":{}\n", &[at.line().into()])]);
        }
        core::arch::wasm32::unreachable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        assert_eq!(core::mem::size_of::<Fields>(), 128);
        assert_eq!(core::mem::size_of::<Decision>(), 16);
    }

    #[test]
    fn configuration() {
        let fields = Fields { kind: Kind::CONFIG, ..Fields::default() };
        let e = Event::new(&fields, b"a=1\nab=x=y\nbig=18446744073709551616\nempty=\n");
        assert_eq!(e.config("ab"), Some(&b"x=y"[..]));
        assert_eq!(e.config("b"), None);
        assert_eq!(e.config_number("a"), Some(1));
        assert_eq!(e.config_number("big"), None);
        assert_eq!(e.config_number("empty"), None);
    }

    #[test]
    fn a_full_answer_takes_no_more() {
        let mut area = [Decision { op: Op(0), reason: 0, component: 0, arg: 0 }; 2];
        let mut answer = Answer::new(&mut area);
        assert!(answer.evict(1, 0, 0) && answer.retain(2, 1, 0) && !answer.prefetch(3, 0, 0));
        assert_eq!(answer.decisions().len(), 2);
    }

    #[test]
    fn numbers_stand_where_they_should() {
        let line = &mut [0; 24];
        assert_eq!(fill(line, "{} of {}: {}", &[0, 10]), b"0 of 10: {}");
        assert_eq!(fill(line, "{{}}{", &[7, 8]), b"{7}{");
        assert_eq!(fill(line, "at most {}", &[u64::MAX]), b"at most 1844674407370955"); // and no more
        assert_eq!(fill(line, "", &[1]), b"");
    }

    #[test]
    fn blobs_are_bounded() {
        let mut area = [0; 12];
        let mut to = Writer::new(&mut area);
        to.u64(7);
        to.u32(8);
        assert_eq!(to.finish(), Some(12));
        let mut from = Reader::new(&area);
        assert_eq!((from.u64(), from.u32(), from.u32()), (Some(7), Some(8), None));
        let mut to = Writer::new(&mut area[..7]);
        to.u64(7);
        assert_eq!(to.finish(), None);
    }
}
