package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// Defaults of Config.
const (
	// DefaultChunk is the unit of residency. A narrow miss costs up to a chunk a
	// round, more chunks cost more handles.
	DefaultChunk = 32 * units.MiB
	// DefaultGranularity is what CUDA's virtual memory management allocates in on
	// current GPUs.
	DefaultGranularity = 2 * units.MiB
	// MaxChunks bounds the chunks of all components together: 128 TiB of weights
	// at the default chunk size, 4 MiB of state.
	MaxChunks = 1 << 22
)

// Limits on what one input may cause.
const (
	// maxAnswers is how many non-empty answers the engine acts upon for one input;
	// later ones are not read, so that a policy which answers news with decisions
	// that make news comes to an end.
	maxAnswers = 64
	// inFlight is how many chunk copies are in flight per direction: one runs, one
	// waits, so that the link never idles between completions and a demand load
	// overtakes at the next chunk.
	inFlight = 2
)

// Config is the engine's configuration. It is plain data; New checks it.
type Config struct {
	// Budget is the device memory that weights and workspace may take together.
	Budget units.Bytes
	// Chunk is the unit of residency, a multiple of Granularity; 0 stands for
	// DefaultChunk, cut to nothing smaller than Granularity.
	Chunk units.Bytes
	// Granularity is the device's unit of allocation; 0 stands for
	// DefaultGranularity.
	Granularity units.Bytes
	// H2D, D2H and Latency (per chunk) are what the policy is told of the link.
	// They decide nothing else: times come from the device.
	H2D, D2H units.BytesPerSecond
	Latency  time.Duration
	// File is how fast weights come that host memory does not hold; 0 when it holds
	// all. It too is only told to the policy.
	File units.BytesPerSecond
	// Constraints are kept under every policy.
	Constraints
	// Policy decides; nil leaves everything to the floor.
	Policy Policy
	// PolicyConfig is sent to the policy as CONFIG's payload: sorted lines
	// key=value, built by ConfigLines.
	PolicyConfig []byte
	// Blob is saved state that the policy is to restore when it is first attached.
	Blob []byte
	// HarmBound makes the floor finish a request that has moved more than twice what
	// the floor would have, plus one budget.
	HarmBound bool
	// Timeout is how long a device action may take before the calls that wait for
	// it are refused; 0 means for ever.
	Timeout time.Duration
}

// WithDefaults returns the configuration with its zero values filled in, and an
// error for values that make no sense.
func (c Config) WithDefaults() (Config, error) {
	if c.Granularity == 0 {
		c.Granularity = DefaultGranularity
	}
	if c.Chunk == 0 {
		c.Chunk = max(DefaultChunk/max(c.Granularity, 1), 1) * c.Granularity
	}
	switch {
	case c.Budget <= 0 || c.Budget > units.MaxBytes:
		return c, fmt.Errorf("budget %d: want 1 to %d bytes", c.Budget, units.MaxBytes)
	case c.Granularity < 1 || c.Granularity > units.MaxBytes/2:
		return c, fmt.Errorf("granularity %d: want at least 1 byte", c.Granularity)
	case c.Chunk < c.Granularity || c.Chunk%c.Granularity != 0 || c.Chunk > units.MaxBytes/2:
		return c, fmt.Errorf("chunk %v: want a multiple of the granularity %v", c.Chunk, c.Granularity)
	case c.H2D < 0 || c.D2H < 0 || c.File < 0 || c.Latency < 0 || c.Timeout < 0:
		return c, errors.New("bandwidths, latency and timeout must not be negative")
	}
	return c, nil
}

// Counters count what the engine did.
type Counters struct {
	PolicyEvents   int64       // events delivered to the policy
	Decisions      int64       // entries of its answers that passed validation
	Rejected       int64       // entries that did not
	Faults         int64       // answers that were void
	FloorDecisions int64       // times that the floor had to free memory
	Thrash         int64       // components loaded again and again within one request
	Swaps          int64       // policies that took over
	SwapsRefused   int64       // policies that were to and did not
	Peak           units.Bytes // the most that weights and workspace took together
}

