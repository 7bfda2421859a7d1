package state

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, logger *slog.Logger) *Store {
	t.Helper()
	s, err := Open(dir, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// place is where a store can be, whatever the umask is.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "state")
}

func put(t *testing.T, s *Store, key Key, blob []byte) {
	t.Helper()
	if err := s.Put(key, blob); err != nil {
		t.Fatal(err)
	}
}

func wantBlob(t *testing.T, s *Store, key Key, want []byte) {
	t.Helper()
	if got, err := s.Get(key); err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestStore(t *testing.T) {
	dir := place(t)
	s := open(t, dir, nil)
	a, b := KeyOf("", "aa"), KeyOf("", "bb")
	wantBlob(t, s, a, nil)
	if err := s.Delete(a); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	put(t, s, a, []byte("first"))
	put(t, s, a, []byte("second"))
	put(t, s, b, make([]byte, MaxBlob))
	if err := s.Put(b, make([]byte, MaxBlob+1)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "65537 bytes, at most 65536") {
		t.Errorf("a blob too large: got %v", err)
	}
	wantBlob(t, s, b, make([]byte, MaxBlob))
	wantBlob(t, open(t, dir, nil), a, []byte("second")) // it outlives the store
	if err := s.Delete(a); err != nil {
		t.Error(err)
	}
	wantBlob(t, s, a, nil)
	wantBlob(t, s, b, make([]byte, MaxBlob))
}

// Modules share state by the schema they declare, and by nothing else.
func TestKeys(t *testing.T) {
	keys := map[Key]string{}
	for _, k := range [][2]string{{"", "aa"}, {"", "bb"}, {"aa", ""}, {"aa\x00", ""}, {"../../etc/passwd", "aa"}, {"", ""}} {
		key := KeyOf(k[0], k[1])
		if other, ok := keys[key]; ok {
			t.Errorf("%q has the key of %s", k, other)
		}
		keys[key] = fmt.Sprintf("%q", k)
		if hash := strings.TrimSuffix(key.file(), suffix); len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
			t.Errorf("%q is kept in %q, want a hash", k, key.file())
		}
	}
	if KeyOf("s", "aa") != KeyOf("s", "bb") || KeyOf("", "AA") != KeyOf("", "aa") {
		t.Error("the same schema, or the same digest, has two keys")
	}
}

func TestDamagedFilesCountAsAbsent(t *testing.T) {
	key := KeyOf("x", "")
	for name, damage := range map[string]func(path string, b []byte) error{
		"a bit of the blob":     func(path string, b []byte) error { b[len(b)-1] ^= 1; return os.WriteFile(path, b, 0o600) },
		"a bit of the checksum": func(path string, b []byte) error { b[len(magic)] ^= 1; return os.WriteFile(path, b, 0o600) },
		"another format":        func(path string, b []byte) error { b[0] = 'O'; return os.WriteFile(path, b, 0o600) },
		"cut short":             func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)-1], 0o600) },
		"cut shorter":           func(path string, b []byte) error { return os.WriteFile(path, b[:10], 0o600) },
		"empty":                 func(path string, b []byte) error { return os.WriteFile(path, nil, 0o600) },
		"too long":              func(path string, b []byte) error { return os.Truncate(path, 1<<30) },
		"a directory":           func(path string, b []byte) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"a link": func(path string, b []byte) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			dir := place(t)
			s := open(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
			put(t, s, key, []byte("learned"))
			path := filepath.Join(dir, key.file())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, b); err != nil {
				t.Fatal(err)
			}
			wantBlob(t, s, key, nil)
			if !strings.Contains(log.String(), "saved state is ignored") {
				t.Errorf("nothing is said about it: %q", log.String())
			}
			if name == "a directory" {
				return
			}
			put(t, s, key, []byte("again"))
			wantBlob(t, s, key, []byte("again"))
		})
	}
}

func TestTheOldestMakeRoom(t *testing.T) {
	dir := place(t)
	s := open(t, dir, nil)
	key := func(i int) Key { return KeyOf(fmt.Sprint(i), "") }
	old := time.Now().Add(-24 * time.Hour)
	stranger := filepath.Join(dir, "README")
	left := filepath.Join(dir, temporary+"left")
	for _, path := range []string{stranger, left} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range MaxBlobs {
		put(t, s, key(i), []byte{1})
		at := old.Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, key(i).file()), at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, key(0), []byte{2}) // now it is the newest
	put(t, s, key(MaxBlobs), []byte{1})
	wantBlob(t, s, key(0), []byte{2})
	wantBlob(t, s, key(1), nil)
	wantBlob(t, s, key(2), []byte{1})
	wantBlob(t, s, key(MaxBlobs), []byte{1})
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("a file of somebody else is gone: %v", err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("an abandoned file is still there")
	}
}

// Writers at the same time leave a whole blob of one of them.
func TestConcurrentWriters(t *testing.T) {
	dir := place(t)
	key := KeyOf("x", "")
	var wg sync.WaitGroup
	for i := range 4 {
		s := open(t, dir, nil)
		wg.Go(func() {
			for range 10 {
				if err := s.Put(key, bytes.Repeat([]byte{byte(i)}, 10000)); err != nil {
					t.Error(err)
				}
				if b, err := s.Get(key); err != nil || len(b) != 10000 || bytes.Count(b, b[:1]) != 10000 {
					t.Errorf("got %d bytes, %v, want 10000 of one kind", len(b), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenRefusesWhatOthersCanChange(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("no modes of this kind")
	}
	dir := place(t)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir, nil); err == nil {
		s.Close()
		t.Error("a directory of mode 0755 was opened")
	}
}
