package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/units"
)

// A resolver reads the text of each key from where it is set with the highest
// precedence, and says so when it is wrong. The first error is kept.
type resolver struct {
	viper *viper.Viper
	flags *pflag.FlagSet
	file  *document
	// getenv is os.Getenv, or gives nothing where the environment does not count.
	getenv func(string) string
	err    error
}

// level is where a key is set, the higher the stronger.
type level int

const (
	byDefault level = iota
	byFile
	byEnviron
	byFlag
)

func (r *resolver) level(name string) level {
	k := lookup(name)
	if f := r.flags.Lookup(k.flag); f != nil && f.Changed {
		return byFlag
	}
	if r.getenv(k.env()) != "" {
		return byEnviron
	}
	if slices.Contains(r.file.set, name) {
		return byFile
	}
	return byDefault
}

// source names where a key's value comes from, as the user wrote it.
func (r *resolver) source(name string) string {
	k := lookup(name)
	switch r.level(name) {
	case byFlag:
		return "--" + k.flag
	case byEnviron:
		return k.env()
	case byFile:
		return r.file.path + ": " + name
	}
	return name
}

func (r *resolver) fail(name string, err error) { r.failFrom(r.source(name), err) }

func (r *resolver) failFrom(source string, err error) {
	if r.err == nil {
		r.err = usagef("%s: %w", source, err)
	}
}

func (r *resolver) settings() (Settings, error) {
	s := Settings{
		Trace: r.text(keyTrace),
		Policy: Policy{
			Module:   r.text(keyPolicyModule),
			SHA256:   r.digest(keyPolicySHA256),
			Config:   r.pairs(keyPolicyConfig),
			CacheDir: r.text(keyPolicyCacheDir),
			StateDir: r.text(keyPolicyStateDir),
		},
		Sources:         r.sources(),
		Swaps:           r.swaps(keySwap),
		SwapTrial:       int(r.number(keySwapTrial, math.MaxInt32)),
		HarmBound:       r.boolean(keyHarmBound),
		Exclude:         r.globs(keyExclude),
		Keep:            r.globs(keyKeep),
		HostMemory:      r.oneOf(keyHostMemory, []string{Pinned, Pageable}),
		Requests:        int64(r.number(keyRequests, maxRequests)),
		IgnoreWorkspace: r.boolean(keyIgnoreWorkspace),
		Baselines:       r.baselines(keyBaselines),
		Chunk:           r.size(keyChunk),
		Granularity:     r.size(keyGranularity),
		Scale:           r.scale(keyScale),
		Weights:         r.text(keyWeights),
		HostBudget:      r.size(keyHostBudget),
		PinBudget:       r.size(keyPinBudget),
		FileBandwidth:   r.bandwidth(keyFileBandwidth, r.text(keyFileBandwidth)),
		Record:          r.text(keyRecord),
		Seed:            r.number(keySeed, math.MaxUint64),
		Format:          r.oneOf(keyFormat, []string{FormatText, FormatJSON}),
		Verbose:         r.boolean(keyVerbose),
	}
	r.limits(&s.Policy)
	s.Device, s.DeviceID = r.device(keyDevice)
	s.ChunkChosen = r.level(keyChunk) > byDefault
	r.memoryAndLink(&s)
	for _, name := range []string{keyWeights, keyPinBudget} {
		if s.Device == Sim && r.level(name) == byFlag {
			r.fail(name, fmt.Errorf("device %s has no weights: want --device %s or %s", Sim, Shm, CUDA))
		}
	}
	if s.Record == "" && r.level(keyRecord) == byFlag {
		r.fail(keyRecord, errors.New(`"": want the name of the file to write`))
	}
	if g := cmp.Or(s.Granularity, host.DefaultGranularity); s.Chunk%g != 0 {
		r.fail(keyChunk, fmt.Errorf("%v is not a multiple of the granularity, %v", s.Chunk, g))
	}
	if r.err != nil {
		return Settings{}, r.err
	}
	return s, nil
}

func (r *resolver) limits(p *Policy) {
	p.Fuel = r.fuel(keyPolicyFuel)
	p.Refill = r.fuel(keyPolicyRefill)
	p.StartFuel = r.fuel(keyPolicyStartFuel)
	p.MemoryPages = r.pages(keyPolicyMemory)
}

