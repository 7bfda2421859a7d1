// Package policybench measures what a policy costs, beside another one: how long it takes
// to load, and what each event takes it in time, fuel and memory, kind by kind.
//
// The engine drives it: the calls of calls.go run on the simulated device under the
// policy, whose answers have effect, and each event is told to the other policy, too, right
// before or right after. So both see the same events, and whatever else the machine does
// disturbs both. It measures; to show what it found is left to offhost policy bench,
// its only caller.
package policybench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// Schema is that of Result as JSON. Within it fields are only added.
const Schema = "offhost.bench.policy/1"

// DefaultEvents and MaxEvents are how many events are told unless asked otherwise, and at
// most: each is remembered to the end.
const (
	DefaultEvents = 1_000_000
	MaxEvents     = 10_000_000
)

// needs is how often everything is asked for.
const needs = 1000

// A Subject is a policy module that is measured.
type Subject struct {
	Name string
	Wasm []byte
}

// Config says what to measure.
type Config struct {
	Policy, Reference Subject
	// Load says how both are loaded; its name, digest and cache directory are not used.
	// Its logger hears what the policy itself logs.
	Load runtime.Config
	// PolicyConfig are the user's keys, sent to both policies.
	PolicyConfig map[string]string
	Events       int // 1 to MaxEvents
	// Progress, if set, is told now and then what is done of what.
	Progress func(what string, done, total int)
}

// A Result is what was found. Times are nanoseconds of wall clock, the reading of the clock
// taken off.
type Result struct {
	Schema     string `json:"schema"`
	Policy     Side   `json:"policy"`
	Reference  Side   `json:"reference"`
	Events     int    `json:"events"` // that were told
	Components int    `json:"components"`
	// ClockNS is what reading the clock takes, which was taken off each time.
	ClockNS float64 `json:"clock_ns"`
	// Kinds are in the order of their numbers; those that did not occur are left out.
	Kinds []Row `json:"kinds"`
	All   Row   `json:"all"` // of these together
	// NeedAll is NEED of all that can be freed, with all components resident; nil after a
	// fault.
	NeedAll  *Row   `json:"need_all"`
	Rejected int64  `json:"rejected"` // of the policy's decisions
	Fault    *Fault `json:"fault"`    // which ended it; nil: none
}

// A Side is one of the two policies.
type Side struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"` // of the module
	Load   Load   `json:"load"`
	Memory Memory `json:"memory"`
}

// Load is how long loading takes: medians of Loads.
type Load struct {
	ColdNS int64 `json:"cold_ns"`
	// CachedNS is with the code that an earlier load has left in a cache; nil where it is
	// not kept, as it is not in a module that is interpreted.
	CachedNS *int64 `json:"cached_ns"`
	Loads    int    `json:"loads"`
}

// Memory is the guest's linear memory.
type Memory struct {
	StartBytes int `json:"start_bytes"` // after loading
	EndBytes   int `json:"end_bytes"`   // after the last event
	Growths    int `json:"growths"`     // events in which it grew
}

// A Row is what events took both policies.
type Row struct {
	Kind      string `json:"kind"`
	Count     int    `json:"count"`
	Policy    Cost   `json:"policy"`
	Reference Cost   `json:"reference"`
}

// A Cost is of one policy's answers to events of one kind.
type Cost struct {
	// MeanNS leaves out the slowest hundredth, in which the machine did something else. It
	// is finer than the median where the clock goes by tens of nanoseconds.
	MeanNS     float64 `json:"mean_ns"`
	MedianNS   int64   `json:"median_ns"`
	P99NS      int64   `json:"p99_ns"`
	MaxNS      int64   `json:"max_ns"`
	FuelMean   float64 `json:"fuel_mean"`
	FuelMedian uint64  `json:"fuel_median"`
	FuelP99    uint64  `json:"fuel_p99"`
	FuelMax    uint64  `json:"fuel_max"`
}

// A Fault is what the policy did wrong.
type Fault struct {
	Event int    `json:"event"` // how many had been told when it was noticed
	Error string `json:"error"`
}

