package doctor

import (
	"fmt"

	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/units"
)

func memory(m machine.Info) []Check {
	checks := []Check{total(m), group(m), hostBudget(m), pinBudget(m)}
	if m.Memory.StrictCommit {
		checks = append(checks, Check{ID: "overcommit", Status: Note,
			Found: fmt.Sprintf("vm.overcommit_memory is 2: of %s that may be committed, %s are", m.Memory.CommitLimit.Decimal(), m.Memory.Committed.Decimal()),
			Mend:  sysctl("vm.overcommit_memory=0")})
	}
	if rule := m.Memory.SharedHugePages; rule != "" {
		checks = append(checks, Check{ID: "huge_pages", Status: OK, Found: "for shared memory: " + rule})
	}
	return checks
}

func total(m machine.Info) Check {
	c := Check{ID: "memory", Status: OK}
	if !m.Memory.Known {
		c.Status, c.Found = Note, "/proc/meminfo does not tell what is available"
		return c
	}
	c.Found = fmt.Sprintf("%s, %s available, %s of swap", m.Memory.Total.Decimal(), m.Memory.Available.Decimal(), m.Memory.Swap.Decimal())
	return c
}

// group notes a control group that leaves less than the machine has.
func group(m machine.Info) Check {
	g := m.Cgroup
	c := Check{ID: "cgroup", Status: OK}
	switch {
	case g.Limited:
		c.Found = fmt.Sprintf("%s of %s is %v: %s used, %s of it cache, room for %s",
			g.File, g.Path, g.Limit, g.Used.Decimal(), g.Cache.Decimal(), g.Room().Decimal())
		if m.Memory.Known && g.Room() < m.Memory.Available {
			c.Status = Note
			c.Mend = raiseGroup(m)
		}
	case g.Version == 0:
		c.Found = "there are no control groups"
	default:
		c.Found = fmt.Sprintf("no limit (version %d)", g.Version)
	}
	if g.Doubt != "" {
		c.Status = Note
		c.Found += "; the true limit may be lower: " + g.Doubt
	}
	return c
}

func raiseGroup(m machine.Info) []Remedy {
	switch {
	case m.Container == "kubernetes":
		return []Remedy{{"in the pod's specification", "resources: {limits: {memory: SIZE}}"}}
	case m.Container != "":
		return []Remedy{{"when the container is started", run(m) + " --memory=SIZE ..."}}
	}
	return []Remedy{
		{"in a systemd unit", limitKey(m.Cgroup) + "=infinity"},
		{"to run outside of the group, from a login of your own", "systemd-run --user --scope offhost ..."},
	}
}

// limitKey is systemd's name for the limit.
func limitKey(g machine.Cgroup) string {
	if g.File == "memory.high" {
		return "MemoryHigh"
	}
	return "MemoryMax"
}

func hostBudget(m machine.Info) Check {
	budget, why := m.HostBudget()
	c := Check{ID: "host_budget", Status: OK, Found: fmt.Sprintf("%s for weights: %s", budget.Decimal(), why)}
	if budget == 0 {
		c.Status = Note
		c.Found += "; a run on shm has to be given --host-budget"
	}
	return c
}

func pinBudget(m machine.Info) Check {
	pin, why := m.PinBudget()
	budget, _ := m.HostBudget()
	c := Check{ID: "pin_budget", Status: OK, Found: fmt.Sprintf("%s may be locked: %s", pin.Decimal(), why)}
	limit := m.Limits.LockedMemory
	switch {
	case m.Limits.LocksAll || limit.Known && pin >= budget:
	case !limit.Known:
		c.Status, c.Found = Note, why
	default:
		c.Status = Note
		c.Found += "; what the CUDA driver pins is not bound by it"
		c.Mend = raiseLocked(m, limit, budget)
	}
	return c
}

func raiseLocked(m machine.Info, limit machine.Limit, want units.Bytes) []Remedy {
	switch {
	case limit.Hard == machine.Unlimited:
		return []Remedy{{"in the shell that starts offhost", "ulimit -l unlimited"}}
	case limit.Hard >= int64(want):
		return []Remedy{{"in the shell that starts offhost", "ulimit -l $(ulimit -Hl)"}}
	}
	return raiseLimit(m, "memlock", "unlimited", "LimitMEMLOCK=infinity", "--ulimit memlock=-1")
}
