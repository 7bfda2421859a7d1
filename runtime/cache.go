package runtime

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/cpu"

	"github.com/offhost/offhost/runtime/internal/private"
	"github.com/offhost/offhost/runtime/meter"
)

// A codeCache is a directory in which compiled code is kept. Whoever can write to it
// runs code in this process, so that it has to be private. Each entry is a directory
// that wazero wrote, with the metered module that it compiled and a checksum beside:
// wazero keeps one of 32 bits, over the code alone, and takes the tables around it as they
// are.
type codeCache struct {
	dir    string
	logger *slog.Logger
}

// maxEntries is how many modules a cache holds; the one used longest ago makes room.
const maxEntries = 32

const (
	sumFile     = "sha256"
	meteredFile = "metered.wasm"
	newEntry    = "new-"
	// abandonedEntry is the age at which an entry in the making is taken for one that
	// nobody is going to finish.
	abandonedEntry = time.Hour
)

func openCodeCache(dir string, logger *slog.Logger) (*codeCache, error) {
	path, err := private.Dir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCache, err)
	}
	return &codeCache{path, logger}, nil
}

// codeKey names what the module of a digest is metered and compiled to: it says which
// meter, with which options, and which limits let it be compiled at all.
func codeKey(engine, module string, opt meter.Options, unmetered bool) string {
	h := sha256.New()
	for _, s := range []string{"offhost code 2", engine, runtime.GOOS, runtime.GOARCH,
		fmt.Sprint(cpu.X86), fmt.Sprint(cpu.ARM64), module, meter.Digest(), fmt.Sprintf("%+v %v", opt, unmetered),
		fmt.Sprint(complexities(meter.Stats{}))} {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) // a hash never fails
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// engineVersion is wazero's version, empty if the program does not know it: then
// nothing says whether code in a cache is of the same engine.
func engineVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path != "github.com/tetratelabs/wazero" {
			continue
		}
		if dep.Replace != nil {
			dep = dep.Replace
		}
		return dep.Version + dep.Sum
	}
	return ""
}

// find returns the entry of a key and the metered module in it; nothing if there is none
// that can be used.
func (c *codeCache) find(key string) (entry string, metered []byte) {
	entry = filepath.Join(c.dir, key)
	err := checkEntry(entry)
	if err == nil {
		metered, err = os.ReadFile(filepath.Join(entry, meteredFile))
	}
	switch {
	case err == nil:
		now := time.Now()
		_ = os.Chtimes(entry, now, now) // only the order of removal rests on it
		return entry, metered
	case !errors.Is(err, fs.ErrNotExist):
		c.logger.Warn("compiled code in the cache is ignored", "entry", entry, "problem", err)
		if err := os.RemoveAll(entry); err != nil {
			c.logger.Warn("it cannot be removed either", "entry", entry, "problem", err)
		}
	}
	return "", nil
}

// add calls compile with a cache that becomes the entry of a key. The caller closes what
// it gets back.
func (c *codeCache) add(key string, metered []byte, compile compileFunc) (wazero.CompilationCache, error) {
	entry := filepath.Join(c.dir, key)
	work, err := os.MkdirTemp(c.dir, newEntry)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) // gone if it was renamed
	cache, err := c.in(work, false, compile)
	if err != nil {
		return nil, err
	}
	err = os.WriteFile(filepath.Join(work, meteredFile), metered, 0o600)
	if err == nil {
		err = sealEntry(work)
	}
	if err == nil {
		err = os.Rename(work, entry)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) { // another process was first
		c.logger.Warn("compiled code is not kept", "entry", entry, "problem", err)
	}
	c.trim()
	return cache, nil
}

func (c *codeCache) in(dir string, found bool, compile compileFunc) (wazero.CompilationCache, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	if err := compile(cache, found); err != nil {
		return nil, errors.Join(err, cache.Close(context.Background()))
	}
	return cache, nil
}

// sealEntry writes the checksum of what is in an entry.
func sealEntry(dir string) error {
	sum, err := sumEntry(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, sumFile), sum, 0o600)
}

// checkEntry says whether an entry is as it was sealed.
func checkEntry(dir string) error {
	if _, err := os.Lstat(dir); err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(dir, sumFile))
	if err != nil {
		return fmt.Errorf("its checksum cannot be read: %v", err)
	}
	got, err := sumEntry(dir)
	if err != nil {
		return fmt.Errorf("it cannot be read: %v", err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("its checksum differs")
	}
	return nil
}

// maxEntryBytes bounds what is read of an entry: several times the code of the
// largest module.
const maxEntryBytes = 256 << 20

// sumEntry is a checksum over the names and contents of an entry's files.
func sumEntry(dir string) ([]byte, error) {
	h, left := sha256.New(), int64(maxEntryBytes)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		if err := errors.Join(err, relErr); err != nil || e.IsDir() || name == sumFile {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if left -= info.Size(); !info.Mode().IsRegular() || left < 0 {
			return fmt.Errorf("%s is no regular file, or it is more than %d bytes", name, maxEntryBytes)
		}
		fmt.Fprintf(h, "%q %d\n", filepath.ToSlash(name), info.Size())
		return sumContent(h, path, info.Size())
	})
	return h.Sum(nil), err
}

// sumContent adds a file of so many bytes to a checksum.
func sumContent(h hash.Hash, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(h, io.LimitReader(f, size+1), make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes more or less than it had", path, n-size)
	}
	return err
}

// trim removes the entries used longest ago above maxEntries, and what was left
// unfinished. What cannot be removed stays: a cache that is too large is no fault.
func (c *codeCache) trim() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	var sealed []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil: // another process removed it
		case strings.HasPrefix(info.Name(), newEntry):
			if time.Since(info.ModTime()) > abandonedEntry {
				_ = os.RemoveAll(filepath.Join(c.dir, info.Name()))
			}
		case len(info.Name()) == 2*sha256.Size && info.IsDir():
			sealed = append(sealed, info)
		}
	}
	slices.SortFunc(sealed, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range sealed[:max(0, len(sealed)-maxEntries)] {
		_ = os.RemoveAll(filepath.Join(c.dir, info.Name()))
	}
}
