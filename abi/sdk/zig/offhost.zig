//! Policies for offhost in Zig: the event as a typed view of the window, decisions that cannot
//! leave it, a mirror of the world, configuration, logging, learned state.
//!
//!     const offhost = @import("offhost");
//!     var world: offhost.World = .{};
//!
//!     fn onEvent(e: *const offhost.Event, answer: *offhost.Answer) void {
//!         if (!world.follow(e) or e.kind != .need) return;
//!         var missing = e.amount;
//!         for (0..world.end) |i| {
//!             const id: u32 = @intCast(i);
//!             if (missing > 0 and id != e.component and world.evictable(id))
//!                 missing -|= world.evictPart(answer, id, missing, 1);
//!         }
//!     }
//!
//!     comptime {
//!         asm (offhost.about(&.{ "name=first", "reason.1=the first that can go" }));
//!         offhost.policy(onEvent);
//!     }
//!
//! What is not used is not in the module. Nothing here allocates.

const std = @import("std");

/// Component ids are below this.
pub const max_components = 4096;
/// Decisions that an answer holds.
pub const max_decisions = 128;
/// Stands for "no component".
pub const none: u32 = 0xffffffff;

const event_area = 256;
const decision_area = 2048;
const min_window = 4096;
const max_window = 67840;
const max_blob = 64 << 10;

/// What an event tells: SPEC.md, section 4. There may be more kinds than are named here.
pub const Kind = enum(u16) {
    config = 1,
    component,
    loaded,
    evicted,
    enqueued,
    begin,
    call,
    done,
    end,
    need,
    idle,
    pressure,
    rejected,
    _,
};

/// About the component of an event: SPEC.md, section 3.
pub const Flags = packed struct(u16) {
    resident: bool = false,
    pinned: bool = false,
    in_use: bool = false,
    dirty: bool = false,
    loop_hint: bool = false,
    kept: bool = false,
    read_only: bool = false,
    removed: bool = false,
    truncated: bool = false,
    thrash: bool = false,
    later: u6 = 0,
};

/// The ABI's own record. Sizes are bytes of device memory; what an event does not use is 0.
pub const Event = extern struct {
    kind: Kind,
    flags: Flags,
    /// Its id, or `none`.
    component: u32,
    /// The id of its parent, or `none`.
    parent: u32,
    /// Its position among the parent's children.
    index: u32,
    /// FNV-1a of its name; of the pipeline's for begin and enqueued.
    name_hash: u64,
    session: u32,
    /// 0 outside requests.
    request: u32,
    /// Position of the call in its request, from 1.
    step: u32,
    /// Calls in the request, 0 when unknown.
    steps: u32,
    /// Number of the event in the run, from 1.
    seq: u64,
    /// Since the run began; never decreases.
    time_ns: u64,
    /// Size of the component.
    bytes: u64,
    /// Of it, what is resident.
    resident: u64,
    /// Of the budget, what is neither used nor promised.
    free: u64,
    budget: u64,
    /// Of the budget, what others use.
    foreign: u64,
    /// What the call needs beside the weights.
    workspace: u64,
    /// Time to bring the whole component to the device.
    load_cost_ns: u64,
    /// need: bytes to free; loaded, evicted: bytes moved; pressure: bytes short.
    amount: u64,
    payload_len: u32,
    reserved: u32,

    /// A name, a declared order, configuration. It is the window's.
    pub fn payload(e: *const Event) []const u8 {
        return window[event_area..][0..@min(e.payload_len, payloadRoom())];
    }

    /// config: the value of a key, null if it is not set.
    pub fn config(e: *const Event, key: []const u8) ?[]const u8 {
        if (e.kind != .config) return null;
        var rest = e.payload();
        while (rest.len > 0) {
            var end: usize = 0;
            while (end < rest.len and rest[end] != '\n') end += 1;
            const line = rest[0..end];
            if (line.len > key.len and line[key.len] == '=' and same(line[0..key.len], key))
                return line[key.len + 1 ..];
            rest = rest[@min(end + 1, rest.len)..];
        }
        return null;
    }

    /// config: the value of a key as a decimal number, null if it is none that fits.
    pub fn configNumber(e: *const Event, key: []const u8) ?u64 {
        const text = e.config(key) orelse return null;
        if (text.len == 0) return null;
        var n: u64 = 0;
        for (text) |c| {
            if (c < '0' or c > '9') return null;
            const digit: u64 = c - '0';
            if (n > (std.math.maxInt(u64) - digit) / 10) return null;
            n = n * 10 + digit;
        }
        return n;
    }

    /// rejected: the decision that was refused and why (SPEC.md, section 5).
    pub fn rejection(e: *const Event) ?*const Rejected {
        if (e.kind != .rejected or e.payload().len < @sizeOf(Rejected)) return null;
        return @ptrCast(@alignCast(&window[event_area]));
    }
};

