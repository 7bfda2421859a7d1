package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/doctor"
	"github.com/offhost/offhost/host/machine"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s (-want +got), -update to accept:\n%s", name, diff)
	}
}

// files is a file system: content by absolute path; "dev" is a device file.
type files map[string]string

func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

func limits(descriptors, locked string) string {
	return "Max open files   " + descriptors + " files\nMax locked memory   " + locked + " bytes\n"
}

// laptop has 32 GB and no GPU.
var laptop = files{
	"/proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
	"/proc/meminfo": "MemTotal: 31250000 kB\nMemAvailable: 29296875 kB\nSwapTotal: 2000000 kB\n" +
		"CommitLimit: 17625000 kB\nCommitted_AS: 7812500 kB\n",
	"/proc/sys/vm/overcommit_memory":                    "0\n",
	"/proc/sys/vm/max_map_count":                        "65530\n",
	"/proc/self/status":                                 "Cpus_allowed_list:\t0-7\nCapEff:\t0000000000000000\n",
	"/proc/self/uid_map":                                "0 0 4294967295\n",
	"/proc/self/limits":                                 limits("1024 524288", "unlimited unlimited"),
	"/proc/self/cgroup":                                 "0::/user.slice/app.scope\n",
	"/proc/self/mountinfo":                              "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n",
	"/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
	"/etc/os-release":                                   "ID=ubuntu\nID_LIKE=debian\n",
}

const library = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00rest"

var card = files{
	"/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
	"/sys/bus/pci/devices/0000:01:00.0/device": "0x2684\n",
	"/sys/bus/pci/devices/0000:01:00.0/class":  "0x030000\n",
}

// workstation has a card and its driver.
var workstation = laptop.with(card).with(files{
	"/proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n",
	"/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA GeForce RTX 4090\nBus Location: 0000:01:00.0\nDevice Minor: 0\n",
	"/dev/nvidiactl":                                    "dev",
	"/dev/nvidia0":                                      "dev",
	"/dev/nvidia-uvm":                                   "dev",
	"/usr/lib/x86_64-linux-gnu/libcuda.so.1":            "-> libcuda.so.550.54.14",
	"/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14":    library,
})

// inDocker sees its own group as the root, and the runtime's limits.
var inDocker = laptop.with(files{
	"/.dockerenv":                   "",
	"/proc/self/cgroup":             "0::/\n",
	"/sys/fs/cgroup/memory.max":     "8589934592\n",
	"/sys/fs/cgroup/memory.current": "1589934592\n",
	"/sys/fs/cgroup/memory.stat":    "inactive_file 500000000\nactive_file 100000000\n",
	"/sys/fs/cgroup/cpu.max":        "150000 100000\n",
	"/proc/self/limits":             limits("1048576 1048576", "8388608 8388608"),
	"/proc/self/mountinfo":          "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n25 24 0:23 / /dev/shm rw - tmpfs shm rw,size=65536k\n",
})

// wslCache is the dynamic linker's cache with one library: a head of 48 bytes, an
// entry of 24, and the two strings that it points to.
var wslCache = "glibc-ld.so.cache1.1\x01\x00\x00\x00" + strings.Repeat("\x00", 24) +
	"\x00\x00\x00\x00\x48\x00\x00\x00\x55\x00\x00\x00" + strings.Repeat("\x00", 12) +
	"libcuda.so.1\x00/usr/lib/wsl/lib/libcuda.so.1\x00"

var onWSL = laptop.with(files{
	"/proc/sys/kernel/osrelease":    "5.15.167.4-microsoft-standard-WSL2\n",
	"/dev/dxg":                      "dev",
	"/usr/lib/wsl/lib/libcuda.so.1": library,
	"/etc/ld.so.cache":              wslCache,
	"/proc/self/limits":             limits("1048576 1048576", "67108864 67108864"),
})

// source is a Linux machine with these files, where everything that is tried works.
func source(f files) machine.Source {
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
	return machine.Source{
		OS: "linux", Arch: "amd64", Files: m,
		Getenv: func(string) string { return "" },
		Access: func(string) error { return nil },
		Share:  func() machine.Sharing { return machine.Sharing{} },
	}
}

func examine(s machine.Source, devices ...string) *doctor.Findings {
	info := s.Read()
	if s.OS != "linux" {
		info.CPUs = 8 // it is asked of the real machine
	}
	return doctor.Examine(doctor.Build{Version: "offhost v1.2.3", Devices: append([]string{"sim", "shm"}, devices...)}, info, nil)
}

