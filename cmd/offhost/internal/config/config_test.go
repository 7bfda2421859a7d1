package config

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/units"
)

// load reads settings as a command would that was started in an empty directory
// with these arguments, environment and offhost.yaml ("" for none).
func load(t *testing.T, args []string, env map[string]string, file string) (Settings, string, error) {
	t.Helper()
	dir := t.TempDir()
	if file != "" {
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Load(flags, dir, slog.New(slog.NewTextHandler(&log, nil)))
	return s, log.String(), err
}

// scales lets scales be compared.
var scales = cmp.AllowUnexported(units.Scale{})

var one, _ = units.ParseScale("1")

func TestDefaults(t *testing.T) {
	got, log, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Trace:      "flux-img2img-8bit",
		Policy:     Policy{Module: "sticky-loop", Config: map[string]string{}, Fuel: 3_000_000, Refill: 30_000, StartFuel: 50_000_000, MemoryPages: 256},
		Sources:    Sources{Registry: Registry{Timeout: time.Minute}},
		HostMemory: "pinned",
		Device:     "sim",
		Baselines:  []string{"lru", "optimum", "accelerate"},
		Chunk:      32 * units.MiB,
		Scale:      one,

		FileBandwidth: 3e9,
		Format:        "text",
	}
	if diff := cmp.Diff(want, got, scales); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if log != "" {
		t.Errorf("logged %q although nothing was found", log)
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	type result struct {
		Module   string
		Requests int64
		Exclude  []string
		Verbose  bool
	}
	const file = "policy: {module: from-file}\nrequests: 3\nexclude: [a, 'b,c']\nverbose: true\n"
	env := map[string]string{"OFFHOST_POLICY_MODULE": "from-env", "OFFHOST_REQUESTS": "5", "OFFHOST_EXCLUDE": "d, e", "OFFHOST_VERBOSE": "false"}
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		file string
		want result
	}{
		{"default", nil, nil, "", result{Module: "sticky-loop"}},
		{"file", nil, nil, file, result{"from-file", 3, []string{"a", "b,c"}, true}},
		{"environment", nil, env, file, result{"from-env", 5, []string{"d", "e"}, false}},
		{"flag", []string{"--policy", "from-flag", "--requests=7", "--exclude", "f,g", "--exclude", "h", "--verbose"}, env, file,
			result{"from-flag", 7, []string{"f", "g", "h"}, true}},
		{"an empty variable is none", nil, map[string]string{"OFFHOST_REQUESTS": ""}, file, result{"from-file", 3, []string{"a", "b,c"}, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := load(t, c.args, c.env, c.file)
			if err != nil {
				t.Fatal(err)
			}
			got := result{s.Policy.Module, s.Requests, s.Exclude, s.Verbose}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is asked of flags alone is the same whatever is around them, wrong values included.
func TestFlagsAlone(t *testing.T) {
	read := func(args ...string) (Settings, error) {
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		AddFlags(flags)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		return FromFlags(flags)
	}
	args := []string{"--budget", "7GB", "--keep", "vae", "--policy-config", "a=b"}
	want, _, err := load(t, args, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		t.Setenv(k.env(), "nonsense")
	}
	got, err := read(args...)
	if d := cmp.Diff(want, got, scales); err != nil || d != "" {
		t.Errorf("%v, (-alone in the world +with nonsense around)\n%s", err, d)
	}
	var usage *UsageError
	if _, err := read("--budget", "much"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--budget") {
		t.Errorf("%v, want a usage error about --budget", err)
	}
}

func TestBudgetAndLink(t *testing.T) {
	const gen4, gen5 = 25_000_000_000, 50_000_000_000
	for _, c := range []struct {
		name   string
		args   []string
		file   string
		budget units.Bytes
		link   Link
		chosen bool
	}{
		{name: "neither: the trace's hints"},
		{name: "a card sets all", args: []string{"--gpu", "rtx5090"},
			budget: 32 * units.GiB, link: Link{H2D: gen5, D2H: gen5, Pageable: baseline.Pageable}, chosen: true},
		{name: "a flag beats the card", args: []string{"--gpu=rtx3090", "--budget=20GiB", "--link=10GB/s,5GB"},
			budget: 20 * units.GiB, link: Link{10e9, 5e9, baseline.Pageable, true}, chosen: true},
		{name: "one bandwidth is both directions", args: []string{"--link=10GB/s"}, link: Link{H2D: 10e9, D2H: 10e9, Paced: true}},
		{name: "a card given as a flag beats a budget in the file", args: []string{"--gpu=rtx3090"}, file: "budget: 8GiB\nlink: 1GB/s\n",
			budget: 24 * units.GiB, link: Link{H2D: gen4, D2H: gen4, Pageable: baseline.Pageable}, chosen: true},
		{name: "in one file the budget beats the card", file: "gpu: RTX3090\nbudget: 8GiB\npageable: 3GB/s\n",
			budget: 8 * units.GiB, link: Link{H2D: gen4, D2H: gen4, Pageable: 3e9}, chosen: true},
		{name: "bytes", file: "budget: 1048576B\n", budget: units.MiB, chosen: true},
		{name: "both directions from a list that YAML reads as text", file: "link: 25GB/s, 20GB/s\n", link: Link{H2D: 25e9, D2H: 20e9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := load(t, c.args, nil, c.file)
			if err != nil {
				t.Fatal(err)
			}
			if s.Budget != c.budget || s.Link != c.link || s.BudgetChosen != c.chosen {
				t.Errorf("budget %d (chosen %v), link %v; want %d (%v), %v", s.Budget, s.BudgetChosen, s.Link, c.budget, c.chosen, c.link)
			}
		})
	}
}

// A link that is given for one run is to be kept to; one that is planned with is not.
func TestALinkForThisRunIsKeptTo(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		file string
		want bool
	}{
		{"a flag", []string{"--link", "1GB/s"}, nil, "", true},
		{"a flag beside a card", []string{"--link", "1GB/s", "--gpu", "rtx3090"}, nil, "", true},
		{"a variable", nil, map[string]string{"OFFHOST_LINK": "1GB/s"}, "", true},
		{"a variable, and a card as a flag", []string{"--gpu", "rtx3090"}, map[string]string{"OFFHOST_LINK": "1GB/s"}, "", false},
		{"a card", []string{"--gpu", "rtx3090"}, nil, "", false},
		{"a file", nil, nil, "link: 1GB/s\n", false},
		{"nothing", nil, nil, "", false},
	} {
		s, _, err := load(t, c.args, c.env, c.file)
		if err != nil || s.Link.Paced != c.want {
			t.Errorf("%s: kept to: %v, %v; want %v", c.name, s.Link.Paced, err, c.want)
		}
		for name := range c.env {
			os.Unsetenv(name)
		}
	}
}

func TestPolicyConfigIsTheUsersOwn(t *testing.T) {
	const file = `
policy:
  module: my.wasm
  config:
    CamelCase: Yes
    loop:
      minLength: 0x10
      "a.b": 1e3
    empty:
    quoted: "07"
`
	s, _, err := load(t, []string{"--policy-config", "CamelCase=a=b,c", "--policy-config", "new=1"},
		map[string]string{"OFFHOST_POLICY_CONFIG": "loop.minLength=12\nFromEnv=x\n"}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"CamelCase": "a=b,c", "new": "1", // flags
		"loop.minLength": "12", "FromEnv": "x", // environment
		"loop.a.b": "1e3", "empty": "", "quoted": "07", // file
	}
	if diff := cmp.Diff(want, s.Policy.Config); diff != "" {
		t.Errorf("policy.config (-want +got):\n%s", diff)
	}
	if s.Policy.Module != "my.wasm" {
		t.Errorf("module %q beside the configuration, want my.wasm", s.Policy.Module)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		file string
		want string // parts of the message, separated by |
	}{
		{name: "misspelt key", file: "\nbugdet: 24GiB\n", want: `offhost.yaml:2: unknown key "bugdet"; did you mean "budget"?`},
		{name: "misspelt nested key", file: "policy:\n  modul: lru\n", want: `offhost.yaml:2: unknown key "policy.modul"; did you mean "policy.module"?`},
		{name: "nested key at the top", file: "module: lru\n", want: `did you mean "policy.module"?`},
		{name: "folded case", file: "Budget: 24GiB\n", want: `unknown key "Budget"; did you mean "budget"?`},
		{name: "dash for underscore", file: "ignore-workspace: true\n", want: `did you mean "ignore_workspace"?`},
		{name: "dotted key", file: "policy.module: lru\n", want: `key "policy.module": write policy: with module: below it`},
		{name: "a key twice", file: "budget: 1GiB\nbudget: 2GiB\n", want: `offhost.yaml:2: key "budget" is set twice`},
		{name: "a group twice", file: "policy: {module: a}\npolicy: {sha256: b}\n", want: `key "policy" is set twice`},
		{name: "misspelt variable", env: map[string]string{"OFFHOST_BUGDET": "1GiB"}, want: `"OFFHOST_BUGDET"; did you mean "OFFHOST_BUDGET"?`},
		{name: "no mapping", file: "budget\n", want: `offhost.yaml:1|keys and values`},
		{name: "not YAML", file: "budget: [\n", want: `offhost.yaml: yaml: line`},
		{name: "two documents", file: "budget: 1GiB\n---\nbudget: 2GiB\n", want: `more than one document`},
		{name: "alias", file: "exclude: &a [x]\nkeep: *a\n", want: `offhost.yaml:2: keep: want a list`},
		{name: "list for a value", file: "budget: [1GiB]\n", want: `budget: want a single value`},
		{name: "value for a group", file: "policy: lru\n", want: `policy: want keys below it`},
		{name: "mapping in a list", file: "exclude: [{a: b}]\n", want: `exclude: want text in the list`},
		{name: "size from a file", file: "budget: lots\n", want: `offhost.yaml: budget: size "lots": want|24GiB`},
		{name: "size without a unit", args: []string{"--budget", "12"}, want: `--budget: size "12" has no unit: want one, as in 12GiB`},
		{name: "bandwidth without a unit", args: []string{"--link", "25"}, want: `--link: bandwidth "25": want a size per second, as in 25GB/s`},
		{name: "variable without a unit", env: map[string]string{"OFFHOST_LINK": "25GB/s,20"}, want: `OFFHOST_LINK: bandwidth "20": want`},
		{name: "number without a unit in a file", file: "chunk: 33554432\n", want: `offhost.yaml: chunk: size "33554432" has no unit`},
		{name: "size from a variable", env: map[string]string{"OFFHOST_BUDGET": "0"}, want: `OFFHOST_BUDGET: size "0": want more than 0`},
		{name: "size from a flag", args: []string{"--budget", "24Gib/s"}, want: `--budget: size "24Gib/s"`},
		{name: "bandwidth", args: []string{"--link", "25GB/s,x"}, want: `--link: bandwidth "x"`},
		{name: "card", args: []string{"--gpu", "rtx3091"}, want: `--gpu: unknown card "rtx3091"; did you mean "rtx3090"?`},
		{name: "baseline", args: []string{"--baselines", "lru,optimal"}, want: `--baselines: "optimal"|did you mean "optimum"?`},
		{name: "none is alone", args: []string{"--baselines", "lru,none"}, want: `--baselines: "none"`},
		{name: "glob", args: []string{"--exclude", "a["}, want: `--exclude: "a[": want a component's name or a glob`},
		{name: "number", args: []string{"--requests", "-1"}, want: `--requests: "-1": want a whole number from 0 to 1000000`},
		{name: "boolean", file: "verbose: maybe\n", want: `offhost.yaml: verbose: "maybe": want true or false`},
		{name: "format", args: []string{"--format", "xml"}, want: `--format: "xml": want text or json`},
		{name: "device", args: []string{"--device", "rocm"}, want: `--device: "rocm": want sim, shm, cuda`},
		{name: "no GPU of sim's", args: []string{"--device", "sim:GPU-1"}, want: `--device: "sim:GPU-1": want sim, or cuda: and the UUID of a GPU`},
		{name: "no UUID", args: []string{"--device", "cuda:"}, want: `--device: "cuda:": want cuda, or cuda: and the UUID of a GPU`},
		{name: "scale", args: []string{"--scale", "64"}, want: `--scale: scale "64": want a fraction above 0 and at most 1`},
		{name: "weights without a device for them", args: []string{"--weights", "."}, want: `--weights: device sim has no weights: want --device shm`},
		{name: "locked weights without a device for them", args: []string{"--pin-budget", "1GiB"}, want: `--pin-budget: device sim has no weights`},
		{name: "file bandwidth", args: []string{"--file-bandwidth", ""}, want: `--file-bandwidth: bandwidth ""`},
		{name: "a policy directory in a found file", file: "policy: {dir: x}\n", want: `policy.dir cannot be set by a file found in the working directory`},
		{name: "a cache in a found file", file: "registry: {cache_dir: x}\n", want: `registry.cache_dir cannot be set by a file found in the working directory`},
		{name: "tags in a found file", file: "registry: {allow_tag: true}\n", want: `registry.allow_tag cannot be set by a file found in the working directory`},
		{name: "no TLS in a found file", file: "registry: {plain_http: true}\n", want: `registry.plain_http cannot be set by a file found in the working directory`},
		{name: "no time", args: []string{"--registry-timeout", "0s"}, want: `--registry-timeout: "0s": want a time above 0 and at most 1h0m0s, as in 90s`},
		{name: "much time", file: "registry: {timeout: 2h}\n", want: `offhost.yaml: registry.timeout: "2h": want a time`},
		{name: "a time without a unit", env: map[string]string{"OFFHOST_REGISTRY_TIMEOUT": "60"}, want: `OFFHOST_REGISTRY_TIMEOUT: "60": want a time`},
		{name: "a journal's path in a found file", file: "record: x\n", want: `record cannot be set by a file found in the working directory`},
		{name: "a journal without a name", args: []string{"--record", ""}, want: `--record: "": want the name of the file`},
		{name: "chunk", args: []string{"--chunk", "3MiB"}, want: `--chunk: 3 MiB is not a multiple of the granularity, 2 MiB`},
		{name: "digest", args: []string{"--policy-sha256", "abc"}, want: `--policy-sha256: "abc": want the 64`},
		{name: "no fuel", args: []string{"--policy-fuel", "0"}, want: `--policy-fuel: want more than 0`},
		{name: "part of a page", args: []string{"--policy-memory", "100kB"}, want: `--policy-memory: 100 kB: want a multiple of 64 KiB, at most 2097088KiB`},
		{name: "more memory than can be counted", args: []string{"--policy-memory", "2GiB"}, want: `--policy-memory: 2 GiB: want a multiple of 64 KiB, at most 2097088KiB`},
		{name: "policy key without value", args: []string{"--policy-config", "a"}, want: `--policy-config: "a": want key=value`},
		{name: "policy key of the host", args: []string{"--policy-config", "offhost.chunk_bytes=1"}, want: `"offhost.chunk_bytes": keys under "offhost." are the host's own`},
		{name: "policy key of the host, nested", file: "policy: {config: {offhost: {chunk_bytes: 1}}}\n", want: `"offhost.chunk_bytes"|the host's own`},
		{name: "line break in a policy value", file: "policy:\n  config:\n    a: \"x\\ny\"\n", want: `offhost.yaml:3: policy.config: key "a": its value "x\ny" has a line break`},
		{name: "line break in a policy value on the command line", args: []string{"--policy-config", "a=x\ny=z"}, want: `--policy-config: key "a"|line break`},
		{name: "line break in a policy key", file: "policy: {config: {\"a\\nb\": 1}}\n", want: `key "a\nb"|control characters`},
		{name: "= in a policy key", file: "policy: {config: {\"a=b\": 1}}\n", want: `key "a=b": want neither =`},
		{name: "list in policy.config", file: "policy: {config: {a: [1]}}\n", want: `"a": want a single value`},
		{name: "policy key twice", file: "policy: {config: {a.b: 1, a: {b: 2}}}\n", want: `"a.b" is set twice`},
		{name: "too much for a policy", args: []string{"--policy-config", "a=" + strings.Repeat("x", 1<<16)}, want: `policy.config: 65539 bytes in all, want at most 65536`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := load(t, c.args, c.env, c.file)
			if err == nil {
				t.Fatal("accepted")
			}
			for part := range strings.SplitSeq(c.want, "|") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if usage := (*UsageError)(nil); !errors.As(err, &usage) || usage.ExitCode() != 2 {
				t.Errorf("error %q is no UsageError with exit code 2", err)
			}
		})
	}
}

func TestAFoundFileIsAnnounced(t *testing.T) {
	_, log, err := load(t, nil, nil, "requests: 3\n")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "offhost.yaml") || !strings.Contains(log, "working directory") {
		t.Errorf("log %q does not announce offhost.yaml", log)
	}
}

func TestANamedFileReplacesTheFoundOne(t *testing.T) {
	named := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(named, []byte("requests: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
	}{
		{"by flag", []string{"--config", named}, nil},
		{"by variable", nil, map[string]string{"OFFHOST_CONFIG": named}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, log, err := load(t, c.args, c.env, "requests: 3\nbudget: 1GiB\n")
			if err != nil {
				t.Fatal(err)
			}
			if s.Requests != 9 || s.Budget != 0 || log != "" {
				t.Errorf("requests %d, budget %v, log %q; want the named file alone", s.Requests, s.Budget, log)
			}
		})
	}
	if _, _, err := load(t, []string{"--config", named + ".missing"}, nil, ""); err == nil {
		t.Error("a named file that does not exist was accepted")
	}
}

func TestAFoundFileCannotSetEveryKey(t *testing.T) {
	before := keys
	t.Cleanup(func() { keys = before })
	keys = append(slices.Clip(keys), key{name: "library"}) // as one for the CUDA driver would be
	const file = "budget: 1GiB\nlibrary: /tmp/libcuda.so\n"
	_, _, err := load(t, nil, nil, file)
	if err == nil || !strings.Contains(err.Error(), "library cannot be set by a file found in the working directory") {
		t.Errorf("a found file that sets a library: %v, want a refusal", err)
	}
	named := filepath.Join(t.TempDir(), "named.yaml")
	if err := os.WriteFile(named, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := load(t, []string{"--config", named}, nil, ""); err != nil {
		t.Errorf("a named file that sets a library: %v", err)
	}
}

func TestAFoundFileMustBeARegularFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := discover(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory called %s: %v, want a refusal", FileName, err)
	}
}

func TestAFileHasALimit(t *testing.T) {
	if _, _, err := load(t, nil, nil, "#"+strings.Repeat(" ", maxFile)); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a file of more than 1 MiB: %v, want a refusal", err)
	}
}

