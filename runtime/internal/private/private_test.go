//go:build unix

package private

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place makes a directory of the test that nothing above it makes unsafe.
func place(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDirMakesWhatIsMissing(t *testing.T) {
	dir := filepath.Join(place(t), "a", "b")
	for range 2 { // the second time it is there
		got, err := Dir(dir)
		if err != nil || got != dir {
			t.Fatalf("got %q, %v, want %q", got, err, dir)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Lstat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", d, info.Mode(), err)
		}
	}
}

func TestDirRefusals(t *testing.T) {
	mkdir := func(t *testing.T, mode os.FileMode, path ...string) string {
		t.Helper()
		dir := filepath.Join(path...)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil { // past the umask
			t.Fatal(err)
		}
		return dir
	}
	link := func(t *testing.T, target, path string) string {
		t.Helper()
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chown := func(t *testing.T, path string) string {
		t.Helper()
		if err := os.Lchown(path, 12345, -1); err != nil {
			t.Skip("only root can give files away")
		}
		return path
	}
	tests := []struct {
		name string
		make func(t *testing.T, dir string) string
		says string // empty: it is taken
	}{
		{"others can read it", func(t *testing.T, dir string) string { return mkdir(t, 0o755, dir, "x") }, "has mode 0755, want 0700"},
		{"a group can enter it", func(t *testing.T, dir string) string { return mkdir(t, 0o710, dir, "x") }, "has mode 0710"},
		{"it is a link", func(t *testing.T, dir string) string {
			return link(t, mkdir(t, 0o700, dir, "x"), filepath.Join(dir, "y"))
		}, "is a symbolic link"},
		{"it is a link to nothing", func(t *testing.T, dir string) string {
			return link(t, filepath.Join(dir, "x"), filepath.Join(dir, "y"))
		}, "is a symbolic link"},
		{"it is a file", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "x")
			if err := os.WriteFile(path, nil, 0o700); err != nil {
				t.Fatal(err)
			}
			return path
		}, "is a file"},
		{"a file is above it", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "x")
			if err := os.WriteFile(path, nil, 0o700); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(path, "y")
		}, ""},
		{"others can write above it", func(t *testing.T, dir string) string {
			return mkdir(t, 0o700, mkdir(t, 0o777, dir, "x"), "y")
		}, "others can write to"},
		{"a group can write above it", func(t *testing.T, dir string) string {
			return mkdir(t, 0o700, mkdir(t, 0o775, dir, "x"), "y")
		}, "others can write to"},
		{"the sticky bit is above it", func(t *testing.T, dir string) string {
			return mkdir(t, 0o700, mkdir(t, 0o777|os.ModeSticky, dir, "x"), "y")
		}, ""},
		{"an own link is above it", func(t *testing.T, dir string) string {
			mkdir(t, 0o700, dir, "x")
			return filepath.Join(link(t, "x", filepath.Join(dir, "y")), "z")
		}, ""},
		{"a link in a circle is above it", func(t *testing.T, dir string) string {
			return filepath.Join(link(t, "y", filepath.Join(dir, "y")), "z")
		}, "more than 40 symbolic links"},
		{"it is somebody else's", func(t *testing.T, dir string) string { return chown(t, mkdir(t, 0o700, dir, "x")) }, "belongs to user 12345, want yourself"},
		{"somebody else's is above it", func(t *testing.T, dir string) string {
			return filepath.Join(chown(t, mkdir(t, 0o755, dir, "x")), "y")
		}, "belongs to user 12345, want root or yourself"},
		{"somebody else's link is above it", func(t *testing.T, dir string) string {
			mkdir(t, 0o700, dir, "x")
			return filepath.Join(chown(t, link(t, "x", filepath.Join(dir, "y"))), "z")
		}, "belongs to user 12345"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.make(t, place(t))
			got, err := Dir(path)
			switch {
			case tt.name == "a file is above it":
				if err == nil {
					t.Errorf("got %q, want an error", got)
				}
			case tt.says == "":
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			case !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), tt.says):
				t.Errorf("got %q, %v, want %q with %q", got, err, ErrUnsafe, tt.says)
			}
		})
	}
	if _, err := Dir("/"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("the root: got %v, want %v", err, ErrUnsafe)
	}
}
