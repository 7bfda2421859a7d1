package doctor

import (
	"fmt"
	"strings"

	"github.com/offhost/offhost/host/machine"
)

// run is the command that starts a container of this kind.
func run(m machine.Info) string {
	if m.Container == "podman" {
		return "podman run"
	}
	return "docker run"
}

// raiseLimit mends a hard limit of the process: its name for prlimit and in limits.d,
// the value there, the line for a systemd unit and the flag for a container.
func raiseLimit(m machine.Info, name, value, unit, flag string) []Remedy {
	switch m.Container {
	case "":
		return []Remedy{
			{"for this shell, now", fmt.Sprintf("sudo prlimit --%s=%s:%s --pid $$", name, value, value)},
			{"for good, from the next login", fmt.Sprintf("echo '* - %s %s' | sudo tee -a /etc/security/limits.d/offhost.conf", name, value)},
			{"in a systemd unit", unit},
		}
	case "kubernetes":
		return []Remedy{{"on the node, in the systemd unit of the container runtime (a pod cannot set it)", unit}}
	}
	return []Remedy{{"when the container is started", run(m) + " " + flag + " ..."}}
}

// sysctl mends a setting of the kernel, which a container shares with the machine.
func sysctl(setting string) []Remedy {
	return []Remedy{
		{"until the next start of the machine, outside of any container", "sudo sysctl " + setting},
		{"for good", fmt.Sprintf("echo '%s' | sudo tee -a /etc/sysctl.d/90-offhost.conf", setting)},
	}
}

// giveGPU mends a container that was started without the machine's GPU.
func giveGPU(m machine.Info) []Remedy {
	const toolkit = "on the machine outside, once: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
	switch m.Container {
	case "podman":
		return []Remedy{{"when the container is started", "podman run --device nvidia.com/gpu=all ..."}, {When: toolkit}}
	case "docker":
		return []Remedy{{"when the container is started", "docker run --gpus all ..."}, {When: toolkit}}
	case "kubernetes":
		return []Remedy{{"in the pod's specification", "resources: {limits: {nvidia.com/gpu: 1}}"}}
	}
	return []Remedy{{When: "pass /dev/nvidia* and the driver's libraries into the container"}}
}

// guides are the pages that distributions keep about NVIDIA's driver.
var guides = map[string]string{
	"debian":              "https://wiki.debian.org/NvidiaGraphicsDrivers",
	"fedora":              "https://rpmfusion.org/Howto/NVIDIA",
	"arch":                "https://wiki.archlinux.org/title/NVIDIA",
	"nixos":               "https://wiki.nixos.org/wiki/NVIDIA",
	"opensuse-leap":       "https://en.opensuse.org/SDB:NVIDIA_drivers",
	"opensuse-tumbleweed": "https://en.opensuse.org/SDB:NVIDIA_drivers",
}

// installDriver mends a machine without the driver. Names of packages change, so a
// page stands for them where the distribution has no command that chooses.
func installDriver(m machine.Info) []Remedy {
	restart := Remedy{When: "then start the machine again"}
	if m.Distribution.ID == "ubuntu" {
		return []Remedy{{"to install the driver", "sudo ubuntu-drivers install"}, restart}
	}
	guide, ok := guides[m.Distribution.ID]
	if !ok {
		guide = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"
	}
	return []Remedy{{When: "to install the driver: " + guide}, restart}
}

// allow mends files that may not be read and written.
func allow(m machine.Info, file string) []Remedy {
	if m.Container != "" {
		return giveGPU(m)
	}
	return []Remedy{
		{"to see whose it is", "ls -l " + quote(file)},
		{"if it is a group's, to join that group from the next login", `sudo usermod -aG GROUP "$USER"`},
	}
}

// quote makes a word of a shell command.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
