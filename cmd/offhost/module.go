package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/installed"
	"github.com/offhost/offhost/cmd/offhost/internal/oci"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/cmd/offhost/internal/scaffold"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
	"github.com/offhost/offhost/runtime/meter"
)

// findModule returns the module that name means to a command that runs nothing, and the
// limits under which it is to be loaded.
func (a *app) findModule(cmd *cobra.Command, name string) (module, runtime.Limits, error) {
	limits, from, err := config.LoadPolicies(cmd.Flags(), a.dir, a.log)
	if err != nil {
		return module{}, runtime.Limits{}, err
	}
	m, err := a.loadModule(cmd.Context(), from, name)
	return m, policyLimits(limits), err
}

// loadModule returns the module that name means, wherever a policy is named: a built-in
// one, an installed one, a file or the folder of a project if the name has a path separator
// or ends in .wasm, what an oci:// reference leads to, or else the project's in a folder of
// that name. Built-in names come first, so that they always mean the same.
func (a *app) loadModule(ctx context.Context, from config.Sources, name string) (module, error) {
	if p, ok := policies.Get(name); ok {
		return module{name: p.Name, wasm: p.Wasm}, nil
	}
	switch {
	case isReference(name):
		return a.pullModule(ctx, from, name)
	case isFile(name):
		return a.readModule(name)
	}
	dir, err := installed.Open(from.Dir)
	if err != nil {
		return a.projectModule(name, nil)
	}
	p, wasm, err := dir.Load(name)
	switch {
	case errors.Is(err, installed.ErrNotInstalled):
		names, _ := dir.Names() // a directory that cannot be read has none to offer
		return a.projectModule(name, names)
	case err != nil:
		return module{}, err
	}
	a.warnOfNamesake(name, wasm)
	return module{name: p.Name, wasm: wasm}, nil
}

// warnOfNamesake says so where an installed policy is taken and the project in the folder
// of its name has made another one since.
func (a *app) warnOfNamesake(name string, wasm []byte) {
	if !isFolder(name) {
		return
	}
	p, err := scaffold.Open(name)
	if err != nil {
		return
	}
	if made, err := readAtMost(p.Module(), runtime.DefaultModuleBytes); err == nil && !bytes.Equal(made, wasm) {
		a.log.Warn("the installed policy is taken, which is not what the folder of its name has: ./"+name+" names that", "policy", name)
	}
}

// projectModule returns the module of the project in the folder of a name that means nothing
// else.
func (a *app) projectModule(name string, installed []string) (module, error) {
	if name != "" && isFolder(name) {
		p, err := scaffold.Open(name)
		if err == nil {
			return a.builtModule(p)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return module{}, fmt.Errorf("policy: %w", err)
		}
	}
	return module{}, unknownPolicy(name, installed)
}

func unknownPolicy(name string, installed []string) error {
	known := append(builtinNames(), installed...)
	return usagef("policy %q: want one that is built in or installed (%s), the folder of a project, the path of a module, as in ./my.wasm, or oci://REGISTRY/NAME@sha256:...%s",
		name, strings.Join(known, ", "), config.DidYouMean(name, known))
}

func builtinNames() []string {
	var names []string
	for _, p := range policies.List() {
		names = append(names, p.Name)
	}
	return names
}

func isBuiltin(name string) bool { return slices.Contains(builtinNames(), name) }

// readModule reads a file that has a size a module may have, or that of a project's folder.
func (a *app) readModule(path string) (module, error) {
	if isFolder(path) {
		p, err := openProject(path)
		if err != nil {
			return module{}, err
		}
		return a.builtModule(p)
	}
	return a.readModuleFile(path, runtime.DefaultModuleBytes)
}

// readModuleFile reads a module's file of at most so many bytes, which may be a project's.
func (a *app) readModuleFile(path string, limit int64) (module, error) {
	if p, err := scaffold.Open(filepath.Dir(path)); err == nil && filepath.Clean(path) == p.Module() {
		a.warnStale(p)
	}
	wasm, err := readAtMost(path, limit)
	return module{name: filepath.Base(path), wasm: wasm}, err
}

// builtModule reads what building a project has made.
func (a *app) builtModule(p *scaffold.Project) (module, error) {
	wasm, err := readAtMost(p.Module(), runtime.DefaultModuleBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return module{}, fmt.Errorf("%s is not there yet: \"offhost policy build %s\" makes it", render.Name(p.Module()), render.Name(p.Dir))
	}
	a.warnStale(p)
	return module{name: p.Name, wasm: wasm}, err
}