fn same(a: []const u8, b: []const u8) bool {
    for (a, b) |x, y| {
        if (x != y) return false;
    }
    return true;
}

/// What a decision asks for: SPEC.md, section 5.
pub const Op = enum(u16) { evict = 1, retain, prefetch, _ };

/// The ABI's own record.
pub const Decision = extern struct {
    op: Op,
    /// The policy's own code, shown beside the movement.
    reason: u16,
    component: u32,
    /// evict, prefetch: bytes, 0 for all; retain: calls to hold, 1 to 65536.
    arg: u64,
};

pub const Rejected = extern struct {
    decision: Decision,
    code: u32,
    reserved: u32,
};

comptime {
    std.debug.assert(@sizeOf(Event) == 128 and @sizeOf(Decision) == 16 and @sizeOf(Rejected) == 24);
}

/// The answer to one event, in the order of preference. An empty one leaves everything to the
/// host.
pub const Answer = struct {
    area: *[max_decisions]Decision,
    len: u32 = 0,

    /// Decisions that still fit.
    pub fn room(a: *const Answer) u32 {
        return max_decisions - a.len;
    }

    /// Adds a decision. False: the answer is full, and nothing was added.
    pub fn add(a: *Answer, d: Decision) bool {
        if (a.len >= max_decisions) return false;
        a.area[a.len] = d;
        a.len += 1;
        return true;
    }

    /// Evicts so many bytes of a component, 0 for all; whole chunks go.
    pub fn evict(a: *Answer, component: u32, bytes: u64, reason: u16) bool {
        return a.add(.{ .op = .evict, .reason = reason, .component = component, .arg = bytes });
    }

    /// Wishes that a component stay for so many calls, 1 to 65536.
    pub fn retain(a: *Answer, component: u32, calls: u64, reason: u16) bool {
        return a.add(.{ .op = .retain, .reason = reason, .component = component, .arg = calls });
    }

    /// Loads so many missing bytes of a component, 0 for all; whole chunks come.
    pub fn prefetch(a: *Answer, component: u32, bytes: u64, reason: u16) bool {
        return a.add(.{ .op = .prefetch, .reason = reason, .component = component, .arg = bytes });
    }
};

var window: [max_window]u8 align(8) = @splat(0);
var window_size: u32 = 0;

fn payloadRoom() u32 {
    return window_size -| (event_area + decision_area);
}

fn lend(size: u32) callconv(.c) u32 {
    if (size < min_window or size > max_window or size % 8 != 0) return 0;
    window_size = size;
    return @intFromPtr(&window);
}

/// Defines the exports that every policy has; to be called at comptime. on_event decides by what
/// it adds to the answer.
pub fn policy(comptime on_event: fn (*const Event, *Answer) void) void {
    const exports = struct {
        fn event(len: u32) callconv(.c) i32 {
            if (len < @sizeOf(Event) or window_size < min_window) return 0;
            var answer: Answer = .{ .area = @ptrCast(@alignCast(&window[window_size - decision_area])) };
            on_event(@ptrCast(&window), &answer);
            return @intCast(answer.len);
        }
    };
    @export(&lend, .{ .name = "offhost_v1_buffer" });
    @export(&exports.event, .{ .name = "offhost_v1_event" });
}

