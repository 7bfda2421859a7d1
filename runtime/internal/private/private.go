// Package private makes and checks directories that nobody but the user can change:
// for compiled code, which is run as it is read, and for what policies have learned.
// It is not for directories that are shared, or that users look into. The compilation
// cache of package runtime and package runtime/state use it.
package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrUnsafe is wrapped by every error about a directory that others could change.
var ErrUnsafe = errors.New("directory is not private")

// Dir returns the absolute path of the directory at path, with no symbolic link in
// it, and makes what is missing. The directory itself is the user's, of mode 0700 and
// no symbolic link. Every directory above it belongs to the user or to root, and
// nobody else can write to it, unless its sticky bit keeps others from replacing what
// is in it, as in /tmp. Links above it are followed if they belong to one of the two.
//
// Where the system has no owners and modes of this kind, as on Windows, only the kind
// of file is checked.
func Dir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	parent, name := filepath.Split(abs)
	if name == "" {
		return "", fmt.Errorf("%w: %q is the root of the file system", ErrUnsafe, path)
	}
	real, err := walk(filepath.Clean(parent), 0)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(real, name)
	info, err := enter(dir)
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return "", fmt.Errorf("%w: %q is a symbolic link, want the directory itself", ErrUnsafe, dir)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%w: %q is a file", ErrUnsafe, dir)
	}
	return dir, checkOwn(dir, info)
}

const maxLinks = 40

// walk resolves and checks a directory above the one that is wanted.
func walk(path string, links int) (string, error) {
	if links > maxLinks {
		return "", fmt.Errorf("%w: more than %d symbolic links on the way to it", ErrUnsafe, maxLinks)
	}
	parent := filepath.Dir(path)
	if parent != path {
		var err error
		if parent, err = walk(parent, links); err != nil {
			return "", err
		}
		path = filepath.Join(parent, filepath.Base(path))
	}
	info, err := enter(path)
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if err := checkOwner(path, info); err != nil {
			return "", err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		return walk(filepath.Clean(target), links+1)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%w: %q is a file", ErrUnsafe, path)
	}
	return path, checkAbove(path, info)
}

// enter looks at what is at path, and makes a directory if nothing is.
func enter(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.Lstat(path)
}
