package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/installed"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/policies"
)

// feedbackFlags are those that leave a journal's run as it was.
var feedbackFlags = []string{"config", "policy", "policy-cache-dir", "policy-dir", "registry-cache-dir", "offline", "allow-tag",
	"plain-http", "registry-timeout", "baselines", "format", "verbose", resimulateFlag}

// checkFeedback refuses flags that a journal has an answer to itself.
func checkFeedback(flags *pflag.FlagSet) error {
	var against []string
	flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(feedbackFlags, f.Name) {
			against = append(against, "--"+f.Name)
		}
	})
	if len(against) == 0 {
		return nil
	}
	return usagef("%s: a journal is fed back as it was recorded; to run its calls anew, under other settings, add --%s", strings.Join(against, ", "), resimulateFlag)
}

// feedBack feeds a journal back and reports what its run did.
func (a *app) feedBack(ctx context.Context, r request, flags *pflag.FlagSet) (*report.Report, error) {
	fail := func(err error) error { return fmt.Errorf("journal %s: %w", render.Name(r.Trace), err) }
	file, err := r.open()
	if err != nil {
		return nil, fail(err)
	}
	defer file.Close()
	reader, err := journal.NewReader(file)
	if err != nil {
		return nil, fail(err)
	}
	h := reader.Header()
	c, err := a.newCast(ctx, r, flags.Changed("policy"))
	if err != nil {
		return nil, err
	}
	c.limits = h.Limits
	baselines := h.Baselines
	if flags.Changed("baselines") {
		baselines = r.Baselines
	}
	got, err := replay.Feedback(ctx, replay.FeedbackConfig{Journal: reader, Load: c.load, Baselines: baselines, Movement: r.movement})
	var different *journal.Difference
	switch {
	case errors.As(err, &different) && h.Offhost != version():
		return nil, fail(fmt.Errorf("%w; it was recorded by %s, this is %s", err, h.Offhost, version()))
	case err != nil:
		return nil, fail(err)
	}
	return got, c.unused()
}

// A cast finds the modules of the policies that a journal names, by their digests: those
// that the user gives, the built-in ones, and those that are installed.
type cast struct {
	ctx     context.Context
	request request
	limits  journal.Limits
	modules []actor
	// installed adds what is installed, the first time that it is called.
	installed func()
}

type actor struct {
	module
	sha256      string
	given, used bool // given by --policy
}

func (a *app) newCast(ctx context.Context, r request, byFlag bool) (*cast, error) {
	c := &cast{ctx: ctx, request: r}
	for name := range strings.SplitSeq(r.Policy.Module, ",") {
		from := r.Sources
		from.Registry.Offline = from.Registry.Offline || !byFlag
		m, err := a.loadModule(ctx, from, strings.TrimSpace(name))
		if err != nil && byFlag {
			return nil, err
		}
		if err == nil { // a configuration may name what this journal does not need
			c.add(m, byFlag)
		}
	}
	for _, p := range policies.List() {
		c.add(module{name: p.Name, wasm: p.Wasm}, false)
	}
	c.installed = sync.OnceFunc(func() {
		dir, err := installed.Open(r.Sources.Dir)
		if err != nil {
			return // the user has no place for any
		}
		names, err := dir.Names()
		for _, name := range names {
			p, wasm, loadErr := dir.Load(name)
			if loadErr == nil {
				c.add(module{name: p.Name, wasm: wasm}, false)
			}
			err = errors.Join(err, loadErr)
		}
		if err != nil {
			r.log.Warn("not all installed policies can be read", "problem", err)
		}
	})
	return c, nil
}

func (c *cast) add(m module, given bool) {
	sum := sha256.Sum256(m.wasm)
	c.modules = append(c.modules, actor{module: m, sha256: hex.EncodeToString(sum[:]), given: given})
}

// load makes a running policy of what a journal names.
func (c *cast) load(id journal.Identity) (replay.Module, error) {
	find := func() int { return slices.IndexFunc(c.modules, func(a actor) bool { return a.sha256 == id.SHA256 }) }
	i := find()
	if i < 0 {
		c.installed()
		i = find()
	}
	if i < 0 {
		return replay.Module{}, usagef("its SHA-256 is %s: neither a built-in of this version, nor installed, nor given: give the module that the run had, --policy FILE (several: comma-separated)%s",
			render.Sentence(id.SHA256), c.others())
	}
	c.modules[i].used = true
	cfg := configOf(c.limits)
	cfg.CacheDir, cfg.Logger = c.request.Policy.CacheDir, c.request.log
	m := c.modules[i].module
	m.name = id.Name
	_, loaded, err := load(c.ctx, m, cfg)
	return loaded, err
}

// others says which modules were given.
func (c *cast) others() string {
	var list []string
	for _, a := range c.modules {
		if a.given {
			list = append(list, a.String())
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; given: " + strings.Join(list, ", ")
}

func (a actor) String() string { return fmt.Sprintf("%s, %s", render.Name(a.name), a.sha256) }

// unused says that a module was given which the journal does not name.
func (c *cast) unused() error {
	for _, a := range c.modules {
		if a.given && !a.used {
			return &config.UsageError{Err: fmt.Errorf("--policy: %s: the journal names no such policy, and was fed back without it; to run its calls under another one add --%s", a, resimulateFlag)}
		}
	}
	return nil
}
