// Package journal writes and reads journals: every input of an engine in order, with
// its time and the actions that followed, under a header that says what the engine
// and its policy were made from. FORMAT.md beside this file is the format's
// description.
//
// Fed back, a journal must give every action again, without a device and without a
// clock: Replay does that. Its calls alone are the records of a trace: Requests gives
// them to be run anew. Package replay writes journals of what it runs and feeds them
// back, and the command line calls it; whoever drives an engine may do the same.
//
// The package loads no policy and opens no file. A journal carries the identity of
// policies, not their modules. It trusts no input: what it reads is as bounded as
// what an engine takes, and a checksum at the end covers every byte before it.
package journal

import (
	"bytes"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// Schema is the version that the first line of a journal names.
const Schema = "offhost.journal/1"

// Limits that every journal keeps, so that reading an untrusted one, and feeding an
// engine with it, takes memory in proportion to the journal at most.
const (
	MaxLine      = 8 << 20                // bytes of a line, its end not counted
	MaxRequests  = trace.MaxOpen          // requests open at the same time
	MaxCalls     = 1024                   // calls open at the same time
	MaxTime      = time.Duration(1 << 62) // of an input: 146 years
	MaxTrial     = 1<<31 - 1              // events of a swap's trial
	MaxText      = 4096                   // bytes of a free text
	MaxNotes     = 16                     // of a run
	MaxPatterns  = 1024                   // of exclude and of keep
	maxBaselines = 16
	maxOnLine    = 4096                         // actions on one line; more follow on the next
	maxActions   = host.MaxChunks + 4*maxOnLine // that one input may cause
)

// A Header says what a journal is of: all that a replay needs and no input says.
type Header struct {
	Offhost string `json:"offhost,omitzero"` // version of the program that wrote it
	Trace   string `json:"trace,omitzero"`   // name, for reports
	Device  string `json:"device,omitzero"`  // what carried the actions out
	Scale   string `json:"scale,omitzero"`   // of sizes and times; empty: the trace's own

	Engine Engine   `json:"engine"`
	Policy Identity `json:"policy,omitzero"` // the first; zero when the floor decided alone
	Limits Limits   `json:"limits,omitzero"` // under which policies were loaded

	// Pipelines are those that requests name by their signatures, as in a trace's
	// header.
	Pipelines []Pipeline `json:"pipelines,omitempty"`

	Pageable  units.BytesPerSecond `json:"pageable_bytes_per_second,omitzero"` // what baselines copy with
	Baselines []string             `json:"baselines,omitempty"`                // that the report showed
	Host      *report.Host         `json:"host,omitzero"`                      // where weights were kept
}

// An Engine is an engine's configuration without its policy; see host.Config.
type Engine struct {
	Budget       units.Bytes          `json:"budget_bytes"`
	Chunk        units.Bytes          `json:"chunk_bytes"`
	Granularity  units.Bytes          `json:"granularity_bytes"`
	H2D          units.BytesPerSecond `json:"h2d_bytes_per_second,omitzero"`
	D2H          units.BytesPerSecond `json:"d2h_bytes_per_second,omitzero"`
	Latency      int64                `json:"latency_ns,omitzero"`
	File         units.BytesPerSecond `json:"file_bytes_per_second,omitzero"`
	Exclude      []string             `json:"exclude,omitempty"`
	Keep         []string             `json:"keep,omitempty"`
	HarmBound    bool                 `json:"harm_bound,omitzero"`
	Timeout      int64                `json:"timeout_ns,omitzero"`
	PolicyConfig string               `json:"policy_config,omitzero"`
	Blob         []byte               `json:"blob,omitzero"`
}

// EngineOf takes down an engine's configuration. Its policy is left out.
func EngineOf(c host.Config) (Engine, error) {
	c, err := c.WithDefaults()
	if err != nil {
		return Engine{}, err
	}
	return Engine{
		Budget: c.Budget, Chunk: c.Chunk, Granularity: c.Granularity,
		H2D: c.H2D, D2H: c.D2H, Latency: int64(c.Latency), File: c.File,
		Exclude: c.Exclude, Keep: c.Keep, HarmBound: c.HarmBound, Timeout: int64(c.Timeout),
		PolicyConfig: string(c.PolicyConfig), Blob: c.Blob,
	}, nil
}

// Config is the configuration that EngineOf took down.
func (e *Engine) Config() host.Config {
	return host.Config{
		Budget: e.Budget, Chunk: e.Chunk, Granularity: e.Granularity,
		H2D: e.H2D, D2H: e.D2H, Latency: time.Duration(e.Latency), File: e.File,
		Constraints: host.Constraints{Exclude: e.Exclude, Keep: e.Keep},
		HarmBound:   e.HarmBound, Timeout: time.Duration(e.Timeout),
		PolicyConfig: []byte(e.PolicyConfig), Blob: e.Blob,
	}
}

// An Identity names a policy module without carrying it. The zero value is no policy.
type Identity struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256,omitzero"` // of the module, in hexadecimal
	ABI    string `json:"abi,omitzero"`
}

