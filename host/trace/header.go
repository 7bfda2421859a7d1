package trace

import (
	"unicode"
	"unicode/utf8"

	"github.com/offhost/offhost/host/units"
)

// A headerBuilder adds records to a header, each checked against those before it.
// Reader and Writer share it, so that what is written can be read.
type headerBuilder struct {
	h          *Header
	components map[string]int
	pipelines  map[string]int
	children   []int // of each component
	total      units.Bytes
}

func newHeaderBuilder(h *Header) *headerBuilder {
	return &headerBuilder{h: h, components: map[string]int{}, pipelines: map[string]int{}}
}

// checkName says whether s may name something: 1 to MaxName bytes of printable
// text, so that it can be shown as it is.
func checkName(field, s string) *Error {
	if len(s) == 0 || len(s) > MaxName {
		return bad(field, "has %d bytes: want a name of 1 to %d", len(s), MaxName)
	}
	return checkPrintable(field, s)
}

func checkText(field, s string) *Error {
	if len(s) > MaxText {
		return bad(field, "has %d bytes: want at most %d", len(s), MaxText)
	}
	return checkPrintable(field, s)
}

func checkPrintable(field, s string) *Error {
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

// checkRange says whether n is a size or a bandwidth from low to units.MaxBytes.
func checkRange[T ~int64](field string, n, low T) *Error {
	if n < low || int64(n) > int64(units.MaxBytes) {
		return bad(field, "is %d: want %d to %d", n, low, units.MaxBytes)
	}
	return nil
}

func firstError(errs ...*Error) *Error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *headerBuilder) trace(name, description string) *Error {
	b.h.Name, b.h.Description = name, description
	return firstError(checkName("name", name), checkText("description", description))
}

func (b *headerBuilder) device(d Device) *Error {
	if b.h.Device.Name != "" {
		return bad("", "a second device record: want at most one")
	}
	b.h.Device = d
	return firstError(
		checkName("name", d.Name),
		checkRange("memory_bytes", d.Memory, 0),
		checkRange("h2d_bytes_per_second", d.H2D, 0),
		checkRange("d2h_bytes_per_second", d.D2H, 0),
		checkRange("pageable_bytes_per_second", d.Pageable, 0),
	)
}

func (b *headerBuilder) component(c Component) *Error {
	if err := firstError(
		checkName("name", c.Name),
		checkRange("bytes", c.Bytes, 1),
		checkRange("workspace_bytes", c.Workspace, 0),
	); err != nil {
		return err
	}
	here := len(b.h.Components)
	if here == MaxComponents {
		return bad("", "more than %d components", MaxComponents)
	}
	if _, twice := b.components[c.Name]; twice {
		return bad("name", "%s is the name of an earlier component: want another", clip(c.Name))
	}
	if c.Bytes > units.MaxBytes-b.total {
		return bad("bytes", "brings the components' sum above %d bytes", units.MaxBytes)
	}
	switch {
	case c.Parent == NoComponent:
		if c.Index != 0 {
			return bad("index", "is %d, but the component has no parent: want none", c.Index)
		}
	case c.Parent < 0 || c.Parent >= here:
		return bad("parent", "want the name of an earlier component")
	case b.h.Components[c.Parent].Parent != NoComponent:
		return bad("parent", "%s has a parent itself: want one level only", clip(b.h.Components[c.Parent].Name))
	case c.Index != b.children[c.Parent]:
		return bad("index", "is %d: want %d, the next child of %s", c.Index, b.children[c.Parent], clip(b.h.Components[c.Parent].Name))
	}
	if c.Parent != NoComponent {
		b.children[c.Parent]++
	}
	b.total += c.Bytes
	b.components[c.Name] = here
	b.children = append(b.children, 0)
	b.h.Components = append(b.h.Components, c)
	return nil
}

func (b *headerBuilder) pipeline(p Pipeline) *Error {
	if err := checkName("name", p.Name); err != nil {
		return err
	}
	if len(b.h.Pipelines) == MaxPipelines {
		return bad("", "more than %d pipelines", MaxPipelines)
	}
	if _, twice := b.pipelines[p.Name]; twice {
		return bad("name", "%s is the name of an earlier pipeline: want another", clip(p.Name))
	}
	if len(p.Components) == 0 {
		return bad("components", "is empty: want every component that the pipeline may call")
	}
	member := make(map[int]bool, len(p.Components))
	for _, i := range p.Components {
		switch {
		case i < 0 || i >= len(b.h.Components):
			return bad("components", "want the names of earlier components")
		case b.h.Components[i].Parent != NoComponent:
			return bad("components", "%s is a child: want its parent %s alone", clip(b.h.Components[i].Name), clip(b.h.Components[b.h.Components[i].Parent].Name))
		case member[i]:
			return bad("components", "%s is given twice: want it once", clip(b.h.Components[i].Name))
		}
		member[i] = true
	}
	for _, i := range p.OffloadSeq {
		if !member[i] {
			return bad("offload_seq", "want each of the pipeline's components at most once, and no others")
		}
		member[i] = false
	}
	b.pipelines[p.Name] = len(b.h.Pipelines)
	b.h.Pipelines = append(b.h.Pipelines, p)
	return nil
}

func (b *headerBuilder) source(s Source) *Error {
	if len(b.h.Sources) == MaxSources {
		return bad("", "more than %d sources", MaxSources)
	}
	if s.What == "" || s.From == "" {
		return bad("", "want a source record to name both the figure and its source")
	}
	b.h.Sources = append(b.h.Sources, s)
	return firstError(checkText("what", s.What), checkText("value", s.Value), checkText("source", s.From))
}

// complete says whether requests may follow.
func (b *headerBuilder) complete() *Error {
	switch {
	case len(b.h.Components) == 0:
		return bad("", "the header ends without a component: want at least one")
	case len(b.h.Pipelines) == 0:
		return bad("", "the header ends without a pipeline: want at least one")
	}
	return nil
}
