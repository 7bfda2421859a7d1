package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// kind says how a key's value is written.
type kind int

const (
	text    kind = iota
	boolean      // true or false
	list         // a YAML list, or text with commas
	pairs        // key=value, as many as there are
)

// A key is one setting, under its three names.
type key struct {
	name  string // in the file, nesting shown by a dot
	flag  string // empty: none
	kind  kind
	def   string
	usage string // a word in backquotes names the value in --help
	// discovered keys may be set by a file that was merely found in the working
	// directory. Keys are not that name what offhost would write to or load into
	// itself: libraries, sockets, output paths. A policy is neither: it is sandboxed. Nor
	// are those that let a module from a registry come less safely.
	discovered bool
}

const (
	envPrefix = "OFFHOST_"
	fileKey   = "config" // --config and OFFHOST_CONFIG: where the other keys are
)

func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// lookup returns the key of a name that is in the table.
func lookup(name string) key {
	return keys[slices.IndexFunc(keys, func(k key) bool { return k.name == name })]
}

// Names of keys that the code asks for.
const (
	keyTrace           = "trace"
	keyPolicyModule    = "policy.module"
	keyPolicySHA256    = "policy.sha256"
	keyPolicyConfig    = "policy.config"
	keyPolicyFuel      = "policy.fuel"
	keyPolicyRefill    = "policy.refill"
	keyPolicyStartFuel = "policy.start_fuel"
	keyPolicyMemory    = "policy.memory"
	keyPolicyCacheDir  = "policy.cache_dir"
	keyPolicyStateDir  = "policy.state_dir"
	keyPolicyDir       = "policy.dir"
	keyRegistryCache   = "registry.cache_dir"
	keyRegistryOffline = "registry.offline"
	keyRegistryTag     = "registry.allow_tag"
	keyRegistryPlain   = "registry.plain_http"
	keyRegistryTimeout = "registry.timeout"
	keySwap            = "swap"
	keySwapTrial       = "swap_trial"
	keyHarmBound       = "harm_bound"
	keyExclude         = "exclude"
	keyKeep            = "keep"
	keyGPU             = "gpu"
	keyBudget          = "budget"
	keyLink            = "link"
	keyPageable        = "pageable"
	keyHostMemory      = "host_memory"
	keyRequests        = "requests"
	keyDevice          = "device"
	keyScale           = "scale"
	keyWeights         = "weights"
	keyHostBudget      = "host_budget"
	keyPinBudget       = "pin_budget"
	keyFileBandwidth   = "file_bandwidth"
	keyRecord          = "record"
	keyIgnoreWorkspace = "ignore_workspace"
	keyBaselines       = "baselines"
	keyChunk           = "chunk"
	keyGranularity     = "granularity"
	keySeed            = "seed"
	keyFormat          = "format"
	keyVerbose         = "verbose"
)