// warnStale says that a module is not what its sources say by now.
func (a *app) warnStale(p *scaffold.Project) {
	if source := p.Newer(); source != "" {
		a.log.Warn("the source is newer than the module: offhost policy build", "source", source, "module", p.Module())
	}
}

// warnUnread says which keys of configuration are set and mean nothing to a module, if it says
// what it reads.
func (a *app) warnUnread(m module, set map[string]string) {
	md, _ := runtime.ReadMetadata(meter.ReadOutline(m.wasm).Customs)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if !md.Reads(key) {
			a.log.Warn("the policy does not read this key of its configuration"+config.DidYouMean(key, md.Config),
				"policy", m.name, "key", key, "reads", strings.Join(md.Config, ","))
		}
	}
}

// moduleArg is argCount(1, 1) for a command that takes a policy: in the folder of a project it
// is that one's.
func moduleArg(cmd *cobra.Command, args []string) error {
	if _, err := os.Stat(scaffold.ManifestName); err == nil {
		return argCount(0, 1)(cmd, args)
	}
	return argCount(1, 1)(cmd, args)
}

// moduleOf is the policy that moduleArg has let pass.
func moduleOf(args []string) string { return append(args, ".")[0] }

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("policy: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	defer f.Close()
	wasm, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if int64(len(wasm)) > limit {
		return nil, fmt.Errorf("policy %s: larger than %v, want a WebAssembly module", path, units.Bytes(limit))
	}
	return wasm, nil
}

func isPath(name string) bool { return name != filepath.Base(name) }

// isFile says whether the name of a policy is the path of a module.
func isFile(name string) bool {
	return !isReference(name) && (isPath(name) || name == "." || name == ".." || strings.HasSuffix(name, ".wasm"))
}

// isReference says whether the name of a policy is that of a module in a registry.
func isReference(name string) bool { return strings.HasPrefix(name, oci.Scheme) }

// pullModule returns the module of a reference. It is shown by its repository's name, so
// that none from a registry looks like a built-in one.
func (a *app) pullModule(ctx context.Context, from config.Sources, text string) (module, error) {
	ref, err := oci.ParseReference(text)
	if err != nil {
		return module{}, usagef("policy: %w", err)
	}
	got, err := a.pull(ctx, from.Registry, ref)
	if err != nil {
		return module{}, fmt.Errorf("policy %w", err)
	}
	return module{name: ref.Repository(), wasm: got.Wasm, source: got.Reference.String()}, nil
}

// pull gets a module from the cache or a registry and says which one it was.
func (a *app) pull(ctx context.Context, from config.Registry, ref oci.Reference) (*oci.Module, error) {
	remote, err := a.remote(from)
	if err != nil {
		return nil, err
	}
	got, err := remote.Pull(ctx, ref)
	if errors.Is(err, oci.ErrUnpinned) {
		err = &config.UsageError{Err: err}
	}
	if err != nil {
		return nil, err
	}
	if !got.Cached {
		a.log.Info("module from a registry", "reference", got.Reference, "sha256", got.SHA256, "asked for", ref)
	}
	return got, nil
}

func (a *app) remote(from config.Registry) (*oci.Remote, error) {
	dir := from.CacheDir
	if dir == "" {
		var err error
		if dir, err = oci.DefaultCacheDir(); err != nil {
			return nil, fmt.Errorf("no directory for modules from registries: %w: set registry.cache_dir, or --registry-cache-dir", err)
		}
	}
	return oci.New(oci.Config{
		CacheDir: dir, Offline: from.Offline, AllowTag: from.AllowTag, PlainHTTP: from.PlainHTTP, Timeout: from.Timeout,
		UserAgent: "offhost", Log: a.log,
	}), nil
}

// tryModule loads a module as a run would.
func tryModule(ctx context.Context, m module, limits config.Policy) (runtime.Info, error) {
	p, err := runtime.Load(ctx, m.wasm, runtime.Config{Name: m.name, Limits: policyLimits(limits)})
	if err != nil {
		return runtime.Info{}, err
	}
	return p.Info(), p.Close()
}

// policyLimits are the limits under which settings have a policy loaded.
func policyLimits(p config.Policy) runtime.Limits {
	return runtime.Limits{Fuel: p.Fuel, Refill: p.Refill, StartFuel: p.StartFuel, MemoryPages: p.MemoryPages}
}
