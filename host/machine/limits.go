package machine

import (
	"strconv"
	"strings"
)

// Limits are the kernel's limits on the process. Locked memory bounds mlock, and not
// what the CUDA driver pins.
type Limits struct {
	Descriptors  Limit
	LockedMemory Limit // bytes
	// LocksAll is that the process has CAP_IPC_LOCK, for which LockedMemory is no
	// bound.
	LocksAll bool
	Mappings int64 // vm.max_map_count; 0 when not known
}

// A Limit is a resource limit: the process may raise Soft to Hard. Go raises that of
// descriptors itself when a program starts.
type Limit struct {
	Known      bool
	Soft, Hard int64
}

func (t tree) limits() Limits {
	var l Limits
	b, _ := t.read("/proc/self/limits", smallFile)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			l.Descriptors = parseLimit(rest)
		}
		if rest, ok := strings.CutPrefix(line, "Max locked memory"); ok {
			l.LockedMemory = parseLimit(rest)
		}
	}
	if n, ok := t.count("/proc/sys/vm/max_map_count"); ok {
		l.Mappings = n
	}
	l.LocksAll = t.locksAll()
	return l
}

// locksAll reports whether the process has CAP_IPC_LOCK where it counts: the kernel
// asks for it in the first user namespace, and a rootless container is in another.
func (t tree) locksAll() bool {
	const capIPCLock = 1 << 14
	ids := strings.Fields(t.line("/proc/self/uid_map"))
	if len(ids) != 3 || ids[0] != "0" || ids[1] != "0" || ids[2] != "4294967295" {
		return false
	}
	b, _ := t.read("/proc/self/status", smallFile)
	for line := range strings.Lines(string(b)) {
		if digits, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
			return err == nil && set&capIPCLock != 0
		}
	}
	return false
}

// parseLimit reads the soft and the hard limit; a unit may follow.
func parseLimit(s string) Limit {
	words := strings.Fields(s)
	if len(words) < 2 {
		return Limit{}
	}
	soft, ok1 := limitValue(words[0])
	hard, ok2 := limitValue(words[1])
	if !ok1 || !ok2 {
		return Limit{}
	}
	return Limit{Known: true, Soft: soft, Hard: hard}
}

func limitValue(s string) (int64, bool) {
	if s == "unlimited" {
		return Unlimited, true
	}
	n, ok := size(s)
	return int64(n), ok
}

// cpus counts the processors that the process may run on, from a list such as
// "0-3,8"; 0 when it is not known.
func (t tree) cpus() int {
	b, _ := t.read("/proc/self/status", smallFile)
	for line := range strings.Lines(string(b)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return parseCPUs(strings.TrimSpace(list))
		}
	}
	return 0
}

func parseCPUs(list string) int {
	const most = 1 << 16 // beyond what Linux can be built for
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from < 0 || to < from || to >= most {
			return 0
		}
		if n += to - from + 1; n > most {
			return 0
		}
	}
	return n
}
