package machine

import (
	"strings"
)

// A Distribution is the Linux distribution, as /etc/os-release names it: "debian",
// and the ones that it is made from.
type Distribution struct {
	ID   string
	Like []string
}

// Is reports whether the distribution is one of ids, or made from one.
func (d Distribution) Is(ids ...string) bool {
	for _, id := range ids {
		if d.ID == id {
			return true
		}
		for _, like := range d.Like {
			if like == id {
				return true
			}
		}
	}
	return false
}

func (t tree) distribution() Distribution {
	b, err := t.read("/etc/os-release", smallFile)
	if err != nil {
		b, _ = t.read("/usr/lib/os-release", smallFile)
	}
	var d Distribution
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = text(strings.Trim(value, `"'`))
		switch key {
		case "ID":
			d.ID = value
		case "ID_LIKE":
			d.Like = strings.Fields(value)
		}
	}
	return d
}

// wsl tells the Windows Subsystem for Linux by its kernel's release: version 1 has
// "4.4.0-19041-Microsoft", version 2 "5.15.90.1-microsoft-standard-WSL2".
func wsl(kernel string) int {
	switch {
	case strings.Contains(kernel, "microsoft-standard"), strings.Contains(kernel, "WSL2"):
		return 2
	case strings.Contains(strings.ToLower(kernel), "microsoft"):
		return 1
	}
	return 0
}

// container names what seems to contain the process. There is no sure sign; it
// serves to give the advice that fits.
func (t tree) container(getenv func(string) string) string {
	if getenv("KUBERNETES_SERVICE_HOST") != "" {
		return "kubernetes"
	}
	if t.exists("/.dockerenv") {
		return "docker"
	}
	if t.exists("/run/.containerenv") {
		return "podman"
	}
	if kind := text(getenv("container")); kind != "" { // as podman and systemd-nspawn set it
		return kind
	}
	b, _ := t.read("/proc/1/cgroup", smallFile)
	for _, kind := range []struct{ sign, name string }{
		{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"}, {"/lxc", "lxc"}, {"containerd", "container"},
	} {
		if strings.Contains(string(b), kind.sign) {
			return kind.name
		}
	}
	return ""
}
