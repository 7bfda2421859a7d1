package oci

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
)

// A cache keeps blobs in files that have their digests for names. A file that is not
// what its name says counts as missing.
type cache struct {
	dir string
	log *slog.Logger
}

// path of a digest that sha256Digest matches.
func (c cache) path(d digest.Digest) string {
	return filepath.Join(c.dir, d.Algorithm().String(), d.Encoded())
}

// get returns a blob of at most limit bytes, after a look at each.
func (c cache) get(d digest.Digest, limit int64) (data []byte, ok bool) {
	path := c.path(d)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err == nil {
		defer f.Close()
		data, err = readVerified(f, d, limit)
	}
	if err != nil {
		c.log.Warn("a module in the cache is not used", "file", path, "problem", err)
		return nil, false
	}
	return data, true
}

// put keeps a blob. That it cannot be kept is no failure.
func (c cache) put(d digest.Digest, data []byte) {
	if err := c.write(c.path(d), data); err != nil {
		c.log.Warn("a module is not kept in the cache", "problem", err)
	}
}

func (c cache) write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return wholefile.Write(path, data)
}

// readVerified reads what has to be of a digest, and no more than limit bytes.
func readVerified(r io.Reader, d digest.Digest, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, unusable("more than %d bytes", limit)
	}
	if got := digest.FromBytes(data); got != d {
		return nil, unusable("its digest is %s, wanted is %s", got, d)
	}
	return data, nil
}
