//! Sets: the configuration says which components may be on the device together, and what it
//! costs to evict one beyond the time to load it again. When a component is called, everything
//! that no set allows beside it goes, by the set for which that costs least. README.md has the
//! language.

const offhost = @import("offhost");

const outside_the_set = 1;
const cheapest = 2;

const max_sets = 16;
const max_terms = 32; // of a set
const max_costs = 32;
const max_text = 8 << 10;

/// A place in a set: which term a component's name is in, and which alternative of it; 0: none.
const Place = struct { term: u8 = 0, alternative: u8 = 0 };

const Cost = struct { pattern: []const u8, factor: u64 };

var world: offhost.World = .{};
var text: [max_text]u8 = undefined; // the configuration, which outlives its event
var sets: [max_sets][]const u8 = undefined;
var set_count: usize = 0;
var costs: [max_costs]Cost = undefined;
var cost_count: usize = 0;

var places: [offhost.max_components][max_sets]Place = @splat(@splat(.{}));
var factors: [offhost.max_components]u64 = @splat(0); // in hundredths; 0: not registered
var declared: [offhost.max_components]bool = @splat(false); // it is in some set

/// A name, or the beginning of names followed by '*'.
fn matches(pattern: []const u8, name: []const u8) bool {
    var i: usize = 0;
    while (i < pattern.len) : (i += 1) {
        if (pattern[i] == '*' and i + 1 == pattern.len) return true;
        if (i >= name.len or name[i] != pattern[i]) return false;
    }
    return i == name.len;
}

/// Cuts text at the first of a byte; the rest is what follows it.
fn cut(rest: *[]const u8, at: u8) []const u8 {
    const all = rest.*;
    var i: usize = 0;
    while (i < all.len and all[i] != at) i += 1;
    rest.* = all[@min(i + 1, all.len)..];
    return all[0..i];
}

/// Where a name is in a set: its first term that has it, and the first alternative of that.
fn place(set: []const u8, name: []const u8) Place {
    var rest = set;
    var term: u8 = 0;
    while (rest.len > 0 and term < max_terms) {
        var alternatives = cut(&rest, ' ');
        if (alternatives.len == 0) continue; // more than one space
        term += 1;
        var alternative: u8 = 0;
        while (alternatives.len > 0) {
            alternative +|= 1;
            if (matches(cut(&alternatives, '|'), name)) return .{ .term = term, .alternative = alternative };
        }
    }
    return .{};
}

fn startsWith(line: []const u8, key: []const u8) bool {
    return line.len >= key.len and matches(key, line[0..key.len]);
}

/// A number with up to two decimals, in hundredths; 0 if it is none.
fn hundredths(digits: []const u8) u64 {
    var n: u64 = 0;
    var decimals: ?u32 = null;
    for (digits) |c| {
        if (c == '.' and decimals == null) {
            decimals = 0;
            continue;
        }
        if (c < '0' or c > '9' or n > 1_000_000) return 0;
        if (decimals) |*d| {
            if (d.* == 2) return 0;
            d.* += 1;
        }
        n = n * 10 + (c - '0');
    }
    const given = decimals orelse 0;
    return n * @as(u64, if (given == 0) 100 else if (given == 1) 10 else 1);
}

fn configure(e: *const offhost.Event) void {
    const payload = e.payload();
    if (payload.len > text.len or e.flags.truncated) {
        offhost.log("sets: the configuration is larger than 8 KiB and is not used");
        return;
    }
    @memcpy(text[0..payload.len], payload);
    var rest: []const u8 = text[0..payload.len];
    while (rest.len > 0) {
        var value = cut(&rest, '\n');
        const key = cut(&value, '=');
        if (startsWith(key, "set.")) {
            if (set_count == max_sets) {
                offhost.log("sets: there are more than 16 sets, the last are not used");
                return;
            }
            sets[set_count] = value;
            set_count += 1;
        } else if (startsWith(key, "cost.")) {
            const n = hundredths(value);
            if (n == 0 or cost_count == max_costs) {
                offhost.log("sets: a cost is not used: want a number above 0 with at most two decimals, and 32 of them");
                continue;
            }
            costs[cost_count] = .{ .pattern = key["cost.".len..], .factor = n };
            cost_count += 1;
        }
    }
}

