package installed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var one, two = []byte("\x00asm one"), []byte("\x00asm two")

func open(t *testing.T) Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "data", "policies"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func install(t *testing.T, d Dir, name string, wasm []byte, source string, replace bool) Policy {
	t.Helper()
	p, err := d.Install(name, wasm, source, replace)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tree lists the files below a directory.
func tree(t *testing.T, d Dir) (all []string) {
	t.Helper()
	err := filepath.WalkDir(d.Path(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(d.Path())+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsInstalledIsFoundByName(t *testing.T) {
	d := open(t)
	if names, err := d.Names(); err != nil || names != nil {
		t.Errorf("before: %q, %v; want nothing", names, err)
	}
	want := install(t, d, "my", one, "/home/me/my.wasm", false)
	install(t, d, "a-2_b", two, "oci://x", false)
	got, wasm, err := d.Load("my")
	if err != nil || got != want || string(wasm) != string(one) || got.Source != "/home/me/my.wasm" {
		t.Errorf("got %+v, %q, %v; want %+v", got, wasm, err, want)
	}
	if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"a-2_b", "my"}) {
		t.Errorf("names %q, %v", names, err)
	}

	if err := d.Remove("my"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Load("my"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("removed: %v, want %v", err, ErrNotInstalled)
	}
	if err := d.Remove("my"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("removed twice: %v, want %v", err, ErrNotInstalled)
	}
	if names, _ := d.Names(); !slices.Equal(names, []string{"a-2_b"}) || len(tree(t, d)) != 2 {
		t.Errorf("left: %q, files %q; want the other policy", names, tree(t, d))
	}
}

func TestAnotherModuleTakesANameOnlyWhenAsked(t *testing.T) {
	d := open(t)
	first := install(t, d, "my", one, "here", false)
	install(t, d, "my", one, "there", false) // the same
	if _, err := d.Install("my", two, "elsewhere", false); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), first.SHA256) {
		t.Errorf("got %v, want %v and which it is", err, ErrExists)
	}
	if p, wasm, err := d.Load("my"); err != nil || string(wasm) != string(one) || p.Source != "there" {
		t.Errorf("got %+v, %q, %v; want the first, and where it came from last", p, wasm, err)
	}
	install(t, d, "my", two, "elsewhere", true)
	if _, wasm, err := d.Load("my"); err != nil || string(wasm) != string(two) {
		t.Errorf("got %q, %v; want the second", wasm, err)
	}
	// Somebody may be reading the first one still, so that it goes later.
	old := time.Now().Add(-2 * staleModule)
	if err := os.Chtimes(d.module(first), old, old); err != nil {
		t.Fatal(err)
	}
	install(t, d, "my", two, "elsewhere", true)
	if n := len(tree(t, d)); n != 2 {
		t.Errorf("files %q, want one module and its record", tree(t, d))
	}
}

func TestAModuleThatWasChangedIsRefused(t *testing.T) {
	d := open(t)
	p := install(t, d, "my", one, "here", false)
	if err := os.WriteFile(d.module(p), two, 0o600); err != nil {
		t.Fatal(err)
	}
	_, wasm, err := d.Load("my")
	if !errors.Is(err, ErrChanged) || wasm != nil || !strings.Contains(err.Error(), d.module(p)) {
		t.Errorf("got %q, %v; want %v and the file", wasm, err, ErrChanged)
	}
	if names, err := d.Names(); err != nil || len(names) != 1 {
		t.Errorf("names %q, %v; want it still to be seen", names, err)
	}
	if _, err := d.Install("my", one, "here", false); err != nil {
		t.Fatal(err)
	}
	if _, wasm, err := d.Load("my"); err != nil || string(wasm) != string(one) {
		t.Errorf("installed again: %q, %v", wasm, err)
	}
}

func TestADamagedRecordIsTold(t *testing.T) {
	for _, record := range []string{"", "{", "[]", `{"sha256":""}`, `{"sha256":"../../etc/passwd"}`, `{"sha256":"` + strings.Repeat("A", 64) + `"}`,
		`{"sha256":"a","sha256":"b"}`, strings.Repeat(" ", maxRecord+1)} {
		d := open(t)
		p := install(t, d, "my", one, "here", false)
		if err := os.WriteFile(d.file("my", recordFile), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, wasm, err := d.Load("my"); err == nil || wasm != nil || !strings.Contains(err.Error(), "record") || errors.Is(err, ErrNotInstalled) {
			t.Errorf("%.40q: %q, %v; want that the record is damaged", record, wasm, err)
		}
		if _, err := d.Install("my", two, "here", false); err == nil {
			t.Errorf("%.40q: another took its place unasked", record)
		}
		if err := d.Remove("my"); err != nil {
			t.Errorf("%.40q: it cannot be removed: %v", record, err)
		}
		if files := tree(t, d); len(files) != 0 {
			t.Errorf("%.40q: %q are left of %s", record, files, p.Name)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "0", "my-policy_2", strings.Repeat("a", 64), "console"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	d := open(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".hidden", "-flag", "_x", "a.wasm", "UPPER", "a b", "a\x00", "é", "nul", "com1", "a:b",
		strings.Repeat("a", 65), "a\n", "*"} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken for a name", name)
		}
		if _, err := d.Install(name, one, "", true); err == nil {
			t.Errorf("%q is installed", name)
		}
		if _, _, err := d.Load(name); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%q: %v, want %v", name, err, ErrNotInstalled)
		}
		if err := d.Remove(name); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%q: %v, want %v", name, err, ErrNotInstalled)
		}
	}
	if _, err := os.Stat(filepath.Dir(d.Path())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestOthersFilesStay(t *testing.T) {
	d := open(t)
	install(t, d, "my", one, "here", false)
	for _, path := range []string{d.file("my", "notes.txt"), filepath.Join(d.Path(), "README"), filepath.Join(d.Path(), "empty", "x")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"my"}) {
		t.Errorf("names %q, %v; want what was installed", names, err)
	}
	if err := d.Remove("my"); err != nil {
		t.Fatal(err)
	}
	if files := tree(t, d); len(files) != 3 {
		t.Errorf("left are %q, want the three that were not ours", files)
	}
}

func TestWhereItIs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the XDG rule")
	}
	for _, c := range []struct{ xdg, home, want string }{
		{"/xdg", "/home/me", "/xdg/offhost/policies"},
		{"", "/home/me", "/home/me/.local/share/offhost/policies"},
		{"relative", "/home/me", "/home/me/.local/share/offhost/policies"},
		{"", "", ""},
	} {
		t.Setenv("XDG_DATA_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		d, err := Open("")
		if d.Path() != c.want || (err == nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), "--policy-dir") {
			t.Errorf("%+v: %q, %v", c, d.Path(), err)
		}
	}
}

// Processes that replace a policy at the same time leave one of them, whole.
func TestConcurrentInstalls(t *testing.T) {
	d := open(t)
	install(t, d, "my", one, "first", false)
	done := make(chan error)
	const writers = 4
	for i := range writers {
		go func() {
			for n := range 20 {
				if _, err := d.Install("my", fmt.Appendf(nil, "\x00asm %d", n%2), fmt.Sprint(i), true); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if p, _, err := d.Load("my"); err != nil {
		t.Errorf("left is %+v, %v; want one of those that were installed", p, err)
	}
}
