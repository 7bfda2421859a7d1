package machine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/machine"
)

// elf is the head of a library: class 2 has 64 bits, machine 62 is x86-64.
func elf(class, machine byte) string {
	return "\x7fELF" + string([]byte{class, 1, 1, 0}) + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00" + string([]byte{machine, 0}) + "rest"
}

// withGPU has one card and its driver.
var withGPU = files{
	"/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
	"/sys/bus/pci/devices/0000:01:00.0/class":  "0x030000\n",
	"/sys/bus/pci/devices/0000:01:00.0/device": "0x2684\n",
	"/sys/bus/pci/devices/0000:01:00.0/driver": "-> ../../../../bus/pci/drivers/nvidia",
	"/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n" +
		"GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n",
	"/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 180\n" +
		"GPU UUID: \t GPU-01234567-89ab-cdef-0123-456789abcdef\nBus Location: \t 0000:01:00.0\nDevice Minor: \t 0\nGPU Excluded:\t No\n",
	"/dev/nvidiactl":                                 "dev",
	"/dev/nvidia0":                                   "dev",
	"/dev/nvidia-uvm":                                "dev",
	"/usr/lib/x86_64-linux-gnu/libcuda.so.1":         "-> libcuda.so.550.54.14",
	"/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14": elf(2, 62),
}

