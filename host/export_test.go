package host

import (
	"fmt"
	"strings"
)

// Dump shows an engine's state when a property fails.
func (e *Engine) Dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "budget %d foreign %d weights %d leaving %d workspace %d promised %d queued %d avail %d lost %d waiting %d copies %d/%d\n",
		e.budget, e.foreign, e.weights, e.leaving, e.workspace, e.promised, e.queued, e.avail(), e.ops.lostBytes, e.waiting, e.copiesIn, e.copiesBack)
	for _, c := range e.components {
		fmt.Fprintf(&b, "  %s alloc %d resident %d loading %d leaving %d leases %d pinned %v kept %d stuck %v late %d chunks %v load %+v\n",
			c.Name, c.alloc, c.resident, c.loading, c.leaving, c.leases, c.pinned, c.kept, c.stuck, c.late, c.chunks, c.load)
	}
	for _, k := range e.calls {
		fmt.Fprintf(&b, "  call %d of %s workspace %d admitted %v granted %v request %d\n", k.id, k.c.Name, k.workspace, k.admitted, k.granted, k.request())
	}
	return b.String()
}

// Books shows where the budget is, one figure a word.
func (e *Engine) Books() string {
	return fmt.Sprintf("budget=%d weights=%d leaving=%d workspace=%d promised=%d queued=%d foreign=%d free=%d",
		e.budget, e.weights, e.leaving, e.workspace, e.promised, e.queued, e.foreign, e.avail())
}

// Chunks draws a component's chunks, the lowest first: '.' absent, '<' loading, '#'
// resident, '%' resident and dirty, '>' on its way out, '!' lost.
func (e *Engine) Chunks(id ID) string {
	marks := [...]byte{absent: '.', loading: '<', resident: '#', copyingBack: '>', releasing: '>', lost: '!'}
	var b strings.Builder
	for _, s := range e.components[id].chunks {
		if s == resident|dirtyBit {
			b.WriteByte('%')
		} else {
			b.WriteByte(marks[s&stateMask])
		}
	}
	return b.String()
}
