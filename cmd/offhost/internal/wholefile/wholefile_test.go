package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
)

func create(t *testing.T, path, text string) *wholefile.File {
	t.Helper()
	f, err := wholefile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

// holds says what a directory has to hold: names and contents.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if text, ok := want[e.Name()]; err != nil || !ok || string(b) != text {
			t.Errorf("%s holds %q, %v; want %q, there: %v", e.Name(), b, err, text, ok)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %d", len(entries), len(want))
	}
}

func TestAFileIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")

	f := create(t, path, "half")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("before it is whole: %v, want nothing there", err)
	}
	if err := f.Discard(); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, nil)

	if err := create(t, path, "first").Commit(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	f = create(t, path, "second")
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("before the new one is whole: %q, %v; want the old one", b, err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"a": "second"})
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o640) {
		t.Errorf("mode %v, %v; want that of the file before", info.Mode(), err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"first", "second"} {
		if err := wholefile.Write(filepath.Join(dir, "a"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, map[string]string{"a": text})
	}
	if err := wholefile.Write(filepath.Join(dir, "none", "a"), nil); err == nil {
		t.Error("a file is written where there is no directory")
	}
}

func TestALinkStays(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Skip(err)
	}
	if err := create(t, link, "new").Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"target": "new", "link": "new"})
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v; want it to be a link still", info, err)
	}
}

// links are what may lie in wait where a file is to be: a link to a file, and one to nothing.
func links(t *testing.T, at string) map[string]func() {
	t.Helper()
	precious := filepath.Join(filepath.Dir(at), "precious")
	if err := os.WriteFile(precious, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(to string) func() {
		return func() {
			if err := os.Symlink(to, at); err != nil {
				t.Skip(err)
			}
		}
	}
	return map[string]func(){"precious": link("precious"), "nothing": link("nothing")}
}

func TestANewFileReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	lie := links(t, path)
	lie["a file"] = func() {
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, put := range lie {
		f, err := wholefile.CreateNew(path)
		if err != nil {
			t.Fatal(err)
		}
		put()
		if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s is put there in between: %v, want that it exists", what, err)
		}
		if err := wholefile.WriteNew(path, []byte("new")); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is there: %v, want that it exists", what, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, map[string]string{"precious": "old"})
	}
	if err := wholefile.WriteNew(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"precious": "old", "a": "new"})
}

func TestALinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for what, put := range links(t, path) {
		f, err := wholefile.CreateNoFollow(path)
		if err != nil {
			t.Fatal(err)
		}
		put()
		if other, err := wholefile.CreateNoFollow(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("a link to %s: %v, want an error", what, errors.Join(err, other.Discard()))
		}
		if err := f.Commit(); err != nil {
			t.Errorf("a link to %s is put there in between: %v", what, err)
		}
		holds(t, dir, map[string]string{"precious": "old", "a": ""})
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALinkToNothingStays(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("nothing", link); err != nil {
		t.Skip(err)
	}
	if err := wholefile.Check(link); err == nil || !strings.Contains(err.Error(), link) {
		t.Errorf("%v, want an error that names the link", err)
	}
}

func TestOnlyRegularFilesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, os.DevNull, filepath.Join(dir, "none", "a")} {
		f, err := wholefile.Create(path)
		if err == nil {
			f.Discard()
		}
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%s: %v, want an error that names it", path, err)
		}
		if wholefile.Check(path) == nil {
			t.Errorf("%s passes a check", path)
		}
	}
	if err := wholefile.Check(filepath.Join(dir, "a")); err != nil {
		t.Error(err)
	}
	holds(t, dir, nil)
}