// Run measures. A policy that fails while it is told events is no error: Result.Fault says
// so, and the result ends there. One that cannot be loaded is, and so is a reference
// that fails.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Events < 1 || cfg.Events > MaxEvents {
		return nil, fmt.Errorf("%d events: want 1 to %d", cfg.Events, MaxEvents)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, int, int) {}
	}
	lines, err := host.ConfigLines(cfg.PolicyConfig, host.DefaultChunk, link, link)
	if err != nil {
		return nil, err
	}
	cfg.Load.MaxPayload, cfg.Load.SHA256, cfg.Load.CacheDir = len(lines), "", ""
	policy, err := newContender(ctx, cfg.Policy, cfg.Load)
	if err != nil {
		return nil, err
	}
	defer policy.close()
	quiet := cfg.Load
	quiet.Logger = nil
	reference, err := newContender(ctx, cfg.Reference, quiet)
	if err != nil {
		return nil, err
	}
	defer reference.close()

	w := &watch{policy: policy, reference: reference, events: cfg.Events, progress: cfg.Progress}
	w.calibrate()
	rejected, err := w.tellCalls(ctx, cfg.PolicyConfig)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Schema: Schema, Policy: policy.side, Reference: reference.side,
		Events: w.told, Components: Components, Rejected: rejected, Fault: w.fault,
	}
	r.Kinds, r.All = w.rows()
	if w.fault == nil {
		if r.NeedAll, err = w.needAll(ctx, lines); err != nil {
			return nil, err
		}
		r.Fault = w.fault
	}
	r.ClockNS = w.clockNS()
	if r.Policy.Load, r.Reference.Load, err = loads(ctx, &cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// A contender is one of the two policies, with what its events took.
type contender struct {
	*runtime.Policy
	side  Side
	kinds map[abi.Kind]*samples
}

type samples struct {
	ns   []uint32 // the reading of the clock included
	fuel []uint64
}

func newContender(ctx context.Context, s Subject, cfg runtime.Config) (*contender, error) {
	cfg.Name = s.Name
	p, err := runtime.Load(ctx, s.Wasm, cfg)
	if err != nil {
		return nil, err
	}
	size := p.MemoryBytes()
	return &contender{Policy: p, kinds: map[abi.Kind]*samples{}, side: Side{
		Name: s.Name, SHA256: p.Info().SHA256, Bytes: len(s.Wasm), Memory: Memory{StartBytes: size, EndBytes: size},
	}}, nil
}

// close frees what there is; that it cannot be is of no consequence here.
func (c *contender) close() { _ = c.Policy.Close() }

// decide tells the policy an event and notes what it took.
func (c *contender) decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	s := c.kinds[ev.Kind]
	if s == nil {
		s = &samples{}
		c.kinds[ev.Kind] = s
	}
	fuel, begun := c.FuelUsed(), now()
	answer, err := c.Decide(ev, payload)
	took := now() - begun
	s.ns = append(s.ns, saturated(took))
	s.fuel = append(s.fuel, c.FuelUsed()-fuel)
	if size := c.MemoryBytes(); size > c.side.Memory.EndBytes {
		c.side.Memory.EndBytes = size
		c.side.Memory.Growths++
	}
	return answer, err
}

var epoch = time.Now()

// now is the monotonic clock in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// A watch is the policy that the engine sees. It tells each event to both.
type watch struct {
	policy, reference *contender
	events            int
	told              int
	fault             *Fault
	broken            error // the reference's fault
	clock             []uint32
	progress          func(string, int, int)
}

var _ host.Policy = (*watch)(nil)

// often is how many events are told between two looks at what is not measured.
const often = 4096

// calibrate measures what reading the clock takes.
func (w *watch) calibrate() {
	for range 64 {
		begun := now()
		w.clock = append(w.clock, saturated(now()-begun))
	}
}

func (w *watch) clockNS() float64 {
	slices.Sort(w.clock)
	return trimmedMean(w.clock)
}

func saturated(ns int64) uint32 { return uint32(min(ns, math.MaxUint32)) }

