// Package oci carries policy modules to and from OCI registries, as artifacts in the
// CNCF's layout for WebAssembly: a manifest, a small configuration, and the module as the
// only layer. What a registry answers is untrusted: sizes are bounded, digests and media
// types checked, and a transfer ends by a time that is set. What was fetched is kept by its
// digest, so that it takes no connection the next time. The command line resolves oci://
// references with it; whether a module is a policy is not its business.
package oci

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// What errors wrap that a caller may want to tell apart.
var (
	// ErrUnpinned is a reference that would have to have a digest.
	ErrUnpinned = errors.New("no digest")
	// ErrOffline is something that a registry would have to be asked, which
	// Config.Offline forbids.
	ErrOffline = errors.New("offline")
	// ErrArtifact is an artifact that is no module in the CNCF's layout, or not what its
	// digest says.
	ErrArtifact = errors.New("unusable artifact")
)

// A Config says how registries are used. CacheDir and Timeout have to be set.
type Config struct {
	CacheDir string // made when it is needed
	Offline  bool
	// AllowTag lets Pull take what a tag leads to.
	AllowTag bool
	// PlainHTTP does without TLS; registries on this machine are always talked to so.
	PlainHTTP bool
	Timeout   time.Duration // of a Pull or a Push, in all
	UserAgent string
	Log       *slog.Logger // is told what is wrong with the cache, and of a tag that was moved; nil: nobody is
}

// A Remote pulls modules from registries and pushes them there.
type Remote struct {
	cfg   Config
	cache cache
}

// New returns a Remote. It connects to nothing and makes no directory.
func New(cfg Config) *Remote {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Remote{cfg, cache{cfg.CacheDir, cfg.Log}}
}

// DefaultCacheDir is where modules are kept in the user's cache directory.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "offhost", "registry"), nil
}
