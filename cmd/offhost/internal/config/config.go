// Package config turns flags, the environment and offhost.yaml into one checked
// value, Settings. Each key has one name, one flag and one environment variable, in
// the table of keys.go; a flag beats the environment, which beats the file, which
// beats the default. It opens no trace and loads no policy: it says which. Only the
// command line uses it.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/offhost/offhost/host/units"
)

// FileName is the configuration file that is looked for in the working directory.
const FileName = "offhost.yaml"

// Settings is what a run was asked to do. A zero where a field allows one leaves
// the choice to the trace.
type Settings struct {
	Trace  string // a shipped trace's name, a path, or - for standard input
	Policy Policy

	Sources Sources

	Swaps     []Swap
	SwapTrial int // events that each of them follows without deciding first
	HarmBound bool

	Exclude []string // globs by path.Match: always on the device
	Keep    []string // globs by path.Match: not evicted during a request

	Budget units.Bytes // 0: the trace's hint
	// BudgetChosen tells a budget of the user's from the trace's own.
	BudgetChosen bool
	Link         Link

	HostMemory      string // Pinned or Pageable
	Requests        int64  // 0: as many as the trace has
	Device          string // Sim, Shm or CUDA
	DeviceID        string // of CUDA: a GPU's UUID, or its beginning; empty: the first
	IgnoreWorkspace bool
	Baselines       []string
	Chunk           units.Bytes
	// ChunkChosen tells a chunk of the user's from the default.
	ChunkChosen bool
	Granularity units.Bytes // of the device; 0: host.DefaultGranularity, scaled
	// Scale is applied to the trace and to all sizes here but Granularity.
	Scale units.Scale
	Seed  uint64

	Weights       string      // a directory; empty: made from Seed
	HostBudget    units.Bytes // 0: what the machine has room for on Shm, no limit on Sim
	PinBudget     units.Bytes // 0: none
	FileBandwidth units.BytesPerSecond

	Record string // the path of a journal to write; empty: none

	Format  string // text or json
	Verbose bool
}

// Policy says which policy to run and within which limits.
type Policy struct {
	Module string // a name, a path, or a reference oci://...
	SHA256 string // lower-case hexadecimal digits, or empty: any
	Config map[string]string

	Fuel        uint64 // for one event, with what was saved
	Refill      uint64 // added by each event
	StartFuel   uint64 // for start-up
	MemoryPages uint32 // of its linear memory, in pages of 64 KiB

	CacheDir string // of compiled code; empty: none
	StateDir string // of what policies learn; empty: none
}

// Sources says where the modules of policies are found, beside the built-in ones.
type Sources struct {
	Dir      string // of installed policies; empty: the user's own
	Registry Registry
}

// Registry says how modules come from registries.
type Registry struct {
	CacheDir  string        // empty: the user's own
	Offline   bool          // only from the cache
	AllowTag  bool          // references need no digest
	PlainHTTP bool          // without TLS, beyond this machine too
	Timeout   time.Duration // of a transfer, above 0
}

// Swap exchanges the policy on the way.
type Swap struct {
	At     int64  // number of the engine input before which it happens, from 1
	Module string // as Policy.Module
}

// Link is the bandwidth between host and device. Zero fields are the trace's hints.
type Link struct {
	H2D      units.BytesPerSecond // pinned, host to device
	D2H      units.BytesPerSecond // pinned, device to host
	Pageable units.BytesPerSecond // pageable, either way
	// Paced makes a device of real bytes keep to it: the user gave it for this run.
	Paced bool
}

// AddFlags defines a flag for each key, and --config, on flags.
func AddFlags(flags *pflag.FlagSet) { addFlags(flags, func(key) bool { return true }) }

// AddPolicyFlags defines, on flags, --config and those that say where a policy comes from
// and within which limits it is loaded.
func AddPolicyFlags(flags *pflag.FlagSet) {
	addFlags(flags, isPolicyKey)
}

// AddLimitFlags defines, on flags, --config and those of the limits within which a policy is
// loaded.
func AddLimitFlags(flags *pflag.FlagSet) {
	addFlags(flags, func(k key) bool { return k.name != keyPolicyDir && slices.Contains(policyKeys, k.name) })
}

// AddRegistryFlags defines, on flags, --config and those that say how modules come from
// registries.
func AddRegistryFlags(flags *pflag.FlagSet) {
	addFlags(flags, func(k key) bool { return strings.HasPrefix(k.name, registryGroup) })
}

// AddPolicyDirFlags defines, on flags, --config and the one for the directory of installed
// policies.
func AddPolicyDirFlags(flags *pflag.FlagSet) {
	addFlags(flags, func(k key) bool { return k.name == keyPolicyDir })
}

// AddModuleFlags defines, on flags, those of AddPolicyFlags and those that say how a module
// runs, with --format and --config, for commands that run a policy without a trace.
func AddModuleFlags(flags *pflag.FlagSet) {
	addFlags(flags, func(k key) bool {
		switch k.name {
		case keyPolicyConfig, keySeed, keyFormat:
			return true
		}
		return isPolicyKey(k)
	})
}

func addFlags(flags *pflag.FlagSet, wanted func(key) bool) {
	flags.String(fileKey, "", "read this configuration `file` instead of ./"+FileName)
	defineFlags(flags, wanted)
}

// AddSomeFlags defines those flags of AddFlags that are named, without --config.
func AddSomeFlags(flags *pflag.FlagSet, names []string) {
	defineFlags(flags, func(k key) bool { return slices.Contains(names, k.flag) })
}

