package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A member of the hostile corpus: a module that is made to harm its host, and what
// becomes of it. Its source is testdata/policies/NAME.wat, a fixture of package
// runtime, or a generator.
type member struct {
	name string

	// Modules that are refused: the step that refuses and what it says.
	step, says string

	// Modules that run: the reasons of the faults that the default trace at half of
	// its card has to show; none: it never faults. Of reasons with a bar, either will
	// do: which limit is met first is a matter of its size.
	faults []string
	// lawful says that some of its decisions are carried out.
	lawful bool
	// costly says that there is nothing to it but loading.
	costly bool
}

var corpus = []member{
	// Time.
	{name: "loops", faults: []string{"fuel"}},
	{name: "loops-on-need", faults: []string{"fuel"}},
	{name: "recurses", faults: []string{"stack"}},
	{name: "recurses-mutually", faults: []string{"fuel|stack"}},
	{name: "recurses-exponentially", faults: []string{"fuel"}},
	{name: "recurses-with-large-frames", faults: []string{"fuel|stack"}},
	{name: "fills-memory", faults: []string{"fuel"}},
	{name: "random-flood", faults: []string{"fuel"}},
	{name: "log-flood", faults: []string{"fuel"}},
	{name: "log-drip"},
	{name: "waits", faults: []string{"fuel"}},
	{name: "start-loop", step: "start", says: "out of fuel"},
	{name: "buffer-loop", step: "start", says: "out of fuel"},
	{name: "drips"},
	{name: "drips-from-the-cache"},
	{name: "drips-past-the-cache"},
	{name: "drips-interpreted"},
	{name: "loops-in-the-cache", faults: []string{"fuel"}},
	{name: "loops-past-the-cache", faults: []string{"fuel"}},

	// Memory.
	{name: "memory-bomb", faults: []string{"fuel"}},
	{name: "grows-forever", faults: []string{"fuel"}},
	{name: "grows-while-answering", lawful: true},
	{name: "start-grows"},
	{name: "table-bomb", faults: []string{"fuel"}},
	{name: "wants-more-memory", step: "meter", says: "16448 KiB of memory at the start, the limit is 16384 KiB"},
	{name: "imports-memory", step: "module", says: "import of a memory"},

	// What it exports and imports, and where it traps.
	{name: "missing-export", step: "exports", says: `"offhost_v1_event" is not exported`},
	{name: "wrong-signature", step: "exports", says: "is a function (i64) -> (i32)"},
	{name: "wrong-optional-signature", step: "exports", says: `"offhost_v1_save" is a function () -> (i64)`},
	{name: "extra-exports"},
	{name: "takes-fuel", step: "module", says: "the name is the meter's own"},
	{name: "helps-itself-to-fuel", step: "module", says: "function 2, there are 2"},
	{name: "forbidden-import", step: "imports", says: "path_open"},
	{name: "start-traps", step: "start", says: "unreachable"},
	{name: "init-trap", step: "start", says: "unreachable"},
	{name: "traps", faults: []string{"trap"}},
	{name: "traps-variously", faults: []string{"memory", "trap"}},
	{name: "traps-when-introduced", faults: []string{"trap"}},
	{name: "traps-on-end", faults: []string{"trap"}},
	{name: "exits", faults: []string{"trap"}},
	{name: "gives-up", faults: []string{"gave-up"}},

	// The window.
	{name: "window-odd", step: "start", says: "is no multiple of 8"},
	{name: "window-outside", step: "start", says: "do not lie in a memory"},
	{name: "window-refused", step: "start", says: "refuses to lend"},
	{name: "window-wraps", step: "start", says: "4096 bytes at 0xfffffff8 do not lie in a memory"},
	{name: "window-at-the-end", lawful: true},
	{name: "window-over-its-own-data", faults: []string{"memory"}},
	{name: "window-moves", faults: []string{"answer"}},

	// Answers.
	{name: "garbage", faults: []string{"answer"}},
	{name: "garbage-counts", faults: []string{"answer", "gave-up"}},
	{name: "unlawful", lawful: true},
	{name: "extremes", lawful: true},

	// What should not depend on anything but the events.
	{name: "asks-time-and-chance", lawful: true},
	{name: "asks-nan", lawful: true},

	// State to be handed over.
	{name: "saves-too-much"},
	{name: "saves-a-bomb"},
	{name: "saves-forever"},

	// Lawful sabotage.
	{name: "evicts-everything", lawful: true},
	{name: "evicts-what-comes-next", lawful: true},
	{name: "prefetches-in-vain", lawful: true},
	{name: "retains-everything", lawful: true},
	{name: "retains-what-is-over", lawful: true},
	{name: "juggles", lawful: true},
	{name: "juggles-when-idle", lawful: true},

	// Size.
	{name: "huge-data", costly: true},
	{name: "many-data-segments", costly: true},
	{name: "too-many-data-segments", step: "module", says: "70000 data segments"},
	{name: "huge-tables", costly: true},
	{name: "too-huge-table", step: "meter", says: "268435456 entries"},
	{name: "many-elements", costly: true},
	{name: "too-many-elements", step: "module", says: "65536 elements"},
	{name: "many-types", costly: true},
	{name: "many-wide-types", step: "module", says: "more than 16384 parameters and results"},
	{name: "too-many-types", step: "module", says: "5001 types"},
	{name: "too-wide-type", step: "module", says: "1000 values in a function type"},
	{name: "many-globals"},
	{name: "many-exports", step: "module", says: "5003 exports"},
	{name: "huge-names"},
	{name: "names-of-control-characters", faults: []string{"trap"}},
	{name: "huge-metadata"},
	{name: "many-customs", step: "module", says: "custom sections"},
	{name: "many-functions", costly: true},
	{name: "too-many-functions", step: "module", says: "20002 functions"},
	{name: "larger-than-the-limit", says: "larger than 4 MiB"}, // is not even read

	{name: "bomb-of-branches", costly: true},
	{name: "bomb-of-more-branches", step: "meter", says: "too large to be interpreted"},
	{name: "bomb-at-the-limit", costly: true},
	{name: "bomb-of-small-functions", costly: true},
	{name: "bomb-of-more-small-functions", step: "meter", says: "too large to be interpreted"},
	{name: "bomb-of-locals", step: "meter", says: "50001 locals"},
	{name: "bomb-of-vectors", costly: true},
	{name: "bomb-of-straight-code", costly: true},
	{name: "bomb-of-more-straight-code", step: "meter", says: "bytes with counters in a function"},
	{name: "bomb-of-operands", costly: true},
	{name: "bomb-of-too-many-operands", step: "meter", says: "operands on the stack"},
	{name: "bomb-of-blocks", step: "meter", says: "blocks nested deeper"},
	{name: "bomb-of-jump-tables", step: "meter", says: "60000 branch labels"},
	{name: "bomb-of-results", costly: true},
}