// Engine is the state machine. It is not safe for concurrent use.
type Engine struct {
	cfg    Config
	geo    geometry
	now    time.Duration
	budget units.Bytes

	components []*component
	byName     map[string]ID
	chunks     int64
	total      units.Bytes // allocated, of all components

	foreign   units.Bytes // used by others
	weights   units.Bytes // device memory of all chunks that are not absent
	leaving   units.Bytes // the part of weights on its way out
	workspace units.Bytes // of granted calls
	promised  units.Bytes // demand loads still to be issued, workspace of admitted calls
	queued    units.Bytes // prefetches still to be issued

	requests []*request
	calls    []*call // open calls in the order of arrival
	spare    []*call // ended, to be used again
	waiting  int     // of the open calls, not admitted
	lastCall CallID
	callSeq  uint64

	demand, ahead []*load    // queued transfers: for calls, for prefetches
	backlog       []copyBack // dirty chunks to be copied back
	copiesIn      int
	copiesBack    int
	ops           opTable
	lost          bool        // the device is
	epoch         uint32      // how often it was
	aheadSince    units.Bytes // prefetches that were accepted since a client's last input
	shadow        shadow
	busy          bool // copies were queued since the last IDLE
	pressed       bool // PRESSURE was told since the books were last even

	chosen   attachment
	previous *attachment // the one before, in reserve; nil when there is none
	trial    *trial      // a policy that may take over
	swaps    uint32
	seq      uint64
	events   []queuedEvent
	told     abi.Event // being delivered; here, since a pointer to it leaves the engine
	answers  int       // non-empty answers acted upon for this input
	reserved *call     // room is being made for it
	verdicts []verdict
	decided  hash.Hash
	counters Counters

	out Output
}

// Output is what one step produced. It is valid until the next step.
type Output struct {
	Actions []Action
	Records []Record
}

// New returns an engine without components. The policy is attached by the first
// input that follows the registrations; a policy that fails then is a fault like
// any other.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.WithDefaults()
	if err != nil {
		return nil, err
	}
	return &Engine{
		cfg:     cfg,
		geo:     geometry{chunk: cfg.Chunk, granularity: cfg.Granularity},
		budget:  cfg.Budget,
		byName:  map[string]ID{},
		decided: sha256.New(),
		chosen:  attachment{policy: cfg.Policy, number: 1, pause: firstPause, blob: cfg.Blob},
	}, nil
}

// Step takes one input and returns what follows from it. An error means that the
// input made no sense in this state; the state is unchanged then.
func (e *Engine) Step(in Input) (*Output, error) {
	e.out.Actions, e.out.Records = e.out.Actions[:0], e.out.Records[:0]
	if in.Time < e.now {
		return nil, fmt.Errorf("%v at %v: time went back from %v", in.Kind, in.Time, e.now)
	}
	then := e.now
	e.now = in.Time
	e.answers = 0
	if err := e.apply(&in); err != nil {
		e.now = then
		return nil, fmt.Errorf("%v: %w", in.Kind, err)
	}
	if in.Kind <= InEnd {
		e.aheadSince = 0
	}
	e.settle()
	e.concludeTrial()
	return &e.out, nil
}

func (e *Engine) apply(in *Input) error {
	switch in.Kind {
	case InRegister:
		return e.register(in.Spec)
	case InEnqueued:
		e.attach()
		ev := plainEvent(abi.Enqueued)
		ev.Request, ev.Session, ev.NameHash = in.Request, in.Session, in.Signature
		e.say(ev, nil)
		return nil
	case InBegin:
		return e.begin(in)
	case InCall:
		return e.call(in)
	case InDone:
		return e.done(in.Call)
	case InEnd:
		return e.end(in.Request)
	case InBudget:
		if in.Bytes <= 0 || in.Bytes > units.MaxBytes {
			return fmt.Errorf("%d bytes: want 1 to %d", in.Bytes, units.MaxBytes)
		}
		e.budget = in.Bytes
		return nil
	case InForeign:
		if in.Bytes < 0 || in.Bytes > units.MaxBytes {
			return fmt.Errorf("%d bytes: want 0 to %d", in.Bytes, units.MaxBytes)
		}
		e.foreign = in.Bytes
		return nil
	case InSwap:
		return e.swap(in)
	case InCompleted:
		return e.completed(in.Op, in.Status)
	case InLost:
		return e.lose()
	case InRestored:
		return e.regain()
	case InTick:
		e.expire()
		return nil
	}
	return fmt.Errorf("unknown input kind %d", in.Kind)
}

// settle brings the engine to rest: news is delivered, calls are admitted, copies
// are issued and calls granted until nothing more follows.
func (e *Engine) settle() {
	for {
		e.flush()
		e.boundHarm()
		e.rebalance()
		e.admit()
		e.untangle()
		e.pump()
		e.grant()
		e.rest()
		if len(e.events) == 0 {
			return
		}
	}
}