func defineFlags(flags *pflag.FlagSet, wanted func(key) bool) {
	for _, k := range keys {
		if k.flag == "" || !wanted(k) {
			continue
		}
		switch k.kind {
		case boolean:
			flags.Bool(k.flag, k.def == "true", k.usage)
		case list:
			flags.StringSlice(k.flag, splitList(k.def), k.usage)
		case pairs:
			flags.StringArray(k.flag, nil, k.usage)
		default:
			flags.String(k.flag, k.def, k.usage)
		}
	}
}

// Load reads the settings for a command whose flags, defined by AddFlags, have been
// parsed. A configuration file found in dir is announced on log. Every error is of
// kind *UsageError, except failures to read a file.
func Load(flags *pflag.FlagSet, dir string, log *slog.Logger) (Settings, error) {
	r, err := newResolver(flags, dir, log)
	if err != nil {
		return Settings{}, err
	}
	return r.settings()
}

// LoadPolicies reads what Load does for a command that runs nothing: the limits of
// policies, and where they are found. Other keys are not looked at, and flags that are not
// defined count as not given.
func LoadPolicies(flags *pflag.FlagSet, dir string, log *slog.Logger) (Policy, Sources, error) {
	r, err := newResolver(flags, dir, log)
	if err != nil {
		return Policy{}, Sources{}, err
	}
	var p Policy
	r.limits(&p)
	s := r.sources()
	if r.err != nil {
		return Policy{}, Sources{}, r.err
	}
	return p, s, nil
}

func newResolver(flags *pflag.FlagSet, dir string, log *slog.Logger) (*resolver, error) {
	if err := checkEnviron(os.Environ()); err != nil {
		return nil, err
	}
	file, err := loadFile(flags, dir, log)
	if err != nil {
		return nil, err
	}
	return resolve(flags, file, os.Getenv)
}

// FromFlags reads the settings that flags defined by AddFlags give by themselves: neither
// the environment nor a file changes them. Every error is of kind *UsageError.
func FromFlags(flags *pflag.FlagSet) (Settings, error) {
	r, err := resolve(flags, &document{}, func(string) string { return "" })
	if err != nil {
		return Settings{}, err
	}
	return r.settings()
}

func resolve(flags *pflag.FlagSet, file *document, getenv func(string) string) (*resolver, error) {
	v := viper.New()
	for _, k := range keys {
		if k.kind == pairs {
			continue // viper would fold the case of the policy's own keys
		}
		v.SetDefault(k.name, k.def)
		if f := flags.Lookup(k.flag); f != nil {
			if err := v.BindPFlag(k.name, f); err != nil {
				return nil, fmt.Errorf("flag --%s: %w", k.flag, err)
			}
		}
		if getenv(k.env()) == "" {
			continue
		}
		if err := v.BindEnv(k.name, k.env()); err != nil {
			return nil, fmt.Errorf("environment variable %s: %w", k.env(), err)
		}
	}
	if err := v.MergeConfigMap(file.values); err != nil {
		return nil, fmt.Errorf("%s: %w", file.path, err)
	}
	return &resolver{viper: v, flags: flags, file: file, getenv: getenv}, nil
}

// loadFile reads the file that --config or OFFHOST_CONFIG names, else the one in
// dir, else none.
func loadFile(flags *pflag.FlagSet, dir string, log *slog.Logger) (*document, error) {
	path := ""
	if f := flags.Lookup(fileKey); f != nil {
		path = f.Value.String()
	}
	if path == "" {
		path = os.Getenv(envPrefix + strings.ToUpper(fileKey))
	}
	if path == "" {
		return discover(dir, log)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("configuration: %w", err)
	}
	defer f.Close()
	data, err := readLimited(f)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return parse(path, data)
}

// discover reads dir's offhost.yaml, if there is one. Whoever can write to the
// working directory could have put it there, so it must belong to the user and may
// set only the keys that are marked for it.
func discover(dir string, log *slog.Logger) (*document, error) {
	path, full := FileName, filepath.Join(dir, FileName)
	link, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return &document{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	irregular := usagef("%s in the working directory is not a regular file: remove it, or name a configuration with --config", path)
	if info, err := os.Stat(full); err == nil && !info.Mode().IsRegular() {
		return nil, irregular // opening it could wait, as for a pipe that nobody writes to
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, irregular
	}
	for _, i := range []fs.FileInfo{link, info} { // a link of someone else's may lead to a file of the user's
		if !ownedByUser(i) {
			return nil, usagef("%s in the working directory does not belong to you: name it with --config %s to use it all the same", path, path)
		}
	}
	data, err := readLimited(f)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	doc, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	if err := checkDiscovered(doc); err != nil {
		return nil, err
	}
	log.Info("using " + path + " of the working directory")
	return doc, nil
}

// checkDiscovered refuses keys that only a file named by the user may set. Setting
// one to nothing, or to its default, is no harm: the annotated example may be copied as
// it is.
func checkDiscovered(doc *document) error {
	for _, name := range doc.set {
		if !lookup(name).discovered && !slices.Contains(doc.idle, name) {
			return usagef("%s: %s cannot be set by a file found in the working directory: name the file with --config, or give it as a flag", doc.path, name)
		}
	}
	return nil
}

const maxFile = 1 << 20

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, usagef("larger than %v, want a configuration", units.Bytes(maxFile))
	}
	return data, nil
}
