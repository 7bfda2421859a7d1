package main

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/cmd/offhost/internal/policybench"
)

func benched(t *testing.T, args ...string) policybench.Result {
	t.Helper()
	return decode[policybench.Result](t, shell{}.succeeds(t, append([]string{"policy", "bench", "--format", "json"}, args...)...))
}

// counted sees that the kinds' counts add up to the events that were told, and returns them.
func counted(t *testing.T, r policybench.Result) map[string]int {
	t.Helper()
	counts, sum := map[string]int{}, 0
	for _, k := range r.Kinds {
		counts[k.Kind] = k.Count
		sum += k.Count
	}
	if sum != r.Events || r.All.Count != r.Events {
		t.Errorf("the kinds come to %d events, all to %d, want the %d that were told", sum, r.All.Count, r.Events)
	}
	return counts
}

// Both policies are told the same events, as many as were asked for, of the kinds that
// a run has: the reference beside itself spends the same fuel on each kind.
func TestPolicyBench(t *testing.T) {
	const events = 30_000
	r := benched(t, "lru", "--events", "30000")
	counts := counted(t, r)
	want := []string{"BEGIN", "CALL", "COMPONENT", "CONFIG", "DONE", "END", "EVICTED", "IDLE", "LOADED", "NEED"}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(counts))); d != "" {
		t.Errorf("kinds (-want +got)\n%s", d)
	}
	if r.Schema != policybench.Schema || r.Events != events || r.Components != 64 || r.Fault != nil || counts["CONFIG"] != 1 || counts["COMPONENT"] < 64 {
		t.Errorf("%+v", r)
	}
	fuel := func(c policybench.Cost) [4]float64 {
		return [4]float64{c.FuelMean, float64(c.FuelMedian), float64(c.FuelP99), float64(c.FuelMax)}
	}
	for _, k := range append(r.Kinds, r.All, *r.NeedAll) {
		if p := k.Policy; fuel(p) != fuel(k.Reference) || p.FuelMedian == 0 || p.FuelMax < p.FuelP99 || p.FuelP99 < p.FuelMedian || p.MaxNS < p.P99NS || p.P99NS < p.MedianNS {
			t.Errorf("%s: %+v and %+v of the same policy", k.Kind, k.Policy, k.Reference)
		}
	}
	if r.NeedAll.Count != 1000 || r.NeedAll.Policy.FuelMedian <= r.All.Policy.FuelMax {
		t.Errorf("to free 63 of 64 components takes %+v", r.NeedAll)
	}
	for _, s := range []policybench.Side{r.Policy, r.Reference} {
		if s.Name != "lru" || len(s.SHA256) != 64 || s.Bytes == 0 || s.Load.ColdNS <= 0 || s.Load.Loads < 3 || s.Memory.StartBytes == 0 || s.Memory.EndBytes != s.Memory.StartBytes || s.Memory.Growths != 0 {
			t.Errorf("%+v", s)
		}
	}
	for again := range 2 {
		other := benched(t, "lru", "--events", "30000")
		for i, k := range other.Kinds {
			if k.Count != r.Kinds[i].Count || fuel(k.Policy) != fuel(r.Kinds[i].Policy) {
				t.Errorf("run %d: %+v, before %+v", again, k, r.Kinds[i])
			}
		}
	}
}

