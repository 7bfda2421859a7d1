package runtime

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// cacheDir is a place for a cache, whatever the umask is.
func cacheDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cache")
}

// entries are the sealed entries of a cache, and files the one file of compiled code
// in each.
func entries(t *testing.T, dir string) (entries, files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == sumFile:
			entries = append(entries, filepath.Dir(path))
		case !e.IsDir() && e.Name() != meteredFile:
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries, files
}

// loadCached loads a fixture, sees that it works, and returns what was logged.
func loadCached(t *testing.T, dir string, cfg Config) string {
	t.Helper()
	var log bytes.Buffer
	cfg.CacheDir, cfg.Logger = dir, slog.New(slog.NewTextHandler(&log, nil))
	if cfg.engineVersion == "" {
		cfg.engineVersion = "v1"
	}
	p := load(t, "echo", cfg)
	got, err := p.Decide(&abi.Event{Kind: abi.Need, Component: 7, Amount: 9}, nil)
	if err != nil || len(got) != 1 || got[0].Arg != 9 {
		t.Errorf("got %v, %v, want the event's amount", got, err)
	}
	return log.String()
}

func TestCacheIsUsed(t *testing.T) {
	dir := cacheDir(t)
	loadCached(t, dir, Config{})
	sealed, files := entries(t, dir)
	if len(sealed) != 1 || len(files) != 1 {
		t.Fatalf("%d entries with %d files, want one of each", len(sealed), len(files))
	}
	before, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(sealed[0], old, old); err != nil {
		t.Fatal(err)
	}
	if log := loadCached(t, dir, Config{}); strings.Contains(log, "WARN") {
		t.Errorf("the second load warns:\n%s", log)
	}
	_, files = entries(t, dir)
	after, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || !os.SameFile(before, after) {
		t.Errorf("it was written again: %q", files)
	}
	if info, err := os.Stat(sealed[0]); err != nil || time.Since(info.ModTime()) > time.Minute {
		t.Errorf("the entry does not count as used: %v, %v", info.ModTime(), err)
	}
	// Nothing of it is used for another module, other limits or another engine.
	for i, cfg := range []Config{{engineVersion: "v2"}, {Limits: Limits{MemoryPages: 7}}, {Limits: Limits{StackBytes: 9000}}} {
		loadCached(t, dir, cfg)
		if sealed, _ := entries(t, dir); len(sealed) != i+2 {
			t.Errorf("%+v: %d entries, want %d", cfg, len(sealed), i+2)
		}
	}
	loadCached(t, dir, Config{Interpreter: true})
	if sealed, _ := entries(t, dir); len(sealed) != 4 {
		t.Errorf("the interpreter left an entry: %d, want 4", len(sealed))
	}
}

// Whatever an entry depends on is part of its name.
func TestCodeKeys(t *testing.T) {
	seen := map[string]string{}
	for name, key := range map[string]string{
		"it":                 codeKey("v1", "m", meter.Options{}, false),
		"another engine":     codeKey("v2", "m", meter.Options{}, false),
		"another module":     codeKey("v1", "n", meter.Options{}, false),
		"other limits":       codeKey("v1", "m", meter.Options{MemoryPages: 1}, false),
		"another function":   codeKey("v1", "m", meter.Options{Entry: "f"}, false),
		"without counters":   codeKey("v1", "m", meter.Options{}, true),
		"shifted boundaries": codeKey("v1m", "", meter.Options{}, false),
	} {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[key] = name
	}
}

