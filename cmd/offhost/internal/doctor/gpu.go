package doctor

import (
	"fmt"
	"path"
	"strings"

	"github.com/offhost/offhost/host/machine"
)

// gpu says how far CUDA's way is open: the card, the kernel module that drives it,
// the device files that lead to the module, and the library that opens them. The
// first that is missing explains those behind it, which are then left out.
func gpu(m machine.Info) []Check {
	n := m.NVIDIA
	if m.WSL == 2 {
		return []Check{dxg(m), libcuda(m)}
	}
	if len(n.Cards) == 0 && len(n.GPUs) == 0 && n.Driver == "" && !n.Control.Present {
		return []Check{noGPU(m)}
	}
	checks := []Check{card(m), driver(m)}
	if n.Driver == "" {
		return checks
	}
	return append(checks, deviceFiles(m), libcuda(m))
}

func noGPU(m machine.Info) Check {
	c := Check{ID: "card", Status: Missing, Found: "no NVIDIA card, and no driver"}
	if m.Container != "" {
		c.Found += ", can be seen from this container"
		c.Mend = giveGPU(m)
		return c
	}
	c.Found += ", was found; sim and shm need none"
	return c
}

func card(m machine.Info) Check {
	c := Check{ID: "card", Status: OK}
	var names []string
	for _, g := range m.NVIDIA.GPUs {
		names = append(names, fmt.Sprintf("%s (%s)", g.Model, g.Bus))
	}
	if len(names) == 0 {
		for _, k := range m.NVIDIA.Cards {
			names = append(names, fmt.Sprintf("an NVIDIA card, 10de:%s (%s)", k.Device, k.Bus))
		}
	}
	if len(names) == 0 {
		c.Status, c.Found = Missing, "the driver is there, but no card"
		if m.Container != "" {
			c.Mend = giveGPU(m)
		}
		return c
	}
	c.Found = strings.Join(names, ", ")
	return c
}

func driver(m machine.Info) Check {
	n := m.NVIDIA
	if n.Driver != "" {
		return Check{ID: "driver", Status: OK, Found: n.Driver}
	}
	c := Check{ID: "driver", Status: Missing, Found: "NVIDIA's kernel module is not loaded"}
	owner := ""
	for _, k := range n.Cards {
		if k.Driver != "" && k.Driver != "nvidia" {
			owner = k.Driver
		}
	}
	switch {
	case m.Container != "":
		c.Found += ", or hidden from this container"
		c.Mend = giveGPU(m)
	case owner == "vfio-pci":
		c.Found = "the card is set aside for virtual machines (vfio-pci)"
		c.Mend = []Remedy{{When: "give it back to the driver, or run offhost in the virtual machine that has it"}}
	case n.Library.Path != "":
		c.Found += ", though its library is there (" + n.Library.Path + ")"
		c.Mend = []Remedy{
			{"to load it", "sudo modprobe nvidia"},
			{"if that fails, to see why", "sudo dmesg | grep -i -e nvidia -e nvrm"},
			{"if the key is refused, to see whether Secure Boot asks for a signed module", "mokutil --sb-state"},
		}
	default:
		if owner != "" {
			c.Found += "; " + owner + " has the card, with which CUDA does not work"
		}
		c.Mend = installDriver(m)
	}
	return c
}

