//go:build unix

package private

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// checkOwn checks the directory itself.
func checkOwn(path string, info fs.FileInfo) error {
	if uid := owner(info); uid != os.Geteuid() {
		return fmt.Errorf("%w: %q belongs to user %d, want yourself (%d)", ErrUnsafe, path, uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %q has mode %04o, want 0700 (chmod 700)", ErrUnsafe, path, mode)
	}
	return nil
}

// checkAbove checks a directory above it: whoever can rename what is in one could put
// another in the place of ours.
func checkAbove(path string, info fs.FileInfo) error {
	if err := checkOwner(path, info); err != nil {
		return err
	}
	if mode := info.Mode(); mode&0o022 != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("%w: others can write to %q above it (mode %04o), want no group or world write, or the sticky bit", ErrUnsafe, path, mode.Perm())
	}
	return nil
}

func checkOwner(path string, info fs.FileInfo) error {
	if uid := owner(info); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%w: %q above it belongs to user %d, want root or yourself (%d)", ErrUnsafe, path, uid, os.Geteuid())
	}
	return nil
}
