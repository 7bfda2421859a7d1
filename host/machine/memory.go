package machine

import (
	"strings"

	"github.com/offhost/offhost/host/units"
)

// Memory is the host memory of the whole machine.
type Memory struct {
	Known bool // Total and Available are

	Total     units.Bytes
	Available units.Bytes // the kernel's estimate of what can be had without swapping
	Swap      units.Bytes

	// StrictCommit is that vm.overcommit_memory is 2: the kernel then refuses what
	// would bring Committed above CommitLimit, pages of shared memory included.
	StrictCommit           bool
	CommitLimit, Committed units.Bytes

	// SharedHugePages is the kernel's rule for huge pages in shared memory: never,
	// advise, within_size, always, ...
	SharedHugePages string

	// DevShm is the size of the file system at /dev/shm, 0 for none. Memory from
	// memfd_create is not in it.
	DevShm units.Bytes
}

func (t tree) memory(mounts []mount) Memory {
	var m Memory
	b, _ := t.read("/proc/meminfo", smallFile)
	found := map[string]units.Bytes{}
	fields(b, func(words []string) {
		if len(words) < 2 {
			return
		}
		if n, ok := kibibytes(words[1]); ok {
			found[words[0]] = n
		}
	})
	m.Total, m.Available = found["MemTotal:"], found["MemAvailable:"]
	_, m.Known = found["MemAvailable:"]
	m.Known = m.Known && m.Total > 0
	m.Swap = found["SwapTotal:"]
	m.CommitLimit, m.Committed = found["CommitLimit:"], found["Committed_AS:"]
	m.StrictCommit = t.line("/proc/sys/vm/overcommit_memory") == "2"

	rule := t.line("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	if _, after, ok := strings.Cut(rule, "["); ok {
		m.SharedHugePages, _, _ = strings.Cut(after, "]")
	}

	for _, mount := range mounts {
		if mount.point == "/dev/shm" {
			m.DevShm = mount.size(m.Total)
		}
	}
	return m
}

// size returns the size of a tmpfs. Without the option it is half of the memory.
func (m mount) size(memory units.Bytes) units.Bytes {
	for option := range strings.SplitSeq(m.options, ",") {
		value, ok := strings.CutPrefix(option, "size=")
		if !ok {
			continue
		}
		if digits, ok := strings.CutSuffix(value, "k"); ok {
			n, _ := kibibytes(digits)
			return n
		}
		n, _ := size(value)
		return n
	}
	if m.kind != "tmpfs" {
		return 0
	}
	return memory / 2
}