func TestEmptyFilesSetNothing(t *testing.T) {
	want, _, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"# only a comment\n", "---\n", "{}\n", "budget:\npolicy:\n", "~\n"} {
		got, _, err := load(t, nil, nil, file)
		if diff := cmp.Diff(want, got, scales); err != nil || diff != "" {
			t.Errorf("file %q: %v (-want +got):\n%s", file, err, diff)
		}
	}
}

// The annotated example is the reference for users: it loads, names each key with its
// variable, and shows the defaults of all but the figures that are the trace's own.
func TestTheExampleNamesEveryKey(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "examples", FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range doc.set {
		named[name] = true
	}
	for _, k := range keys {
		if !named[k.name] {
			t.Errorf("%s does not set %s", path, k.name)
		}
		if !strings.Contains(string(data), k.env()) {
			t.Errorf("%s does not name %s", path, k.env())
		}
	}
	want, _, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := load(t, []string{"--config", path}, nil, "")
	if err != nil {
		t.Fatalf("the example does not load: %v", err)
	}
	found, _, err := load(t, nil, nil, string(data))
	if err != nil {
		t.Fatalf("the example does not load when it is found in the working directory: %v", err)
	}
	if diff := cmp.Diff(got, found, scales); diff != "" {
		t.Errorf("the example says something else where it is found (-named +found):\n%s", diff)
	}
	got.Budget, got.BudgetChosen, got.Link = 0, false, Link{} // their defaults are the trace's
	got.ChunkChosen = false
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), scales); diff != "" {
		t.Errorf("the example does not show the defaults (-default +example):\n%s", diff)
	}
}

