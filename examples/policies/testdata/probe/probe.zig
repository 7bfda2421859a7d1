//! Shows all that the SDK gives, for a test that knows what it has to show.
const std = @import("std");
const offhost = @import("offhost");

var world: offhost.World = .{};
var threshold: u64 = 0;

fn onEvent(e: *const offhost.Event, answer: *offhost.Answer) void {
    if (e.rejection()) |r|
        _ = answer.retain(r.decision.component, r.decision.arg, @intCast(100 * r.code + r.decision.reason));
    const follows = world.follow(e);
    switch (e.kind) {
        .config => {
            threshold = if (follows) e.configNumber("threshold") orelse 7 else 0;
            const greeting = e.config("greeting") orelse "";
            offhost.log(greeting);
            var line: [255]u8 = undefined;
            offhost.log(std.fmt.bufPrint(&line, "the hash is {}", .{offhost.nameHash(greeting)}) catch unreachable);
            offhost.log(std.fmt.bufPrint(&line, "the threshold is {}, {} and {} bytes: {{}}", .{
                threshold, greeting.len, @as(u64, std.math.maxInt(u64)),
            }) catch unreachable);
        },
        .enqueued => {
            const flags: u16 = @bitCast(e.flags);
            const all = [_]u64{
                @intFromEnum(e.kind), flags,    e.component, e.parent,    e.index,        e.name_hash, e.session,
                e.request,            e.step,   e.steps,     e.seq,       e.time_ns,      e.bytes,     e.resident,
                e.free,               e.budget, e.foreign,   e.workspace, e.load_cost_ns, e.amount,
            };
            for (all, 0..) |v, i| _ = answer.retain(@intCast(i), v, 0);
        },
        .idle => for (0..200) |i| {
            if (!answer.evict(@intCast(i), i, 1) and answer.room() == 0) threshold += 1;
        },
        .pressure => _ = answer.retain(0, threshold, 0),
        .need => {
            for (0..world.end) |i| {
                const id: u32 = @intCast(i);
                const known: u16 = @intFromBool(world.components[id].known);
                _ = answer.prefetch(id, world.frees(id, e.amount), @intFromBool(world.evictable(id)) + 2 * known);
            }
            _ = world.evictPart(answer, 0, e.amount, 9);
            _ = answer.retain(world.end, world.free, 0);
            _ = answer.retain(world.end, world.budget, 0);
            const c = &world.components[1];
            _ = answer.retain(1, c.bytes, 0);
            _ = answer.retain(1, c.load_cost_ns, 0);
            _ = answer.retain(1, c.name_hash, 0);
        },
        else => if (@intFromEnum(e.kind) == 99) {
            _ = answer.retain(0, @intFromBool(follows), 0);
        },
    }
}

fn save(to: *offhost.Writer) void {
    to.put(u64, threshold);
}

fn restore(from: *offhost.Reader) bool {
    const kept = from.get(u64);
    if (!from.short) threshold = kept;
    return true;
}

comptime {
    offhost.policy(onEvent);
    offhost.state(save, restore);
}