/// What the module says of itself: lines such as "name=mine" and "reason.1=the oldest", which the
/// host shows. It is assembler for a comptime block: asm (offhost.about(&.{ ... })).
pub fn about(comptime lines: []const []const u8) []const u8 {
    comptime var text: []const u8 = ".section .custom_section.offhost,\"\",@\n.ascii \"language=Zig\\n\"\n";
    inline for (lines) |line| text = text ++ ".ascii \"" ++ line ++ "\\n\"\n";
    return text ++ ".text\n";
}

/// Defines the exports of a policy that keeps what it learned; to be called at comptime. restore
/// returns whether it takes the blob.
pub fn state(comptime save: fn (*Writer) void, comptime restore: fn (*Reader) bool) void {
    const exports = struct {
        fn saved() callconv(.c) i32 {
            var to: Writer = .{ .area = window[event_area..][0..@min(payloadRoom(), max_blob)] };
            save(&to);
            return if (to.full) 0 else @intCast(to.at);
        }
        fn restored(len: u32) callconv(.c) i32 {
            if (len > payloadRoom()) return 1;
            var from: Reader = .{ .rest = window[event_area..][0..len] };
            return if (restore(&from) and !from.short) 0 else 1;
        }
    };
    @export(&exports.saved, .{ .name = "offhost_v1_save" });
    @export(&exports.restored, .{ .name = "offhost_v1_restore" });
}

/// Writes integers, little-endian, one after the other. If something does not fit, nothing is
/// saved.
pub const Writer = struct {
    area: []u8,
    at: usize = 0,
    full: bool = false,

    /// Writes an integer of any type that has whole bytes.
    pub fn put(w: *Writer, comptime T: type, value: T) void {
        w.full = w.full or w.area.len - w.at < @sizeOf(T);
        if (w.full) return;
        std.mem.writeInt(T, w.area[w.at..][0..@sizeOf(T)], value, .little);
        w.at += @sizeOf(T);
    }
};

/// Reads what a Writer wrote.
pub const Reader = struct {
    rest: []const u8,
    short: bool = false,

    /// Reads an integer; 0 if it is not there.
    pub fn get(r: *Reader, comptime T: type) T {
        r.short = r.short or r.rest.len < @sizeOf(T);
        if (r.short) return 0;
        defer r.rest = r.rest[@sizeOf(T)..];
        return std.mem.readInt(T, r.rest[0..@sizeOf(T)], .little);
    }
};

const Iovec = extern struct { at: [*]const u8, len: usize };

extern "wasi_snapshot_preview1" fn fd_write(fd: u32, list: [*]const Iovec, count: usize, written: *usize) u32;

/// What name_hash is of a component of this name: how one that configuration names is known again
/// when events are about it.
pub fn nameHash(name: []const u8) u64 {
    return std.hash.Fnv1a_64.hash(name);
}

/// Logs a line. The host takes 4 lines an event, 256 bytes a line. It imports fd_write of WASI.
pub fn log(line: []const u8) void {
    const list = [2]Iovec{ .{ .at = line.ptr, .len = line.len }, .{ .at = "\n", .len = 1 } };
    var written: usize = undefined;
    _ = fd_write(2, &list, list.len, &written);
}

/// For `pub const panic = offhost.panic;` in the policy's file: what ReleaseSafe finds wrong (an
/// overflow, an index out of bounds) is logged before it ends the policy. It imports fd_write.
pub const panic = std.debug.FullPanic(ended);

fn ended(message: []const u8, _: ?usize) noreturn {
    @branchHint(.cold);
    log(message);
    @trap();
}

/// What is known of a component. What does not change is as its component event told it.
pub const Component = struct {
    /// Its size.
    bytes: u64 = 0,
    /// Of it, what is on the device: its lowest chunks.
    resident: u64 = 0,
    /// Time to bring all of it to the device.
    load_cost_ns: u64 = 0,
    name_hash: u64 = 0,
    /// The id of its parent, or `none`.
    parent: u32 = 0,
    index: u32 = 0,
    /// Whose done is to come, of those whose call was told.
    calls: u32 = 0,
    /// 1 + the moment at which the host refused to evict it.
    refused: u32 = 0,
    /// As the host told them last.
    flags: Flags = .{},
    /// Registered, and not removed.
    known: bool = false,
};