// rank is the index of a percentile among n that are sorted.
func rank(percent, n int) int { return (n*percent+99)/100 - 1 }

// trimmedMean is the mean of all but the largest hundredth of what is sorted.
func trimmedMean(sorted []uint32) float64 {
	some := sorted[:rank(99, len(sorted))+1]
	var sum int64
	for _, n := range some {
		sum += int64(n)
	}
	return float64(sum) / float64(len(some))
}

// Decide tells both policies an event; the answer is the measured one's. Events beyond those
// asked for, which end the last request, count no more.
func (w *watch) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	if w.over() {
		return nil, nil
	}
	if w.told%often == 0 {
		w.calibrate()
		w.progress("telling events", w.told, w.events)
	}
	w.told++
	if w.told%2 == 0 { // who is told first finds less of itself in the caches
		w.tellReference(ev, payload)
		return w.tellPolicy(ev, payload)
	}
	defer w.tellReference(ev, payload)
	return w.tellPolicy(ev, payload)
}

func (w *watch) over() bool { return w.told == w.events || w.fault != nil || w.broken != nil }

func (w *watch) tellPolicy(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	answer, err := w.policy.decide(ev, payload)
	if err != nil {
		w.fault = &Fault{Event: w.told, Error: err.Error()}
	}
	return answer, err
}

func (w *watch) tellReference(ev *abi.Event, payload []byte) {
	if _, err := w.reference.decide(ev, payload); err != nil {
		w.broken = err
	}
}

// Revive starts both anew if the measured one has to be.
func (w *watch) Revive() (fresh bool, err error) {
	fresh, err = w.policy.Revive()
	if fresh {
		w.reference.Suspend()
	}
	if _, refErr := w.reference.Revive(); refErr != nil {
		w.broken = refErr
	}
	return fresh, err
}

// Suspend gives up both instances.
func (w *watch) Suspend() {
	w.policy.Suspend()
	w.reference.Suspend()
}

// tellCalls runs the calls until all events are told, and returns how many decisions of
// the policy's were refused.
func (w *watch) tellCalls(ctx context.Context, user map[string]string) (rejected int64, err error) {
	told, silent := 0, 0
	records := newCalls(func() bool {
		// A policy that is put aside is told nothing any more.
		if silent++; w.told > told {
			told, silent = w.told, 0
		}
		return !w.over() && silent < 10
	})
	r, err := replay.Run(ctx, replay.Config{
		Source: records, Policy: replay.Module{Policy: w}, PolicyConfig: user,
		Budget: budget, Constraints: constraints, H2D: link, D2H: link, Pageable: link,
	})
	switch {
	case err != nil:
		return 0, err
	case w.broken != nil:
		return 0, fmt.Errorf("the policy to compare with: %w", w.broken)
	case w.fault == nil && r.Faults > 0: // which the engine found in an answer
		w.fault = &Fault{Event: w.told, Error: fmt.Sprintf("%d faults: %s", r.Faults, strings.Join(r.Notes, "; "))}
	}
	return r.Rejected, nil
}