func TestACardWithItsDriver(t *testing.T) {
	got := source(withGPU).Read().NVIDIA
	want := machine.NVIDIA{
		Cards:  []machine.Card{{Bus: "0000:01:00.0", Device: "2684", Driver: "nvidia"}},
		Driver: "550.54.14",
		GPUs: []machine.GPU{{
			Model: "NVIDIA GeForce RTX 4090", UUID: "GPU-01234567-89ab-cdef-0123-456789abcdef", Bus: "0000:01:00.0",
			Device: machine.DeviceFile{Path: "/dev/nvidia0", Present: true},
		}},
		Control: machine.DeviceFile{Path: "/dev/nvidiactl", Present: true},
		UVM:     machine.DeviceFile{Path: "/dev/nvidia-uvm", Present: true},
		DXG:     machine.DeviceFile{Path: "/dev/dxg"},
		Library: machine.Library{Path: "/usr/lib/x86_64-linux-gnu/libcuda.so.1", Version: "550.54.14"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestADeviceFileThatIsDenied(t *testing.T) {
	s := source(withGPU)
	s.Access = func(path string) error {
		if path == "/dev/nvidia0" {
			return errors.New("permission denied")
		}
		return nil
	}
	got := s.Read().NVIDIA
	if d := got.GPUs[0].Device; !d.Present || d.Denied != "permission denied" {
		t.Errorf("%+v, want it present and denied", d)
	}
	if got.Control.Denied != "" {
		t.Errorf("%+v, want it allowed", got.Control)
	}
}

func TestDriverVersions(t *testing.T) {
	for line, want := range map[string]string{
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)": "580.65.06",
		"NVRM version: NVIDIA UNIX aarch64 Kernel Module  470.256  x":                                      "470.256",
		"NVRM version: something else": "of unknown version",
		"":                             "",
		"not the driver 550.54.14":     "",
	} {
		if got := source(files{"/proc/driver/nvidia/version": line}).Read().NVIDIA.Driver; got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// A sound controller of NVIDIA's, and another maker's card, are no card of NVIDIA's.
func TestCards(t *testing.T) {
	for _, c := range []struct {
		vendor, class string
		want          bool
	}{{"0x10de", "0x030200", true}, {"0x10de", "0x040300", false}, {"0x1002", "0x030000", false}} {
		got := source(files{"/sys/bus/pci/devices/a/vendor": c.vendor, "/sys/bus/pci/devices/a/class": c.class}).Read().NVIDIA.Cards
		if (len(got) == 1) != c.want {
			t.Errorf("%s %s: %v, want %v", c.vendor, c.class, got, c.want)
		}
	}
}

// ldCache is the dynamic linker's cache of these libraries.
func ldCache(paths ...string) string {
	head := append([]byte("glibc-ld.so.cache1.1"), make([]byte, 28)...)
	binary.LittleEndian.PutUint32(head[20:], uint32(len(paths)))
	var entries []byte
	strings := ""
	at := func() uint32 { return uint32(len(head) + 24*len(paths) + len(strings)) }
	for _, p := range paths {
		entry := make([]byte, 24)
		binary.LittleEndian.PutUint32(entry[4:], at())
		strings += path.Base(p) + "\x00"
		binary.LittleEndian.PutUint32(entry[8:], at())
		strings += p + "\x00"
		entries = append(entries, entry...)
	}
	return string(head) + string(entries) + strings
}

func TestLibrary(t *testing.T) {
	for _, c := range []struct {
		name  string
		files files
		path  string // LD_LIBRARY_PATH
		want  machine.Library
	}{
		{name: "none"},
		{name: "WSL", files: files{"/usr/lib/wsl/lib/libcuda.so.1": elf(2, 62)},
			want: machine.Library{Path: "/usr/lib/wsl/lib/libcuda.so.1", Unlisted: true}},
		{name: "the environment comes first", path: ":relative:/opt/cuda/",
			files: withGPU.with(files{"/opt/cuda/libcuda.so.1": "-> ../x/libcuda.so.560.1", "/opt/x/libcuda.so.560.1": elf(2, 62)}),
			want:  machine.Library{Path: "/opt/cuda/libcuda.so.1", Version: "560.1"}},
		{name: "the linker's cache, behind an older one", files: files{
			"/etc/ld.so.cache":            "ld.so-1.7.0\x00\x00\x00\x00" + ldCache("/opt/other/libc.so.6", "/opt/here/libcuda.so.1"),
			"/opt/here/libcuda.so.1":      elf(2, 62),
			"/usr/local/lib/libcuda.so.1": elf(2, 62),
		}, want: machine.Library{Path: "/opt/here/libcuda.so.1"}},
		{name: "the linker's configuration, newer than its cache", files: files{
			"/etc/ld.so.conf":               "include /etc/ld.so.conf.d/*.conf\n",
			"/etc/ld.so.conf.d/nvidia.conf": "# NVIDIA\n/usr/local/here\n",
			"/usr/local/here/libcuda.so.1":  elf(2, 62),
		}, want: machine.Library{Path: "/usr/local/here/libcuda.so.1", Unlisted: true}},
		{name: "one of 32 bits is passed over", files: withGPU.with(files{
			"/etc/ld.so.cache": ldCache("/usr/lib32/libcuda.so.1"), "/usr/lib32/libcuda.so.1": elf(1, 3)}),
			want: machine.Library{Path: "/usr/lib/x86_64-linux-gnu/libcuda.so.1", Version: "550.54.14"}},
		{name: "only one of another processor", files: files{"/usr/lib/libcuda.so.1": elf(2, 183)},
			want: machine.Library{Unfit: "/usr/lib/libcuda.so.1: want a library for EM_X86_64, it is for EM_AARCH64"}},
		{name: "no library at all", files: files{"/usr/lib/libcuda.so.1": "INPUT(libcuda.so)"},
			want: machine.Library{Unfit: "/usr/lib/libcuda.so.1: want a shared library, it is no ELF file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := source(c.files)
			s.Getenv = func(key string) string {
				if key == "LD_LIBRARY_PATH" {
					return c.path
				}
				return ""
			}
			if diff := cmp.Diff(c.want, s.Read().NVIDIA.Library); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A real file system says that links lead in a circle; then there is no library.
func TestALibraryThatIsACircleOfLinks(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "usr", "lib")
	if err := os.MkdirAll(lib, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"libcuda.so.1": "libcuda.so", "libcuda.so": "libcuda.so.1"} {
		if err := os.Symlink(to, filepath.Join(lib, from)); err != nil {
			t.Skip(err)
		}
	}
	s := source(nil)
	s.Files = os.DirFS(root)
	if got := s.Read().NVIDIA.Library; got != (machine.Library{}) {
		t.Errorf("%+v, want none", got)
	}
}

// A cache that lies about its size or its strings leads to nothing worse than no
// library.
func TestACacheThatLies(t *testing.T) {
	honest := ldCache("/opt/here/libcuda.so.1")
	for name, cache := range map[string]string{
		"too many entries":   honest[:20] + "\xff\xff\xff\xff" + honest[24:],
		"strings outside":    honest[:52] + "\xff\xff\xff\xff" + honest[56:],
		"a path outside":     honest[:56] + "\xff\xff\xff\xff" + honest[60:],
		"the head cut short": honest[:30],
		"an entry cut short": honest[:60],
	} {
		got := source(files{"/etc/ld.so.cache": cache}).Read().NVIDIA.Library
		if got != (machine.Library{}) {
			t.Errorf("%s: %+v, want no library", name, got)
		}
	}
}

// No more GPUs are listed than any machine has.
func TestGPUsAreBounded(t *testing.T) {
	f := files{}
	for i := range 100 {
		f[fmt.Sprintf("/proc/driver/nvidia/gpus/%03d/information", i)] = "Model: x\n"
	}
	got := source(f).Read().NVIDIA.GPUs
	if len(got) != 64 || got[0].Bus != "000" {
		t.Errorf("%d GPUs, the first at %q; want 64, and the folder's name for a bus", len(got), got[0].Bus)
	}
}
