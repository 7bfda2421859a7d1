package meter

import "unicode/utf8"

// names are those of functions, by index, as a name section holds them: so that a fault
// can name where it happened. The zero value is none.
type names struct {
	n       int
	entries []byte
}

// readNames reads the names of functions and nothing else. Names are a courtesy: a section
// that is too large or does not follow the format is left out, the module is not
// refused for it.
func (m *Module) readNames() names {
	for _, c := range m.Customs {
		if c.Name != "name" {
			continue
		}
		if len(c.Data) > maxNames {
			return names{}
		}
		r := &reader{b: c.Data, end: len(c.Data), fn: -1, name: "name section"}
		for r.err == nil && r.left() > 0 {
			id := r.byte()
			sub := r.sub(int(r.u32()), "function names")
			if id == 1 && sub.err == nil {
				return functionNames(sub, len(m.funcs))
			}
		}
		return names{}
	}
	return names{}
}

func functionNames(r *reader, functions int) (all names) {
	n := r.count("names", 2, functions)
	last := -1
	for range n {
		index := int(r.u32())
		name := r.bytes(r.count("bytes of a name", 1, maxNames))
		if r.err != nil || index <= last || index >= functions || !utf8.Valid(name) {
			return names{}
		}
		last = index
		all.add(index, string(name))
	}
	if r.done() != nil {
		return names{}
	}
	return all
}

// add names a function; indices rise.
func (n *names) add(index int, name string) {
	n.n++
	n.entries = appendText(appendU(n.entries, uint64(index)), name)
}

// maxShownName is how many bytes of a name are shown.
const maxShownName = 64

// of returns the beginning of a function's name; empty if it has none.
func (n names) of(index int) string {
	r := &reader{b: n.entries, end: len(n.entries), fn: -1}
	for r.left() > 0 {
		i := int(r.u32())
		name := r.bytes(int(r.u32()))
		if r.err != nil || i > index {
			break
		}
		if i == index {
			return string(name[:min(len(name), maxShownName)])
		}
	}
	return ""
}

// section returns a name section's content.
func (n names) section() []byte {
	count := appendU(nil, uint64(n.n))
	section := append(appendText(nil, "name"), 1)
	section = appendU(section, uint64(len(count)+len(n.entries)))
	return append(append(section, count...), n.entries...)
}
