package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// tried says what came of trying CUDA. What files tell comes before it and explains it;
// what was tried counts.
func tried(t *Trial) []Check {
	if t == nil {
		return nil
	}
	if t.Err != nil {
		return []Check{{ID: "cuda_driver", Status: Missing, Found: t.Err.Error()}}
	}
	driver := Check{ID: "cuda_driver", Status: OK, Found: fmt.Sprintf("%s, interface %s", t.Library, t.Driver)}
	if t.StandIn {
		driver.Found += ": offhost's stand-in, no GPU"
	}
	if len(t.Missing) > 0 {
		driver.Status = Missing
		driver.Found += ": it lacks " + strings.Join(t.Missing, ", ")
	}
	if len(t.GPUs) == 0 {
		return []Check{driver, {ID: "gpu", Status: Missing, Found: "the driver has none, or CUDA_VISIBLE_DEVICES hides it"}}
	}
	var names []string
	for _, g := range t.GPUs {
		names = append(names, fmt.Sprintf("%s, %s (%s)", g.Name, g.Total.Decimal(), g.UUID))
	}
	first := t.GPUs[0]
	checks := []Check{driver, {ID: "gpu", Status: OK, Found: strings.Join(names, "; ")}}
	memory := Check{ID: "memory", Status: OK, Found: fmt.Sprintf("%s free, allocated in %v, mapped at addresses that stay", t.Free.Decimal(), t.Granularity)}
	if !first.VirtualMemory {
		memory = Check{ID: "memory", Status: Missing, Found: "the GPU cannot map memory at addresses that stay (virtual memory management), which offhost needs"}
	}
	share := Check{ID: "sharing", Status: OK, Found: "chunks can be given to other processes as descriptors"}
	if !first.Export {
		share.Status, share.Found = Note, "chunks cannot be given to other processes as descriptors: only this process can use them"
	}
	return append(checks, memory, share, exercised(t))
}

// seen are the GPUs on which the CUDA suite has run, by the driver's names of them.
var seen = []string{"NVIDIA H100 80GB HBM3"}

// exercised says how far this build has been tried on what it found.
func exercised(t *Trial) Check {
	if t.StandIn {
		return Check{ID: "exercised", Status: OK, Found: "all that this build does with CUDA is tested on this stand-in"}
	}
	if slices.Contains(seen, t.GPUs[0].Name) {
		return Check{ID: "exercised", Status: OK, Found: "the tests of what this build does with CUDA have run on such a GPU"}
	}
	return Check{ID: "exercised", Status: Note,
		Found: "the tests of what this build does with CUDA have run on " + strings.Join(seen, ", ") + ", not on this GPU: it reads back and compares all that it copies",
		Mend: []Remedy{
			{"to try it", "offhost run --device cuda --scale 1/16"},
			{"to test it, from a checkout", "OFFHOST_CUDA_LIB=" + quote(t.Library) + " make test-cuda"},
			{When: "send what they and offhost doctor say to the project, as README.md describes"},
		}}
}
