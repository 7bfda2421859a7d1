//go:build !race

package policies_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/runtime"
)

// modules are all of the examples, those in Go as they are built now.
func modules(t *testing.T) (list []namedModule) {
	t.Helper()
	tree := copyTree(t)
	for _, m := range built {
		list = append(list, namedModule{m.dir, read(t, m.dir+"/"+m.module)})
	}
	for _, m := range goModules {
		list = append(list, namedModule{m.dir, buildGo(t, tree, m.dir, m.module)})
	}
	return list
}

// manyComponents is several times what the largest of the shipped pipelines has.
const manyComponents = 1024

// There may be a thousand components, all of them resident, and much to be freed: whatever a
// policy answers, it stays within the fuel that it has by default.
func TestExamplesAnswerForManyComponents(t *testing.T) {
	const mib = 1 << 20
	for _, m := range modules(t) {
		t.Run(m.name, func(t *testing.T) {
			p := load(t, m.wasm, runtime.Config{})
			tell(t, p, abi.Event{Kind: abi.Config, Component: abi.None}, "offhost.chunk_bytes=2097152\n")
			ev := abi.Event{Parent: abi.None, Bytes: mib, LoadCost: 1000, Budget: manyComponents * mib}
			told := func(kind abi.Kind, id uint32, resident uint64) []abi.Decision {
				ev := ev
				ev.Kind, ev.Component, ev.Resident, ev.NameHash, ev.Request = kind, id, resident, uint64(id)*0x9e3779b97f4a7c15, 1
				if resident > 0 {
					ev.Flags |= abi.FlagResident
				}
				return tell(t, p, ev, "")
			}
			for id := range uint32(manyComponents) {
				told(abi.Component, id, 0)
			}
			tell(t, p, abi.Event{Kind: abi.Begin, Component: abi.None, Request: 1}, "")
			for range 2 {
				for id := range uint32(manyComponents) {
					told(abi.Call, id, mib)
					told(abi.Loaded, id, mib)
					told(abi.Done, id, mib)
				}
			}
			ev.Amount = manyComponents * mib
			for range 3 {
				told(abi.Call, 7, mib)
				answer := told(abi.Need, 7, mib)
				if len(answer) == 0 && m.name != "accelerate-chain" && m.name != "sets" {
					t.Error("nothing is evicted")
				}
				told(abi.Done, 7, mib)
			}
			tell(t, p, abi.Event{Kind: abi.End, Component: abi.None, Request: 1}, "")
			if blob, err := p.Save(); err != nil {
				t.Error(err)
			} else if _, err := p.Restore(blob); err != nil {
				t.Error(err)
			}
		})
	}
}

// What little memory makes an example do on the shipped traces stays within the default
// fuel, too: no event of it ends in a fault.
func TestExamplesDoNotFail(t *testing.T) {
	for _, m := range modules(t) {
		if strings.HasPrefix(m.name, "lru/") {
			continue // TestTheLRUsDecideAlike
		}
		t.Run(m.name, func(t *testing.T) {
			p := load(t, m.wasm, runtime.Config{})
			for _, name := range library.Names() {
				tenths := tightest(t, name, p)
				if r, _ := replayed(t, name, p, tenths, nil); r.Faults != 0 {
					t.Errorf("%s at %d/10: %d faults: %v", name, tenths, r.Faults, r.Notes)
				}
			}
		})
	}
}

// With memory for everything it moves to the device exactly what the baseline moves,
// which follows the same rule by other means.
func TestAccelerateChainMovesWhatTheBaselineMoves(t *testing.T) {
	p := load(t, read(t, "accelerate-chain/accelerate_chain.wasm"), runtime.Config{})
	for _, name := range library.Names() {
		r, ok := replayed(t, name, p, 12, nil)
		if !ok {
			t.Fatalf("%s is not admitted", name)
		}
		if want := r.Baselines[1]; r.H2DBytes != *want.H2DBytes || r.Faults != 0 || r.Rejected != 0 || want.Name != replay.Accelerate {
			t.Errorf("%s: %d bytes, %d faults, %d rejected, want the %d bytes of %s", name, r.H2DBytes, r.Faults, r.Rejected, *want.H2DBytes, want.Name)
		}
	}
}

