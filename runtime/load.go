package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/tetratelabs/wazero"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// What compiling costs grows faster than the code, and nothing can interrupt it. A
// module above one of these runs on the interpreter, which answers the same and is
// ready at once. Go's guests, the largest known, are at four fifths of the limits of
// work and at a half of each other one or below.
const (
	maxCompiledControls = 2000     // of one function
	maxCompiledProduct  = 1 << 18  // locals times control instructions of one function
	maxCompiledTotal    = 1 << 20  // the same, summed over the module
	maxCompiledWork     = 15 << 19 // meter.Stats.Work
	maxCompiledMaxWork  = 1 << 17  // meter.Stats.MaxWork
	maxCompiledBytes    = 64 << 10 // meter.Stats.MaxBytes
)

// maxInterpreted is how large a module may be that is too complex to be compiled,
// in bytes with counters and locals: the interpreter takes some hundred bytes for each.
const maxInterpreted = 256 << 10

// largeModule is the size in bytes with counters from which on what metering and
// compiling leave behind is given back at once: it is several times as much as the
// module.
const largeModule = 256 << 10

// interpretedShare is what a module that is too complex to be compiled gets of the
// fuel: a unit takes the interpreter up to fifty times as long, 14 ns.
const interpretedShare = 64

// Load checks a module, compiles it and starts an instance that is ready for its
// first event. wasm must not change while Load runs. The error is a *LoadError.
func Load(ctx context.Context, wasm []byte, cfg Config) (*Policy, error) {
	cfg = cfg.withDefaults()
	l := &loader{cfg: cfg, wasm: wasm, p: &Policy{
		logger:     cfg.Logger,
		stackBytes: cfg.Limits.StackBytes,
		out:        make([]abi.Decision, 0, abi.MaxDecisions),
	}}
	p := l.p
	digest := sha256.Sum256(wasm)
	p.setDigest(digest)
	p.seed = sha256.Sum256(binary.LittleEndian.AppendUint64(digest[:], cfg.Seed))
	p.info.Name = cfg.Name
	if cfg.Name == "" {
		p.info.Name = short(p.info.SHA256)
	}
	p.info.ABI = fmt.Sprintf("offhost/%d", abi.Version)
	p.info.Size = len(wasm)
	for _, step := range []struct {
		name string
		run  func(context.Context) (found string, err error)
	}{
		{"digest", l.checkDigest},
		{"module", l.decode},
		{"exports", l.checkExports},
		{"imports", l.checkImports},
		{"meter", l.meter},
		{"compile", l.compile},
		{"start", l.start},
	} {
		found, err := guard(ctx, step.run)
		cfg.OnStep(Step{Name: step.name, Found: found, Err: err})
		if err != nil {
			err = p.refuse(step.name, err)
			if p.rt != nil {
				err = errors.Join(err, p.Close())
			}
			return nil, err
		}
	}
	p.logger.Info("policy loaded", "policy", p.info.Name, "sha256", p.info.SHA256, "bytes", p.info.Size, "engine", p.info.Engine)
	return p, nil
}

// guard runs one step and turns a panic into an error: the engine parses untrusted
// bytes, and a defect in it must not end the host.
func guard(ctx context.Context, run func(context.Context) (string, error)) (found string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the engine panicked: %v", ErrModule, r)
		}
	}()
	return run(ctx)
}

// A loader is the state between the steps of Load.
type loader struct {
	cfg     Config
	wasm    []byte
	p       *Policy
	m       *meter.Module
	metered []byte

	tooComplex bool // to be compiled

	cache    *codeCache // nil without one
	cacheErr error      // why it could not be opened
	key      string     // of the module's entry
	entry    string     // that was found; empty: none
}

func (l *loader) checkDigest(context.Context) (string, error) {
	digest := l.p.info.SHA256
	if pin := strings.ToLower(strings.TrimSpace(l.cfg.SHA256)); pin != "" {
		if b, err := hex.DecodeString(pin); err != nil || len(b) != sha256.Size {
			return "", fmt.Errorf("%w: the pin %.80q is no SHA-256 in 64 hexadecimal digits", ErrDigest, l.cfg.SHA256)
		}
		if pin != digest {
			return "", fmt.Errorf("%w: the module is %s, pinned is %s", ErrDigest, digest, pin)
		}
		return digest + ", as pinned", nil
	}
	return digest, nil
}

