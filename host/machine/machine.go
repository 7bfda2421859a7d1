// Package machine says what this machine gives a process: memory and the cgroup
// limits on it, descriptors and mappings, whether memory can be sealed and shared,
// and what there is of NVIDIA's driver. It reads files of the kernel and, where no
// file answers, tries; it changes nothing, loads no library, needs no cgo, and says
// what was found without judging it. One figure is worked out, with its reason:
// HostBudget, the host memory that weights may take unless the user says otherwise.
//
// The command line calls it, for a default and for "offhost doctor". Beyond Linux
// it compiles and knows the processors' number and nothing else.
package machine

import (
	"io/fs"
	"os"
	"runtime"

	"github.com/offhost/offhost/host/units"
)

// Info is what was found. What could not be found out is the zero value, or has a
// Known beside it.
type Info struct {
	OS, Arch     string // as runtime.GOOS and GOARCH
	Kernel       string // its release
	Distribution Distribution
	Container    string // "docker", "podman", ..., "container"; empty when nothing hints at one
	WSL          int    // the version of the Windows Subsystem for Linux; 0 for none
	CPUs         int    // that the process may run on

	Memory  Memory
	Cgroup  Cgroup
	Limits  Limits
	Sharing Sharing
	NVIDIA  NVIDIA
}

// A Source is where Read looks. Tests put a file tree and answers of their own.
type Source struct {
	OS, Arch string
	// Files is the file system from its root.
	Files fs.FS
	// Getenv is os.Getenv.
	Getenv func(string) string
	// Access says why the process may not read and write the file at an absolute
	// path; nil when it may.
	Access func(path string) error
	// Share tries to share memory.
	Share func() Sharing
}

// Read returns what this machine gives this process.
func Read() Info {
	return Source{
		OS: runtime.GOOS, Arch: runtime.GOARCH,
		Files: os.DirFS("/"), Getenv: os.Getenv, Access: access, Share: share,
	}.Read()
}

// Read returns what s tells of a machine.
func (s Source) Read() Info {
	info := Info{OS: s.OS, Arch: s.Arch, Sharing: s.Share()}
	if s.OS != "linux" {
		info.CPUs = runtime.NumCPU()
		return info
	}
	t := tree{s.Files}
	mounts := t.mounts()
	info.Kernel = t.line("/proc/sys/kernel/osrelease")
	info.Distribution = t.distribution()
	info.WSL = wsl(info.Kernel)
	info.Container = t.container(s.Getenv)
	info.CPUs = t.cpus()
	info.Memory = t.memory(mounts)
	info.Cgroup = t.cgroup(mounts)
	info.Limits = t.limits()
	info.NVIDIA = t.nvidia(s)
	return info
}

// Unlimited stands for a limit that is none.
const Unlimited = int64(units.MaxBytes)
