package host

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// fakeView is a state to judge against.
type fakeView struct {
	components []standing
	free       units.Bytes
	ahead      units.Bytes // that may be prefetched before a client acts again
}

func (v fakeView) count() int              { return len(v.components) }
func (v fakeView) standing(id ID) standing { return v.components[id] }
func (v fakeView) room() units.Bytes       { return v.free }
func (v fakeView) aheadRoom() units.Bytes  { return v.ahead }
func (v fakeView) chunkSize() units.Bytes  { return 8 }

// Components of the view that the tests judge against.
const (
	here     = iota // 24 resident
	part            // 16 resident, 20 missing
	gone            // 40 missing
	excluded        // and the next three: resident, and not to be taken
	keptOne
	inUse
	stuckOne
	more // 8 missing
)

var aView = fakeView{free: 10, ahead: 64, components: []standing{
	here:     {evictable: 24},
	part:     {evictable: 16, missing: 20},
	gone:     {missing: 40},
	excluded: {evictable: 8, pinned: true},
	keptOne:  {evictable: 8, kept: true},
	inUse:    {evictable: 8, use: true},
	stuckOne: {evictable: 8, stuck: true},
	more:     {missing: 8},
}}

func evict(c uint32, arg uint64) abi.Decision {
	return abi.Decision{Op: abi.Evict, Component: c, Arg: arg}
}
func prefetch(c uint32, arg uint64) abi.Decision {
	return abi.Decision{Op: abi.Prefetch, Component: c, Arg: arg}
}
func retain(c uint32, arg uint64) abi.Decision {
	return abi.Decision{Op: abi.Retain, Component: c, Arg: arg}
}

// word is the expected verdict on one decision.
type word struct {
	Code  abi.RejectCode
	Bytes units.Bytes // of what is lawful
}

