package enginetest

import (
	"github.com/offhost/offhost/host"
)

// contents is what the chunks of a Holder should hold: by how many calls each was
// changed, on the device and in host memory.
type contents struct {
	*books
	holder  Holder
	device  [][]int
	inHost  [][]int
	unknown map[place]bool // in host memory, since a copy back was lost or never answered
}

type place struct {
	c host.ID
	i int
}

func newContents(b *books, d Device) *contents {
	h, _ := d.(Holder)
	v := &contents{books: b, holder: h, unknown: map[place]bool{}}
	for c := range b.specs {
		v.device = append(v.device, make([]int, b.chunks(host.ID(c))))
		v.inHost = append(v.inHost, make([]int, b.chunks(host.ID(c))))
	}
	return v
}

// copied books a copy that succeeded.
func (v *contents) copied(a *host.Action) {
	switch a.Kind {
	case host.ActCopyIn:
		if v.unknown[place{a.Component, a.Chunk}] {
			v.settle(a.Component, a.Chunk)
		}
		v.device[a.Component][a.Chunk] = v.inHost[a.Component][a.Chunk]
	case host.ActCopyBack:
		v.inHost[a.Component][a.Chunk] = v.device[a.Component][a.Chunk]
	}
}

// settle finds out whether a copy back of which nobody has heard has arrived: whole, or not at all.
func (v *contents) settle(c host.ID, i int) {
	delete(v.unknown, place{c, i})
	if v.holder == nil {
		return
	}
	was := v.inHost[c][i]
	if v.holder.InHost(c, i, was) == nil {
		return
	}
	v.inHost[c][i] = v.device[c][i]
	if err := v.holder.InHost(c, i, v.device[c][i]); err != nil {
		v.fatalf("a copy back of which nobody has heard has left neither what was there, of %d calls, nor what it was to bring, of %d: %v", was, v.device[c][i], err)
	}
}

// see compares all bytes that a call sees.
func (v *contents) see(call host.CallID, c host.ID) {
	if v.holder == nil {
		return
	}
	for i, calls := range v.device[c] {
		if err := v.holder.OnDevice(c, i, calls); err != nil {
			v.fatalf("call %d sees a wrong byte: %v", call, err)
		}
	}
}

// changed books that a call has used a component.
func (v *contents) changed(c host.ID) {
	if !v.specs[c].ReadOnly {
		for i := range v.device[c] {
			v.device[c][i]++
		}
	}
}

// close compares host memory and looks for what is left behind.
func (v *contents) close() {
	if v.holder == nil {
		return
	}
	if err := v.holder.Close(); err != nil {
		v.fatalf("closing the device: %v", err)
	}
	for p := range v.unknown {
		v.settle(p.c, p.i)
	}
	for c := range v.inHost {
		for i, calls := range v.inHost[c] {
			if err := v.holder.InHost(host.ID(c), i, calls); err != nil {
				v.fatalf("host memory is wrong: %v", err)
			}
		}
	}
	if err := v.holder.Left(); err != nil {
		v.fatalf("after closing the device: %v", err)
	}
}