// What is printed has the fields that the help names, and figures where they are known.
func TestPolicyBenchJSON(t *testing.T) {
	found := decode[map[string]any](t, shell{}.succeeds(t, "policy", "bench", "sticky-loop", "--events", "1000", "--format", "json"))
	fields := func(v any) []string { return slices.Sorted(maps.Keys(v.(map[string]any))) }
	cost := []string{"fuel_max", "fuel_mean", "fuel_median", "fuel_p99", "max_ns", "mean_ns", "median_ns", "p99_ns"}
	row := []string{"count", "kind", "policy", "reference"}
	kind := found["kinds"].([]any)[0]
	for _, c := range []struct {
		got, want []string
	}{
		{fields(found), []string{"all", "clock_ns", "components", "events", "fault", "kinds", "need_all", "policy", "reference", "rejected", "schema"}},
		{fields(found["policy"]), []string{"bytes", "load", "memory", "name", "sha256"}},
		{fields(found["policy"].(map[string]any)["load"]), []string{"cached_ns", "cold_ns", "loads"}},
		{fields(found["reference"].(map[string]any)["memory"]), []string{"end_bytes", "growths", "start_bytes"}},
		{fields(kind), row}, {fields(found["all"]), row}, {fields(found["need_all"]), row},
		{fields(kind.(map[string]any)["policy"]), cost}, {fields(kind.(map[string]any)["reference"]), cost},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	if n := found["events"].(json.Number).String(); n != "1000" || found["fault"] != nil {
		t.Errorf("%s events, fault %v", n, found["fault"])
	}
}

func TestPolicyBenchText(t *testing.T) {
	out := shell{}.succeeds(t, "policy", "bench", "sticky-loop", "--events", "5000")
	for _, want := range []string{"5000 events about 64 components, beside lru", "x lru", "\nNEED ", "\nall ", "\nNEED all ", "from cache", "0 times"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// A policy that fails is measured up to there.
func TestPolicyBenchOfWhatFails(t *testing.T) {
	for _, c := range []struct{ module, says string }{
		{"traps-on-end", "END .*unreachable"},
		{"loops-on-need", "out of fuel"},
		{"unlawful", "malformed answer"},
		{"gives-up", "gave up"},
	} {
		t.Run(c.module, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("testdata/policies", c.module+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			got := shell{}.run(t, "policy", "bench", path, "--events", "50000", "--format", "json")
			r := decode[policybench.Result](t, got.stdout)
			counted(t, r)
			if got.code != 1 || !strings.Contains(got.stderr, "the policy failed after") || r.Fault == nil || r.NeedAll != nil {
				t.Fatalf("exit code %d, fault %+v, need_all %+v, on standard error:\n%s", got.code, r.Fault, r.NeedAll, got.stderr)
			}
			if r.Events < 1 || r.Events >= 50_000 || r.Fault.Event != r.Events || !regexp.MustCompile(c.says).MatchString(r.Fault.Error) {
				t.Errorf("%d events and %+v, want %q", r.Events, r.Fault, c.says)
			}
		})
	}
}

// A guest that grows is seen to.
func TestPolicyBenchSeesMemoryGrow(t *testing.T) {
	path, err := filepath.Abs("testdata/policies/grows-while-answering.wasm")
	if err != nil {
		t.Fatal(err)
	}
	r := benched(t, path, "--events", "20000")
	counted(t, r)
	if m := r.Policy.Memory; m.Growths == 0 || m.EndBytes < m.StartBytes+m.Growths*64<<10 {
		t.Errorf("%+v, want it to grow", m)
	}
	if m := r.Reference.Memory; m.Growths != 0 {
		t.Errorf("lru: %+v, want it not to grow", m)
	}
}

// Configuration and limits are a run's.
func TestPolicyBenchSettings(t *testing.T) {
	path, err := filepath.Abs("../../examples/policies/sets/sets.wasm")
	if err != nil {
		t.Fatal(err)
	}
	without, with := benched(t, path, "--events", "20000"), benched(t, path, "--events", "20000", "--policy-config", "set.all=flux.*|sdxl.*|wan.*")
	if with.All.Policy.FuelMean < 2*without.All.Policy.FuelMean {
		t.Errorf("%v fuel an event with a set, %v without: it was not configured", with.All.Policy.FuelMean, without.All.Policy.FuelMean)
	}
	r := shell{}.run(t, "policy", "bench", "sticky-loop", "--events", "20000", "--policy-fuel", "100", "--policy-refill", "100")
	if r.code != 1 || !strings.Contains(r.stderr, "all 100 units are spent") {
		t.Errorf("with fuel of 100: exit code %d, %s", r.code, r.stderr)
	}
	shell{}.fails(t, 2, "--events 0: want 1 to", "policy", "bench", "lru", "--events", "0")
	shell{}.fails(t, 2, "--events 20000000: want 1 to", "policy", "bench", "lru", "--events", "20000000")
	shell{}.fails(t, 2, "want one that is built in", "policy", "bench", "lruu")
	shell{}.fails(t, 2, "arguments", "policy", "bench")
}
