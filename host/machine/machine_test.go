package machine_test

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/units"
)

// files is a file system: content by absolute path; "-> x" is a link to x, "dev" a
// device file.
type files map[string]string

func (f files) fs() fs.FS {
	m := fstest.MapFS{}
	for path, content := range f {
		file := &fstest.MapFile{Data: []byte(content), Mode: 0o644}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			file = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		}
		if content == "dev" {
			file = &fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}
		}
		m[strings.TrimPrefix(path, "/")] = file
	}
	return m
}

func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// source is a Linux machine with these files, where everything that is tried works.
func source(f files) machine.Source {
	return machine.Source{
		OS: "linux", Arch: "amd64", Files: f.fs(),
		Getenv: func(string) string { return "" },
		Access: func(string) error { return nil },
		Share:  func() machine.Sharing { return machine.Sharing{} },
	}
}

// desktop has 32 GB and no control groups.
var desktop = files{
	"/proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
	"/proc/meminfo": "MemTotal:       31250000 kB\nMemFree:  1000 kB\nMemAvailable:   29296875 kB\n" +
		"SwapTotal:       2000000 kB\nCommitLimit:    17625000 kB\nCommitted_AS:    7812500 kB\nHugePages_Total:       0\n",
	"/proc/sys/vm/overcommit_memory":                    "0\n",
	"/proc/sys/vm/max_map_count":                        "65530\n",
	"/proc/self/status":                                 "Name:\toffhost\nCpus_allowed_list:\t0-3,8,10-11\n",
	"/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
	"/proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max open files            1024                 524288               files     \n" +
		"Max locked memory         8388608              unlimited            bytes     \n",
	"/etc/os-release": "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
}

