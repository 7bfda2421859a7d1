package state

import (
	"math"
	"testing"

	"github.com/offhost/offhost/abi/sdk/go/internal/window"
)

type numbers struct {
	save, found []uint64
	read        int
}

func (n *numbers) Save(to *Writer) {
	for _, v := range n.save {
		to.Uint64(v)
	}
}

func (n *numbers) Restore(from *Reader) bool {
	n.found = nil
	for range n.read {
		n.found = append(n.found, from.Uint64())
	}
	return true
}

func TestWhatIsSavedIsRestored(t *testing.T) {
	defer Keep(nil)
	n := &numbers{save: []uint64{1, 1 << 63}, read: 2}
	Keep(n)
	window.Lend(window.Min)
	if size := save(); size != 16 || restore(16) != 0 || n.found[0] != 1 || n.found[1] != 1<<63 {
		t.Errorf("%d bytes were saved, %v restored", size, n.found)
	}
	if n.read = 3; restore(16) == 0 {
		t.Error("a blob that is too short was taken")
	}
	if restore(window.Max) == 0 {
		t.Error("a blob that is larger than the payload was taken")
	}
	at, end, short = 0, 10, false
	if b := writer.Bytes(8); len(b) != 8 || short {
		t.Errorf("%d bytes of 10 can be written, want 8", len(b))
	}
	for _, tooMany := range []int{3, -1, math.MaxInt} {
		if short = false; writer.Bytes(tooMany) != nil || !short || at != 8 {
			t.Errorf("%d more bytes can be written where there is room for 2", tooMany)
		}
	}
	if n.save = make([]uint64, window.Min); save() != 0 {
		t.Error("a state that does not fit was saved")
	}
}