// greedyDual tells greedy-dual of components of 100 bytes that are all resident and
// were called in turn.
func greedyDual(t *testing.T, config string, components ...abi.Event) *runtime.Policy {
	p := load(t, read(t, "greedy-dual/greedy_dual.wasm"), runtime.Config{})
	tell(t, p, abi.Event{Kind: abi.Config, Component: abi.None}, config)
	for id, ev := range components {
		ev.Component, ev.Parent, ev.Resident, ev.NameHash = uint32(id), abi.None, ev.Bytes, uint64(id)+1
		for _, ev.Kind = range []abi.Kind{abi.Component, abi.Loaded, abi.Call, abi.Done} {
			tell(t, p, ev, "")
		}
	}
	return p
}

func victims(answer []abi.Decision) (ids []uint32) {
	for _, d := range answer {
		if d.Op == abi.Evict {
			ids = append(ids, d.Component)
		}
	}
	return ids
}

func TestGreedyDualEvictsWhatIsCheapToLoadAgain(t *testing.T) {
	need := abi.Event{Kind: abi.Need, Component: abi.None, Amount: 1 << 40}
	for name, c := range map[string]struct {
		config     string
		components []abi.Event
		want       []uint32
	}{
		"a byte that is slow to come back stays": {"", []abi.Event{{Bytes: 100, LoadCost: 900}, {Bytes: 100, LoadCost: 100}, {Bytes: 200, LoadCost: 600}}, []uint32{1, 2, 0}},
		"what was changed is copied back, too":   {"", []abi.Event{{Bytes: 100, LoadCost: 100, Flags: abi.FlagDirty}, {Bytes: 100, LoadCost: 150}}, []uint32{1, 0}},
		"equals go by their last use":            {"", []abi.Event{{Bytes: 100, LoadCost: 100}, {Bytes: 200, LoadCost: 200}}, []uint32{0, 1}},
		"if loads count, what is small stays":    {"cost=count\n", []abi.Event{{Bytes: 100, LoadCost: 1}, {Bytes: 200, LoadCost: 900}}, []uint32{1, 0}},
		"what is kept is passed over":            {"", []abi.Event{{Bytes: 100, LoadCost: 1, Flags: abi.FlagKept}, {Bytes: 100, LoadCost: 2}}, []uint32{1}},
	} {
		if d := cmp.Diff(c.want, victims(tell(t, greedyDual(t, c.config, c.components...), need, ""))); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// What is costly and not used any more goes in the end, since each eviction lowers it.
func TestGreedyDualForgets(t *testing.T) {
	p := greedyDual(t, "", abi.Event{Bytes: 100, LoadCost: 900}, abi.Event{Bytes: 100, LoadCost: 100}, abi.Event{Bytes: 100, LoadCost: 100})
	for round := range 20 {
		id := uint32(1 + round%2)
		answer := tell(t, p, abi.Event{Kind: abi.Need, Component: id, Amount: 100, Bytes: 100}, "")
		if len(answer) != 1 {
			t.Fatalf("round %d: %v, want one victim", round, answer)
		}
		if answer[0].Component == 0 {
			if round < 3 {
				t.Errorf("the costly one went in round %d", round)
			}
			return
		}
		tell(t, p, abi.Event{Kind: abi.Evicted, Component: answer[0].Component, Bytes: 100, LoadCost: 100}, "")
		for _, kind := range []abi.Kind{abi.Call, abi.Loaded, abi.Done} {
			tell(t, p, abi.Event{Kind: kind, Component: id, Bytes: 100, Resident: 100, LoadCost: 100}, "")
		}
	}
	t.Error("the costly one never went")
}

// Credits are of names: another instance that has other ids takes them up.
func TestGreedyDualRemembers(t *testing.T) {
	dear, cheap := abi.Event{Bytes: 100, LoadCost: 900}, abi.Event{Bytes: 100, LoadCost: 100}
	blob, err := greedyDual(t, "", dear, cheap).Save()
	if err != nil || len(blob) == 0 {
		t.Fatalf("%d bytes are saved: %v", len(blob), err)
	}
	p := load(t, read(t, "greedy-dual/greedy_dual.wasm"), runtime.Config{})
	for id, ev := range []abi.Event{{NameHash: 2}, {NameHash: 1}} {
		ev.Component, ev.Bytes, ev.Resident = uint32(id), 100, 100
		for _, ev.Kind = range []abi.Kind{abi.Component, abi.Loaded} {
			tell(t, p, ev, "")
		}
	}
	if ok, err := p.Restore(blob); !ok || err != nil {
		t.Fatalf("restored: %v, %v", ok, err)
	}
	if got := victims(tell(t, p, abi.Event{Kind: abi.Need, Component: abi.None, Amount: 1}, "")); !cmp.Equal(got, []uint32{0}) {
		t.Errorf("%v went first, want the cheap one, which is 0 here", got)
	}
	if ok, err := p.Restore([]byte("no blob at all")); ok || err != nil {
		t.Errorf("what is no blob: %v, %v, want it declined", ok, err)
	}
}

// In a loop of calls the next one is loaded while one computes; the policy has learned
// it after one round, and another instance takes it up.
func TestMarkovPrefetchesWhatFollows(t *testing.T) {
	module := buildGo(t, copyTree(t), "markov", "markov.wasm")
	p := load(t, module, runtime.Config{})
	const chunk = 32 << 20
	began := func(p *runtime.Policy) {
		tell(t, p, abi.Event{Kind: abi.Config, Component: abi.None}, "")
		for id := range uint32(3) {
			tell(t, p, abi.Event{Kind: abi.Component, Component: id, Bytes: 2 * chunk, NameHash: uint64(id) + 1}, "")
		}
	}
	call := func(p *runtime.Policy, id uint32) []abi.Decision {
		ev := abi.Event{Kind: abi.Call, Component: id, Bytes: 2 * chunk, Resident: 2 * chunk, Flags: abi.FlagResident, Free: chunk + 1}
		answer := tell(t, p, ev, "")
		ev.Kind = abi.Done
		tell(t, p, ev, "")
		tell(t, p, abi.Event{Kind: abi.Evicted, Component: id, Bytes: 2 * chunk}, "")
		return answer
	}
	began(p)
	for id := range uint32(3) {
		if answer := call(p, id); len(answer) != 0 {
			t.Errorf("nothing is known, and %v is decided", answer)
		}
	}
	call(p, 0)
	want := []abi.Decision{{Op: abi.Prefetch, Reason: 1, Component: 2, Arg: chunk}}
	if d := cmp.Diff(want, call(p, 1)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	blob, err := p.Save()
	if err != nil {
		t.Fatal(err)
	}
	p = load(t, module, runtime.Config{})
	began(p)
	if ok, err := p.Restore(blob); !ok || err != nil {
		t.Fatalf("restored: %v, %v", ok, err)
	}
	if d := cmp.Diff(want, call(p, 1)); d != "" {
		t.Errorf("after a restore (-want +got)\n%s", d)
	}
}

// Blocks follow each other in one order: it waits less than lru and moves less.
func TestMarkovOnBlocks(t *testing.T) {
	r, _ := replayed(t, "flux-bf16-blocks", load(t, buildGo(t, copyTree(t), "markov", "markov.wasm"), runtime.Config{}), 7, nil)
	lru := r.Baselines[0]
	if r.Faults != 0 || r.PrefetchedBytes == 0 || r.H2DBytes >= *lru.H2DBytes || r.StallNS >= *lru.StallNS {
		t.Errorf("%d faults, %d bytes ahead; %d bytes and %d ns, lru %d and %d", r.Faults, r.PrefetchedBytes, r.H2DBytes, r.StallNS, *lru.H2DBytes, *lru.StallNS)
	}
}

// experts is a trace of a model that calls some of its experts in each layer: which ones
// is random, but a few are asked for far more often than the rest (by Zipf's law), and
// after half of the requests others are.
func experts(layers, each, requests int) trace.Opener {
	var b strings.Builder
	fmt.Fprintln(&b, `{"kind":"trace","format":"offhost.trace/1","name":"experts"}`)
	var names []string
	for layer := range layers {
		for expert := range each {
			names = append(names, fmt.Sprintf(`"layer.%d.expert.%d"`, layer, expert))
			fmt.Fprintf(&b, `{"kind":"component","name":%s,"bytes":%d}`+"\n", names[len(names)-1], 128<<20)
		}
	}
	fmt.Fprintf(&b, `{"kind":"pipeline","name":"moe","components":[%s]}`+"\n", strings.Join(names, ","))
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.2, 1, uint64(each-1))
	for request := 1; request <= requests; request++ {
		fmt.Fprintf(&b, `{"kind":"begin","request":%d,"pipeline":"moe"}`+"\n", request)
		for layer := range layers {
			expert := int(zipf.Uint64())
			if request > requests/2 {
				expert = each - 1 - expert
			}
			fmt.Fprintf(&b, `{"kind":"call","component":%s,"compute_ns":1000000}`+"\n", names[layer*each+expert])
		}
		fmt.Fprintf(&b, `{"kind":"end","request":%d}`+"\n", request)
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(b.String())), nil }
}

// What is popular stays, and when other experts become popular they do: without aging the
// old ones would keep their place.
func TestLFUAgingOnExperts(t *testing.T) {
	open := experts(8, 16, 400)
	p := load(t, read(t, "lfu-aging/lfu_aging.wasm"), runtime.Config{})
	moved := map[string]int64{}
	for _, halfLife := range []string{"200", "1000000"} {
		r, ok := replayedTrace(t, open, p, 3, map[string]string{"half_life": halfLife})
		if !ok || r.Faults != 0 || r.Rejected != 0 {
			t.Fatalf("half life %s: %v, %d faults, %d rejected", halfLife, ok, r.Faults, r.Rejected)
		}
		moved[halfLife], moved["lru"] = r.H2DBytes, *r.Baselines[0].H2DBytes
	}
	t.Logf("bytes to the device: %v", moved)
	if moved["200"] >= moved["lru"] {
		t.Errorf("it moves %d bytes, lru %d", moved["200"], moved["lru"])
	}
	if moved["200"] >= moved["1000000"] {
		t.Errorf("it moves %d bytes, without aging %d", moved["200"], moved["1000000"])
	}
}

// Names that were called often are evicted last by the instance that restores them.
func TestLFUAgingRemembers(t *testing.T) {
	module := read(t, "lfu-aging/lfu_aging.wasm")
	began := func() *runtime.Policy {
		p := load(t, module, runtime.Config{})
		for id := range uint32(3) {
			for _, kind := range []abi.Kind{abi.Component, abi.Loaded} {
				tell(t, p, abi.Event{Kind: kind, Component: id, Bytes: 100, Resident: 100, NameHash: uint64(id) + 1}, "")
			}
		}
		return p
	}
	p := began()
	for id, calls := range []int{2, 3, 1} {
		for range calls {
			for _, kind := range []abi.Kind{abi.Call, abi.Done} {
				tell(t, p, abi.Event{Kind: kind, Component: uint32(id), Bytes: 100, Resident: 100}, "")
			}
		}
	}
	blob, err := p.Save()
	if err != nil {
		t.Fatal(err)
	}
	need, want := abi.Event{Kind: abi.Need, Component: abi.None, Amount: 300}, []uint32{2, 0, 1}
	if got := victims(tell(t, p, need, "")); !cmp.Equal(got, want) {
		t.Errorf("%v are evicted, want %v", got, want)
	}
	p = began()
	if ok, err := p.Restore(blob); !ok || err != nil {
		t.Fatalf("restored: %v, %v", ok, err)
	}
	if got := victims(tell(t, p, need, "")); !cmp.Equal(got, want) {
		t.Errorf("after a restore %v are evicted, want %v", got, want)
	}
	if ok, err := p.Restore([]byte("no blob")); ok || err != nil {
		t.Errorf("what is no blob: %v, %v, want it declined", ok, err)
	}
}

// What a call evicts is what no set allows beside it, by the set for which that costs
// least.
func TestSets(t *testing.T) {
	names := []string{"llama", "qwen", "whisper", "embed.small", "embed.large", "llama-70b", "other"}
	const sets = "set.1-daily=llama|qwen  whisper embed.*\nset.2-large=llama-70b embed.*\n"
	for name, c := range map[string]struct {
		config   string
		called   string
		resident []string
		want     []string
	}{
		"the alternative goes":                {sets, "qwen", []string{"llama", "whisper", "embed.small"}, []string{"llama"}},
		"what is in another set only goes":    {sets, "llama", []string{"llama-70b", "embed.large"}, []string{"llama-70b"}},
		"all but what both sets have":         {sets, "llama-70b", []string{"llama", "qwen", "whisper", "embed.small"}, []string{"llama", "qwen", "whisper"}},
		"what is in no set stays":             {sets, "llama", []string{"other", "qwen"}, []string{"qwen"}},
		"what is in no set evicts nothing":    {sets, "other", []string{"llama", "whisper"}, nil},
		"the set that costs least":            {sets, "embed.small", []string{"llama-70b", "llama"}, []string{"llama-70b"}},
		"the other, if that is dearer":        {"cost.llama-70b=2.5\n" + sets, "embed.small", []string{"llama-70b", "llama"}, []string{"llama"}},
		"a factor below one":                  {"cost.llama=.5\n" + sets, "embed.small", []string{"llama-70b", "llama"}, []string{"llama"}},
		"a cost that is none is not used":     {"cost.llama=free\n" + sets, "embed.small", []string{"llama-70b", "llama"}, []string{"llama-70b"}},
		"without sets nothing is decided":     {"", "llama", []string{"qwen"}, nil},
		"names match as a whole unless by *":  {"set.a=emb qwen\nset.b=embed.* llama\n", "embed.small", []string{"qwen", "llama"}, []string{"qwen"}},
		"a name has its first place in a set": {"set.a=llama|* qwen\n", "llama", []string{"whisper"}, []string{"whisper"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, read(t, "sets/sets.wasm"), runtime.Config{})
			tell(t, p, abi.Event{Kind: abi.Config, Component: abi.None}, c.config)
			component := func(kind abi.Kind, name string, resident uint64) []abi.Decision {
				ev := abi.Event{Kind: kind, Component: uint32(slices.Index(names, name)), Bytes: 64 << 20, Resident: resident, LoadCost: 1000}
				payload := ""
				if kind == abi.Component {
					payload = name
				}
				return tell(t, p, ev, payload)
			}
			for _, name := range names {
				component(abi.Component, name, 0)
			}
			for _, name := range c.resident {
				component(abi.Loaded, name, 64<<20)
			}
			var got []string
			for _, id := range victims(component(abi.Call, c.called, 0)) {
				got = append(got, names[id])
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// One pipeline at a time, by configuration alone.
func TestSetsOnThreePipelines(t *testing.T) {
	p := load(t, read(t, "sets/sets.wasm"), runtime.Config{})
	r, ok := replayed(t, "three-pipelines", p, 10, map[string]string{"set.all": "flux.*|sdxl.*|wan.*"})
	if !ok || r.Faults != 0 || r.Rejected != 0 {
		t.Fatalf("%v, %d faults, %d rejected", ok, r.Faults, r.Rejected)
	}
	var weights int64
	for _, c := range r.PerComponent {
		weights += c.Bytes
	}
	// Every request finds another pipeline's components there, and loads all of its own.
	if r.H2DBytes != 3*weights {
		t.Errorf("%d bytes to the device, want three times the %d of all components", r.H2DBytes, weights)
	}
}
