package machine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/offhost/offhost/host/units"
)

// Cgroup is what control groups leave the process: of all groups from its own up to
// the root, the one whose memory limit leaves the least room. A container may not see
// groups above its own; their limits are then not known here.
type Cgroup struct {
	Version int // that governs memory, 1 or 2; 0 for none

	Limited bool // a group has a limit; the next five are then its
	Path    string
	File    string // that states the limit: memory.max, memory.high or memory.limit_in_bytes
	Limit   units.Bytes
	Used    units.Bytes
	Cache   units.Bytes // of Used, clean copies of files, which the kernel drops when there is need

	// CPUs is how many processors' time the groups grant; 0 for no limit.
	CPUs float64

	// Doubt says why the true room may be smaller; empty when there is no reason.
	Doubt string
}

// Room is how much the group may grow before the kernel slows it (memory.high) or
// kills a process of it.
func (c Cgroup) Room() units.Bytes { return max(0, c.Limit-c.Used+c.Cache) }

// maxDepth is of nested groups; the kernel's own default is no bound at all, real
// ones are below ten.
const maxDepth = 64

func (t tree) cgroup(mounts []mount) Cgroup {
	b, err := t.read("/proc/self/cgroup", smallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Cgroup{}
	}
	if err != nil {
		return Cgroup{Doubt: err.Error()}
	}
	member := parseMembership(b)

	var c Cgroup
	version, groups, doubt := member.groups("memory", mounts)
	c.Version, c.Doubt = version, doubt
	for _, g := range groups {
		level, err := t.memoryLevel(version, g)
		if err != nil && c.Doubt == "" {
			c.Doubt = err.Error()
		}
		if level.Limited && (!c.Limited || level.Room() < c.Room()) {
			level.Version, level.Doubt = c.Version, c.Doubt
			c = level
		}
	}
	version, groups, _ = member.groups("cpu", mounts)
	for _, g := range groups {
		if n := t.cpuQuota(version, g); n > 0 && (c.CPUs == 0 || n < c.CPUs) {
			c.CPUs = n
		}
	}
	return c
}

// membership is the process's group by controller; that of version 2 has the name "".
type membership map[string]string

// parseMembership reads lines such as "4:memory:/user" and "0::/user".
func parseMembership(b []byte) membership {
	m := membership{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			m[controller] = parts[2]
		}
	}
	return m
}

// groups returns the folders of the process's group and its ancestors for a
// controller, the process's own first, and the version of their files. A controller
// is in version 2 unless version 1 has it, also where both are mounted.
func (m membership) groups(controller string, mounts []mount) (version int, folders []string, doubt string) {
	own, version1 := m[controller]
	version, kind := 1, "cgroup"
	if !version1 {
		var version2 bool
		if own, version2 = m[""]; !version2 {
			return 0, nil, ""
		}
		version, kind = 2, "cgroup2"
	}
	at := -1
	for i, mount := range mounts {
		if mount.kind == kind && (version == 2 || slices.Contains(strings.Split(mount.options, ","), controller)) {
			at = i
			break
		}
	}
	if at < 0 {
		return version, nil, fmt.Sprintf("the process is in cgroup %q, but no %s file system is mounted", text(own), kind)
	}
	// A container may see only a part of the hierarchy: the mount's root then names
	// the group that is at its point. Neither need lie in what the process may see
	// of the other, and the paths then lead upwards.
	root, point := path.Clean("/"+mounts[at].root), mounts[at].point
	below, ok := within(own, root)
	if !ok {
		below = "/"
		if own != "/" {
			doubt = fmt.Sprintf("the process's cgroup %q is not in what is mounted at %s, %q", text(own), text(point), text(root))
		}
	}
	for {
		folders = append(folders, path.Join("/", point, below))
		if below == "/" || len(folders) == maxDepth {
			return version, folders, doubt
		}
		below = path.Dir(below)
	}
}

// within returns the rest of file below root, which begins with a slash.
func within(file, root string) (string, bool) {
	if slices.Contains(strings.Split(file, "/"), "..") {
		return "", false
	}
	if root == "/" {
		return path.Clean(file), true
	}
	rest, ok := strings.CutPrefix(path.Clean(file), root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return path.Clean("/" + rest), true
}

// The files of a group by version: its limits, what it uses, and in memory.stat the
// page cache and what of it is not clean.
var memoryFiles = map[int]struct {
	limits       []string
	used         string
	cache, dirty []string
}{
	1: {[]string{"memory.limit_in_bytes"}, "memory.usage_in_bytes",
		[]string{"total_inactive_file", "total_active_file"}, []string{"total_dirty", "total_writeback"}},
	2: {[]string{"memory.max", "memory.high"}, "memory.current",
		[]string{"inactive_file", "active_file"}, []string{"file_dirty", "file_writeback"}},
}

func (t tree) memoryLevel(version int, folder string) (Cgroup, error) {
	files := memoryFiles[version]
	c := Cgroup{Path: folder}
	var doubt error
	for _, file := range files.limits {
		limit, ok, err := t.groupLimit(path.Join(folder, file))
		doubt = cmp.Or(doubt, err)
		if ok && (!c.Limited || limit < c.Limit) {
			c.Limited, c.Limit, c.File = true, limit, file
		}
	}
	if !c.Limited {
		return c, doubt
	}
	used, err := t.read(path.Join(folder, files.used), smallFile)
	doubt = cmp.Or(doubt, err)
	c.Used, _ = size(strings.TrimSpace(string(used)))

	stat, _ := t.read(path.Join(folder, "memory.stat"), smallFile) // without it nothing counts as cache
	fields(stat, func(words []string) {
		if len(words) != 2 {
			return
		}
		n, _ := size(words[1])
		switch {
		case slices.Contains(files.cache, words[0]):
			c.Cache = min(c.Cache+n, units.MaxBytes)
		case slices.Contains(files.dirty, words[0]):
			c.Cache = max(c.Cache-n, -units.MaxBytes)
		}
	})
	c.Cache = max(0, min(c.Cache, c.Used))
	return c, doubt
}

// groupLimit reads a limit; one that is "max", or larger than any machine's memory
// (as version 1 says it), is none.
func (t tree) groupLimit(file string) (units.Bytes, bool, error) {
	b, err := t.read(file, smallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil // the root has none
	}
	if err != nil {
		return 0, false, err
	}
	value := strings.TrimSpace(string(b))
	if value == "max" {
		return 0, false, nil
	}
	n, ok := size(value)
	if !ok {
		return 0, false, fmt.Errorf("%s: %q: want a number of bytes or max", file, text(value))
	}
	return n, n < units.MaxBytes, nil
}

// cpuQuota returns how many processors' time a group is granted; 0 for all.
func (t tree) cpuQuota(version int, folder string) float64 {
	words := strings.Fields(t.line(path.Join(folder, "cpu.max")))
	if version == 1 {
		words = []string{t.line(path.Join(folder, "cpu.cfs_quota_us")), t.line(path.Join(folder, "cpu.cfs_period_us"))}
	}
	if len(words) != 2 {
		return 0
	}
	quota, err := strconv.ParseInt(words[0], 10, 64) // "max", or -1 in version 1, for none
	if err != nil || quota <= 0 {
		return 0
	}
	period, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || period <= 0 {
		return 0
	}
	return float64(quota) / float64(period)
}
