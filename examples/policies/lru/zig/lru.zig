//! Least recently used, sized: when memory is needed, the component whose last use (the
//! beginning or the end of a call) lies furthest back goes first, no more of it than is lacking.

const offhost = @import("offhost");

const least_recently_used = 1;

/// Neighbours in the list of recency, as ids + 1; 0 at its ends.
const Link = struct { older: u32 = 0, newer: u32 = 0, listed: bool = false };

var world: offhost.World = .{};
var links: [offhost.max_components]Link = @splat(.{});
var oldest: u32 = 0;
var newest: u32 = 0;

fn unlist(id: u32) void {
    const l = &links[id];
    if (!l.listed) return;
    (if (l.older != 0) &links[l.older - 1].newer else &oldest).* = l.newer;
    (if (l.newer != 0) &links[l.newer - 1].older else &newest).* = l.older;
    l.listed = false;
}

fn touch(id: u32) void {
    if (newest == id + 1) return;
    unlist(id);
    links[id] = .{ .older = newest, .listed = true };
    (if (newest != 0) &links[newest - 1].newer else &oldest).* = id + 1;
    newest = id + 1;
}

fn need(asking: u32, amount: u64, answer: *offhost.Answer) void {
    var missing = amount;
    var i = oldest;
    while (i != 0 and missing > 0 and answer.room() > 0) : (i = links[i - 1].newer) {
        const id = i - 1;
        if (id != asking and world.evictable(id))
            missing -|= world.evictPart(answer, id, missing, least_recently_used);
    }
}

fn onEvent(e: *const offhost.Event, answer: *offhost.Answer) void {
    if (!world.follow(e)) return;
    switch (e.kind) {
        .component => if (e.flags.removed) unlist(e.component),
        // Attached in the middle, it learns of what is there.
        .loaded, .evicted => if (e.resident > 0 and !links[e.component].listed) touch(e.component),
        .call, .done => touch(e.component),
        .need => need(e.component, e.amount, answer),
        else => {},
    }
}

comptime {
    asm (offhost.about(&.{ "name=lru-zig", "version=1", "reason.1=least recently used" }));
    offhost.policy(onEvent);
}