func (l *loader) decode(context.Context) (string, error) {
	if limit := l.cfg.Limits.ModuleBytes; len(l.wasm) > limit {
		return "", fmt.Errorf("%w: %w: %d bytes, the limit is %d", ErrModule, meter.ErrTooLarge, len(l.wasm), limit)
	}
	m, err := meter.Decode(l.wasm)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	l.m = m
	md, warnings := ReadMetadata(m.Customs)
	l.p.info.Metadata = md
	if l.cfg.Name == "" && md.Name != "" {
		l.p.info.Name = md.Name
	}
	for _, w := range warnings {
		l.p.logger.Warn("metadata of the policy", "policy", l.p.info.Name, "sha256", short(l.p.info.SHA256), "problem", w)
	}
	l.p.memoryPages = l.cfg.Limits.MemoryPages
	l.p.log = guestLog{logger: l.p.logger.With("policy", l.p.info.Name), left: l.cfg.Limits.LogBytes}
	found := fmt.Sprintf("%d bytes", len(l.wasm))
	if md.Name != "" {
		found += fmt.Sprintf(", %s %s", md.Name, md.Version)
	}
	return strings.TrimSpace(found), nil
}

func (l *loader) checkExports(context.Context) (string, error) {
	found, err := checkExports(l.m)
	if err != nil {
		return "", err
	}
	l.p.info.Exports = found
	return strings.Join(found, ", "), nil
}

func (l *loader) checkImports(context.Context) (string, error) {
	found, err := checkImports(l.m)
	if err != nil {
		return "", err
	}
	l.p.info.Imports = found
	if len(found) == 0 {
		return "none", nil
	}
	return wasiModule + ": " + strings.Join(found, ", "), nil
}

func (l *loader) meter(context.Context) (string, error) {
	p, lim := l.p, l.cfg.Limits
	opt := meter.Options{StartFuel: lim.StartFuel, StackBytes: lim.StackBytes, MemoryPages: lim.MemoryPages, Entry: abi.ExportEvent}
	l.openCache(opt)
	if l.cache != nil {
		l.entry, l.metered = l.cache.find(l.key)
	}
	if l.entry != "" { // it was metered and found fit to be compiled
		l.allow(1)
		return fmt.Sprintf("found in the cache, %d bytes with counters; %s", len(l.metered), l.allowance()), nil
	}
	metered, stats, err := l.m.Meter(opt)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	l.metered = metered
	if l.cfg.unmetered {
		l.metered = l.wasm
	}
	share := uint64(1)
	if why := complexity(stats); why != "" {
		if n := stats.Bytes + stats.Locals; n > maxInterpreted {
			return "", fmt.Errorf("%w: %w: too complex to be compiled (%s), and with %d bytes and locals too large to be interpreted, the limit is %d",
				ErrModule, meter.ErrTooLarge, why, n, maxInterpreted)
		}
		l.tooComplex = true
		share = interpretedShare
		p.logger.Warn("policy is too complex to be compiled: it is interpreted and gets less fuel", "policy", p.info.Name,
			"because", why, "part", fmt.Sprint("1/", share))
	}
	l.allow(share)
	return fmt.Sprintf("%d functions, %d control instructions, %d bytes with counters; %s", stats.Functions, stats.Controls, len(metered), l.allowance()), nil
}

// allow gives the policy a part of the fuel.
func (l *loader) allow(share uint64) {
	p, lim := l.p, l.cfg.Limits
	p.fuel, p.refill, p.startFuel = lim.Fuel/share, lim.Refill/share, lim.StartFuel/share
	p.info.Fuel, p.info.Refill = p.fuel, p.refill
	p.refillPerComponent, p.refillPerByte = RefillPerComponent/share, RefillPerByte/share
}

func (l *loader) allowance() string {
	return fmt.Sprintf("%d fuel an event (more with components) and %d at most, %d to start, %d KiB of memory",
		l.p.refill, l.p.fuel, l.p.startFuel, l.cfg.Limits.MemoryPages*64)
}

