// Package doctor judges what a machine gives: which of offhost's devices can be used
// on it, what is missing, and how to mend it. It is a pure function of what
// host/machine found, and prints itself as text or JSON; it reads nothing, tries
// nothing and changes nothing.
//
// The command "offhost doctor" calls it.
package doctor

import (
	"slices"

	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/units"
)

// Schema is that of the JSON form. Within it fields and identifiers are only added;
// sections and checks keep their order. Texts and remedies are for people and change.
const Schema = "offhost.doctor/1"

// The statuses of a check.
const (
	OK      = "ok"
	Note    = "note"    // it works, but not as well as it could, or it is not known
	Missing = "missing" // something does not work
)

// offhost's devices.
const (
	Sim  = "sim"
	Shm  = "shm"
	CUDA = "cuda"
)

// Findings are what was found, and the JSON form.
type Findings struct {
	Schema string `json:"schema"`
	// Runs is that nothing is missing that offhost needs to run on this system.
	Runs bool `json:"runs"`
	// Devices are those of this build that can be used on this machine.
	Devices []string `json:"devices"`
	// HostBudgetBytes is how much host memory weights may take unless the user says
	// otherwise, 0 when that is not known; PinBudgetBytes is how much of it may be
	// locked.
	HostBudgetBytes units.Bytes `json:"host_budget_bytes"`
	PinBudgetBytes  units.Bytes `json:"pin_budget_bytes"`
	// Sections are offhost, machine, memory, sharing and gpu; the last three only on
	// Linux.
	Sections []Section `json:"sections"`
}

// A Section is what was found about one subject.
type Section struct {
	ID     string  `json:"id"`
	Checks []Check `json:"checks"`
}

// A Check is one thing that was looked at. A check that has nothing to say on this
// machine is left out. They are, in this order:
//
//	offhost  version, cuda
//	machine  system, processors, container, wsl
//	memory   memory, cgroup, host_budget, pin_budget, overcommit, huge_pages
//	sharing  memfd, seals, passing, descriptors, mappings, dev_shm
//	gpu      card, driver, device_files, library, and where CUDA was tried
//	         cuda_driver, gpu, memory, sharing, exercised
type Check struct {
	ID     string `json:"id"` // once in its section
	Status string `json:"status"`
	// Needed is that offhost cannot run without it.
	Needed bool     `json:"needed"`
	Found  string   `json:"found"`
	Mend   []Remedy `json:"mend"` // any of them, or all, as each says
}

// A Remedy is one way to mend what a check found.
type Remedy struct {
	When string `json:"when"` // it applies, or what to do when Do is empty
	Do   string `json:"do"`   // a command, or a line for the file that When names
}

// A Build is what this program was built with.
type Build struct {
	Version string   // as "offhost version" prints it
	Devices []string // that it has
}

// A Trial is what came of trying CUDA, in a process of its own.
type Trial struct {
	Err     error    // why it could not be used; nil when it could
	Library string   // that was loaded
	Driver  string   // version of its interface
	Missing []string // functions that it lacks of those that this build calls
	StandIn bool     // it is offhost's own, for tests
	GPUs    []GPU
	// Of the first one:
	Granularity, Free units.Bytes
}

// A GPU is what the driver says of one.
type GPU struct {
	Name, UUID            string
	Total                 units.Bytes
	VirtualMemory, Export bool
}

func (t *Trial) works() bool {
	return t != nil && t.Err == nil && len(t.Missing) == 0 && len(t.GPUs) > 0 && t.GPUs[0].VirtualMemory
}

func (b Build) has(device string) bool { return slices.Contains(b.Devices, device) }

// Examine judges a machine. Trial is nil where CUDA was not tried.
func Examine(b Build, m machine.Info, trial *Trial) *Findings {
	f := &Findings{Schema: Schema, Runs: true, Devices: []string{}}
	f.HostBudgetBytes, _ = m.HostBudget()
	f.PinBudgetBytes, _ = m.PinBudget()
	f.add("offhost", build(b))
	f.add("machine", system(m))
	if m.OS == "linux" {
		f.add("memory", memory(m))
		f.add("sharing", sharing(m))
		f.add("gpu", append(gpu(m), tried(trial)...))
	}
	for _, s := range f.Sections {
		for _, c := range s.Checks {
			f.Runs = f.Runs && !(c.Needed && c.Status == Missing)
		}
	}
	for _, device := range b.Devices {
		usable := true
		switch device {
		case Shm:
			usable = m.OS == "linux" && f.Runs
		case CUDA:
			usable = m.OS == "linux" && f.Runs && (trial.works() || trial == nil && len(f.missing("gpu")) == 0)
		}
		if usable {
			f.Devices = append(f.Devices, device)
		}
	}
	return f
}

func (f *Findings) add(id string, checks []Check) {
	for i := range checks {
		if checks[i].Mend == nil {
			checks[i].Mend = []Remedy{}
		}
	}
	f.Sections = append(f.Sections, Section{ID: id, Checks: checks})
}

// missing returns the checks of a section that found something missing.
func (f *Findings) missing(section string) []string {
	var ids []string
	for _, s := range f.Sections {
		for _, c := range s.Checks {
			if s.ID == section && c.Status == Missing {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}

// Needed returns what offhost needs and does not have.
func (f *Findings) Needed() []string {
	var ids []string
	for _, s := range f.Sections {
		for _, c := range s.Checks {
			if c.Needed && c.Status == Missing {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}
