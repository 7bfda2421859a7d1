//! The lru of ../../lru/zig as one would write it without the SDK.
const Component = extern struct { resident: u64 = 0, calls: u32 = 0, refused: u32 = 0, older: u16 = 0, newer: u16 = 0, flags: u16 = 0, listed: bool = false };

var window: [67840]u8 align(8) = @splat(0);
var components: [4096]Component = @splat(.{});
var size: u32 = 0;
var answered: u32 = 0;
var oldest: u16 = 0;
var newest: u16 = 0;
var chunk: u64 = 32 << 20;
var moment: u32 = 1;

fn field(comptime T: type, offset: usize) *T {
    return @ptrCast(@alignCast(&window[offset]));
}

fn unlist(id: u32) void {
    const c = &components[id];
    if (!c.listed) return;
    if (c.older != 0) components[c.older - 1].newer = c.newer else oldest = c.newer;
    if (c.newer != 0) components[c.newer - 1].older = c.older else newest = c.older;
    c.listed = false;
}

fn touch(id: u32) void {
    const this: u16 = @intCast(id + 1);
    if (newest == this) return;
    unlist(id);
    const c = &components[id];
    c.older = newest;
    c.newer = 0;
    c.listed = true;
    if (newest != 0) components[newest - 1].newer = this else oldest = this;
    newest = this;
}

fn need(asking: u32, amount: u64) void {
    var missing = amount;
    var i = oldest;
    while (i != 0 and missing > 0 and answered < 128) {
        const id: u32 = i - 1;
        const c = &components[id];
        i = c.newer;
        if (id == asking or c.resident == 0 or c.refused == moment or c.flags & 0x26 != 0 or c.calls != 0) continue;
        const freed = if (missing >= c.resident) c.resident else c.resident - (c.resident - missing) / chunk * chunk;
        const at = size - 2048 + 16 * answered;
        field(u32, at).* = 0x10001;
        field(u32, at + 4).* = id;
        field(u64, at + 8).* = if (freed == c.resident) 0 else freed;
        answered += 1;
        missing -|= freed;
    }
}

fn configure() void {
    const key = "offhost.chunk_bytes=";
    const text = window[256..][0..@min(field(u32, 120).*, size - 2304)];
    var i: usize = 0;
    next: while (i + key.len < text.len) : (i += 1) {
        for (key, text[i..][0..key.len]) |a, b| if (a != b) continue :next;
        chunk = 0;
        for (text[i + key.len ..]) |d| {
            if (d == '\n') return;
            chunk = chunk * 10 + (d - '0');
        }
    }
}

export fn offhost_v1_buffer(bytes: u32) u32 {
    if (bytes > window.len) return 0;
    size = bytes;
    return @intFromPtr(&window);
}

export fn offhost_v1_event(len: u32) u32 {
    answered = 0;
    if (len < 128) return 0;
    const kind = field(u16, 0).*;
    const flags = field(u16, 2).*;
    const id = field(u32, 4).*;
    switch (kind) {
        1 => {
            configure();
            return 0;
        },
        6, 9 => {
            moment += 1;
            return 0;
        },
        13 => {
            const refused = field(u32, 260).*;
            if (refused < 4096) components[refused].refused = moment;
            return 0;
        },
        10 => if (id >= 4096) {
            need(id, field(u64, 112).*);
            return answered;
        },
        2, 3, 4, 7, 8 => {},
        else => return 0,
    }
    if (id >= 4096) return 0;
    const c = &components[id];
    c.flags = flags;
    switch (kind) {
        2 => if (flags & 0x80 != 0) {
            c.resident = 0;
            c.calls = 0;
            unlist(id);
        },
        3, 4 => {
            c.resident = field(u64, 64).*;
            if (c.resident != 0 and !c.listed) touch(id);
        },
        7 => {
            moment += 1;
            c.calls += 1;
            touch(id);
        },
        8 => {
            moment += 1;
            c.calls -|= 1;
            touch(id);
        },
        else => need(id, field(u64, 112).*),
    }
    return answered;
}