/// What events have told so far. The initial value is all zeros and takes no room in the module.
pub const World = struct {
    /// By id.
    components: [max_components]Component = @splat(.{}),
    /// Ids from here on were never told of.
    end: u32 = 0,
    /// Of the budget, what is neither used nor promised.
    free: u64 = 0,
    budget: u64 = 0,
    /// The unit in which components move; 0: not told. See chunk.
    chunk_bytes: u64 = 0,
    /// A moment ends with every begin, call, done and end: what the host refused in one may be
    /// lawful in the next.
    moment: u32 = 0,

    /// Brings the world up to date. Call it first, for every event, or not at all. False: it
    /// leaves the policy nothing to do (it is rejected, of a later version, or about a component
    /// that cannot be).
    pub fn follow(w: *World, e: *const Event) bool {
        w.free = e.free;
        w.budget = e.budget;
        switch (e.kind) {
            .config => {
                if (e.configNumber("offhost.chunk_bytes")) |n| w.chunk_bytes = n;
                return true;
            },
            .rejected => {
                if (e.rejection()) |r| {
                    if (r.decision.op == .evict and r.decision.component < max_components)
                        w.components[r.decision.component].refused = w.moment +% 1;
                }
                return false;
            },
            .begin, .end => {
                w.moment +%= 1;
                return true;
            },
            .enqueued, .idle => return true,
            .need, .pressure => if (e.component == none) return true,
            .call, .done => w.moment +%= 1,
            .component, .loaded, .evicted => {},
            _ => return false,
        }
        if (e.component >= max_components) return false;
        const c = &w.components[e.component];
        c.flags = e.flags;
        c.resident = e.resident;
        switch (e.kind) {
            .call => c.calls +%= 1,
            .done => c.calls -|= 1,
            .component => {
                w.end = @max(w.end, e.component + 1);
                c.bytes = e.bytes;
                c.load_cost_ns = e.load_cost_ns;
                c.name_hash = e.name_hash;
                c.parent = e.parent;
                c.index = e.index;
                c.known = !e.flags.removed;
                if (!c.known) {
                    c.resident = 0;
                    c.calls = 0;
                }
            },
            else => {},
        }
        return true;
    }

    /// The unit in which components move, in bytes.
    pub fn chunk(w: *const World) u64 {
        return if (w.chunk_bytes == 0) 32 << 20 else w.chunk_bytes;
    }

    /// Whether a component has resident bytes that the host would let go now. What an event asks
    /// room for is for the caller to leave out.
    pub fn evictable(w: *const World, id: u32) bool {
        const c = &w.components[id];
        if (c.resident == 0 or c.refused == w.moment +% 1) return false;
        if (c.flags.pinned or c.flags.kept) return false;
        // A call uses it if its call was told, whatever the flags were then, or if the flags say
        // so: it may have begun before this policy did.
        return !c.flags.in_use and c.calls == 0;
    }

    /// What evicting so many bytes of a component frees: whole chunks from the last one down,
    /// which is shorter than the others.
    pub fn frees(w: *const World, id: u32, bytes: u64) u64 {
        const resident = w.components[id].resident;
        if (bytes == 0) return 0;
        if (bytes >= resident) return resident;
        return resident - (resident - bytes) / w.chunk() * w.chunk();
    }

    /// Evicts as much of a component as is needed to free so many bytes, and returns what that
    /// frees: 0 if the answer is full. For 0 bytes it evicts nothing, where Answer.evict would
    /// evict all.
    pub fn evictPart(w: *const World, a: *Answer, id: u32, bytes: u64, reason: u16) u64 {
        if (bytes == 0) return 0;
        const freed = w.frees(id, bytes);
        const all = freed == w.components[id].resident;
        return if (a.evict(id, if (all) 0 else freed, reason)) freed else 0;
    }
};
