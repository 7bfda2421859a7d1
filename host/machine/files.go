package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/offhost/offhost/host/units"
)

// Bounds on what is read: the kernel's own files are far smaller, and what a
// container or a user puts in their place must not cost more.
const (
	smallFile   = 64 << 10
	largeFile   = 4 << 20 // mounts, and the dynamic linker's cache
	maxEntries  = 4096
	maxTextSize = 128
)

// A tree reads a file system by absolute paths.
type tree struct{ fs fs.FS }

// name is an absolute path as io/fs wants it.
func name(file string) string {
	if n := strings.TrimPrefix(path.Clean("/"+file), "/"); n != "" {
		return n
	}
	return "."
}

// read returns a regular file's content. Anything else is not opened, since opening
// may block, or wake a device.
func (t tree) read(file string, limit int) ([]byte, error) {
	stat, err := fs.Stat(t.fs, name(file))
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: want a regular file, it is %v", file, stat.Mode())
	}
	f, err := t.fs.Open(name(file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, limit)
	}
	return b, nil
}

// line returns the first line of a small file; empty when there is none.
func (t tree) line(file string) string {
	b, err := t.read(file, smallFile)
	if err != nil {
		return ""
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	return text(string(first))
}

func (t tree) exists(file string) bool {
	_, err := fs.Stat(t.fs, name(file))
	return err == nil
}

// entries lists a folder; a missing one has none.
func (t tree) entries(folder string) []string {
	list, _ := fs.ReadDir(t.fs, name(folder)) // what could be read counts
	var names []string
	for _, e := range list[:min(len(list), maxEntries)] {
		names = append(names, e.Name())
	}
	return names
}

// text trims a value that is shown to people, and cuts it where no honest one ends.
func text(s string) string {
	s = strings.TrimSpace(s)
	return strings.ToValidUTF8(s[:min(len(s), maxTextSize)], "")
}

// count reads a file that holds one number that is not negative.
func (t tree) count(file string) (int64, bool) {
	n, err := strconv.ParseInt(t.line(file), 10, 64)
	return n, err == nil && n >= 0
}

// size reads decimal digits as bytes; more than any machine has is MaxBytes.
func size(digits string) (units.Bytes, bool) {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return units.Bytes(min(n, uint64(units.MaxBytes))), true
}

// kibibytes reads decimal digits as a number of KiB.
func kibibytes(digits string) (units.Bytes, bool) {
	n, ok := size(digits)
	return min(n, units.MaxBytes/units.KiB) * units.KiB, ok
}

// fields calls use with the words of each line.
func fields(b []byte, use func(words []string)) {
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) > 0 {
			use(words)
		}
	}
}