// needAll asks fresh instances that know of 64 resident components for the bytes of
// all but one. What goes comes back before the next question, each component by a call of
// its own.
func (w *watch) needAll(ctx context.Context, config []byte) (*Row, error) {
	w.Suspend()
	if _, err := w.Revive(); err != nil {
		return nil, err
	}
	w.policy.kinds, w.reference.kinds = map[abi.Kind]*samples{}, map[abi.Kind]*samples{}
	w.events = math.MaxInt // none of these counts among those asked for
	var resident [Components]uint64
	const size = 8 * uint64(host.DefaultChunk)
	var at, seq uint64
	tell := func(kind abi.Kind, id uint32, amount uint64, payload []byte) []abi.Decision {
		seq, at = seq+1, at+uint64(time.Millisecond)
		ev := abi.Event{Kind: kind, Component: id, Parent: abi.None, Seq: seq, Time: at, Amount: amount, Budget: Components * size}
		if id != abi.None {
			ev.NameHash, ev.Flags = abi.NameHash(fmt.Sprint("component ", id)), abi.FlagReadOnly
			ev.Bytes, ev.Resident, ev.LoadCost = size, resident[id], uint64(link.Time(units.Bytes(size)))
			if ev.Resident == size {
				ev.Flags |= abi.FlagResident
			}
		}
		if kind != abi.Config {
			ev.Request = 1
		}
		answer, _ := w.Decide(&ev, payload) // w remembers the fault
		return answer
	}
	call := func(id uint32, amount uint64) (answer []abi.Decision) {
		tell(abi.Call, id, 0, nil)
		if amount > 0 {
			answer = slices.Clone(tell(abi.Need, id, amount, nil))
			for _, d := range answer {
				if d.Op == abi.Evict && d.Component < Components && d.Component != id && resident[d.Component] > 0 {
					gone := evicted(d.Arg, resident[d.Component])
					resident[d.Component] -= gone
					tell(abi.Evicted, d.Component, gone, nil)
				}
			}
		}
		missing := size - resident[id]
		resident[id] = size
		tell(abi.Loaded, id, missing, nil)
		tell(abi.Done, id, 0, nil)
		return answer
	}
	tell(abi.Config, abi.None, 0, config)
	for id := range uint32(Components) {
		tell(abi.Component, id, 0, fmt.Append(nil, "component ", id))
	}
	tell(abi.Begin, abi.None, 0, nil)
	for id := range uint32(Components) {
		call(id, 0)
	}
	for i := range uint32(needs) {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if w.over() {
			break
		}
		w.progress("asking for all", int(i), needs)
		id := i % Components
		resident[id] = 0
		tell(abi.Evicted, id, size, nil)
		call(id, (Components-1)*size)
		for id := range uint32(Components) {
			if resident[id] < size {
				call(id, 0)
			}
		}
	}
	if w.broken != nil {
		return nil, fmt.Errorf("the policy to compare with: %w", w.broken)
	}
	if w.fault != nil {
		return nil, nil
	}
	row := w.row("NEED all", abi.Need)
	return &row, nil
}

// evicted is how much of what is resident, which are whole chunks, an EVICT of so many bytes
// takes.
func evicted(bytes, resident uint64) uint64 {
	const chunk = uint64(host.DefaultChunk)
	return (min(cmp.Or(bytes, resident), resident) + chunk - 1) / chunk * chunk
}

// rows sums up what events took, kind by kind, and together.
func (w *watch) rows() (kinds []Row, all Row) {
	order := slices.Sorted(maps.Keys(w.policy.kinds))
	kinds = []Row{}
	for _, k := range order {
		kinds = append(kinds, w.row(k.String(), k))
	}
	return kinds, w.row("all", order...)
}

func (w *watch) row(name string, kinds ...abi.Kind) Row {
	row, clock := Row{Kind: name}, w.clockNS()
	row.Policy, row.Count = w.policy.cost(clock, kinds)
	row.Reference, _ = w.reference.cost(clock, kinds)
	return row
}

// cost sums up what events of some kinds took.
func (c *contender) cost(clock float64, kinds []abi.Kind) (cost Cost, count int) {
	var ns []uint32
	var fuel []uint64
	for _, k := range kinds {
		if s := c.kinds[k]; s != nil {
			ns, fuel = append(ns, s.ns...), append(fuel, s.fuel...)
		}
	}
	if len(ns) == 0 {
		return Cost{}, 0
	}
	slices.Sort(ns)
	slices.Sort(fuel)
	n := len(ns)
	less := func(n uint32) int64 { return max(0, int64(math.Round(float64(n)-clock))) }
	cost = Cost{
		MeanNS:   max(0, trimmedMean(ns)-clock),
		MedianNS: less(ns[rank(50, n)]), P99NS: less(ns[rank(99, n)]), MaxNS: less(ns[n-1]),
		FuelMedian: fuel[rank(50, n)], FuelP99: fuel[rank(99, n)], FuelMax: fuel[n-1],
	}
	for _, f := range fuel {
		cost.FuelMean += float64(f) / float64(n)
	}
	return cost, n
}
