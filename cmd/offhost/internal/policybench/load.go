package policybench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/offhost/offhost/runtime"
)

// How often loading is measured, and for how long at most where it takes its time.
const (
	minLoads  = 3
	maxLoads  = 50
	loadsTime = time.Second
)

// loads measures how long loading takes both, in turn.
func loads(ctx context.Context, cfg *Config) (policy, reference Load, err error) {
	dir, err := os.MkdirTemp("", "offhost-bench-")
	if err != nil {
		return policy, reference, err
	}
	defer os.RemoveAll(dir)
	sides := []*loader{
		{Subject: cfg.Policy, cfg: cfg.Load, dir: filepath.Join(dir, "policy")},
		{Subject: cfg.Reference, cfg: cfg.Load, dir: filepath.Join(dir, "reference")},
	}
	for _, l := range sides {
		if err := l.begin(ctx); err != nil {
			return policy, reference, err
		}
	}
	begun := time.Now()
	for n := 0; n < minLoads || n < maxLoads && time.Since(begun) < loadsTime; n++ {
		if err := context.Cause(ctx); err != nil {
			return policy, reference, err
		}
		cfg.Progress("loading", n, max(n+1, minLoads))
		for _, l := range sides {
			if err := l.measure(ctx); err != nil {
				return policy, reference, err
			}
		}
	}
	return sides[0].load(), sides[1].load(), nil
}

// A loader loads one policy again and again.
type loader struct {
	Subject
	cfg          runtime.Config
	dir          string // of a cache; empty if nothing is kept
	cold, cached []int64
}

// begin fills the cache.
func (l *loader) begin(ctx context.Context) error {
	l.cfg.Logger = nil
	_, err := l.once(ctx, l.dir)
	if errors.Is(err, runtime.ErrCache) {
		l.dir = ""
		return nil
	}
	if err != nil {
		return err
	}
	if kept, err := os.ReadDir(l.dir); err != nil || len(kept) == 0 {
		l.dir = ""
	}
	return nil
}

func (l *loader) measure(ctx context.Context) error {
	ns, err := l.once(ctx, "")
	if err != nil {
		return err
	}
	l.cold = append(l.cold, ns)
	if l.dir == "" {
		return nil
	}
	ns, err = l.once(ctx, l.dir)
	l.cached = append(l.cached, ns)
	return err
}

// once loads the policy and returns how long it took to be ready for an event.
func (l *loader) once(ctx context.Context, dir string) (int64, error) {
	cfg := l.cfg
	cfg.Name, cfg.CacheDir = l.Name, dir
	begun := now()
	p, err := runtime.Load(ctx, l.Wasm, cfg)
	took := now() - begun
	if err != nil {
		return 0, err
	}
	return took, p.Close()
}

func (l *loader) load() Load {
	found := Load{ColdNS: median(l.cold), Loads: len(l.cold)}
	if len(l.cached) > 0 {
		ns := median(l.cached)
		found.CachedNS = &ns
	}
	return found
}

func median(ns []int64) int64 {
	slices.Sort(ns)
	return ns[len(ns)/2]
}
