package conformance

import (
	"fmt"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

// A Finding is what a check finds wrong in a log.
type Finding struct {
	// Class is a word for what is wrong: for a fault that the runtime sees, its reason
	// (runtime.Fault.Reason); otherwise the check's own.
	Class string
	// Step is the index of the step at which it shows.
	Step int
	// Text says it in a sentence.
	Text string
	// Fault is the policy's fault, if there was one.
	Fault *runtime.Fault

	// dry says that more fuel would do, or less to do with it: it is a matter of the limits.
	dry bool
	// unsaid is what no host would say, and the log does: no matter of the ABI. Else empty.
	unsaid string
	// told says that it means something only if a host told the log to this module as it
	// is: what the host refused is part of it.
	told bool
}

// same reports whether g is the fault that f is.
func (f *Finding) same(g *Finding) bool {
	return g != nil && f.Class == g.Class && f.function() == g.function()
}

func (f *Finding) function() string {
	if f.Fault == nil {
		return ""
	}
	return f.Fault.Func
}

// found makes a finding of a reply.
func found(r *reply, class, format string, args ...any) *Finding {
	return &Finding{Class: class, Step: r.index, Text: where(r) + ": " + fmt.Sprintf(format, args...)}
}

// foundFault makes a finding of a reply's fault.
func foundFault(r *reply) *Finding {
	in := ""
	if r.fault.Func != "" {
		in = fmt.Sprintf(" in function %q", r.fault.Func)
	}
	text := fmt.Sprintf("%s: %v%s", where(r), r.fault.Err, in)
	if r.fault.Hint != "" {
		text += "; " + r.fault.Hint
	}
	return &Finding{Class: r.fault.Reason(), Step: r.index, Text: text, Fault: r.fault}
}

// where names a step by its place in the log.
func where(r *reply) string {
	switch r.step.Act {
	case Attach:
		return "a fresh instance"
	case Save:
		return abi.ExportSave
	case Restore:
		return abi.ExportRestore
	}
	at := fmt.Sprintf("event %d %v", r.index+1, r.event.Kind)
	if r.round > 0 {
		at += fmt.Sprintf(" in round %d", r.round+1)
	}
	return at
}

// answerText writes an answer.
func answerText(answer []abi.Decision) string {
	if len(answer) == 0 {
		return "nothing"
	}
	text := ""
	for i, d := range answer {
		if i == 4 {
			return fmt.Sprintf("%s and %d more", text, len(answer)-i)
		}
		if i > 0 {
			text += ", "
		}
		text += decisionText(d)
	}
	return text
}

func decisionText(d abi.Decision) string {
	switch {
	case d.Op == abi.Retain:
		return fmt.Sprintf("%v %d for %d calls", d.Op, d.Component, d.Arg)
	case d.Arg == 0:
		return fmt.Sprintf("%v all of %d", d.Op, d.Component)
	}
	return fmt.Sprintf("%v %d bytes of %d", d.Op, d.Arg, d.Component)
}

// thousands writes a number with commas.
func thousands[T int | uint64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// count writes a number and what is counted.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}
