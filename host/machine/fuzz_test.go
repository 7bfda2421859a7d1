package machine_test

import (
	"testing"
	"unicode/utf8"

	"github.com/offhost/offhost/host/units"
)

// Whatever the files hold, reading them ends, and the figures stay in their ranges.
func FuzzRead(f *testing.F) {
	for _, c := range []struct{ cgroup, mounts, limit, stat string }{
		{"0::/a/b\n", v2Mount, "20000000000\n", "active_file 5\nfile_dirty 7\n"},
		{"4:memory:/docker/0\n0::/\n", v1Mounts, unlimited, "total_active_file 9223372036854775807\n"},
		{"0::/../x\n", "1 2 3:4 /.. /m\\040m rw - cgroup2 x rw\n", "max\n", ""},
	} {
		f.Add(c.cgroup, c.mounts, c.limit, c.stat, desktop["/proc/meminfo"], desktop["/proc/self/limits"],
			withGPU["/proc/driver/nvidia/gpus/0000:01:00.0/information"], "0-3,8", elf(2, 62), ldCache("/usr/lib/libcuda.so.1"))
	}
	f.Fuzz(func(t *testing.T, cgroup, mounts, limit, stat, meminfo, limits, gpu, cpus, library, cache string) {
		in := files{
			"/proc/self/cgroup": cgroup, "/proc/self/mountinfo": mounts, "/proc/meminfo": meminfo,
			"/proc/self/limits": limits, "/proc/self/status": "Cpus_allowed_list:\t" + cpus + "\n",
			"/proc/sys/vm/max_map_count": limit, "/proc/sys/vm/overcommit_memory": "2",
			"/proc/driver/nvidia/version": gpu, "/proc/driver/nvidia/gpus/a/information": gpu,
			"/etc/os-release": gpu, "/etc/ld.so.conf": mounts, "/etc/ld.so.cache": cache, "/usr/lib/libcuda.so.1": library,
			"/sys/kernel/mm/transparent_hugepage/shmem_enabled": stat,
		}
		for _, folder := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b", "/sys/fs/cgroup/memory"} {
			for _, file := range []string{"memory.max", "memory.high", "memory.current", "memory.limit_in_bytes", "memory.usage_in_bytes"} {
				in[folder+"/"+file] = limit
			}
			in[folder+"/memory.stat"] = stat
			in[folder+"/cpu.max"] = limit
		}
		got := source(in).Read()
		budget, why := got.HostBudget()
		if budget < 0 || budget > units.MaxBytes || why == "" {
			t.Errorf("budget %d (%s)", budget, why)
		}
		if got.Memory.Known && budget > got.Memory.Available {
			t.Errorf("budget %d, but %d available", budget, got.Memory.Available)
		}
		if c := got.Cgroup; c.Limited && (budget > c.Room() || c.Cache > c.Used || c.Cache < 0 || c.CPUs < 0) {
			t.Errorf("budget %d in %+v", budget, c)
		}
		if got.CPUs < 0 || got.CPUs > 1<<16 {
			t.Errorf("%d processors", got.CPUs)
		}
		for _, g := range got.NVIDIA.GPUs {
			if !utf8.ValidString(g.Model) || len(g.Model) > 128 {
				t.Errorf("model %q", g.Model)
			}
		}
	})
}