// Limits are what a policy may have used: with others it may decide otherwise. They
// are to be the values in force, not the zeros that stand for defaults, which change.
type Limits struct {
	Fuel        uint64 `json:"fuel,omitzero"`       // the most that one event may spend
	Refill      uint64 `json:"refill,omitzero"`     // what each event adds
	StartFuel   uint64 `json:"start_fuel,omitzero"` // what starting may spend
	StackBytes  uint32 `json:"stack_bytes,omitzero"`
	MemoryPages uint32 `json:"memory_pages,omitzero"`
	MaxPayload  uint32 `json:"max_payload,omitzero"` // for which the window was made
	LogBytes    uint32 `json:"log_bytes,omitzero"`
	Seed        uint64 `json:"seed,omitzero"` // of its random bytes
	Interpreter bool   `json:"interpreter,omitzero"`
}

// A Pipeline is a trace.Pipeline.
type Pipeline struct {
	Name       string `json:"name"`
	Components []int  `json:"components"`
	OffloadSeq []int  `json:"offload_seq,omitempty"`
}

// PipelinesOf takes down a trace's pipelines.
func PipelinesOf(h *trace.Header) []Pipeline {
	var list []Pipeline
	for _, p := range h.Pipelines {
		list = append(list, Pipeline(p))
	}
	return list
}

// An End says what a whole journal comes to.
type End struct {
	// Inputs is the number of inputs, swaps not counted. Close fills it in.
	Inputs int64 `json:"inputs"`
	// DecisionsSHA256 is host.Engine's, in hexadecimal; it may be empty when the run
	// ended early.
	DecisionsSHA256 string `json:"decisions_sha256,omitzero"`
	// Measured is what the device did, if it was a real one.
	Measured *report.Measured `json:"measured,omitzero"`
	// SwapsRefused counts swaps that never became an input: their module could not be
	// loaded.
	SwapsRefused int64 `json:"swaps_refused,omitzero"`
	// Notes are what the report noted and no input tells.
	Notes []string `json:"notes,omitempty"`
	// Error is what ended the run early; empty when it ran to its end.
	Error string `json:"error,omitzero"`
}

// An Entry is one input and what followed.
type Entry struct {
	// Number is the input's among all but swaps, from 1, as swaps are set by. A swap
	// has the number of the input that it comes before.
	Number  int64
	Line    int64 // where it stands, from 1
	Input   host.Input
	Swap    Identity // of InSwap's policy, which Input does not have
	Actions []Action
}

// An Action is a host.Action as far as it can be written down.
type Action struct {
	Kind      host.ActionKind
	Op        host.OpID
	Component host.ID
	Chunk     int
	Alloc     units.Bytes
	Weights   units.Bytes
	File      units.Bytes
	Demand    bool
	Call      host.CallID
	Request   uint32
	Error     string // of a refusal
	Cause     host.Cause
}

// actionOf takes down an action.
func actionOf(a *host.Action) Action {
	b := Action{Kind: a.Kind, Op: a.Op, Component: a.Component, Chunk: a.Chunk, Alloc: a.Alloc, Weights: a.Weights,
		File: a.File, Demand: a.Demand, Call: a.Call, Request: a.Request, Cause: a.Cause}
	if a.Err != nil {
		b.Error = a.Err.Error()
	}
	return b
}

var firstBytes = []byte(`{"kind":"journal",`)

// Sniff reports whether a file that begins like this means to be a journal. It wants
// to see at least 32 bytes of it.
func Sniff(first []byte) bool { return bytes.HasPrefix(first, firstBytes) }

// signature is how inputs name a pipeline.
func signature(pipeline string) uint64 { return abi.NameHash(pipeline) }