func TestValidateJudgesEachDecision(t *testing.T) {
	const nobody = abi.None
	for _, c := range []struct {
		name   string
		asked  uint32
		free   units.Bytes
		answer []abi.Decision
		want   []word
	}{
		{"an empty answer", nobody, 10, nil, nil},
		{"evict all", nobody, 0, []abi.Decision{evict(here, 0)}, []word{{0, 24}}},
		{"evict some", nobody, 0, []abi.Decision{evict(here, 9)}, []word{{0, 9}}},
		{"evict more than there is", nobody, 0, []abi.Decision{evict(here, 1<<63)}, []word{{0, 24}}},
		{"evict what is not there", nobody, 0, []abi.Decision{evict(gone, 0)}, []word{{Code: abi.RejectNotResident}}},
		{"evict what is excluded", nobody, 0, []abi.Decision{evict(excluded, 0)}, []word{{Code: abi.RejectPinned}}},
		{"evict what is kept", nobody, 0, []abi.Decision{evict(keptOne, 0)}, []word{{Code: abi.RejectKept}}},
		{"evict what is in use", nobody, 0, []abi.Decision{evict(inUse, 0)}, []word{{Code: abi.RejectInUse}}},
		{"evict what the device cannot copy back", nobody, 0, []abi.Decision{evict(stuckOne, 0)}, []word{{Code: abi.RejectInUse}}},
		{"evict what is asked for", part, 0, []abi.Decision{evict(part, 0)}, []word{{Code: abi.RejectAskedFor}}},
		{"prefetch what is asked for", part, 99, []abi.Decision{prefetch(part, 0)}, []word{{Code: abi.RejectAskedFor}}},
		{"prefetch what is there", nobody, 99, []abi.Decision{prefetch(here, 0)}, []word{{Code: abi.RejectAllResident}}},
		{"prefetch less than a chunk", nobody, 99, []abi.Decision{prefetch(gone, 7)}, []word{{Code: abi.RejectTooSmall}}},
		{"prefetch is rounded down to chunks", nobody, 99, []abi.Decision{prefetch(gone, 31)}, []word{{0, 24}}},
		{"prefetch all of it, whatever its last chunk's size", nobody, 99, []abi.Decision{prefetch(part, 0)}, []word{{0, 20}}},
		{"prefetch more than is missing", nobody, 99, []abi.Decision{prefetch(part, 1<<63)}, []word{{0, 20}}},
		{"prefetch just what fits", nobody, 16, []abi.Decision{prefetch(gone, 16)}, []word{{0, 16}}},
		{"prefetch a byte too much", nobody, 15, []abi.Decision{prefetch(gone, 16)}, []word{{Code: abi.RejectNoRoom}}},
		{"prefetch while memory is short", nobody, -8, []abi.Decision{prefetch(gone, 8)}, []word{{Code: abi.RejectNoRoom}}},
		{"prefetch after an eviction that makes room", nobody, 0, []abi.Decision{evict(here, 16), prefetch(gone, 16)}, []word{{0, 16}, {0, 16}}},
		{"prefetch before it", nobody, 0, []abi.Decision{prefetch(gone, 16), evict(here, 16)}, []word{{Code: abi.RejectNoRoom}, {0, 16}}},
		{"prefetch after an eviction that is refused", nobody, 0, []abi.Decision{evict(keptOne, 0), prefetch(gone, 8)},
			[]word{{Code: abi.RejectKept}, {Code: abi.RejectNoRoom}}},
		{"two prefetches share the room", nobody, 40, []abi.Decision{prefetch(gone, 24), prefetch(part, 0)}, []word{{0, 24}, {Code: abi.RejectNoRoom}}},
		{"prefetch more than is moved for nobody", nobody, 999, []abi.Decision{evict(here, 0), prefetch(gone, 0), prefetch(part, 0), prefetch(more, 8)},
			[]word{{0, 24}, {0, 40}, {0, 20}, {Code: abi.RejectNoRoom}}},
		{"retain", nobody, 0, []abi.Decision{retain(gone, 1), retain(inUse, 1<<63)}, []word{{}, {}}},
		{"retain for no call", nobody, 0, []abi.Decision{retain(gone, 0)}, []word{{Code: abi.RejectBadArgument}}},
		{"retain goes with either", nobody, 10, []abi.Decision{retain(here, 1), evict(here, 0), prefetch(part, 8), retain(part, 1)},
			[]word{{}, {0, 24}, {0, 8}, {}}},
		{"one that is refused leaves the others", nobody, 0, []abi.Decision{evict(gone, 0), evict(here, 0)}, []word{{Code: abi.RejectNotResident}, {0, 24}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := aView
			v.free = c.free
			got, err := validate(v, ID(c.asked), c.answer, nil)
			if err != nil {
				t.Fatal(err)
			}
			var words []word
			for i, g := range got {
				if g.Decision != c.answer[i] {
					t.Errorf("verdict %d is on %v, want %v", i, g.Decision, c.answer[i])
				}
				if g.code != 0 {
					g.bytes = 0
				}
				words = append(words, word{g.code, g.bytes})
			}
			if d := cmp.Diff(c.want, words); d != "" {
				t.Errorf("verdicts differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestValidateVoidsWhatCannotBeMeant(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer []abi.Decision
		says   string
	}{
		{"operation 0", []abi.Decision{{Op: 0, Component: here}}, "operation 0 is unknown"},
		{"operation 4", []abi.Decision{evict(here, 0), {Op: 4, Component: part}}, "decision 1: operation 4 is unknown"},
		{"a component after the last", []abi.Decision{evict(uint32(len(aView.components)), 0)}, "component 8 is unknown, 8 are registered"},
		{"no component", []abi.Decision{retain(abi.None, 1)}, "component 4294967295 is unknown"},
		{"evict twice", []abi.Decision{evict(here, 8), evict(part, 8), evict(here, 16)}, "decisions 0 and 2 both evict component 0"},
		{"prefetch twice", []abi.Decision{prefetch(gone, 8), prefetch(gone, 8)}, "decisions 0 and 1 both prefetch"},
		{"retain twice", []abi.Decision{retain(gone, 8), retain(gone, 9)}, "decisions 0 and 1 both retain"},
		{"evict and prefetch", []abi.Decision{evict(part, 8), retain(part, 1), prefetch(part, 8)}, "decisions 0 and 2 evict and prefetch component 1"},
		{"prefetch and evict", []abi.Decision{prefetch(part, 8), evict(part, 8)}, "decisions 0 and 1 evict and prefetch component 1"},
		{"an unlawful decision before a malformed one", []abi.Decision{evict(keptOne, 0), {Op: 9, Component: here}}, "decision 1: operation 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := validate(aView, NoComponent, c.answer, nil)
			if !errors.Is(err, abi.ErrAnswer) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that wraps %q and says %q", err, abi.ErrAnswer, c.says)
			}
			if len(got) != 0 {
				t.Errorf("%d verdicts beside the error, want none", len(got))
			}
		})
	}
}

// FuzzValidate reads a state and an answer from bytes, and checks the verdicts against
// the rules written down a second time.
func FuzzValidate(f *testing.F) {
	f.Add([]byte{24, 0, 0, 16, 20, 0, 0, 40, 0}, int64(10), uint32(abi.None), []byte{1, 0, 8, 3, 2, 16, 2, 1, 1})
	f.Add([]byte{8, 8, 1, 8, 8, 2, 8, 8, 4, 8, 8, 8}, int64(-3), uint32(1), []byte{1, 0, 0, 1, 1, 0, 1, 2, 0, 1, 3, 0})
	f.Add([]byte{}, int64(0), uint32(0), []byte{9, 9, 9})
	f.Fuzz(func(t *testing.T, state []byte, free int64, asked uint32, text []byte) {
		v := fakeView{free: units.Bytes(free), ahead: 300}
		for ; len(state) >= 3; state = state[3:] {
			v.components = append(v.components, standing{evictable: units.Bytes(state[0]), missing: units.Bytes(state[1]),
				pinned: state[2]&1 != 0, kept: state[2]&2 != 0, use: state[2]&4 != 0, stuck: state[2]&8 != 0})
		}
		if v.free > units.MaxBytes || v.free < -units.MaxBytes {
			return // no state has it
		}
		var answer []abi.Decision
		for ; len(text) >= 3 && len(answer) < abi.MaxDecisions; text = text[3:] {
			d := abi.Decision{Op: abi.Op(text[0]), Component: uint32(text[1]), Arg: uint64(text[2])}
			if d.Component == 255 {
				d.Component = abi.None
			}
			if d.Arg == 255 && len(text) >= 11 {
				d.Arg = binary.LittleEndian.Uint64(text[3:])
			}
			answer = append(answer, d)
		}
		before := slices.Clone(v.components)
		got, err := validate(v, ID(asked), answer, nil)
		if !slices.Equal(before, v.components) {
			t.Fatal("validation changed the state")
		}
		if err != nil {
			if !errors.Is(err, abi.ErrAnswer) {
				t.Fatalf("the error %v does not wrap %v", err, abi.ErrAnswer)
			}
			return
		}
		if len(got) != len(answer) {
			t.Fatalf("%d verdicts on %d decisions", len(got), len(answer))
		}
		room, ahead := v.free, v.ahead
		seen := map[abi.Decision]bool{}
		for i, g := range got {
			if int(g.Component) >= len(v.components) || g.Op < abi.Evict || g.Op > abi.Prefetch {
				t.Fatalf("%+v got a verdict", g.Decision)
			}
			key := abi.Decision{Op: g.Op, Component: g.Component}
			if seen[key] || seen[abi.Decision{Op: abi.Evict + abi.Prefetch - g.Op, Component: g.Component}] && g.Op != abi.Retain {
				t.Fatalf("decision %d contradicts one before it", i)
			}
			seen[key] = true
			if g.code != 0 {
				continue
			}
			s := v.components[g.Component]
			switch g.Op {
			case abi.Evict:
				if s.pinned || s.kept || s.use || s.stuck || g.Component == asked || g.bytes <= 0 || g.bytes > s.evictable {
					t.Fatalf("%+v passed, of a component with %+v", g, s)
				}
				room += g.bytes
			case abi.Prefetch:
				if g.Component == asked || g.bytes <= 0 || g.bytes > s.missing || g.bytes > room || g.bytes > ahead ||
					g.bytes < s.missing && g.bytes%v.chunkSize() != 0 {
					t.Fatalf("%+v passed with %d of room, of a component with %+v", g, room, s)
				}
				room -= g.bytes
				ahead -= g.bytes
			case abi.Retain:
				if g.Arg == 0 {
					t.Fatalf("%+v passed", g)
				}
			}
		}
	})
}