func text(t *testing.T, f *doctor.Findings) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// refusing denies the use of one device file.
func refusing(f files, path string) machine.Source {
	s := source(f)
	s.Access = func(p string) error {
		if p == path {
			return errors.New("permission denied")
		}
		return nil
	}
	return s
}

func TestMachines(t *testing.T) {
	darwin := source(nil)
	darwin.OS, darwin.Arch = "darwin", "arm64"

	noMemfd := source(laptop)
	noMemfd.Share = func() machine.Sharing {
		err := os.NewSyscallError("memfd_create", syscall.EPERM)
		return machine.Sharing{Memfd: err, Seals: err, Passing: err}
	}
	oldKernel := source(laptop.with(files{"/proc/sys/kernel/osrelease": "4.19.0\n"}))
	oldKernel.Share = func() machine.Sharing {
		return machine.Sharing{Seals: os.NewSyscallError("fcntl(F_ADD_SEALS)", syscall.EINVAL)}
	}

	for _, c := range []struct {
		name    string // and of the golden file
		source  machine.Source
		devices []string // that the build has beside sim and shm
		runs    bool
		usable  []string
	}{
		{"laptop", source(laptop), nil, true, []string{"sim", "shm"}},
		{"container", source(inDocker), nil, true, []string{"sim", "shm"}},
		{"gpu", source(workstation), []string{"cuda"}, true, []string{"sim", "shm", "cuda"}},
		{"gpu-without-cuda-build", source(workstation), nil, true, []string{"sim", "shm"}},
		{"gpu-without-driver", source(laptop.with(card)), []string{"cuda"}, true, []string{"sim", "shm"}},
		{"gpu-not-permitted", refusing(workstation, "/dev/nvidia0"), []string{"cuda"}, true, []string{"sim", "shm"}},
		{"low-memlock", source(laptop.with(files{"/proc/self/limits": limits("1024 1024", "65536 65536"), "/proc/sys/vm/max_map_count": "1000\n", "/proc/sys/vm/overcommit_memory": "2\n"})),
			nil, true, []string{"sim", "shm"}},
		{"wsl", source(onWSL), []string{"cuda"}, true, []string{"sim", "shm", "cuda"}},
		{"no-memfd", noMemfd, nil, false, []string{"sim"}},
		{"old-kernel", oldKernel, nil, false, []string{"sim"}},
		{"darwin", darwin, nil, true, []string{"sim"}},
		{"nothing-known", source(nil), nil, true, []string{"sim", "shm"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := examine(c.source, c.devices...)
			if f.Runs != c.runs || !slices.Equal(f.Devices, c.usable) {
				t.Errorf("runs %v with %v, want %v with %v", f.Runs, f.Devices, c.runs, c.usable)
			}
			golden(t, c.name+".txt", text(t, f))
		})
	}
}

