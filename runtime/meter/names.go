package meter

import "unicode/utf8"

// nameSection rebuilds the module's name section with nothing in it but the names
// of functions, so that a fault can name where it happened. Names are a courtesy:
// a section that is too large or does not follow the format is left out, the
// module is not refused for it.
func nameSection(m *Module) []byte {
	for _, c := range m.Customs {
		if c.Name != "name" {
			continue
		}
		if len(c.Data) > maxNames {
			return nil
		}
		r := &reader{b: c.Data, end: len(c.Data), fn: -1, name: "name section"}
		for r.err == nil && r.left() > 0 {
			id := r.byte()
			sub := r.sub(int(r.u32()), "function names")
			if id == 1 && sub.err == nil {
				return functionNames(sub, len(m.funcs))
			}
		}
		return nil
	}
	return nil
}

func functionNames(r *reader, functions int) []byte {
	n := r.count("names", 2, functions)
	entries := appendU(nil, uint64(n))
	last := -1
	for range n {
		index := int(r.u32())
		name := r.bytes(r.count("bytes of a name", 1, maxNames))
		if r.err != nil || index <= last || index >= functions || !utf8.Valid(name) {
			return nil
		}
		last = index
		entries = appendText(appendU(entries, uint64(index)), string(name))
	}
	if r.done() != nil {
		return nil
	}
	section := append(appendText(nil, "name"), 1)
	return append(appendU(section, uint64(len(entries))), entries...)
}