func TestADesktopWithoutCgroups(t *testing.T) {
	got := source(desktop).Read()
	want := machine.Info{
		OS: "linux", Arch: "amd64", Kernel: "6.8.0-45-generic", CPUs: 7,
		Distribution: machine.Distribution{ID: "linuxmint", Like: []string{"ubuntu", "debian"}},
		Memory: machine.Memory{
			Known: true, Total: 32 * units.GB, Available: 30 * units.GB, Swap: 2_048_000_000,
			CommitLimit: 18_048_000_000, Committed: 8 * units.GB, SharedHugePages: "never",
		},
		Limits: machine.Limits{
			Descriptors:  machine.Limit{Known: true, Soft: 1024, Hard: 524288},
			LockedMemory: machine.Limit{Known: true, Soft: 8388608, Hard: machine.Unlimited},
			Mappings:     65530,
		},
		NVIDIA: machine.NVIDIA{
			Control: machine.DeviceFile{Path: "/dev/nvidiactl"},
			UVM:     machine.DeviceFile{Path: "/dev/nvidia-uvm"},
			DXG:     machine.DeviceFile{Path: "/dev/dxg"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got.Distribution.Is("fedora", "debian") || got.Distribution.Is("fedora") {
		t.Error("Linux Mint is made from Debian, not from Fedora")
	}
}

// A machine of which nothing can be read is described without an error.
func TestNothingToRead(t *testing.T) {
	got := source(nil).Read()
	if b, why := got.HostBudget(); b != 0 || !strings.Contains(why, "not known") {
		t.Errorf("budget %v (%s), want 0 and that memory is not known", b, why)
	}
}

func TestOtherSystemsAreNotLookedInto(t *testing.T) {
	s := source(desktop)
	s.OS = "darwin"
	s.Share = func() machine.Sharing { return machine.Sharing{Memfd: errors.New("none here")} }
	got := s.Read()
	want := machine.Info{OS: "darwin", Arch: "amd64", CPUs: runtime.NumCPU()}
	if got.Sharing.Memfd == nil {
		t.Error("sharing was not tried")
	}
	got.Sharing = machine.Sharing{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const (
	v2Mount   = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	v1Mounts  = "32 31 0:29 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n" + "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	unlimited = "9223372036854771712\n"
)

func TestCgroups(t *testing.T) {
	for _, c := range []struct {
		name  string
		files files
		want  machine.Cgroup
		room  units.Bytes
	}{
		{
			name: "version 2: an ancestor is the tightest",
			files: files{
				"/proc/self/cgroup":                                  "0::/user.slice/app.scope\n",
				"/proc/self/mountinfo":                               v2Mount,
				"/sys/fs/cgroup/user.slice/app.scope/memory.max":     "20000000000\n",
				"/sys/fs/cgroup/user.slice/app.scope/memory.high":    "max\n",
				"/sys/fs/cgroup/user.slice/app.scope/memory.current": "1000000000\n",
				"/sys/fs/cgroup/user.slice/app.scope/cpu.max":        "max 100000\n",
				"/sys/fs/cgroup/user.slice/memory.max":               "24000000000\n",
				"/sys/fs/cgroup/user.slice/memory.current":           "9000000000\n",
				"/sys/fs/cgroup/user.slice/cpu.max":                  "150000 100000\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup/user.slice", File: "memory.max",
				Limit: 24e9, Used: 9e9, CPUs: 1.5},
			room: 15e9,
		},
		{
			name: "version 2: memory.high slows before memory.max kills",
			files: files{
				"/proc/self/cgroup":               "0::/a\n",
				"/proc/self/mountinfo":            v2Mount,
				"/sys/fs/cgroup/a/memory.max":     "20000000000\n",
				"/sys/fs/cgroup/a/memory.high":    "16000000000\n",
				"/sys/fs/cgroup/a/memory.current": "1000000000\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup/a", File: "memory.high", Limit: 16e9, Used: 1e9},
			room: 15e9,
		},
		{
			name: "clean page cache is no use that stays, dirty is",
			files: files{
				"/proc/self/cgroup":               "0::/a\n",
				"/proc/self/mountinfo":            v2Mount,
				"/sys/fs/cgroup/a/memory.max":     "20000000000\n",
				"/sys/fs/cgroup/a/memory.current": "18000000000\n",
				"/sys/fs/cgroup/a/memory.stat":    "anon 5\nshmem 6000000000\ninactive_file 9000000000\nactive_file 2000000000\nfile_dirty 800000000\nfile_writeback 200000000\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup/a", File: "memory.max", Limit: 20e9, Used: 18e9, Cache: 10e9},
			room: 12e9,
		},
		{
			name: "a group that is over its limit has no room",
			files: files{
				"/proc/self/cgroup":               "0::/a\n",
				"/proc/self/mountinfo":            v2Mount,
				"/sys/fs/cgroup/a/memory.high":    "1000\n",
				"/sys/fs/cgroup/a/memory.current": "5000\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup/a", File: "memory.high", Limit: 1000, Used: 5000},
		},
		{
			name: "a container with a cgroup namespace sees its own group as the root",
			files: files{
				"/proc/self/cgroup":             "0::/\n",
				"/proc/self/mountinfo":          v2Mount,
				"/sys/fs/cgroup/memory.max":     "8589934592\n",
				"/sys/fs/cgroup/memory.current": "589934592\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup", File: "memory.max", Limit: 8 * units.GiB, Used: 589934592},
			room: 8e9,
		},
		{
			name: "a container without a cgroup namespace sees its own group at the mount point",
			files: files{
				"/proc/self/cgroup": "4:memory:/docker/0123/inner\n3:cpu,cpuacct:/docker/0123\n0::/\n",
				"/proc/self/mountinfo": "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
					"36 31 0:33 /docker/0123 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes":       "4000000000\n",
				"/sys/fs/cgroup/memory/memory.usage_in_bytes":       "3000000000\n",
				"/sys/fs/cgroup/memory/memory.stat":                 "inactive_file 7\ntotal_inactive_file 500000000\ntotal_active_file 0\n",
				"/sys/fs/cgroup/memory/inner/memory.limit_in_bytes": unlimited,
				"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":       "200000\n",
				"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us":      "100000\n",
			},
			want: machine.Cgroup{Version: 1, Limited: true, Path: "/sys/fs/cgroup/memory", File: "memory.limit_in_bytes",
				Limit: 4e9, Used: 3e9, Cache: 5e8, CPUs: 2},
			room: 15e8,
		},
		{
			name: "hybrid: version 1 has the memory although version 2 is mounted",
			files: files{
				"/proc/self/cgroup":                             "4:memory:/a\n3:cpu:/\n0::/b\n",
				"/proc/self/mountinfo":                          v1Mounts + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
				"/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "5000\n",
				"/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "1000\n",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes":   unlimited,
				"/sys/fs/cgroup/unified/b/memory.max":           "1\n",
				"/sys/fs/cgroup/cpu/cpu.cfs_quota_us":           "-1\n",
				"/sys/fs/cgroup/cpu/cpu.cfs_period_us":          "100000\n",
			},
			want: machine.Cgroup{Version: 1, Limited: true, Path: "/sys/fs/cgroup/memory/a", File: "memory.limit_in_bytes", Limit: 5000, Used: 1000},
			room: 4000,
		},
		{
			name: "no limit anywhere",
			files: files{
				"/proc/self/cgroup":           "0::/a\n",
				"/proc/self/mountinfo":        v2Mount,
				"/sys/fs/cgroup/a/memory.max": "max\n",
			},
			want: machine.Cgroup{Version: 2},
		},
		{
			name:  "version 2 without the memory controller",
			files: files{"/proc/self/cgroup": "0::/a\n", "/proc/self/mountinfo": v2Mount},
			want:  machine.Cgroup{Version: 2},
		},
		{
			name:  "no file system of control groups is mounted",
			files: files{"/proc/self/cgroup": "0::/a\n"},
			want: machine.Cgroup{Version: 2,
				Doubt: `the process is in cgroup "/a", but no cgroup2 file system is mounted`},
		},
		{
			name: "the process is outside of what is mounted",
			files: files{
				"/proc/self/cgroup":             "0::/../other\n",
				"/proc/self/mountinfo":          v2Mount,
				"/sys/fs/cgroup/memory.max":     "7000\n",
				"/sys/fs/cgroup/memory.current": "0\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/sys/fs/cgroup", File: "memory.max", Limit: 7000,
				Doubt: `the process's cgroup "/../other" is not in what is mounted at /sys/fs/cgroup, "/"`},
			room: 7000,
		},
		{
			name: "a limit that is no number",
			files: files{
				"/proc/self/cgroup":           "0::/a\n",
				"/proc/self/mountinfo":        v2Mount,
				"/sys/fs/cgroup/a/memory.max": "12 apples\n",
			},
			want: machine.Cgroup{Version: 2, Doubt: `/sys/fs/cgroup/a/memory.max: "12 apples": want a number of bytes or max`},
		},
		{
			name: "a mount point with a space",
			files: files{
				"/proc/self/cgroup":         "0::/\n",
				"/proc/self/mountinfo":      `30 23 0:26 / /my\040groups rw - cgroup2 cgroup2 rw` + "\n",
				"/my groups/memory.max":     "5\n",
				"/my groups/memory.current": "2\n",
			},
			want: machine.Cgroup{Version: 2, Limited: true, Path: "/my groups", File: "memory.max", Limit: 5, Used: 2},
			room: 3,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := source(c.files).Read().Cgroup
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Room() != c.room {
				t.Errorf("room %v, want %v", got.Room(), c.room)
			}
		})
	}
}

// locked refuses to open one file.
type locked struct {
	fs.FS
	file string
}

func (l locked) Open(name string) (fs.File, error) {
	if name == l.file {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return l.FS.Open(name)
}

func TestALimitThatCannotBeReadIsDoubted(t *testing.T) {
	s := source(files{
		"/proc/self/cgroup":               "0::/a\n",
		"/proc/self/mountinfo":            v2Mount,
		"/sys/fs/cgroup/a/memory.max":     "5\n",
		"/sys/fs/cgroup/a/memory.high":    "9\n",
		"/sys/fs/cgroup/a/memory.current": "2\n",
	})
	s.Files = locked{s.Files, "sys/fs/cgroup/a/memory.max"}
	got := s.Read().Cgroup
	if got.Limit != 9 || !strings.Contains(got.Doubt, "memory.max: permission denied") {
		t.Errorf("limit %d, doubt %q; want 9, and that memory.max is not permitted", got.Limit, got.Doubt)
	}
}

func TestSharedMemoryFileSystem(t *testing.T) {
	for options, want := range map[string]units.Bytes{
		"tmpfs rw,size=65536k":  64 * units.MiB, // Docker's
		"tmpfs rw,size=1048576": units.MiB,
		"tmpfs rw":              16 * units.GB,
		"ext4 rw":               0,
	} {
		kind, options, _ := strings.Cut(options, " ")
		got := source(desktop.with(files{
			"/proc/self/mountinfo": "25 24 0:23 / /dev/shm rw,relatime master:3 - " + kind + " shm " + options + "\n",
		})).Read().Memory.DevShm
		if got != want {
			t.Errorf("%s %s: %v, want %v", kind, options, got, want)
		}
	}
}

func TestSurroundings(t *testing.T) {
	for _, c := range []struct {
		name      string
		files     files
		env       map[string]string
		container string
		wsl       int
	}{
		{name: "nothing special", files: desktop},
		{name: "docker", files: files{"/.dockerenv": ""}, container: "docker"},
		{name: "podman", files: files{"/run/.containerenv": ""}, container: "podman"},
		{name: "kubernetes", env: map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, container: "kubernetes"},
		{name: "nspawn", env: map[string]string{"container": "systemd-nspawn"}, container: "systemd-nspawn"},
		{name: "by the first process's group", files: files{"/proc/1/cgroup": "4:memory:/docker/0123\n"}, container: "docker"},
		{name: "WSL 2", files: files{"/proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n"}, wsl: 2},
		{name: "WSL 1", files: files{"/proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}, wsl: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := source(c.files)
			s.Getenv = func(key string) string { return c.env[key] }
			got := s.Read()
			if got.Container != c.container || got.WSL != c.wsl {
				t.Errorf("container %q, WSL %d; want %q, %d", got.Container, got.WSL, c.container, c.wsl)
			}
		})
	}
}

func TestWhoMayLockAllMemory(t *testing.T) {
	const first, nested = "         0          0 4294967295\n", "         0       1000          1\n"
	for _, c := range []struct {
		name, ids, capabilities string
		want                    bool
	}{
		{"root", first, "000001ffffffffff", true},
		{"a user", first, "0000000000000000", false},
		{"root without it", first, "000001ffffffbfff", false},
		{"root of a rootless container", nested, "000001ffffffffff", false},
		{"nonsense", first, "all of them", false},
	} {
		got := source(files{"/proc/self/uid_map": c.ids, "/proc/self/status": "CapEff:\t" + c.capabilities + "\n"}).Read()
		if got.Limits.LocksAll != c.want {
			t.Errorf("%s: %v, want %v", c.name, got.Limits.LocksAll, c.want)
		}
	}
}

func TestPinBudget(t *testing.T) {
	memory := machine.Memory{Known: true, Available: 8 * units.GiB} // a host budget of 6 GiB
	for _, c := range []struct {
		name   string
		limits machine.Limits
		want   units.Bytes
		why    string
	}{
		{"unlimited", machine.Limits{LockedMemory: machine.Limit{Known: true, Soft: machine.Unlimited, Hard: machine.Unlimited}}, 6 * units.GiB, "all of the host budget"},
		{"low", machine.Limits{LockedMemory: machine.Limit{Known: true, Soft: 65536, Hard: machine.Unlimited}}, 65536, "RLIMIT_MEMLOCK"},
		{"low for others", machine.Limits{LockedMemory: machine.Limit{Known: true, Soft: 65536}, LocksAll: true}, 6 * units.GiB, "CAP_IPC_LOCK"},
		{"unknown", machine.Limits{}, 0, "not known"},
	} {
		got, why := machine.Info{Memory: memory, Limits: c.limits}.PinBudget()
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %v (%s), want %v (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

func TestHostBudget(t *testing.T) {
	limited := func(limit, used units.Bytes) machine.Cgroup {
		return machine.Cgroup{Version: 2, Limited: true, Path: "/g", File: "memory.max", Limit: limit, Used: used}
	}
	has := func(available units.Bytes) machine.Memory {
		return machine.Memory{Known: true, Total: math.MaxInt32 * units.KB, Available: available}
	}
	for _, c := range []struct {
		name string
		info machine.Info
		want units.Bytes
		why  string
	}{
		{"an eighth is left", machine.Info{Memory: has(32 * units.GiB)}, 28 * units.GiB,
			"34.36 GB that the machine has available, less 4.29 GB for everything else"},
		{"2 GiB at least", machine.Info{Memory: has(8 * units.GiB)}, 6 * units.GiB, ""},
		{"16 GiB at most", machine.Info{Memory: has(1024 * units.GiB)}, 1008 * units.GiB, ""},
		{"never more than half", machine.Info{Memory: has(2 * units.GiB)}, 1 * units.GiB, ""},
		{"the group is tighter", machine.Info{Memory: has(64 * units.GiB), Cgroup: limited(24*units.GiB, 8*units.GiB)}, 14 * units.GiB,
			"17.18 GB that memory.max of /g (24 GiB) leaves, less 2.15 GB for everything else"},
		{"the machine is tighter", machine.Info{Memory: has(16 * units.GiB), Cgroup: limited(64*units.GiB, 0)}, 14 * units.GiB,
			"17.18 GB that the machine has available, less 2.15 GB for everything else"},
		{"the group is full", machine.Info{Memory: has(64 * units.GiB), Cgroup: limited(units.GiB, units.GiB)}, 0,
			"0 B that memory.max of /g (1 GiB) leaves, less 0 B for everything else"},
		{"only the group is known", machine.Info{Cgroup: limited(16*units.GiB, 0)}, 14 * units.GiB, ""},
		{"strict commit", machine.Info{Memory: machine.Memory{Known: true, Available: 64 * units.GiB,
			StrictCommit: true, CommitLimit: 20 * units.GiB, Committed: 4 * units.GiB}}, 14 * units.GiB,
			"17.18 GB that may be committed under vm.overcommit_memory=2, less 2.15 GB for everything else"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := c.info.HostBudget()
			if got != c.want || c.why != "" && why != c.why {
				t.Errorf("%v: %s\nwant %v: %s", got, why, c.want, c.why)
			}
		})
	}
}

// The real machine: what every Linux that offhost supports has.
func TestThisMachine(t *testing.T) {
	got := machine.Read()
	if got.CPUs < 1 {
		t.Errorf("%d processors, want 1 and more", got.CPUs)
	}
	budget, why := got.HostBudget()
	t.Logf("host budget %v: %s", budget, why)
	if runtime.GOOS != "linux" {
		if got.Sharing.Memfd == nil {
			t.Error("memory files work, want them on Linux only")
		}
		return
	}
	if got.Kernel == "" || !got.Memory.Known || !got.Limits.Descriptors.Known || got.Limits.Mappings == 0 {
		t.Errorf("kernel, memory or limits are not known: %+v", got)
	}
	if s := got.Sharing; s.Memfd != nil || s.Seals != nil || s.Passing != nil {
		t.Errorf("sharing memory does not work: %+v", s)
	}
	if budget > got.Memory.Available {
		t.Errorf("a budget of %v of %v available", budget, got.Memory.Available)
	}
}