// What the goldens do not show of the way to a GPU: each obstacle has its own remedy.
func TestObstaclesOnTheWayToAGPU(t *testing.T) {
	without := func(f files, paths ...string) files {
		f = maps.Clone(f)
		for _, p := range paths {
			delete(f, p)
		}
		return f
	}
	driven := func(by string) files {
		return laptop.with(card).with(files{"/sys/bus/pci/devices/0000:01:00.0/driver": "-> ../../../../bus/pci/drivers/" + by})
	}
	for _, c := range []struct {
		name                string
		source              machine.Source
		check, status       string
		found, mend, absent string
	}{
		{name: "nouveau has the card", source: source(driven("nouveau")),
			check: "driver", status: "missing", found: "nouveau has the card", mend: "ubuntu-drivers install"},
		{name: "the card is a virtual machine's", source: source(driven("vfio-pci")),
			check: "driver", status: "missing", found: "vfio-pci", mend: "virtual machine", absent: "install"},
		{name: "installed, not loaded", source: source(without(workstation, "/proc/driver/nvidia/version")),
			check: "driver", status: "missing", found: "though its library is there", mend: "sudo modprobe nvidia", absent: "install"},
		{name: "Debian has a page", source: source(laptop.with(card).with(files{"/etc/os-release": "ID=debian\n"})),
			check: "driver", status: "missing", mend: "wiki.debian.org", absent: "ubuntu"},
		{name: "an unknown distribution has NVIDIA's page", source: source(laptop.with(card).with(files{"/etc/os-release": "ID=\"$(reboot)\"\n"})),
			check: "driver", status: "missing", mend: "docs.nvidia.com", absent: "reboot)"},
		{name: "a container without the GPU", source: source(inDocker.with(card)),
			check: "driver", status: "missing", found: "hidden from this container", mend: "docker run --gpus all", absent: "apt"},
		{name: "podman", source: source(without(inDocker, "/.dockerenv").with(files{"/run/.containerenv": ""})),
			check: "card", status: "missing", mend: "podman run --device nvidia.com/gpu=all"},
		{name: "a container sees a driver, but no card", source: source(inDocker.with(files{
			"/proc/driver/nvidia/version": workstation["/proc/driver/nvidia/version"]})),
			check: "card", status: "missing", found: "no card", mend: "--gpus all"},
		{name: "no device files", source: source(without(workstation, "/dev/nvidia0", "/dev/nvidiactl")),
			check: "device_files", status: "missing", found: "/dev/nvidiactl, /dev/nvidia0: not there", mend: "sudo nvidia-modprobe -u -c=0"},
		{name: "no device file for compute yet", source: source(without(workstation, "/dev/nvidia-uvm")),
			check: "device_files", status: "note", found: "/dev/nvidia-uvm is not there yet", mend: "sudo nvidia-modprobe"},
		{name: "compute is not permitted", source: refusing(workstation, "/dev/nvidia-uvm"),
			check: "device_files", status: "missing", found: "/dev/nvidia-uvm: permission denied", mend: "usermod -aG GROUP"},
		{name: "no library", source: source(without(workstation, "/usr/lib/x86_64-linux-gnu/libcuda.so.1")),
			check: "library", status: "missing", found: "libcuda.so.1", mend: "ubuntu-drivers"},
		{name: "a library for another processor", source: source(without(workstation, "/usr/lib/x86_64-linux-gnu/libcuda.so.1").with(files{
			"/usr/lib/libcuda.so.1": strings.Replace(library, "\x3e", "\xb7", 1)})),
			check: "library", status: "missing", found: "EM_AARCH64"},
		{name: "a library of another driver", source: source(without(workstation, "/usr/lib/x86_64-linux-gnu/libcuda.so.1").with(files{
			"/usr/lib/libcuda.so.1": "-> libcuda.so.560.28.03", "/usr/lib/libcuda.so.560.28.03": library})),
			check: "library", status: "note", found: "not of the loaded driver, 550.54.14", mend: "sudo reboot"},
		{name: "a library that the linker does not find", source: source(without(workstation, "/usr/lib/x86_64-linux-gnu/libcuda.so.1").with(files{
			"/usr/local/nvidia/lib64/libcuda.so.1": library})),
			check: "library", status: "note", mend: `export LD_LIBRARY_PATH="/usr/local/nvidia/lib64`},
		{name: "a container on WSL without the device", source: source(without(onWSL, "/dev/dxg").with(files{"/.dockerenv": ""})),
			check: "device_files", status: "missing", mend: "docker run --gpus all", absent: "wsl"},
		{name: "WSL without the device", source: source(without(onWSL, "/dev/dxg")),
			check: "device_files", status: "missing", mend: "wsl --update", absent: "apt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := find(t, examine(c.source, "cuda"), c.check)
			mend := ""
			for _, r := range got.Mend {
				mend += r.When + ": " + r.Do + "\n"
			}
			if got.Status != c.status || !strings.Contains(got.Found, c.found) || !strings.Contains(mend, c.mend) {
				t.Errorf("%s: %s\n%s\nwant %s, %q, %q", got.Status, got.Found, mend, c.status, c.found, c.mend)
			}
			if c.absent != "" && strings.Contains(mend, c.absent) {
				t.Errorf("the remedy says %q:\n%s", c.absent, mend)
			}
		})
	}
}

func find(t *testing.T, f *doctor.Findings, id string) doctor.Check {
	t.Helper()
	for _, s := range f.Sections {
		for _, c := range s.Checks {
			if c.ID == id {
				return c
			}
		}
	}
	t.Fatalf("no check %q in:\n%s", id, text(t, f))
	return doctor.Check{}
}