// deviceFiles checks those that CUDA opens. One usable GPU is enough.
func deviceFiles(m machine.Info) Check {
	n := m.NVIDIA
	c := Check{ID: "device_files", Status: OK}
	var usable, absent []string
	sort := func(d machine.DeviceFile) (ok bool) {
		switch {
		case !d.Present:
			absent = append(absent, d.Path)
		case d.Denied != "":
			c.Found = fmt.Sprintf("%s: %s", d.Path, d.Denied)
			c.Mend = allow(m, d.Path)
		default:
			usable = append(usable, d.Path)
			return true
		}
		return false
	}
	control := sort(n.Control)
	one := false
	for _, g := range n.GPUs {
		if g.Device.Path != "" && sort(g.Device) {
			one = true
		}
	}
	switch {
	case !control || !one:
		c.Status = Missing
		if c.Found == "" && len(absent) > 0 {
			c.Found = strings.Join(absent, ", ") + ": not there"
			c.Mend = makeDevices(m)
		} else if c.Found == "" {
			c.Found = "the driver names no device file of a GPU"
		}
		return c
	case n.UVM.Present && n.UVM.Denied != "":
		c.Status, c.Found, c.Mend = Missing, n.UVM.Path+": "+n.UVM.Denied, allow(m, n.UVM.Path)
		return c
	}
	if n.UVM.Present {
		usable = append(usable, n.UVM.Path)
	}
	c.Found, c.Mend = strings.Join(usable, ", ")+" can be opened", nil
	if !n.UVM.Present {
		c.Status = Note
		c.Found += "; " + n.UVM.Path + " is not there yet: CUDA makes it at its first use, if it may"
		c.Mend = makeDevices(m)
	}
	return c
}

func makeDevices(m machine.Info) []Remedy {
	if m.Container != "" {
		return giveGPU(m)
	}
	return []Remedy{{"to make them", "sudo nvidia-modprobe -u -c=0"}}
}

func libcuda(m machine.Info) Check {
	lib := m.NVIDIA.Library
	c := Check{ID: "library", Status: OK, Found: lib.Path}
	switch {
	case lib.Path == "":
		c.Status, c.Found = Missing, "libcuda.so.1, the driver's library, was not found"
		if lib.Unfit != "" {
			c.Found = lib.Unfit
		}
		switch {
		case m.WSL == 2:
			c.Mend = windowsDriver(m)
		case m.Container == "docker":
			c.Mend = []Remedy{{"when the container is started", "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."}}
		case m.Container != "":
			c.Mend = giveGPU(m)
		default:
			c.Mend = installDriver(m)
		}
		return c
	case lib.Version != "":
		c.Found += " (" + lib.Version + ")"
	}
	if lib.Version != "" && m.NVIDIA.Driver != "" && lib.Version != m.NVIDIA.Driver {
		c.Status = Note
		c.Found += fmt.Sprintf(" is not of the loaded driver, %s: CUDA takes that only from a package for forward compatibility", m.NVIDIA.Driver)
		c.Mend = []Remedy{{"after an update of the driver", "sudo reboot"}}
		return c
	}
	if lib.Unlisted {
		folder := path.Dir(lib.Path)
		c.Status = Note
		c.Found += "; the dynamic linker does not look there"
		c.Mend = []Remedy{
			{"in the shell that starts offhost", `export LD_LIBRARY_PATH="` + folder + `${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"`},
		}
		if m.Container == "" {
			c.Mend = append(c.Mend, Remedy{"for good", "echo " + quote(folder) + " | sudo tee /etc/ld.so.conf.d/offhost-libcuda.conf && sudo ldconfig"})
		}
	}
	return c
}

// dxg checks the one device file of WSL, behind which Windows drives the card.
func dxg(m machine.Info) Check {
	d := m.NVIDIA.DXG
	c := Check{ID: "device_files", Status: OK, Found: d.Path + " can be opened"}
	switch {
	case !d.Present:
		c.Status, c.Found = Missing, d.Path+", by which WSL reaches the GPU, is not there"
		c.Mend = windowsDriver(m)
	case d.Denied != "":
		c.Status, c.Found, c.Mend = Missing, d.Path+": "+d.Denied, allow(m, d.Path)
	}
	return c
}

func windowsDriver(m machine.Info) []Remedy {
	if m.Container != "" {
		return giveGPU(m)
	}
	return []Remedy{
		{When: "install NVIDIA's driver in Windows, and none in Linux: https://www.nvidia.com/drivers"},
		{"then, in Windows", "wsl --update && wsl --shutdown"},
	}
}
