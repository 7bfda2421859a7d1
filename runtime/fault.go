package runtime

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime/meter"
)

// Reasons why a module is not loaded. Every error of Load wraps one of them, and
// those of package meter where the module itself is at fault. ErrCache is about the
// directory that is configured, not about the module.
var (
	ErrDigest = errors.New("digest differs")
	ErrModule = errors.New("unusable module")
	ErrABI    = errors.New("wrong exports")
	ErrImport = errors.New("forbidden import")
	ErrStart  = errors.New("start failed")
	ErrWindow = errors.New("no window")
	ErrCache  = errors.New("cache for compiled code")
)

// Reasons why a policy did not answer an event. Every error of Decide about the
// policy is a *Fault that wraps one of them.
var (
	// ErrTrap: the module trapped. Its instance is lost.
	ErrTrap = errors.New("trap")
	// ErrFuel: it spent the fuel of an event. Its instance is lost.
	ErrFuel = errors.New("out of fuel")
	// ErrStack: its calls went too deep. Its instance is lost.
	ErrStack = errors.New("stack overflow")
	// ErrMemory: it accessed memory out of bounds, or the window is no longer inside
	// its memory. Its instance is lost.
	ErrMemory = errors.New("memory fault")
	// ErrAnswer: the answer cannot be read. The instance is kept.
	ErrAnswer = abi.ErrAnswer
	// ErrGaveUp: it returned a negative number. The instance is kept.
	ErrGaveUp = errors.New("gave up")
	// ErrLost: the instance was lost or given back earlier and Revive was not called.
	ErrLost = errors.New("instance is lost")
)

// A Fault is an event that a policy did not answer as it should, or a blob that it
// did not save or take.
type Fault struct {
	Policy string   // its name
	SHA256 string   // the module's digest, in hexadecimal
	Seq    uint64   // the event's number; of Save and Restore, the last event's
	Kind   abi.Kind // what was told or asked; 0 of Save and Restore
	Export string   // abi.ExportSave or abi.ExportRestore; empty for an event
	Func   string   // function in which it happened, as the module names it; empty if unknown
	// Said is what it logged during the event: the first lines and the last ones, at most 17
	// of at most 256 bytes each, escaped.
	Said []string
	// Hint is what else may have to do with it, in words; empty if nothing is known.
	Hint string
	Err  error
}

// Unwrap returns the reason.
func (f *Fault) Unwrap() error { return f.Err }

func (f *Fault) Error() string {
	return fmt.Sprintf("policy %s (sha256 %s), %s", strconv.QuoteToGraphic(f.Policy), short(f.SHA256), f.Brief())
}

// Brief is Error for a reader who knows which policy it is.
func (f *Fault) Brief() string {
	what := f.Kind.String()
	if f.Export != "" {
		what = f.Export
	}
	text := fmt.Sprintf("event %d %s%s: %v", f.Seq, what, within(f.Func), f.Err)
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return text
}

// hint says that a module has trapped which has no more memory to get: what traps then is
// most often what cannot allocate.
func (p *Policy) hint(err error) string {
	in := p.in
	if in == nil || !errors.Is(err, ErrTrap) && !errors.Is(err, ErrMemory) || int(in.mem.Size()) < in.memoryLimit || in.memoryStart == in.memoryLimit {
		return ""
	}
	return fmt.Sprintf("all the %d KiB of memory that it may have are taken, which may be why", in.memoryLimit>>10)
}

// within says in which function something happened, if that is known.
func within(fn string) string {
	if fn == "" {
		return ""
	}
	return " in function " + strconv.QuoteToGraphic(fn)
}

// Reason names the fault for counters: one of fuel, trap, stack, memory, answer,
// gave-up and lost. The names do not change.
func (f *Fault) Reason() string {
	for _, r := range []struct {
		err  error
		name string
	}{{ErrFuel, "fuel"}, {ErrStack, "stack"}, {ErrMemory, "memory"}, {ErrAnswer, "answer"}, {ErrGaveUp, "gave-up"}, {ErrLost, "lost"}} {
		if errors.Is(f.Err, r.err) {
			return r.name
		}
	}
	return "trap"
}

// A LoadError is a module that was refused.
type LoadError struct {
	Policy string // its name, as far as it is known
	SHA256 string // the module's digest, in hexadecimal
	Step   string // the step that refused it
	// Said is what it logged while it started, as a Fault's.
	Said []string
	Err  error
}

// Unwrap returns the reason.
func (e *LoadError) Unwrap() error { return e.Err }

func (e *LoadError) Error() string {
	return fmt.Sprintf("policy %s (sha256 %s) refused at step %s: %v", strconv.QuoteToGraphic(e.Policy), short(e.SHA256), e.Step, e.Err)
}

// Reason names the refusal for counters: abi when the module exports or imports
// something else than the ABI wants, load for every other reason.
func (e *LoadError) Reason() string {
	if errors.Is(e.Err, ErrABI) || errors.Is(e.Err, ErrImport) {
		return "abi"
	}
	return "load"
}

func short(digest string) string { return digest[:min(12, len(digest))] }

// guestExit is what proc_exit panics with.
type guestExit uint32

func (g guestExit) Error() string { return fmt.Sprintf("it called proc_exit(%d)", uint32(g)) }

// errSpent is what a host function panics with when its charge is more than is
// left.
var errSpent = errors.New("fuel spent in a host function")

// explain turns an error of a call into the module into one of this package's,
// and finds the innermost function of the guest's. What wazero says of the guest's names is
// untrusted text and is not repeated.
func (p *Policy) explain(in *instance, limit uint64, err error) (fn string, reason error) {
	if _, trace, ok := strings.Cut(err.Error(), "wasm stack trace:\n\t"); ok {
		for own := true; own; own = fn == meter.PiecesFunction {
			fn, trace, _ = strings.Cut(trace, "\n")
			fn, _, _ = strings.Cut(fn, "(")
			fn = strings.TrimPrefix(strings.TrimPrefix(fn, "\t"), ".")
		}
		fn = fn[:min(len(fn), 64)]
	}
	var exit guestExit
	cause := errors.Unwrap(err)
	switch {
	case in.fuel != nil && int64(in.fuel.Get()) < 0:
		return fn, fmt.Errorf("%w: all %d units are spent (a simple instruction is 1, a page of memory %d)", ErrFuel, limit, meter.PageCost)
	case in.stack != nil && int32(in.stack.Get()) < 0:
		return fn, fmt.Errorf("%w: calls inside each other take more than %d bytes", ErrStack, p.stackBytes)
	case errors.As(err, &exit):
		return fn, fmt.Errorf("%w: %w", ErrTrap, exit)
	case cause != nil && strings.Contains(cause.Error(), "out of bounds memory access"):
		return fn, fmt.Errorf("%w: access out of bounds", ErrMemory)
	case cause != nil && strings.HasPrefix(err.Error(), "wasm error: "):
		return fn, fmt.Errorf("%w: %v", ErrTrap, cause)
	}
	return fn, fmt.Errorf("%w: the engine failed", ErrTrap)
}