func (r *resolver) sources() Sources {
	return Sources{
		Dir: r.text(keyPolicyDir),
		Registry: Registry{
			CacheDir:  r.text(keyRegistryCache),
			Offline:   r.boolean(keyRegistryOffline),
			AllowTag:  r.boolean(keyRegistryTag),
			PlainHTTP: r.boolean(keyRegistryPlain),
			Timeout:   r.timeout(keyRegistryTimeout),
		},
	}
}

// maxRequests bounds a repetition that would otherwise run for days.
const maxRequests = 1_000_000

// memoryAndLink settles budget and link: each from its own key or from the card's,
// whichever is set at the higher level, its own where both are at the same.
func (r *resolver) memoryAndLink(s *Settings) {
	card, chosen := gpu{}, false
	if name := r.text(keyGPU); name != "" {
		if card, chosen = findGPU(name); !chosen {
			r.fail(keyGPU, fmt.Errorf("unknown card %q%s (known: %s; others by --budget and --link)",
				name, DidYouMean(name, gpuNames()), strings.Join(gpuNames(), ", ")))
			return
		}
	}
	cards := func(name string) bool { return chosen && r.level(name) < r.level(keyGPU) }

	if cards(keyBudget) {
		s.Budget = card.memory
	} else {
		s.Budget = r.size(keyBudget)
	}
	s.BudgetChosen = s.Budget != 0

	if cards(keyLink) {
		s.Link.H2D, s.Link.D2H = card.link, card.link
	} else {
		s.Link.H2D, s.Link.D2H = r.link(keyLink)
		s.Link.Paced = s.Link.H2D > 0 && r.level(keyLink) > byFile
	}

	if cards(keyPageable) {
		s.Link.Pageable = baseline.Pageable
	} else if text := r.text(keyPageable); text != "" {
		s.Link.Pageable = r.bandwidth(keyPageable, text)
	}
}

func (r *resolver) text(name string) string {
	value := r.viper.Get(name)
	if items, ok := value.([]string); ok {
		return strings.Join(items, ",")
	}
	return strings.TrimSpace(fmt.Sprint(value))
}

func (r *resolver) list(name string) []string {
	value := r.viper.Get(name)
	if items, ok := value.([]string); ok {
		return items
	}
	return splitList(fmt.Sprint(value))
}

func (r *resolver) boolean(name string) bool {
	b, err := strconv.ParseBool(r.text(name))
	if err != nil {
		r.fail(name, fmt.Errorf("%q: want true or false", r.text(name)))
	}
	return b
}

// number reads 0 to most; nothing is 0.
func (r *resolver) number(name string, most uint64) uint64 {
	text := r.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		r.fail(name, fmt.Errorf("%q: want a whole number from 0 to %d", text, most))
		return 0
	}
	return n
}

// maxTimeout is longer than any module takes on a link that is of use.
const maxTimeout = time.Hour

func (r *resolver) timeout(name string) time.Duration {
	d, err := time.ParseDuration(r.text(name))
	if err != nil || d <= 0 || d > maxTimeout {
		r.fail(name, fmt.Errorf("%q: want a time above 0 and at most %v, as in 90s", r.text(name), maxTimeout))
	}
	return d
}

// fuel reads an amount that the runtime can count down with a signed number.
func (r *resolver) fuel(name string) uint64 {
	n := r.number(name, math.MaxInt64)
	if n == 0 {
		r.fail(name, errors.New("want more than 0"))
	}
	return n
}

func (r *resolver) pages(name string) uint32 {
	b := r.size(name)
	if b < pageSize || b%pageSize != 0 || b/pageSize > maxPages {
		r.fail(name, fmt.Errorf("%v: want a multiple of 64 KiB, at most %s", b, (maxPages*pageSize).Exact()))
		return 0
	}
	return uint32(b / pageSize)
}

// size reads a size above 0; nothing is 0.
func (r *resolver) size(name string) units.Bytes {
	text := r.text(name)
	if text == "" {
		return 0
	}
	b, err := units.ParseBytes(text)
	if err == nil && b == 0 {
		err = fmt.Errorf("size %q: want more than 0", text)
	}
	if err != nil {
		r.fail(name, err)
	}
	return b
}

func (r *resolver) scale(name string) units.Scale {
	scale, err := units.ParseScale(r.text(name))
	if err != nil {
		r.fail(name, err)
	}
	return scale
}

func (r *resolver) bandwidth(name, text string) units.BytesPerSecond {
	rate, err := units.ParseBytesPerSecond(text)
	if err != nil {
		r.fail(name, err)
	}
	return rate
}

