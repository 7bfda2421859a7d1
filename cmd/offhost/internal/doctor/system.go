package doctor

import (
	"fmt"

	"github.com/offhost/offhost/host/machine"
)

func build(b Build) []Check {
	cuda := Check{ID: "cuda", Status: OK, Found: "this build can drive CUDA"}
	if !b.has(CUDA) {
		cuda.Status, cuda.Found = Note, "this build is without CUDA"
	}
	return []Check{{ID: "version", Status: OK, Found: b.Version}, cuda}
}

func system(m machine.Info) []Check {
	what := m.OS + "/" + m.Arch
	if m.OS != "linux" {
		return []Check{
			{ID: "system", Status: Note, Found: what + ": only the simulated device (sim) runs here; to move real bytes, offhost needs Linux"},
			processors(m),
		}
	}
	if m.Kernel != "" {
		what += ", kernel " + m.Kernel
	}
	if m.Distribution.ID != "" {
		what += ", " + m.Distribution.ID
	}
	checks := []Check{{ID: "system", Status: OK, Found: what}, processors(m)}
	if m.Container != "" {
		checks = append(checks, Check{ID: "container", Status: OK, Found: "it seems to be one: " + m.Container})
	}
	switch m.WSL {
	case 1:
		checks = append(checks, Check{ID: "wsl", Status: Note, Found: "WSL 1 is not a Linux kernel and knows no GPU",
			Mend: []Remedy{
				{"in Windows, to see the distribution's name", "wsl --list --verbose"},
				{"in Windows, with that name", "wsl --set-version NAME 2"},
			}})
	case 2:
		checks = append(checks, Check{ID: "wsl", Status: OK,
			Found: "WSL 2: it has a part of the machine's memory, by default half ([wsl2] memory= in %UserProfile%\\.wslconfig), and CUDA can pin less of that than on Linux"})
	}
	return checks
}

func processors(m machine.Info) Check {
	c := Check{ID: "processors", Status: OK, Found: fmt.Sprint(m.CPUs)}
	if m.CPUs == 0 {
		c.Status, c.Found = Note, "their number is not known"
	}
	if m.Cgroup.CPUs > 0 {
		c.Found += fmt.Sprintf("; the control group grants the time of %.3g", m.Cgroup.CPUs)
	}
	return c
}
