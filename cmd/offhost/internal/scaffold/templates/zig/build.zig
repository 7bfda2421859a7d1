// zig build writes zig-out/bin/policy.wasm. Zig 0.15.
const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.resolveTargetQuery(.{
        .cpu_arch = .wasm32,
        .os_tag = .freestanding,
        .cpu_model = .{ .explicit = &std.Target.wasm.cpu.mvp },
        .cpu_features_add = std.Target.wasm.featureSet(&.{.bulk_memory}),
    });
    const offhost = b.createModule(.{ .root_source_file = b.path("sdk/offhost.zig") });
    const policy = b.addExecutable(.{
        .name = "policy",
        .root_module = b.createModule(.{
            .root_source_file = b.path("policy.zig"),
            .target = target,
            .optimize = .ReleaseSafe, // checks overflow and bounds, for some percent of fuel
            .strip = true, // false names functions in a fault, in 60 times the bytes
            .imports = &.{.{ .name = "offhost", .module = offhost }},
        }),
    });
    policy.entry = .disabled; // a library: the host calls what it exports
    policy.rdynamic = true;
    policy.stack_size = 16 << 10;
    b.installArtifact(policy);
}
