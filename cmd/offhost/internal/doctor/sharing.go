package doctor

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/units"
)

func sharing(m machine.Info) []Check {
	checks := []Check{shared("memfd", "memory that is a file descriptor", m.Sharing.Memfd, m, "memfd_create", "3.17")}
	if m.Sharing.Memfd == nil { // else the others were not tried
		checks = append(checks,
			shared("seals", "seals against shrinking, growing and writing", m.Sharing.Seals, m, "fcntl with F_ADD_SEALS and F_SEAL_FUTURE_WRITE", "5.1"),
			shared("passing", "descriptors to other processes", m.Sharing.Passing, m, "sendmsg with SCM_RIGHTS", "2.2"))
	}
	checks = append(checks, descriptors(m))
	if m.Limits.Mappings > 0 {
		checks = append(checks, mappings(m))
	}
	if m.Memory.DevShm > 0 {
		checks = append(checks, Check{ID: "dev_shm", Status: OK, Found: fmt.Sprintf("%v; offhost does not use it", m.Memory.DevShm)})
	}
	return checks
}

// shared is a check of what was tried: a call, which Linux has since a version.
func shared(id, what string, err error, m machine.Info, call, since string) Check {
	c := Check{ID: id, Status: OK, Needed: true, Found: what}
	if err == nil {
		return c
	}
	c.Status, c.Found = Missing, what+": "+err.Error()
	if errors.Is(err, fs.ErrPermission) {
		c.Mend = []Remedy{{When: "something refuses it (a seccomp profile, a security module): allow " + call}}
		if m.Container == "docker" || m.Container == "podman" {
			c.Mend = append(c.Mend, Remedy{"to see whether the container's profile is it", run(m) + " --security-opt seccomp=unconfined ..."})
		}
		return c
	}
	c.Mend = []Remedy{{When: fmt.Sprintf("%s needs Linux %s or newer, and a sandbox that passes it on", call, since)}}
	return c
}

// spare is what a process has open or mapped beside chunks.
const spare = 1024

// chunks is how many chunks weights of the host budget's size have.
func chunks(m machine.Info) (int64, units.Bytes) {
	budget, _ := m.HostBudget()
	return int64((budget + host.DefaultChunk - 1) / host.DefaultChunk), budget
}

func descriptors(m machine.Info) Check {
	c := Check{ID: "descriptors", Status: OK}
	limit := m.Limits.Descriptors
	if !limit.Known {
		c.Status, c.Found = Note, "how many may be open is not known"
		return c
	}
	c.Found = fmt.Sprintf("%s may be open", number(limit.Hard)) // Go raises the soft limit to it
	if n, budget := chunks(m); limit.Hard < n+spare {
		c.Status = Note
		c.Found += fmt.Sprintf(", which may be too few: %s are %d chunks of %v", budget.Decimal(), n, host.DefaultChunk)
		c.Mend = raiseLimit(m, "nofile", "65536", "LimitNOFILE=65536", "--ulimit nofile=65536:65536")
	}
	return c
}

func mappings(m machine.Info) Check {
	c := Check{ID: "mappings", Status: OK, Found: fmt.Sprintf("%d at most (vm.max_map_count)", m.Limits.Mappings)}
	if n, budget := chunks(m); m.Limits.Mappings < 2*n+spare { // of the host's copy and the device's
		c.Status = Note
		c.Found += fmt.Sprintf(", which may be too few: %s are %d chunks of %v", budget.Decimal(), n, host.DefaultChunk)
		c.Mend = sysctl("vm.max_map_count=262144")
	}
	return c
}

func number(n int64) string {
	if n == machine.Unlimited {
		return "any number"
	}
	return fmt.Sprint(n)
}