// openCache opens the cache that is configured, if there is one and it can be used.
func (l *loader) openCache(opt meter.Options) {
	if l.cfg.CacheDir == "" || l.cfg.Interpreter {
		return
	}
	version := cmp.Or(l.cfg.engineVersion, engineVersion())
	if version == "" {
		l.p.logger.Warn("compiled code is not cached: the program does not know which version of the engine it has", "policy", l.p.info.Name)
		return
	}
	l.cache, l.cacheErr = openCodeCache(l.cfg.CacheDir, l.p.logger)
	l.key = codeKey(version, l.p.info.SHA256, opt, l.cfg.unmetered)
}

type limited struct {
	what     string
	n, limit int
}

// complexities are what limits a module that is compiled.
func complexities(s meter.Stats) []limited {
	return []limited{
		{"control instructions in a function", s.MaxControls, maxCompiledControls},
		{"locals times control instructions in a function", s.MaxLocalsControls, maxCompiledProduct},
		{"locals times control instructions", s.LocalsControls, maxCompiledTotal},
		{"units of work", s.Work, maxCompiledWork},
		{"units of work in a function", s.MaxWork, maxCompiledMaxWork},
		{"bytes with counters in a function", s.MaxBytes, maxCompiledBytes},
	}
}

// complexity says which limits of what is compiled a module exceeds; nothing if it can
// be compiled.
func complexity(s meter.Stats) string {
	var all []string
	for _, c := range complexities(s) {
		if c.n > c.limit {
			all = append(all, fmt.Sprintf("%d %s, the limit is %d", c.n, c.what, c.limit))
		}
	}
	return strings.Join(all, "; ")
}

func (l *loader) compile(ctx context.Context) (string, error) {
	p := l.p
	config, engine := wazero.NewRuntimeConfig(), "compiler"
	if l.cfg.Interpreter || l.tooComplex {
		config, engine = wazero.NewRuntimeConfigInterpreter(), "interpreter"
	}
	p.info.Engine = engine
	config = config.WithMemoryLimitPages(l.cfg.Limits.MemoryPages).WithDebugInfoEnabled(false)
	compile := func(cache wazero.CompilationCache, found bool) error {
		if !found && len(l.metered) > largeModule {
			l.m = nil
			debug.FreeOSMemory()
			defer debug.FreeOSMemory()
		}
		config := config
		if cache != nil {
			config = config.WithCompilationCache(cache)
		}
		p.rt = wazero.NewRuntimeWithConfig(ctx, config)
		compiled, err := p.rt.CompileModule(ctx, l.metered)
		if err != nil {
			return errors.Join(fmt.Errorf("%w: %w", ErrModule, err), p.rt.Close(ctx))
		}
		p.compiled = compiled
		return nil
	}
	if err := l.cached(compile); err != nil {
		return "", err
	}
	if err := p.linkWASI(ctx, p.info.Imports); err != nil {
		return "", fmt.Errorf("%w: %w", ErrModule, err)
	}
	return "for the " + engine, nil
}

// A compileFunc compiles with a cache, if there is one, in which the code was found, or
// not.
type compileFunc func(cache wazero.CompilationCache, found bool) error

// cached compiles with the cache if there is one, and else without.
func (l *loader) cached(compile compileFunc) (err error) {
	p := l.p
	switch {
	case p.info.Engine != "compiler":
		return compile(nil, false)
	case l.cacheErr != nil:
		return l.cacheErr
	case l.cache == nil:
		return compile(nil, false)
	case l.entry != "":
		p.cache, err = l.cache.in(l.entry, true, compile)
	default:
		p.cache, err = l.cache.add(l.key, l.metered, compile)
	}
	if err != nil {
		p.logger.Warn("compiling without the cache", "policy", p.info.Name, "problem", err)
		return compile(nil, false)
	}
	return nil
}

func (l *loader) start(ctx context.Context) (string, error) {
	p := l.p
	payload := l.cfg.MaxPayload
	for _, name := range p.info.Exports {
		if name == abi.ExportSave {
			payload = max(payload, abi.MaxPayload)
		}
	}
	if payload > abi.MaxPayload {
		return "", fmt.Errorf("%w: payloads of %d bytes, at most %d are allowed", ErrWindow, payload, abi.MaxPayload)
	}
	p.windowSize = uint32(abi.WindowSize(payload))
	p.info.Window = int(p.windowSize)
	if err := p.start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d fuel spent, %d KiB of memory, a window of %d bytes at %#x", p.used, p.in.mem.Size()/1024, p.windowSize, p.in.window), nil
}