// A soft limit that the user may raise alone needs no administrator.
func TestLockedMemoryThatTheUserMayRaise(t *testing.T) {
	for locked, want := range map[string]string{
		"65536 unlimited":   "ulimit -l unlimited",
		"65536 60000000000": "ulimit -l $(ulimit -Hl)",
		"65536 65536":       "sudo prlimit --memlock=unlimited:unlimited --pid $$",
	} {
		got := find(t, examine(source(laptop.with(files{"/proc/self/limits": limits("1024 524288", locked)}))), "pin_budget")
		if got.Status != doctor.Note || len(got.Mend) == 0 || got.Mend[0].Do != want {
			t.Errorf("%s: %+v, want %q", locked, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := examine(source(inDocker)).JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "container.json", b.String())

	// Readers need not tell null from empty.
	if strings.Contains(b.String(), "null") {
		t.Errorf("a field is null:\n%s", &b)
	}
	var v struct{ Schema string }
	if err := json.Unmarshal(b.Bytes(), &v); err != nil || v.Schema != "offhost.doctor/1" {
		t.Errorf("schema %q, %v", v.Schema, err)
	}
}

// What a file says is shown, and does nothing to a terminal.
func TestUntrustedTextIsEscaped(t *testing.T) {
	f := examine(source(workstation.with(files{
		"/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: RTX\x1b]0;owned\x07\nDevice Minor: 0\n",
		"/etc/os-release": "ID=\"de\x1b[2Jbian\"\n",
		"/.dockerenv":     "",
	})), "cuda")
	out := text(t, f)
	for _, r := range out {
		if r != '\n' && (r < ' ' || r == 0x7f) {
			t.Fatalf("the output has %q:\n%q", r, out)
		}
	}
	if !strings.Contains(out, `RTX\x1b]0;owned\a`) {
		t.Errorf("the model's name is not shown with escapes:\n%s", out)
	}
}

// Where CUDA was tried, that decides, whatever files tell.
func TestWhatCameOfTryingCUDA(t *testing.T) {
	gpus := []doctor.GPU{{Name: "NVIDIA GeForce RTX 4090", UUID: "GPU-1", Total: 24 << 30, VirtualMemory: true, Export: true}}
	works := doctor.Trial{Library: "libcuda.so.1", Driver: "12.4", GPUs: gpus, Granularity: 2 << 20, Free: 23 << 30}
	old := works
	old.GPUs = []doctor.GPU{{Name: "NVIDIA Tesla K80", UUID: "GPU-2", Total: 11 << 30}}
	lacks := works
	lacks.Missing = []string{"cuMemCreate"}
	alone := works
	alone.GPUs = []doctor.GPU{{Name: "NVIDIA GeForce RTX 4090", UUID: "GPU-1", VirtualMemory: true}}
	onOne := works
	onOne.GPUs = []doctor.GPU{{Name: "NVIDIA H100 80GB HBM3", UUID: "GPU-3", VirtualMemory: true, Export: true}}
	standIn := works
	standIn.StandIn = true
	for name, c := range map[string]struct {
		trial  doctor.Trial
		source machine.Source
		usable bool
		check  string
		found  string
		status string
	}{
		"works":              {works, source(workstation), true, "exercised", "not on this GPU", "note"},
		"seen":               {onOne, source(workstation), true, "exercised", "have run on such a GPU", "ok"},
		"no driver":          {doctor.Trial{Err: errors.New("cannot open it")}, source(workstation), false, "cuda_driver", "cannot open it", "missing"},
		"no GPU":             {doctor.Trial{Library: "l", Driver: "12.4"}, source(workstation), false, "gpu", "has none", "missing"},
		"an old GPU":         {old, source(workstation), false, "memory", "cannot map memory", "missing"},
		"an old driver":      {lacks, source(workstation), false, "cuda_driver", "lacks cuMemCreate", "missing"},
		"no sharing":         {alone, source(workstation), true, "sharing", "cannot be given", "note"},
		"the stand-in":       {standIn, source(laptop), true, "cuda_driver", "no GPU", "ok"},
		"stand-in exercised": {standIn, source(laptop), true, "exercised", "tested on this stand-in", "ok"},
	} {
		f := doctor.Examine(doctor.Build{Version: "v", Devices: []string{"sim", "shm", "cuda"}}, c.source.Read(), &c.trial)
		if slices.Contains(f.Devices, "cuda") != c.usable {
			t.Errorf("%s: usable are %v", name, f.Devices)
		}
		var got doctor.Check
		for _, s := range f.Sections {
			for _, k := range s.Checks {
				if s.ID == "gpu" && k.ID == c.check {
					got = k
				}
			}
		}
		if got.Status != c.status || !strings.Contains(got.Found, c.found) {
			t.Errorf("%s: %+v: want %s, and %q in it", name, got, c.status, c.found)
		}
		if out := text(t, f); c.usable && strings.Contains(out, "For CUDA, missing") {
			t.Errorf("%s: it is said to be missing:\n%s", name, out)
		}
	}
}
