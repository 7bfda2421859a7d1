// Package state keeps what policies have learned, as opaque blobs in a directory that
// is the user's alone, so that a policy can go on where it ended when offhost is
// started again. Whoever runs policies (the command line, the daemon) asks a policy to
// save, puts the blob here, and offers it to the next instance.
//
// It does not know what is in a blob, when to save or whether a policy takes one, and
// it is no place for anything that must not get lost: what cannot be read is as good
// as absent.
package state

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/offhost/offhost/runtime/internal/private"
)

const (
	// MaxBlob is the largest blob in bytes: what fits a policy's window.
	MaxBlob = 64 << 10
	// MaxBlobs is how many a store holds. The one that was written longest ago makes
	// room for the next.
	MaxBlobs = 64
)

// ErrTooLarge is wrapped by the error about a blob above MaxBlob.
var ErrTooLarge = errors.New("blob too large")

// A Key names a blob. It is a hash, so that no text of a module or a client ever gets
// into the name of a file.
type Key [sha256.Size]byte

// KeyOf is the key of a module's state. Modules that declare the same schema in their
// metadata share one; without a schema it belongs to the very module, which digest
// names.
func KeyOf(schema, digest string) Key {
	if schema != "" {
		return sha256.Sum256([]byte("schema\x00" + schema))
	}
	return sha256.Sum256([]byte("module\x00" + strings.ToLower(digest)))
}

const suffix = ".state"

func (k Key) file() string { return hex.EncodeToString(k[:]) + suffix }

// A file is this line, the SHA-256 of the blob, and the blob.
const magic = "offhost state 1\n"

// A Store is a directory of blobs. Several processes may use one at a time: each of
// its operations happens as a whole or not at all.
type Store struct {
	root   *os.Root
	dir    string
	logger *slog.Logger
}

// Open opens the store in dir and makes the directory if it is missing. It has to be
// the user's own, with mode 0700, and nobody else may be able to replace it. What
// cannot be read is said to logger; nil discards it.
func Open(dir string, logger *slog.Logger) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	path, err := private.Dir(dir)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return &Store{root: root, dir: path, logger: logger}, nil
}

// Close closes the store; its blobs stay.
func (s *Store) Close() error { return s.root.Close() }

// Get returns the blob of key, nil if there is none. A file that is damaged counts as
// none; the error is about the directory.
func (s *Store) Get(key Key) ([]byte, error) {
	blob, err := s.read(key.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, errDamaged):
		s.logger.Warn("saved state is ignored", "dir", s.dir, "file", key.file(), "problem", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("state: %w", err)
	}
	return blob, nil
}

var errDamaged = errors.New("damaged")

func (s *Store) read(name string) ([]byte, error) {
	info, err := s.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	const head = len(magic) + sha256.Size
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is no regular file (%v)", errDamaged, info.Mode().Type())
	}
	if size := info.Size(); size < int64(head) || size > int64(head)+MaxBlob {
		return nil, fmt.Errorf("%w: it has %d bytes, want %d to %d", errDamaged, size, head, head+MaxBlob)
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(head)+MaxBlob))
	if err != nil {
		return nil, err
	}
	if len(b) < head || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it begins with %.16q, want %q", errDamaged, b, magic)
	}
	blob := b[head:]
	if sum := sha256.Sum256(blob); !bytes.Equal(sum[:], b[len(magic):head]) {
		return nil, fmt.Errorf("%w: its checksum differs", errDamaged)
	}
	return blob, nil
}

// Put keeps a blob under key, in place of the one it had.
func (s *Store) Put(key Key, blob []byte) error {
	if len(blob) > MaxBlob {
		return fmt.Errorf("state: %w: %d bytes, at most %d are kept", ErrTooLarge, len(blob), MaxBlob)
	}
	temp := temporary + rand.Text()
	if err := s.write(temp, blob); err != nil {
		_ = s.root.Remove(temp) // it may not be there
		return fmt.Errorf("state: %w", err)
	}
	if err := s.root.Rename(temp, key.file()); err != nil {
		_ = s.root.Remove(temp)
		return fmt.Errorf("state: %w", err)
	}
	if err := s.trim(); err != nil {
		return fmt.Errorf("state: removing old blobs: %w", err)
	}
	return nil
}

func (s *Store) write(name string, blob []byte) (err error) {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.Sum256(blob)
	if _, err := f.Write(slices.Concat([]byte(magic), sum[:], blob)); err != nil {
		return err
	}
	return f.Sync()
}

// Delete removes the blob of key, if there is one.
func (s *Store) Delete(key Key) error {
	if err := s.root.Remove(key.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

const (
	temporary = "new-"
	// abandoned is the age at which a temporary file is one that a process left which
	// did not get to rename it.
	abandoned = time.Hour
)

// trim removes the oldest blobs above MaxBlobs and temporary files that nobody is
// going to rename. Files that are not the store's are left alone.
func (s *Store) trim() error {
	dir, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	var blobs []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // another process removed it
		}
		name := info.Name()
		switch {
		case strings.HasPrefix(name, temporary) && time.Since(info.ModTime()) > abandoned:
			err = s.root.Remove(name)
		case strings.HasSuffix(name, suffix):
			blobs = append(blobs, info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	slices.SortFunc(blobs, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range blobs[:max(0, len(blobs)-MaxBlobs)] {
		if err := s.root.Remove(info.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