// link is ParseLink; nothing is 0.
func (r *resolver) link(name string) (h2d, d2h units.BytesPerSecond) {
	text := r.text(name)
	if text == "" {
		return 0, 0
	}
	h2d, d2h, err := ParseLink(text)
	if err != nil {
		r.fail(name, err)
	}
	return h2d, d2h
}

// ParseLink reads one bandwidth for both directions, or one for each, as in
// "25GB/s,20GB/s".
func ParseLink(text string) (h2d, d2h units.BytesPerSecond, err error) {
	first, second, two := strings.Cut(text, ",")
	if h2d, err = units.ParseBytesPerSecond(first); err != nil || !two {
		return h2d, h2d, err
	}
	d2h, err = units.ParseBytesPerSecond(second)
	return h2d, d2h, err
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (r *resolver) digest(name string) string {
	text := strings.ToLower(r.text(name))
	if text != "" && !hexDigest.MatchString(text) {
		r.fail(name, fmt.Errorf("%q: want the 64 hexadecimal digits that \"offhost policy check\" prints", text))
	}
	return text
}

// maxSwaps bounds what has to be remembered.
const maxSwaps = 100_000

func (r *resolver) swaps(name string) []Swap {
	items := r.list(name)
	if len(items) > maxSwaps {
		r.fail(name, fmt.Errorf("%d swaps, at most %d", len(items), maxSwaps))
		return nil
	}
	var swaps []Swap
	for _, item := range items {
		at, module, _ := strings.Cut(item, ":")
		n, err := strconv.ParseInt(at, 10, 64)
		if err != nil || n < 1 || module == "" {
			r.fail(name, fmt.Errorf("%q: want AT:POLICY, as in 500:lru or 500:./my.wasm; AT counts engine inputs from 1", item))
			return nil
		}
		swaps = append(swaps, Swap{At: n, Module: module})
	}
	return swaps
}

func (r *resolver) globs(name string) []string {
	globs := r.list(name)
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			r.fail(name, fmt.Errorf("%q: want a component's name or a glob, as in \"text_encoder*\" (*, ?, [a-z], \\ before any of them)", g))
		}
	}
	return globs
}

func (r *resolver) device(name string) (device, id string) {
	device, id, err := ParseDevice(r.text(name))
	if err != nil {
		r.fail(name, err)
	}
	return device, id
}

// ParseDevice reads the name of a device, and of a GPU the part that says which.
func ParseDevice(text string) (device, id string, err error) {
	device, id, named := strings.Cut(text, ":")
	switch {
	case !slices.Contains(deviceNames, device):
		return "", "", fmt.Errorf("%q: want %s", text, strings.Join(deviceNames, ", "))
	case named && (device != CUDA || id == ""):
		return "", "", fmt.Errorf("%q: want %s, or %s: and the UUID of a GPU", text, device, CUDA)
	}
	return device, id, nil
}

func (r *resolver) oneOf(name string, allowed []string) string {
	text := r.text(name)
	if !slices.Contains(allowed, text) {
		r.fail(name, fmt.Errorf("%q: want %s", text, strings.Join(allowed, " or ")))
	}
	return text
}

// baselines returns those that were asked for, in the order in which they are
// shown.
func (r *resolver) baselines(name string) []string {
	asked := r.list(name)
	if len(asked) == 0 || slices.Equal(asked, []string{noBaselines}) {
		return nil
	}
	for _, b := range asked {
		if !slices.Contains(baselineNames, b) {
			r.fail(name, fmt.Errorf("%q: want any of %s, or none%s", b, strings.Join(baselineNames, ", "), DidYouMean(b, baselineNames)))
		}
	}
	return slices.DeleteFunc(slices.Clone(baselineNames), func(b string) bool { return !slices.Contains(asked, b) })
}

// pairs merges the policy's configuration key by key, the file's first.
func (r *resolver) pairs(name string) map[string]string {
	k := lookup(name)
	out := map[string]string{}
	maps.Copy(out, r.file.config)
	if lines := r.getenv(k.env()); lines != "" {
		for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
			if err := readPair(line, out); err != nil {
				r.failFrom(k.env(), err)
			}
		}
	}
	given, err := r.flags.GetStringArray(k.flag)
	if err != nil {
		r.failFrom("--"+k.flag, err)
	}
	for _, pair := range given {
		if err := readPair(pair, out); err != nil {
			r.failFrom("--"+k.flag, err)
		}
	}
	if err := checkPairs(out); err != nil {
		r.failFrom(name, err)
	}
	return out
}
