// Package report is what a replay says of itself: one value that the command line
// prints as tables or as one JSON object. The fields are an interface that scripts
// read; they are added to, never renamed. The replay fills it in; it computes
// nothing.
package report

// Schema names the JSON form's version.
const Schema = "offhost.report/1"

// A Report is the result of one replay. Bytes are bytes of weights (not rounded to
// chunks) unless a field says otherwise; times are nanoseconds of the device's
// clock.
type Report struct {
	Schema string `json:"schema"`
	Trace  string `json:"trace"`
	Policy Policy `json:"policy"` // that the run began with
	// TookOver are the policies that swaps exchanged it for, in order, the first MostTookOver
	// of them; Swaps counts all.
	TookOver []Policy `json:"took_over,omitempty"`
	Device   string   `json:"device"`
	Scale    string   `json:"scale,omitempty"` // of sizes and times, when they are smaller than the trace's

	BudgetBytes int64 `json:"budget_bytes"`
	// The link is what the policy is told and baselines are simulated with, and on sim
	// what copies get; a real device's own figures are in Measured.
	LinkBytesPerSecond    int64 `json:"link_bytes_per_second"` // host to device
	LinkD2HBytesPerSecond int64 `json:"link_d2h_bytes_per_second"`
	ChunkBytes            int64 `json:"chunk_bytes"`

	Requests int64 `json:"requests"`
	Calls    int64 `json:"calls"`

	H2DBytes        int64 `json:"h2d_bytes"`         // copied to the device
	D2HBytes        int64 `json:"d2h_bytes"`         // copied back
	D2HAvoidedBytes int64 `json:"d2h_avoided_bytes"` // dropped because nothing had changed them
	Loads           int64 `json:"loads"`             // transfers of missing parts, on demand or ahead
	Evictions       int64 `json:"evictions"`
	PrefetchedBytes int64 `json:"prefetched_bytes"` // of H2DBytes: ahead of need

	StallNS           int64 `json:"stall_ns"` // calls waited for weights
	ComputeNS         int64 `json:"compute_ns"`
	MakespanNS        int64 `json:"makespan_ns"`
	PeakResidentBytes int64 `json:"peak_resident_bytes"` // the most that weights (as allocated) and workspace took together

	Inputs         int64 `json:"inputs"` // of the engine, by which swaps are set
	PolicyEvents   int64 `json:"policy_events"`
	Decisions      int64 `json:"decisions"` // entries of the policy's answers that passed validation
	Rejected       int64 `json:"rejected"`  // entries that did not
	Faults         int64 `json:"faults"`    // of the policy: void answers, failed attaches, harm
	FloorDecisions int64 `json:"floor_decisions"`
	Thrash         int64 `json:"thrash"` // components reloaded again and again within one request
	Swaps          int64 `json:"swaps"`  // policies that took over
	SwapsRefused   int64 `json:"swaps_refused"`
	Fuel           int64 `json:"fuel"` // spent by policies; a simple instruction is 1

	// FaultReasons counts faults by reason: fuel, trap, stack, memory, answer, gave-up,
	// lost, harm, other; and device, which is none of the policy's.
	FaultReasons map[string]int64 `json:"fault_reasons"`

	DecisionsSHA256 string `json:"decisions_sha256"`

	// EndedEarly says why the run did not come to its end. Only the report of a journal
	// has it: a run that fails makes none.
	EndedEarly string `json:"ended_early,omitempty"`

	// Host is where the weights were kept, and Measured what the device did; absent on
	// sim, which has none and does nothing.
	Host     *Host     `json:"host,omitempty"`
	Measured *Measured `json:"measured,omitempty"`

	// PerRequest is in the order in which requests began; what belongs to none, such as
	// the first load of excluded components, is in the sums only.
	PerRequest   []Request   `json:"per_request"`
	PerComponent []Component `json:"per_component"`
	Baselines    []Baseline  `json:"baselines"`

	// Notes are sentences for a person: thrash and its cure, the first faults, a
	// baseline that could not be computed.
	Notes []string `json:"notes"`
}

// MostTookOver bounds Report.TookOver.
const MostTookOver = 16

// Policy says who decided.
type Policy struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	ABI    string `json:"abi"`
	// Source is the reference, with its digest, under which a registry had it; absent of
	// policies from elsewhere.
	Source string `json:"source,omitempty"`
}

// Host says where the weights were kept.
type Host struct {
	HeldBytes   int64  `json:"held_bytes"`   // in memory
	FileBytes   int64  `json:"file_bytes"`   // read from files, or made anew, each time that they are loaded
	PinnedBytes int64  `json:"pinned_bytes"` // of those held: locked into memory
	BudgetBytes int64  `json:"budget_bytes"` // 0: none was set
	Weights     string `json:"weights"`      // Synthetic, or the directory that they were read from
}

// Synthetic is Host.Weights of weights that were made from a seed.
const Synthetic = "synthetic"

// Measured says how fast a real device was and what it checked. A bandwidth is bytes
// over the time in which at least one copy of its direction ran; 0 when there was none.
type Measured struct {
	H2DBytesPerSecond int64 `json:"h2d_bytes_per_second"`
	D2HBytesPerSecond int64 `json:"d2h_bytes_per_second"`
	H2DBytes          int64 `json:"h2d_bytes"` // copied, what a run that ended early did not report included
	D2HBytes          int64 `json:"d2h_bytes"`
	FileBytes         int64 `json:"file_bytes"`     // of H2DBytes: not held in host memory
	VerifiedBytes     int64 `json:"verified_bytes"` // read back on the device and found right, after loads and in calls
}

// Request is one request's share.
type Request struct {
	Request    int64 `json:"request"` // 1, 2, ...
	H2DBytes   int64 `json:"h2d_bytes"`
	D2HBytes   int64 `json:"d2h_bytes"`
	StallNS    int64 `json:"stall_ns"`
	MakespanNS int64 `json:"makespan_ns"`
}

// Component is one component's share.
type Component struct {
	Name   string `json:"name"`
	Parent string `json:"parent,omitempty"` // of a block: the component that it is a part of
	Bytes  int64  `json:"bytes"`
	// FileBytes are not held in host memory.
	FileBytes int64 `json:"file_bytes,omitempty"`
	Calls     int64 `json:"calls"`
	Loads     int64 `json:"loads"`
	H2DBytes  int64 `json:"h2d_bytes"`
	D2HBytes  int64 `json:"d2h_bytes"`
	StallNS   int64 `json:"stall_ns"`
}

// Baseline is another rule's result on the same trace. Figures are null when it
// was not run.
type Baseline struct {
	Name              string `json:"name"`
	Fits              bool   `json:"fits"`
	PeakResidentBytes *int64 `json:"peak_resident_bytes"` // as above; of the optimum and accelerate, weights as they are
	H2DBytes          *int64 `json:"h2d_bytes"`
	D2HBytes          *int64 `json:"d2h_bytes"`
	StallNS           *int64 `json:"stall_ns"`
	MakespanNS        *int64 `json:"makespan_ns"`
}
