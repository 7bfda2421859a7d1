package machine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Library is NVIDIA's driver library.
type Library struct {
	Path    string // of libcuda.so.1; empty when there is none
	Version string // of the driver that it belongs to, when its file's name tells
	// Unlisted is that the dynamic linker does not look in its folder, so that the
	// library is loaded by its path only.
	Unlisted bool
	// Unfit says of the only one found why it cannot be loaded; Path is then empty.
	Unfit string
}

const (
	libcuda    = "libcuda.so.1"
	maxFolders = 128
	maxLinks   = 8
	maxPath    = 4096 // PATH_MAX
)

// library looks where the dynamic linker would, and then where distributions and
// container tools put the library without telling it. Nothing is loaded.
func (t tree) library(s Source) Library {
	var lib Library
	folders, listed := t.libraryFolders(s)
	for i, folder := range folders {
		file := path.Join(folder, libcuda)
		stat, err := fs.Stat(t.fs, name(file))
		if err != nil || !stat.Mode().IsRegular() {
			continue
		}
		if err := t.fits(file, s.Arch); err != nil {
			if lib.Unfit == "" {
				lib.Unfit = fmt.Sprintf("%s: %v", file, err)
			}
			continue
		}
		return Library{Path: file, Version: t.libraryVersion(file), Unlisted: i >= listed}
	}
	return lib
}

// libraryFolders returns where the library may be; in the first few of them the
// dynamic linker looks.
func (t tree) libraryFolders(s Source) (folders []string, listed int) {
	add := func(list ...string) {
		for _, f := range list {
			if path.IsAbs(f) && len(folders) < maxFolders && !slices.Contains(folders, path.Clean(f)) {
				folders = append(folders, path.Clean(f))
			}
		}
	}
	add(strings.Split(s.Getenv("LD_LIBRARY_PATH"), ":")...)
	cache, _ := t.read("/etc/ld.so.cache", largeFile) // without one, the folders count
	add(cachedFolders(cache)...)
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[s.Arch]
	if triplet != "" {
		add("/usr/lib/"+triplet, "/lib/"+triplet)
	}
	add("/usr/lib64", "/lib64", "/usr/lib", "/lib")
	listed = len(folders)

	add(t.configuredFolders()...)
	if triplet != "" {
		add("/usr/lib/"+triplet+"/tegra", "/usr/lib/"+triplet+"/nvidia/current")
	}
	add("/usr/lib64/nvidia", "/usr/local/lib", "/usr/lib/wsl/lib", "/run/opengl-driver/lib",
		"/usr/local/nvidia/lib64", "/usr/local/nvidia/lib")
	return folders, listed
}

// cachedFolders returns the folders in which the linker's cache knows the library.
// The cache is a head, an entry for each library, and the strings of both; offsets
// count from the head. An older cache may precede it in the file. The layout is in
// glibc's sysdeps/generic/dl-cache.h.
func cachedFolders(b []byte) []string {
	const magic, headSize, entrySize = "glibc-ld.so.cache1.1", 48, 24
	at := bytes.Index(b, []byte(magic))
	if at < 0 || len(b)-at < headSize {
		return nil
	}
	b = b[at:]
	word := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	count := min(word(len(magic)), (len(b)-headSize)/entrySize)
	var folders []string
	for i := range count {
		entry := headSize + i*entrySize
		name, file := word(entry+4), word(entry+8)
		if stringAt(b, name) != libcuda {
			continue
		}
		folders = append(folders, path.Dir(stringAt(b, file)))
		if len(folders) == maxFolders {
			break
		}
	}
	return folders
}

// stringAt returns the string that a zero ends; empty when it is not in b.
func stringAt(b []byte, at int) string {
	if at < 0 || at >= len(b) {
		return ""
	}
	s, _, _ := bytes.Cut(b[at:min(len(b), at+maxPath)], []byte{0})
	return string(s)
}

// configuredFolders returns the folders that the linker's configuration names: its
// cache may be older.
func (t tree) configuredFolders() []string {
	files := []string{"/etc/ld.so.conf"}
	for _, entry := range t.entries("/etc/ld.so.conf.d") {
		if strings.HasSuffix(entry, ".conf") {
			files = append(files, path.Join("/etc/ld.so.conf.d", entry))
		}
	}
	var folders []string
	for _, file := range files[:min(len(files), maxFolders)] {
		b, _ := t.read(file, smallFile)
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				folders = append(folders, line)
			}
		}
	}
	return folders
}

// fits reports why a file is no library for this processor.
func (t tree) fits(file, arch string) error {
	f, err := t.fs.Open(name(file))
	if err != nil {
		return err
	}
	defer f.Close()
	var head [20]byte // as far as the field that names the processor
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:4]) != elf.ELFMAG {
		return fmt.Errorf("want a shared library, it is no ELF file")
	}
	if class := elf.Class(head[elf.EI_CLASS]); class != elf.ELFCLASS64 {
		return fmt.Errorf("want a library of 64 bits, it is %v", class)
	}
	want, known := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if got := elf.Machine(binary.LittleEndian.Uint16(head[18:])); known && got != want {
		return fmt.Errorf("want a library for %v, it is for %v", want, got)
	}
	return nil
}

// libraryVersion follows links to the file, whose name ends in the driver's version:
// libcuda.so.550.54.14. On WSL it does not.
func (t tree) libraryVersion(file string) string {
	for range maxLinks {
		if v, ok := strings.CutPrefix(path.Base(file), "libcuda.so."); ok && version.FindString(v) == v {
			return v
		}
		target, err := fs.ReadLink(t.fs, name(file))
		if err != nil {
			return ""
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(file), target)
		}
		file = target
	}
	return ""
}