func TestKeysAreWellFormed(t *testing.T) {
	seen := map[string]string{}
	for _, k := range keys {
		for _, name := range []string{k.name, k.env(), "--" + k.flag} {
			if other := seen[name]; other != "" && name != "--" {
				t.Errorf("%s names both %s and %s", name, other, k.name)
			}
			seen[name] = k.name
		}
		if k.flag != "" && strings.Count(k.usage, "`") != 2 && k.kind != boolean {
			t.Errorf("the usage of --%s names no value: %q", k.flag, k.usage)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"bugdet", "budget"}, {"requets", "requests"}, {"sha256", "policy.sha256"}, {"chunks", "chunk"}, {"", "gpu"},
	} {
		if got := Nearest(c.in, keyNames()); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("Nearest among none = %q", got)
	}
}

// Whatever a file says, parsing neither panics nor lets through a pair that would
// break the policy's lines.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"budget: 1GiB", "policy: {config: {a: {B: 1}}}", "a: &x [*x]", "? [a]\n: b", "policy:\n  config:\n    ? {}\n    : 1", "<<: {a: b}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := parse("fuzz", data)
		if err != nil {
			return
		}
		for k, v := range doc.config {
			if strings.ContainsAny(k+v, "\n\r\x00") || strings.Contains(k, "=") {
				t.Fatalf("accepted %q=%q", k, v)
			}
		}
	})
}

