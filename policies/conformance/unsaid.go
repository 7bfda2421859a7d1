package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/offhost/offhost/abi"
)

// unsaid finds in the first steps of a log something that SPEC.md rules out that a host
// says, and says it; empty if there is none. A module need not be made for it: what goes
// wrong then would never cost it a fault.
func unsaid(steps []Step) string {
	registered := map[uint32]bool{}
	for i := range steps {
		s := &steps[i]
		if s.Act == Attach {
			clear(registered)
		}
		if s.Act != Tell || !known(s.Event.Kind) {
			continue
		}
		if what := unsaidOf(s, registered, i == 0 || steps[i-1].Act == Attach); what != "" {
			return fmt.Sprintf("event %d %v has %s", i+1, s.Event.Kind, what)
		}
	}
	return ""
}

func unsaidOf(s *Step, registered map[uint32]bool, first bool) string {
	ev := &s.Event
	switch {
	case first && ev.Kind != abi.Config:
		return "no CONFIG before it"
	case ev.Component != abi.None && ev.Component >= abi.MaxComponents:
		return fmt.Sprintf("the component %d", ev.Component)
	case ev.Parent != abi.None && ev.Parent >= abi.MaxComponents:
		return fmt.Sprintf("the parent %d", ev.Parent)
	}
	switch ev.Kind {
	case abi.Config:
		return unsaidConfig(s.Payload)
	case abi.Component:
		if ev.Component == abi.None {
			return "no component"
		}
		registered[ev.Component] = ev.Flags&abi.FlagRemoved == 0
		return ""
	case abi.Begin:
		if len(s.Payload)%4 != 0 {
			return fmt.Sprintf("an order of %d bytes", len(s.Payload))
		}
		for p := s.Payload; len(p) > 0; p = p[4:] {
			if id := le.Uint32(p); !registered[id] {
				return fmt.Sprintf("the component %d in its order, which is not registered", id)
			}
		}
		return ""
	case abi.Rejected:
		if len(s.Payload) != abi.RejectedSize {
			return fmt.Sprintf("a payload of %d bytes", len(s.Payload))
		}
	default:
		if len(s.Payload) > 0 {
			return "a payload"
		}
	}
	switch ev.Kind {
	case abi.Loaded, abi.Evicted, abi.Call, abi.Done, abi.Need:
		if ev.Component == abi.None {
			return "no component"
		}
	}
	if ev.Component != abi.None && !registered[ev.Component] {
		return fmt.Sprintf("the component %d, which is not registered", ev.Component)
	}
	return ""
}

// hostKeys are those that a host adds to what a module is configured with.
var hostKeys = []string{"offhost.chunk_bytes", "offhost.d2h_bytes_per_second", "offhost.h2d_bytes_per_second"}

func unsaidConfig(payload []byte) string {
	if !utf8.Valid(payload) || bytes.ContainsAny(payload, "\r\x00") {
		return "text that is no configuration"
	}
	var lines, missing []string
	missing = slices.Clone(hostKeys)
	for line := range strings.Lines(string(payload)) {
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" || !strings.HasSuffix(value, "\n") {
			return "a line without key, value and end"
		}
		if i := slices.Index(missing, key); i >= 0 {
			if n, err := strconv.ParseUint(strings.TrimSuffix(value, "\n"), 10, 63); err != nil || n == 0 {
				return fmt.Sprintf("a value of %s that is none", key)
			}
			missing = slices.Delete(missing, i, i+1)
		} else if strings.HasPrefix(key, "offhost.") {
			return fmt.Sprintf("the key %s", clip(key))
		}
		lines = append(lines, line)
	}
	switch {
	case len(missing) > 0:
		return "no " + missing[0]
	case !slices.IsSorted(lines):
		return "lines that are not sorted"
	}
	return ""
}