func (m member) refused() bool { return m.says != "" }

// file returns the absolute path of the module, which it writes if it is generated.
func (m member) file(t testing.TB) string {
	t.Helper()
	if generate, ok := generated[m.name]; ok {
		path := filepath.Join(t.TempDir(), m.name+".wasm")
		if err := os.WriteFile(path, generate(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, dir := range []string{"testdata/policies", "../../runtime/testdata"} {
		path, err := filepath.Abs(filepath.Join(dir, m.name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s has no source", m.name)
	return ""
}

// checkFaults compares the reasons of a report with those that are expected.
func (m member) checkFaults(t *testing.T, reasons map[string]int64) {
	t.Helper()
	ok := len(reasons) == len(m.faults)
	for _, want := range m.faults {
		ok = ok && slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return reasons[w] > 0 })
	}
	if !ok {
		t.Errorf("faults by reason: %v, want %v", reasons, m.faults)
	}
}

// Every source in the folder is a member, and has one entry.
func TestTheCorpusIsComplete(t *testing.T) {
	names := map[string]int{}
	for _, m := range corpus {
		names[m.name]++
	}
	files, err := filepath.Glob("testdata/policies/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names[strings.TrimSuffix(filepath.Base(f), ".wasm")] += 10
	}
	for n := range generated {
		names[n] += 10
	}
	for n, seen := range names {
		if seen != 11 && seen != 1 {
			t.Errorf("%s: want one entry in the table and at most one source", n)
		}
	}
	for _, m := range corpus {
		if generated[m.name] == nil {
			m.file(t)
		}
	}
}
