package machine

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// NVIDIA is what there is of NVIDIA's driver, as far as files tell; whether CUDA
// works only trying it shows.
type NVIDIA struct {
	Cards  []Card // on the PCI bus; a container or a virtual machine may hide it
	Driver string // the version of the loaded kernel module; empty for none
	GPUs   []GPU  // that the kernel module drives, seen or not from a container

	Control DeviceFile // /dev/nvidiactl
	UVM     DeviceFile // /dev/nvidia-uvm, which CUDA needs and graphics do not
	DXG     DeviceFile // /dev/dxg, which on WSL stands for all of these

	Library Library
}

// A Card is a display controller of NVIDIA's on the PCI bus.
type Card struct {
	Bus    string // its address, "0000:01:00.0"
	Device string // its number among NVIDIA's, "2684"
	Driver string // the kernel module that has it: nvidia, nouveau, vfio-pci; empty for none
}

// A GPU is one that the kernel module drives.
type GPU struct {
	Model, UUID, Bus string
	Device           DeviceFile
}

// A DeviceFile is a file in /dev.
type DeviceFile struct {
	Path    string
	Present bool
	Denied  string // why the process may not read and write it; empty when it may
}

const maxGPUs = 64

func (t tree) nvidia(s Source) NVIDIA {
	n := NVIDIA{
		Cards:   t.nvidiaCards(),
		Control: t.device(s, "/dev/nvidiactl"),
		UVM:     t.device(s, "/dev/nvidia-uvm"),
		DXG:     t.device(s, "/dev/dxg"),
		Library: t.library(s),
	}
	n.Driver = driverVersion(t.line("/proc/driver/nvidia/version"))
	const gpus = "/proc/driver/nvidia/gpus"
	for _, bus := range t.entries(gpus) {
		if len(n.GPUs) == maxGPUs {
			break
		}
		b, err := t.read(path.Join(gpus, bus, "information"), smallFile)
		if err != nil {
			continue
		}
		gpu, minor := parseGPU(b)
		if gpu.Bus == "" {
			gpu.Bus = text(bus)
		}
		if minor >= 0 {
			gpu.Device = t.device(s, fmt.Sprintf("/dev/nvidia%d", minor))
		}
		n.GPUs = append(n.GPUs, gpu)
	}
	return n
}

// nvidiaCards looks for display controllers (class 3) of NVIDIA (vendor 10de).
func (t tree) nvidiaCards() []Card {
	const devices = "/sys/bus/pci/devices"
	var cards []Card
	for _, bus := range t.entries(devices) {
		folder := path.Join(devices, bus)
		if t.line(path.Join(folder, "vendor")) != "0x10de" || !strings.HasPrefix(t.line(path.Join(folder, "class")), "0x03") {
			continue
		}
		card := Card{Bus: text(bus), Device: strings.TrimPrefix(t.line(path.Join(folder, "device")), "0x")}
		if target, err := fs.ReadLink(t.fs, name(path.Join(folder, "driver"))); err == nil {
			card.Driver = text(path.Base(target))
		}
		if cards = append(cards, card); len(cards) == maxGPUs {
			break
		}
	}
	return cards
}

func (t tree) device(s Source, file string) DeviceFile {
	d := DeviceFile{Path: file, Present: t.exists(file)}
	if d.Present {
		if err := s.Access(file); err != nil {
			d.Denied = text(err.Error())
		}
	}
	return d
}

var version = regexp.MustCompile(`\b[0-9]{3,4}(\.[0-9]{1,4}){1,3}\b`)

// driverVersion finds the version in lines such as "NVRM version: NVIDIA UNIX x86_64
// Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024".
func driverVersion(line string) string {
	if !strings.Contains(line, "NVRM") {
		return ""
	}
	if v := version.FindString(line); v != "" {
		return v
	}
	return "of unknown version"
}

// parseGPU reads lines such as "Model: 		 NVIDIA GeForce RTX 4090". The number of the
// device file is -1 when there is none.
func parseGPU(b []byte) (g GPU, minor int) {
	minor = -1
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch value = text(value); strings.TrimSpace(key) {
		case "Model":
			g.Model = value
		case "GPU UUID":
			g.UUID = value
		case "Bus Location":
			g.Bus = value
		case "Device Minor":
			if n, err := strconv.ParseUint(value, 10, 8); err == nil {
				minor = int(n)
			}
		}
	}
	return g, minor
}
