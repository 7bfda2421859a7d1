// Package wholefile writes files that are there whole or not at all: under a temporary
// name beside the place where they belong, and renamed when they are complete. The
// command line writes with it whatever is to outlive it.
package wholefile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A File is being written. Either Commit or Discard has to be called.
type File struct {
	*os.File
	path  string      // where it belongs
	mode  fs.FileMode // of the file that it replaces; 0 for none
	fresh bool        // it replaces nothing
}

// Create begins a file that is to be at a path, where there is nothing or a regular
// file. A link there stays, and what it points to is replaced; it has to be there.
func Create(path string) (*File, error) {
	f := &File{path: path}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.path = target
	}
	return f.create(path)
}

// CreateNoFollow is Create for a name that nobody has chosen. A link there is an error, and
// one that is put there before Commit gives way to the file.
func CreateNoFollow(path string) (*File, error) { return (&File{path: path}).create(path) }

// CreateNew begins a file that is to be at a path where there is nothing, not even a link.
// The error is an fs.ErrExist if there is something, and so is Commit's if it was put there
// since.
func CreateNew(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return (&File{path: path, fresh: true}).create(path)
}

// create opens the temporary file; path is what people call it.
func (f *File) create(path string) (*File, error) {
	info, err := os.Lstat(f.path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: want one, or a name that is free", path)
	case err == nil:
		f.mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	dir, name := filepath.Split(f.path)
	temporary := filepath.Join(dir, "."+name[:min(len(name), 200)]+"."+rand.Text()[:8]+".tmp") // names are at most 255 bytes
	if f.File, err = os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
		var at *fs.PathError
		if errors.As(err, &at) { // nobody knows the temporary name
			at.Op, at.Path = "create", path
		}
		return nil, err
	}
	return f, nil
}

// Write puts data into the file at path, which is there whole or not at all.
func Write(path string, data []byte) error { return write(path, data, Create) }

// WriteNew is Write for a path at which there is nothing; the error is an fs.ErrExist if
// there is.
func WriteNew(path string, data []byte) error { return write(path, data, CreateNew) }

func write(path string, data []byte, create func(string) (*File, error)) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit()
}

// Check says what Create would.
func Check(path string) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	return f.Discard()
}

// Commit puts the file in its place. On an error it is discarded.
func (f *File) Commit() error {
	err := f.Sync()
	if err == nil && f.mode != 0 {
		err = f.Chmod(f.mode)
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := f.rename(); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (f *File) rename() error {
	if !f.fresh {
		return os.Rename(f.Name(), f.path)
	}
	// An empty file takes the place, for the whole one to replace: not every system can
	// rename without replacing, nor every file system link.
	claim, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err := errors.Join(claim.Close(), os.Rename(f.Name(), f.path)); err != nil {
		return errors.Join(err, os.Remove(f.path))
	}
	return nil
}

// Discard leaves everything as it was.
func (f *File) Discard() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
