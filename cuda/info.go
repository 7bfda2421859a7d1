package cuda

import "github.com/offhost/offhost/host/units"

// Info is what a driver and a device say of themselves.
type Info struct {
	Library string   // as it was loaded
	Driver  int      // 12040 is 12.4
	Missing []string // functions that this program calls and the library lacks
	GPUs    []GPU
	GPU     GPU // the one that was chosen

	Granularity units.Bytes // of device memory
	Free        units.Bytes // on the whole device, when the worker began
	Pinned      units.Bytes // of weights
	Unpinned    string      // why not all is pinned that was to be; empty when it is
}

// A GPU is a device of the driver's.
type GPU struct {
	Name  string
	UUID  string
	PCI   string // address on the bus; empty when the driver does not say
	Total units.Bytes
	// VirtualMemory and Export say whether memory can be mapped at fixed addresses, and
	// given to other processes.
	VirtualMemory, Export bool
	// ReadOnlyPin says whether memory can be pinned that must not be written; else it has to
	// be memory that could be.
	ReadOnlyPin bool
}

// StandIn reports whether the driver is this project's own, for tests.
func (i *Info) StandIn() bool { return i.GPU.Name == standInName }

// standInName is what the stand-in calls its GPU.
const standInName = "offhost stand-in GPU"