fn registered(e: *const offhost.Event) void {
    const id = e.component;
    places[id] = @splat(.{});
    factors[id] = 100;
    declared[id] = false;
    if (e.flags.removed) return;
    const name = e.payload();
    for (sets[0..set_count], 0..) |set, i| {
        places[id][i] = place(set, name);
        if (places[id][i].term != 0) declared[id] = true;
    }
    for (costs[0..cost_count]) |c| {
        if (matches(c.pattern, name)) {
            factors[id] = c.factor;
            return;
        }
    }
}

/// Whether a set allows two components at a time: both are in it, and not as alternatives of one
/// term.
fn together(set: usize, a: u32, b: u32) bool {
    const x = places[a][set];
    const y = places[b][set];
    return x.term != 0 and y.term != 0 and (x.term != y.term or x.alternative == y.alternative);
}

/// What evicting all of a component costs: the time to load again what is resident, by its factor.
fn evictionCost(id: u32) u64 {
    const c = &world.components[id];
    const chunks = c.resident / world.chunk() + 1;
    const all = c.bytes / world.chunk() + 1;
    return @min(c.load_cost_ns, 1 << 40) / all *| chunks *| factors[id];
}

/// The set with which calling a component evicts for the least cost; the first among equals.
fn bestSet(called: u32) ?usize {
    var best: ?usize = null;
    var least: u64 = 0;
    for (0..set_count) |set| {
        if (places[called][set].term == 0) continue;
        var sum: u64 = 0;
        for (0..world.end) |i| {
            const id: u32 = @intCast(i);
            if (declared[id] and world.components[id].resident > 0 and !together(set, called, id))
                sum +|= evictionCost(id);
        }
        if (best == null or sum < least) {
            best = set;
            least = sum;
        }
    }
    return best;
}

/// Evicts what no set allows beside the component that is called.
fn call(called: u32, answer: *offhost.Answer) void {
    const set = bestSet(called) orelse return;
    for (0..world.end) |i| {
        const id: u32 = @intCast(i);
        if (id == called or !declared[id] or together(set, called, id) or !world.evictable(id)) continue;
        if (!answer.evict(id, 0, outside_the_set)) return;
    }
}

/// Room beyond what the sets give: what costs least goes first, as long as an answer lasts.
fn need(asking: u32, amount: u64, answer: *offhost.Answer) void {
    var victims: [16]u32 = undefined;
    var count: usize = 0;
    var missing = amount;
    const looks = 4 * offhost.max_components;
    while (missing > 0 and count < @min(victims.len, looks / @max(world.end, 1))) {
        var best: u32 = offhost.none;
        var least: u64 = 0;
        search: for (0..world.end) |i| {
            const id: u32 = @intCast(i);
            if (id == asking or world.components[id].resident == 0 or !declared[id]) continue;
            const cost = evictionCost(id);
            if (best != offhost.none and cost >= least or !world.evictable(id)) continue;
            for (victims[0..count]) |v| if (v == id) continue :search;
            best = id;
            least = cost;
        }
        if (best == offhost.none) return;
        missing -|= world.evictPart(answer, best, missing, cheapest);
        victims[count] = best;
        count += 1;
    }
}

fn onEvent(e: *const offhost.Event, answer: *offhost.Answer) void {
    if (e.kind == .config) configure(e);
    if (!world.follow(e) or set_count == 0) return;
    switch (e.kind) {
        .component => registered(e),
        .call => if (!e.flags.resident) call(e.component, answer),
        .need => if (e.component < offhost.max_components and declared[e.component]) need(e.component, e.amount, answer),
        else => {},
    }
}

comptime {
    asm (offhost.about(&.{ "name=sets", "version=1", "config=set.*,cost.*", "reason.1=no set allows it beside what is called", "reason.2=costs least to load again" }));
    offhost.policy(onEvent);
}