func (e *Engine) register(s Spec) error {
	switch {
	case len(e.components) == abi.MaxComponents:
		return fmt.Errorf("component %q: %d are registered, more cannot be", s.Name, abi.MaxComponents)
	case len(s.Name) == 0 || len(s.Name) > abi.MaxName:
		return fmt.Errorf("component name of %d bytes: want 1 to %d", len(s.Name), abi.MaxName)
	case s.Bytes < 0 || s.Bytes > units.MaxBytes/2 || e.total+e.geo.alloc(s.Bytes) > units.MaxBytes:
		return fmt.Errorf("component %q: %d bytes: want 0 to %d, and %d for all components together, each rounded up to the granularity",
			s.Name, s.Bytes, units.MaxBytes/2, units.MaxBytes)
	}
	if s.FileBytes < 0 || s.FileBytes > s.Bytes {
		return fmt.Errorf("component %q: %d bytes stay in its file: want 0 to its %d", s.Name, s.FileBytes, s.Bytes)
	}
	if _, ok := e.byName[s.Name]; ok {
		return fmt.Errorf("component %q: registered twice", s.Name)
	}
	parent := ""
	if s.Parent != NoComponent {
		if int(s.Parent) >= len(e.components) {
			return fmt.Errorf("component %q: parent %d is not registered", s.Name, s.Parent)
		}
		p := e.components[s.Parent]
		if p.Parent != NoComponent {
			return fmt.Errorf("component %q: parent %q has a parent itself: one level is allowed", s.Name, p.Name)
		}
		parent = p.Name
	}
	c := &component{
		Spec: s, id: ID(len(e.components)), nameHash: abi.NameHash(s.Name),
		alloc:  e.geo.alloc(s.Bytes),
		pinned: covers(e.cfg.Exclude, s.Name, parent),
		keep:   covers(e.cfg.Keep, s.Name, parent),
	}
	n := e.geo.chunks(c.alloc)
	if e.chunks+n > MaxChunks {
		return fmt.Errorf("component %q: %d chunks in all, at most %d: raise the chunk size of %v", s.Name, e.chunks+n, MaxChunks, e.geo.chunk)
	}
	c.chunks = make([]chunkState, n)
	e.chunks += n
	e.total += c.alloc
	e.components = append(e.components, c)
	e.byName[s.Name] = c.id
	if e.active() != nil || e.trial != nil {
		e.sayComponent(c)
	}
	if c.pinned && c.alloc > 0 {
		e.startLoad(c, 0, Cause{By: ByHost, Event: e.seq, For: c.id})
	}
	return nil
}

// avail is how much of the budget is neither used nor promised once what is on its
// way out has left; negative when the books are overdrawn.
func (e *Engine) avail() units.Bytes {
	return e.budget - e.foreign - (e.weights - e.leaving) - e.workspace - e.promised - e.queued
}

// used is the device memory in use right now.
func (e *Engine) used() units.Bytes { return e.foreign + e.weights + e.workspace }

// Foreign is how much of the budget others use, as far as the engine knows, and what the
// budget leaves beside that and what the engine itself uses now; negative when the books
// are overdrawn.
func (e *Engine) Foreign() (foreign, left units.Bytes) { return e.foreign, e.budget - e.used() }

// Deadline returns when the engine next wants an InTick; false when it needs none.
func (e *Engine) Deadline() (time.Duration, bool) {
	if e.cfg.Timeout == 0 {
		return 0, false
	}
	o := e.ops.oldest()
	if o == nil {
		return 0, false
	}
	return o.since + e.cfg.Timeout, true
}

// Counters returns what was counted so far.
func (e *Engine) Counters() Counters { return e.counters }

// DecisionsSHA256 is the hash over the policy's decisions that passed validation,
// in order: event number (u64), operation (u16), hash of the component's name
// (u64) and argument (u64), little-endian.
func (e *Engine) DecisionsSHA256() [sha256.Size]byte {
	return [sha256.Size]byte(e.decided.Sum(nil))
}

// Name returns a component's name, "" for an ID that is not registered.
func (e *Engine) Name(id ID) string {
	if int(id) < len(e.components) {
		return e.components[id].Name
	}
	return ""
}

// Allocated returns the device memory that a component takes when all of it is
// resident.
func (e *Engine) Allocated(id ID) units.Bytes { return e.components[id].alloc }

// Excluded reports whether a component is always on the device.
func (e *Engine) Excluded(id ID) bool { return e.components[id].pinned }

// Chosen returns the number of the policy that is to decide, and for how many more
// events another one is on trial to take over, 0 if none is.
func (e *Engine) Chosen() (number uint32, trial int) {
	if e.trial != nil {
		trial = max(e.trial.left, 1)
	}
	return e.chosen.number, trial
}

// Chunk returns the unit of residency.
func (e *Engine) Chunk() units.Bytes { return e.geo.chunk }

func (e *Engine) record(r Record) {
	r.Time = e.now
	e.out.Records = append(e.out.Records, r)
}
