package machine

import (
	"fmt"

	"github.com/offhost/offhost/host/units"
)

// The margin is what HostBudget leaves to everything else. Weights in shared memory
// cannot be dropped, so one that is too small ends in a killed process, while one
// that is too large only streams some weights from files.
//
// A process with torch and a CUDA context was seen to take 2.06 GB
// (github.com/pytorch/pytorch/issues/113326), and it often starts after offhost: so
// much is the least. Beyond it there are activations and images on the host, page
// tables, and what the kernel's estimate of available memory calls available
// although running programs are executed from it; that grows with the machine, but
// not for ever.
const (
	minMargin   = 2 * units.GiB
	maxMargin   = 16 * units.GiB
	marginShare = 8
)

// Room is how much memory the process can still have, and what leaves that much; known
// is false when neither the machine nor a control group tells. It is what the machine
// has available, or the room in the tightest control group if that is less, or what may
// still be committed where the kernel is strict about it.
func (i Info) Room() (room units.Bytes, of string, known bool) {
	room, of, known = i.Memory.Available, "the machine has available", i.Memory.Known
	consider := func(n units.Bytes, what string) {
		if !known || n < room {
			known, room, of = true, n, what
		}
	}
	if i.Cgroup.Limited {
		consider(i.Cgroup.Room(), fmt.Sprintf("%s of %s (%v) leaves", i.Cgroup.File, i.Cgroup.Path, i.Cgroup.Limit))
	}
	if i.Memory.StrictCommit {
		consider(max(0, i.Memory.CommitLimit-i.Memory.Committed), "may be committed under vm.overcommit_memory=2")
	}
	return room, of, known
}

// HostBudget returns how much host memory weights may take when the user does not
// say, and a sentence that tells from what it was worked out. It is 0 when the
// machine's memory is not known.
//
// It is the room that there is, less an eighth, but at least 2 GiB, at most 16 GiB and
// never more than half.
func (i Info) HostBudget() (units.Bytes, string) {
	room, of, known := i.Room()
	if !known {
		return 0, "how much memory this machine has is not known"
	}
	margin := min(max(room/marginShare, minMargin), maxMargin, room/2)
	budget := (room - margin) / units.MiB * units.MiB
	return budget, fmt.Sprintf("%s that %s, less %s for everything else", room.Decimal(), of, (room - budget).Decimal())
}

// PinBudget returns how much host memory the process may lock with mlock, and a
// sentence that tells by what. It is never more than the host budget, which is
// what it would be used for. What the CUDA driver pins is not bound by it; that only
// trying shows.
func (i Info) PinBudget() (units.Bytes, string) {
	budget, _ := i.HostBudget()
	limit := i.Limits.LockedMemory
	switch {
	case i.Limits.LocksAll:
		return budget, "all of the host budget, since the process has CAP_IPC_LOCK"
	case !limit.Known:
		return 0, "how much memory may be locked is not known"
	case limit.Soft >= int64(budget):
		return budget, "all of the host budget"
	}
	return units.Bytes(limit.Soft), "the limit of locked memory (RLIMIT_MEMLOCK)"
}
