package journal

import (
	"encoding/hex"
	"path"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// A checker checks a header, then entry after entry against those before. Reader and
// Writer share it, so that what is written can be read.
type checker struct {
	number     int64 // inputs, swaps not counted
	now        time.Duration
	components int
	total      units.Bytes
	requests   map[uint32]int // open: their open calls
	calls      map[host.CallID]openCall
	last       host.CallID
}

type openCall struct {
	request uint32
	granted bool
}

func newChecker() *checker {
	return &checker{requests: map[uint32]int{}, calls: map[host.CallID]openCall{}}
}

// checkName says whether s may name something: 1 to abi.MaxName bytes of printable
// text, so that it can be shown as it is.
func checkName(field, s string) *Error {
	if len(s) == 0 || len(s) > abi.MaxName {
		return bad(field, "has %d bytes: want a name of 1 to %d", len(s), abi.MaxName)
	}
	return checkText(field, s)
}

// checkText says whether s may be shown as it is; it may be empty.
func checkText(field, s string) *Error {
	if err := checkBytes(field, len(s), MaxText); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return bad(field, "is not UTF-8: %s", clip(s))
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return bad(field, "has the character %U, which does not print: %s", r, clip(s))
		}
	}
	return nil
}

// checkRange says whether n lies from low to high.
func checkRange[T ~int | ~int64](field string, n, low, high T) *Error {
	if n < low || n > high {
		return bad(field, "is %d: want %d to %d", n, low, high)
	}
	return nil
}

// checkBytes says whether something of n bytes is short enough.
func checkBytes(field string, n, most int) *Error {
	if n > most {
		return bad(field, "has %d bytes: want at most %d", n, most)
	}
	return nil
}

func checkCount(field string, n, most int) *Error {
	if n > most {
		return bad(field, "has %d entries: want at most %d", n, most)
	}
	return nil
}

func checkIdentity(field string, p *Identity) *Error {
	if *p == (Identity{}) {
		return nil
	}
	if p.SHA256 != "" {
		if err := checkDigest(field+".sha256", p.SHA256); err != nil {
			return err
		}
	}
	return firstError(checkName(field+".name", p.Name), checkText(field+".abi", p.ABI))
}

func checkDigest(field, s string) *Error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
		return bad(field, "is %s: want a SHA-256 of 64 hexadecimal digits", clip(s))
	}
	return nil
}

