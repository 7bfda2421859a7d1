package shm

import (
	"testing"
	"time"

	"github.com/offhost/offhost/host/units"
)

func TestSchedule(t *testing.T) {
	const ms = time.Millisecond
	type transfer struct {
		submitted, now time.Duration
		bytes          units.Bytes
		end            time.Duration
	}
	for name, c := range map[string]struct {
		schedule schedule
		copies   []transfer
	}{
		"a copy takes the latency and its bytes":      {schedule{rate: 1e9, latency: ms}, []transfer{{10 * ms, 10 * ms, 2e6, 13 * ms}}},
		"no pace is no time":                          {schedule{}, []transfer{{1 * ms, 2 * ms, 1 << 30, 2 * ms}}},
		"copies follow each other":                    {schedule{rate: 1e9}, []transfer{{0, 0, 5e6, 5 * ms}, {0, 5 * ms, 5e6, 10 * ms}, {1 * ms, 10 * ms, 5e6, 15 * ms}}},
		"one that begins late ends on time":           {schedule{rate: 1e9}, []transfer{{0, 0, 5e6, 5 * ms}, {1 * ms, 9 * ms, 5e6, 10 * ms}}},
		"the host may take a moment to submit":        {schedule{rate: 1e9}, []transfer{{0, 0, 5e6, 5 * ms}, {5*ms + grace, 6 * ms, 5e6, 10 * ms}}},
		"an idle link does not catch up":              {schedule{rate: 1e9}, []transfer{{0, 0, 5e6, 5 * ms}, {7 * ms, 7 * ms, 5e6, 12 * ms}}},
		"what the machine cannot do is not made good": {schedule{rate: 1e9}, []transfer{{0, 0, 5e6, 5 * ms}, {1 * ms, 100 * ms, 5e6, 100*ms - maxLag + 5*ms}}},
	} {
		for i, x := range c.copies {
			if got := c.schedule.next(x.submitted, x.now, x.bytes); got != x.end {
				t.Errorf("%s: copy %d ends at %v, want %v", name, i, got, x.end)
			}
		}
	}
}

// Where mappings cannot be moved, chunks are mapped anew, with the same result.
func TestWithoutMoving(t *testing.T) {
	if !canMove() {
		t.Skip("mappings cannot be moved here: the other tests show it")
	}
	for _, moves := range []bool{true, false} {
		p := newPool(1 << 20)
		p.moves = moves
		s, err := reserve(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		at := s.mem[1<<16 : 1<<17 : 1<<17]
		for round := range byte(3) {
			b, err := p.take(1 << 16)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.place(at, moves); err != nil {
				t.Fatal(err)
			}
			if at[77] != round*7 {
				t.Errorf("moving %v: a recycled block holds %d, want what was left in it", moves, at[77])
			}
			at[77] = (round + 1) * 7
			reusable, err := b.leave(at, moves)
			if err != nil || !reusable {
				t.Fatal(reusable, err)
			}
			p.put(b)
		}
		p.trim(0)
		if err := s.release(); err != nil {
			t.Error(err)
		}
	}
}