func TestDamagedEntriesAreNotUsed(t *testing.T) {
	flip := func(path string, at func(n int) int) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[at(len(b))] ^= 0x20
		return os.WriteFile(path, b, 0o600)
	}
	for name, damage := range map[string]func(entry, file string) error{
		"code":          func(_, file string) error { return flip(file, func(n int) int { return n / 2 }) },
		"header":        func(_, file string) error { return flip(file, func(n int) int { return 0 }) },
		"tables behind": func(_, file string) error { return flip(file, func(n int) int { return n - 1 }) },
		"cut short":     func(_, file string) error { return os.Truncate(file, 100) },
		"empty":         func(_, file string) error { return os.Truncate(file, 0) },
		"too long":      func(_, file string) error { return os.Truncate(file, maxEntryBytes+1) },
		"gone":          func(_, file string) error { return os.Remove(file) },
		"one more":      func(_, file string) error { return os.WriteFile(file+"2", nil, 0o600) },
		"a link": func(_, file string) error {
			return errors.Join(os.Rename(file, file+"2"), os.Symlink(file+"2", file))
		},
		"metered": func(entry, _ string) error {
			return flip(filepath.Join(entry, meteredFile), func(n int) int { return n / 2 })
		},
		"not metered":   func(entry, _ string) error { return os.Remove(filepath.Join(entry, meteredFile)) },
		"checksum":      func(entry, _ string) error { return flip(filepath.Join(entry, sumFile), func(int) int { return 3 }) },
		"no checksum":   func(entry, _ string) error { return os.Remove(filepath.Join(entry, sumFile)) },
		"another entry": func(entry, _ string) error { return errors.Join(os.RemoveAll(entry), os.WriteFile(entry, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := cacheDir(t)
			loadCached(t, dir, Config{})
			sealed, files := entries(t, dir)
			want, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(sealed[0], files[0]); err != nil {
				t.Fatal(err)
			}
			if log := loadCached(t, dir, Config{}); !strings.Contains(log, "is ignored") {
				t.Errorf("nothing is said about it:\n%s", log)
			}
			if _, again := entries(t, dir); len(again) != 1 || again[0] != files[0] {
				t.Errorf("the entry was not made anew: %q", again)
			}
			if got, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the entry made anew differs (%v)", err)
			}
			if log := loadCached(t, dir, Config{}); strings.Contains(log, "WARN") {
				t.Errorf("the load after it warns:\n%s", log)
			}
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	dir := cacheDir(t)
	left := filepath.Join(dir, newEntry+"left")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandonedEntry)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries + 2 {
		loadCached(t, dir, Config{Limits: Limits{StackBytes: uint32(10000 + i)}})
	}
	if sealed, _ := entries(t, dir); len(sealed) != maxEntries {
		t.Errorf("%d entries, want %d", len(sealed), maxEntries)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("an abandoned entry is still there")
	}
}

func TestConcurrentLoadsShareTheCache(t *testing.T) {
	dir := cacheDir(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { loadCached(t, dir, Config{}) })
	}
	wg.Wait()
	if sealed, _ := entries(t, dir); len(sealed) != 1 {
		t.Errorf("%d entries, want 1", len(sealed))
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%d names in the cache, %v, want 1", len(names), err)
	}
}

func TestCacheRefusals(t *testing.T) {
	dir := cacheDir(t)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(context.Background(), fixture(t, "echo"), Config{CacheDir: dir, engineVersion: "v1"})
	if !errors.Is(err, ErrCache) {
		t.Errorf("got %v, want %v", err, ErrCache)
	}
	// A program that does not know its engine cannot tell old code from new.
	dir = cacheDir(t)
	var log bytes.Buffer
	load(t, "echo", Config{CacheDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "compiled code is not cached") {
		t.Errorf("nothing is said about it:\n%s", log.String())
	}
}

// goGuest builds the policy in Go.
func goGuest(t testing.TB) []byte {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("go is not installed")
	}
	out := filepath.Join(t.TempDir(), "oldest_go.wasm")
	cmd := exec.Command(tool, "build", "-buildmode=c-shared", "-o", out, "testdata/oldest_go/main.go")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// A policy in Go runs within the limits, and what it learned survives in a second
// instance of it, which comes from the cache.
func TestGoGuest(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("builds and compiles Go's runtime, and runs on one goroutine")
	}
	wasm, dir := goGuest(t), cacheDir(t)
	var blob []byte
	for run := range 2 {
		p, err := Load(context.Background(), wasm, Config{CacheDir: dir, engineVersion: "v1"})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if blob != nil {
			if ok, err := p.Restore(blob); !ok || err != nil {
				t.Fatalf("Restore: %t, %v", ok, err)
			}
		}
		for c := range uint32(8) {
			ev := &abi.Event{Kind: abi.Loaded, Component: c, Resident: 10, Seq: uint64(c)}
			if run == 0 {
				ev.Kind, ev.Seq = abi.Call, uint64(100-c)
			}
			if _, err := p.Decide(ev, nil); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.Decide(&abi.Event{Kind: abi.Need, Component: 3, Amount: 15, Seq: 200}, nil)
		if err != nil || len(got) != 2 || got[0].Component != 7 || got[1].Component != 6 || got[1].Arg != 5 {
			t.Errorf("run %d: got %v, %v, want 10 bytes of component 7 and 5 of 6", run, got, err)
		}
		if blob, err = p.Save(); err != nil || len(blob) != 8*256 {
			t.Errorf("run %d: saved %d bytes, %v", run, len(blob), err)
		}
	}
}

func BenchmarkLoadGoGuest(b *testing.B) {
	wasm := goGuest(b)
	for _, bb := range []struct {
		name string
		cfg  Config
		cold bool
	}{
		{"compiler", Config{}, false},
		{"interpreter", Config{Interpreter: true}, false},
		{"cache, cold", Config{CacheDir: "x"}, true},
		{"cache, warm", Config{CacheDir: "x"}, false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			cfg := bb.cfg
			dir := cacheDir(b)
			if cfg.CacheDir != "" {
				cfg.CacheDir, cfg.engineVersion = dir, "v1"
			}
			once := func() {
				p, err := Load(context.Background(), wasm, cfg)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if !bb.cold {
				once()
			}
			for b.Loop() {
				once()
				if bb.cold {
					b.StopTimer()
					if err := os.RemoveAll(dir); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}