func (*checker) header(h *Header) *Error {
	const most = units.MaxBytes
	e := &h.Engine
	if err := firstError(
		checkText("offhost", h.Offhost), checkText("trace", h.Trace), checkText("device", h.Device), checkText("scale", h.Scale),
		checkRange("engine.budget_bytes", e.Budget, 1, most),
		checkRange("engine.granularity_bytes", e.Granularity, 1, most/2),
		checkRange("engine.chunk_bytes", e.Chunk, e.Granularity, most/2),
		checkRange("engine.h2d_bytes_per_second", units.Bytes(e.H2D), 0, most),
		checkRange("engine.d2h_bytes_per_second", units.Bytes(e.D2H), 0, most),
		checkRange("engine.file_bytes_per_second", units.Bytes(e.File), 0, most),
		checkRange("engine.latency_ns", e.Latency, 0, int64(MaxTime)),
		checkRange("engine.timeout_ns", e.Timeout, 0, int64(MaxTime)),
		checkRange("pageable_bytes_per_second", units.Bytes(h.Pageable), 0, most),
		checkCount("baselines", len(h.Baselines), maxBaselines),
		checkCount("pipelines", len(h.Pipelines), trace.MaxPipelines),
		checkIdentity("policy", &h.Policy),
	); err != nil {
		return err
	}
	if _, err := e.Config().WithDefaults(); err != nil {
		return bad("engine", "%w", err)
	}
	for _, list := range []struct {
		field    string
		patterns []string
	}{{"engine.exclude", e.Exclude}, {"engine.keep", e.Keep}} {
		if err := checkCount(list.field, len(list.patterns), MaxPatterns); err != nil {
			return err
		}
		for _, p := range list.patterns {
			if err := checkBytes(list.field, len(p), MaxText); err != nil {
				return err
			}
			if _, err := path.Match(p, ""); err != nil {
				return bad(list.field, "%s is not a pattern: %w", clip(p), err)
			}
		}
	}
	if err := firstError(checkBytes("engine.policy_config", len(e.PolicyConfig), abi.MaxPayload),
		checkBytes("engine.blob", len(e.Blob), abi.MaxPayload)); err != nil {
		return err
	}
	for _, b := range h.Baselines {
		if err := checkName("baselines", b); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for _, p := range h.Pipelines {
		if err := checkName("pipelines.name", p.Name); err != nil {
			return err
		}
		if names[p.Name] {
			return bad("pipelines.name", "%s is given twice: want it once", clip(p.Name))
		}
		names[p.Name] = true
		for _, list := range [][]int{p.Components, p.OffloadSeq} {
			if err := checkCount("pipelines.components", len(list), abi.MaxComponents); err != nil {
				return err
			}
			for _, c := range list {
				if err := checkRange("pipelines.components", c, 0, abi.MaxComponents-1); err != nil {
					return err
				}
			}
		}
	}
	if p := h.Host; p != nil {
		return firstError(
			checkRange("host.held_bytes", p.HeldBytes, 0, int64(most)), checkRange("host.file_bytes", p.FileBytes, 0, int64(most)),
			checkRange("host.pinned_bytes", p.PinnedBytes, 0, int64(most)), checkRange("host.budget_bytes", p.BudgetBytes, 0, int64(most)),
			checkText("host.weights", p.Weights))
	}
	return nil
}

// entry checks an entry and takes it over. It numbers it.
func (c *checker) entry(x *Entry) *Error {
	in := &x.Input
	if err := checkRange("time_ns", in.Time, c.now, MaxTime); err != nil {
		return err
	}
	if err := c.input(in, &x.Swap); err != nil {
		return err
	}
	c.now = in.Time
	x.Number = c.number + 1
	if in.Kind != host.InSwap {
		c.number++
	}
	for i := range x.Actions {
		if err := c.action(&x.Actions[i]); err != nil {
			err.Field = "actions." + err.Field
			return err
		}
	}
	return nil
}

func (c *checker) input(in *host.Input, swap *Identity) *Error {
	switch in.Kind {
	case host.InRegister:
		return c.register(&in.Spec)
	case host.InEnqueued:
		return checkRange("request", int64(in.Request), 1, trace.MaxRequest)
	case host.InBegin:
		return c.begin(in)
	case host.InCall:
		return c.call(in)
	case host.InDone:
		k, open := c.calls[in.Call]
		if !open || !k.granted {
			return bad("call", "%d was not granted, or is over: want one that runs", in.Call)
		}
		c.over(in.Call)
	case host.InEnd:
		calls, open := c.requests[in.Request]
		if !open || calls > 0 {
			return bad("request", "%d is not open, or has %d open calls: want an open one without", in.Request, calls)
		}
		delete(c.requests, in.Request)
	case host.InBudget:
		return checkRange("bytes", in.Bytes, 1, units.MaxBytes)
	case host.InForeign:
		return checkRange("bytes", in.Bytes, 0, units.MaxBytes)
	case host.InSwap:
		if *swap == (Identity{}) {
			return bad("policy", "is missing: want the one that is to decide")
		}
		return firstError(checkBytes("blob", len(in.Blob), abi.MaxPayload), checkRange("trial", in.Trial, 0, MaxTrial), checkIdentity("policy", swap))
	}
	return nil
}

func (c *checker) register(s *host.Spec) *Error {
	if c.components == abi.MaxComponents {
		return bad("", "more than %d components", abi.MaxComponents)
	}
	if err := firstError(
		checkName("name", s.Name),
		checkRange("bytes", s.Bytes, 0, min(units.MaxBytes/2, units.MaxBytes-c.total)),
		checkRange("file_bytes", s.FileBytes, 0, s.Bytes),
		checkRange("index", int64(s.Index), 0, abi.MaxComponents-1),
	); err != nil {
		return err
	}
	if s.Parent != host.NoComponent && int64(s.Parent) >= int64(c.components) {
		return bad("parent", "is %d: want an earlier component", s.Parent)
	}
	c.components++
	c.total += s.Bytes
	return nil
}

func (c *checker) begin(in *host.Input) *Error {
	if err := firstError(checkRange("request", int64(in.Request), 1, trace.MaxRequest),
		checkCount("order", len(in.Order), abi.MaxComponents)); err != nil {
		return err
	}
	if _, open := c.requests[in.Request]; open {
		return bad("request", "%d is open: want another number", in.Request)
	}
	if len(c.requests) == MaxRequests {
		return bad("", "more than %d requests are open", MaxRequests)
	}
	for _, id := range in.Order {
		if err := c.component("order", id); err != nil {
			return err
		}
	}
	c.requests[in.Request] = 0
	return nil
}

func (c *checker) call(in *host.Input) *Error {
	if err := firstError(c.component("component", in.Component),
		checkRange("workspace_bytes", in.Workspace, 0, units.MaxBytes)); err != nil {
		return err
	}
	if in.Call <= c.last {
		return bad("call", "is %d, the last one was %d: want a larger number", in.Call, c.last)
	}
	if len(c.calls) == MaxCalls {
		return bad("", "more than %d calls are open", MaxCalls)
	}
	if in.Request != 0 {
		if _, open := c.requests[in.Request]; !open {
			return bad("request", "%d is not open: want one that is, or none", in.Request)
		}
		c.requests[in.Request]++
	}
	c.last = in.Call
	c.calls[in.Call] = openCall{request: in.Request}
	return nil
}

// over closes a call.
func (c *checker) over(id host.CallID) {
	if r := c.calls[id].request; r != 0 {
		c.requests[r]--
	}
	delete(c.calls, id)
}

func (c *checker) component(field string, id host.ID) *Error {
	if int64(id) >= int64(c.components) {
		return bad(field, "is %d: want one of the %d that are registered", id, c.components)
	}
	return nil
}

func (c *checker) orNone(field string, id host.ID) *Error {
	if id == host.NoComponent {
		return nil
	}
	return c.component(field, id)
}

// action checks an action, as far as what the entries are good for depends on it.
func (c *checker) action(a *Action) *Error {
	if err := firstError(
		c.orNone("component", a.Component), c.orNone("for", a.Cause.For),
		checkRange("chunk", a.Chunk, 0, host.MaxChunks-1), checkRange("alloc", a.Alloc, 0, units.MaxBytes),
		checkRange("weights", a.Weights, 0, units.MaxBytes), checkRange("file", a.File, 0, units.MaxBytes),
		checkBytes("error", len(a.Error), MaxText),
	); err != nil {
		return err
	}
	if a.Kind != host.ActGrant && a.Kind != host.ActRefuse {
		return nil
	}
	k, open := c.calls[a.Call]
	if !open || k.granted {
		return bad("call", "%d does not wait: want one that does", a.Call)
	}
	if a.Kind == host.ActRefuse {
		c.over(a.Call)
		return nil
	}
	k.granted = true
	c.calls[a.Call] = k
	return nil
}

func (c *checker) end(e *End) *Error {
	if e.Inputs != c.number {
		return bad("inputs", "is %d, and %d came before: want that", e.Inputs, c.number)
	}
	if e.DecisionsSHA256 != "" || e.Error == "" {
		if err := checkDigest("decisions_sha256", e.DecisionsSHA256); err != nil {
			return err
		}
	}
	if err := firstError(
		checkRange("swaps_refused", e.SwapsRefused, 0, 1<<53),
		checkCount("notes", len(e.Notes), MaxNotes),
		checkBytes("error", len(e.Error), MaxText),
	); err != nil {
		return err
	}
	for _, n := range e.Notes {
		if err := checkBytes("notes", len(n), MaxText); err != nil {
			return err
		}
	}
	if m := e.Measured; m != nil {
		for _, n := range []int64{m.H2DBytesPerSecond, m.D2HBytesPerSecond, m.H2DBytes, m.D2HBytes, m.FileBytes, m.VerifiedBytes} {
			if n < 0 {
				return bad("measured", "has the figure %d: want none below 0", n)
			}
		}
	}
	return nil
}