var keys = []key{
	{name: keyTrace, def: library.Default, discovered: true},
	{name: keyPolicyModule, flag: "policy", def: "sticky-loop", discovered: true,
		usage: "policy to run: the `name` of a built-in or an installed one, the path of a .wasm module, or oci://REGISTRY/NAME@sha256:..."},
	{name: keyPolicySHA256, flag: "policy-sha256", discovered: true,
		usage: "refuse a policy module whose SHA-256 is not this (64 hexadecimal `digits`)"},
	{name: keyPolicyConfig, flag: "policy-config", kind: pairs, discovered: true,
		usage: "configuration for the policy, `key=value`; may be repeated"},
	{name: keyPolicyFuel, flag: "policy-fuel", def: fmt.Sprint(runtime.DefaultFuel), discovered: true,
		usage: "the most that a policy may spend on one event, with what it has saved, in `units` of 0.3 ns at most (a simple instruction is one)"},
	{name: keyPolicyRefill, flag: "policy-refill", def: fmt.Sprint(runtime.DefaultRefill), discovered: true,
		usage: "what each event adds to what a policy has saved, in `units`, up to --policy-fuel; components and payload add more"},
	{name: keyPolicyStartFuel, flag: "policy-start-fuel", def: fmt.Sprint(runtime.DefaultStartFuel), discovered: true,
		usage: "the same for its start-up, in `units`"},
	{name: keyPolicyMemory, flag: "policy-memory", def: (runtime.DefaultMemoryPages * pageSize).String(), discovered: true,
		usage: "largest linear memory of a policy, a `size` in whole pages of 64 KiB"},
	{name: keyPolicyCacheDir, flag: "policy-cache-dir",
		usage: "keep compiled policies in this `directory`, the user's own, of mode 0700"},
	{name: keyPolicyStateDir, flag: "policy-state-dir",
		usage: "keep what policies learn in this `directory`, the user's own, of mode 0700"},
	{name: keySwap, flag: "swap", kind: list, discovered: true,
		usage: "exchange the policy just before engine input AT (from 1), `AT:POLICY`; comma-separated; may be repeated"},
	{name: keySwapTrial, flag: "swap-trial", def: "0", discovered: true,
		usage: "let a policy that --swap names follow `N` events without deciding before it takes over"},
	{name: keyHarmBound, flag: "harm-bound", kind: boolean, def: "false", discovered: true,
		usage: "let the fallback finish a request that has moved more than twice its bytes plus one budget"},
	{name: keyExclude, flag: "exclude", kind: list, discovered: true,
		usage: "components that always stay on the device: `globs`, comma-separated; may be repeated"},
	{name: keyKeep, flag: "keep", kind: list, discovered: true,
		usage: "components that stay once loaded, until the request ends: `globs`, comma-separated; may be repeated"},
	{name: keyGPU, flag: "gpu", discovered: true,
		usage: "take budget and link from a `card`: " + strings.Join(gpuNames(), ", ")},
	{name: keyBudget, flag: "budget", discovered: true,
		usage: "device memory to use, a `size` such as 24GiB (default: --gpu's, else the trace's hint)"},
	{name: keyLink, flag: "link", discovered: true,
		usage: "bandwidth `H2D[,D2H]` of pinned copies, such as 25GB/s (default: --gpu's, else the trace's hint); given as a flag, shm keeps to it"},
	{name: keyPageable, flag: "pageable", discovered: true,
		usage: "`bandwidth` of pageable copies, which the accelerate baseline makes (default: the trace's hint, else 6GB/s, as with --gpu); never faster than --link"},
	{name: keyHostMemory, flag: "host-memory", def: Pinned, discovered: true,
		usage: "`kind` of memory that weights are kept in: pinned, or pageable, whose copies get the bandwidth of --pageable"},
	{name: keyRequests, flag: "requests", def: "0", discovered: true,
		usage: "run the first `N` requests, repeating the trace when it has fewer; 0: as many as it has"},
	{name: keyDevice, flag: "device", def: Sim, discovered: true,
		usage: "`device` that carries out the movements: sim, which simulates them in virtual time, shm, which copies real bytes in host memory, or cuda[:UUID], which copies them to an NVIDIA GPU"},
	{name: keyScale, flag: "scale", def: "1", discovered: true,
		usage: "shrink all sizes and times to this `fraction`, such as 1/64, so that a trace fits this machine"},
	{name: keyWeights, flag: "weights", discovered: true,
		usage: "on shm and cuda, read weights from this `directory`: NAME.safetensors, or a directory NAME with one such file or an index and its shards, for each component (default: made from --seed)"},
	{name: keyHostBudget, flag: "host-budget", discovered: true,
		usage: "host memory that weights may take, a `size`; the rest is read from files whenever it is loaded (default: what this machine has room for on shm, no limit on sim)"},
	{name: keyPinBudget, flag: "pin-budget", discovered: true,
		usage: "on shm, lock weights up to this `size` in host memory (default: none); on cuda, pin that much (default: all)"},
	{name: keyFileBandwidth, flag: "file-bandwidth", def: "3GB/s", discovered: true,
		usage: "`bandwidth` at which weights beyond --host-budget are read, as policies are told and sim takes it"},
	{name: keyRecord, flag: "record",
		usage: "write the run's journal to this `file`, which offhost run FILE feeds back"},
	{name: keyPolicyDir, flag: "policy-dir",
		usage: "`directory` of installed policies (default: offhost/policies where the user's data is, by the XDG rule)"},
	{name: keyRegistryCache, flag: "registry-cache-dir",
		usage: "`directory` in which modules from registries are kept (default: offhost/registry in the user's cache directory)"},
	{name: keyRegistryOffline, flag: "offline", kind: boolean, def: "false", discovered: true,
		usage: "connect to no registry: modules from one have to be in the cache"},
	{name: keyRegistryTag, flag: "allow-tag", kind: boolean, def: "false",
		usage: "accept oci:// references without a digest, whose module may be another one each time"},
	{name: keyRegistryPlain, flag: "plain-http", kind: boolean, def: "false",
		usage: "talk to registries without TLS; on this machine (localhost) it is always so"},
	{name: keyRegistryTimeout, flag: "registry-timeout", def: "1m", discovered: true,
		usage: "the longest that a transfer from or to a registry may take, in all, a `time` such as 90s"},
	{name: keyIgnoreWorkspace, flag: "ignore-workspace", kind: boolean, def: "false", discovered: true,
		usage: "count weights only, not the memory that a call needs beside them"},
	{name: keyBaselines, flag: "baselines", kind: list, def: strings.Join(baselineNames, ","), discovered: true,
		usage: "`rules` to compare with, comma-separated, or none"},
	{name: keyChunk, flag: "chunk", def: "32MiB", discovered: true,
		usage: "`size` of the pieces in which components move"},
	{name: keyGranularity, flag: "granularity", discovered: true,
		usage: "`size` to which the device rounds a component's last piece; --scale does not change one that is given (default: 2MiB, scaled to 4KiB at least)"},
	{name: keySeed, flag: "seed", def: "0", discovered: true,
		usage: "`number` that the random bytes a policy may ask for are made from, and weights where there are none"},
	{name: keyFormat, flag: "format", def: FormatText, discovered: true,
		usage: "`form` of the report: text or json"},
	{name: keyVerbose, flag: "verbose", kind: boolean, def: "false", discovered: true,
		usage: "show each movement and why it was made, and each block of a component"},
}

// policyKeys are those that matter to a command that loads a policy and runs nothing,
// beside those of registryGroup.
var policyKeys = []string{keyPolicyFuel, keyPolicyRefill, keyPolicyStartFuel, keyPolicyMemory, keyPolicyDir}

func isPolicyKey(k key) bool {
	return slices.Contains(policyKeys, k.name) || strings.HasPrefix(k.name, registryGroup)
}

const registryGroup = "registry."

// pageSize is the unit of a linear memory in WebAssembly; a policy has at most maxPages of
// them.
const (
	pageSize = 64 * units.KiB
	maxPages = runtime.MaxMemoryPages
)

// Kinds of host memory.
const (
	Pinned   = "pinned"
	Pageable = "pageable"
)

// Forms of the report.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Names of the baselines, in the order in which they are shown; none is no
// baseline.
var baselineNames = []string{"lru", "optimum", "accelerate"}

const noBaselines = "none"

// Names of the devices.
const (
	Sim = "sim"
	Shm = "shm"
	// CUDA may be followed by a colon and the UUID of a GPU, or its beginning.
	CUDA = "cuda"
)

var deviceNames = []string{Sim, Shm, CUDA}

func keyNames() []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// splitList splits a flag's or variable's text at its commas.
func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