// A command that runs nothing reads what it needs, whatever flags it has, and does not
// trip over the rest.
func TestLoadPolicies(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("budget: lots\npolicy: {fuel: 5}\nregistry: {offline: true, timeout: 5s}\n")
	t.Setenv("OFFHOST_REGISTRY_ALLOW_TAG", "true")
	for _, c := range []struct {
		name string
		add  func(*pflag.FlagSet)
		args []string
		want Sources
		fuel uint64
	}{
		{"no flags", func(*pflag.FlagSet) {}, nil, Sources{"", Registry{"", true, true, false, 5 * time.Second}}, 5},
		{"the directory's", AddPolicyDirFlags, []string{"--policy-dir", "d"}, Sources{"d", Registry{"", true, true, false, 5 * time.Second}}, 5},
		{"all that policies need", AddPolicyFlags, []string{"--policy-dir", "d", "--registry-cache-dir", "c", "--offline=false", "--allow-tag=false", "--plain-http", "--registry-timeout", "90s", "--policy-fuel", "7"},
			Sources{"d", Registry{"c", false, false, true, 90 * time.Second}}, 7},
	} {
		flags := pflag.NewFlagSet("policy", pflag.ContinueOnError)
		c.add(flags)
		if err := flags.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		policy, sources, err := LoadPolicies(flags, dir, slog.New(slog.DiscardHandler))
		if err != nil || sources != c.want || policy.Fuel != c.fuel || policy.MemoryPages != 256 {
			t.Errorf("%s: %+v, %+v, %v; want %+v and fuel %d", c.name, policy, sources, err, c.want, c.fuel)
		}
	}
	write("bugdet: 1GiB\n")
	if _, _, err := LoadPolicies(pflag.NewFlagSet("policy", pflag.ContinueOnError), dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Errorf("got %v, want the key that is not known", err)
	}
}
