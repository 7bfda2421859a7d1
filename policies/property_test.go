package policies

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/offhost/offhost/abi"
)

// Whatever happens, an answer to NEED is lawful (host.need checks each decision), and
// it frees what is asked for whenever that is possible within one answer.
func TestAnswersAreLawfulAndEnough(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				h := newHost(r, b.Name, rapid.Uint64Range(1, 5).Draw(r, "chunk"), 1<<20)
				n := rapid.IntRange(1, 12).Draw(r, "components")
				for i := range n {
					h.add(fmt.Sprint("c", i), rapid.Uint64Range(1, 20).Draw(r, "bytes"), 0)
				}
				h.begin("p")
				for range rapid.IntRange(0, 60).Draw(r, "steps") {
					c := h.components[rapid.IntRange(0, n-1).Draw(r, "component")]
					switch rapid.SampledFrom([]string{"call", "call", "done", "need", "need", "evict", "flag", "begin", "remove"}).Draw(r, "step") {
					case "call":
						h.call(c)
					case "done":
						if c.calls > 0 {
							h.done(c)
						}
					case "need":
						needLawfully(r, h, c)
					case "evict": // the host's own rule took something
						if c.resident > 0 && c.calls == 0 {
							h.evict(c, rapid.Uint64Range(0, c.resident).Draw(r, "evicted"))
						}
					case "flag":
						c.flags ^= rapid.SampledFrom([]abi.Flags{abi.FlagPinned, abi.FlagKept}).Draw(r, "flag")
						h.tell(h.event(abi.Component, c), []byte(c.name))
					case "begin":
						h.begin(rapid.SampledFrom([]string{"p", "q"}).Draw(r, "pipeline"))
					case "remove": // and register another in its place
						if c.calls == 0 {
							h.used -= c.resident
							c.resident = 0
							c.flags |= abi.FlagRemoved
							h.tell(h.event(abi.Component, c), nil)
							c.flags = abi.FlagReadOnly
							h.tell(h.event(abi.Component, c), []byte(c.name))
						}
					}
				}
			})
		})
	}
}

func needLawfully(r *rapid.T, h *host, asking *component) {
	var available uint64
	for _, c := range h.components {
		if c != asking && c.calls == 0 && c.flags&(abi.FlagPinned|abi.FlagKept) == 0 {
			available += c.resident
		}
	}
	amount := rapid.Uint64Range(1, 40).Draw(r, "amount")
	freed, _ := h.need(asking, amount)
	if want := min(amount, available); freed < want {
		r.Fatalf("asked for %d of %d available bytes, %d were freed", amount, available, freed)
	}
}

// lru is exactly the rule that a few lines of Go say it is.
func TestLRUTakesTheLeastRecentlyUsed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := newHost(r, "lru", 4, 60)
		n := rapid.IntRange(2, 10).Draw(r, "components")
		for i := range n {
			h.add(fmt.Sprint("c", i), rapid.Uint64Range(1, 30).Draw(r, "bytes"), 0)
		}
		h.begin("p")
		uses := 0
		for range rapid.IntRange(1, 40).Draw(r, "calls") {
			c := h.components[rapid.IntRange(0, n-1).Draw(r, "component")]
			want := leastRecent(h, c)
			h.log.Reset()
			uses++
			c.lastUse = uses
			h.call(c)
			h.done(c)
			if got := h.log.String(); got != want {
				r.Fatalf("call of %s:\n%swant:\n%s", c.name, got, want)
			}
		}
	})
}

// leastRecent says what a call of c must log.
func leastRecent(h *host, c *component) string {
	missing := c.bytes - c.resident
	if missing == 0 {
		return ""
	}
	log := fmt.Sprintf("%s +%d", c.name, missing)
	separator := "   "
	gone := map[*component]bool{c: true}
	for short := int64(h.used+missing) - int64(h.budget); short > 0; {
		var victim *component
		for _, v := range h.components {
			if !gone[v] && v.resident > 0 && (victim == nil || v.lastUse < victim.lastUse) {
				victim = v
			}
		}
		gone[victim] = true
		stays := max(0, int64(victim.resident)-short) / int64(h.chunk) * int64(h.chunk)
		freed := int64(victim.resident) - stays
		log += fmt.Sprintf("%s%s -%d (least recently used)", separator, victim.name, freed)
		separator = ", "
		short -= freed
	}
	return log + "\n"
}

// A window full of nonsense is answered with at most a full answer and never traps.
func TestNonsenseIsSurvived(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			g := newGuest(t, b.Name)
			for range 20_000 {
				for i := range abi.EventSize / 4 {
					v := rng.Uint32()
					if rng.IntN(2) == 0 {
						v &= 0x0000_001f // small numbers: kinds, ids and sizes that mean something
					}
					g.window[4*i], g.window[4*i+1], g.window[4*i+2], g.window[4*i+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
				}
				if rng.IntN(8) != 0 {
					g.window[1], g.window[0] = 0, byte(rng.IntN(int(abi.Rejected)+3))
				}
				g.call(t, abi.EventSize+rng.IntN(3)-1)
			}
		})
	}
}

// Limits of the ABI: 4,096 components, more victims than one answer holds.
func TestThousandsOfComponents(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			h := newHost(t, b.Name, 1, abi.MaxComponents)
			for i := range abi.MaxComponents {
				h.add(fmt.Sprint("c", i), 1, 0)
			}
			h.begin("p")
			for range 3 {
				for _, c := range h.components {
					h.call(c)
					h.done(c)
				}
			}
			var freed uint64
			for answers := 0; freed < 1000; answers++ {
				n, said := h.need(h.components[0], 1000-freed)
				if n == 0 || len(said) > abi.MaxDecisions || answers > 8 {
					t.Fatalf("answer %d frees %d more bytes with %d decisions, %d of 1000 are freed", answers, n, len(said), freed)
				}
				freed += n
			}
		})
	}
}

// A refused victim is not proposed again before something has changed.
func TestRefusedVictimsAreNotInsistedOn(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			h := newHost(t, b.Name, 1, 100)
			var all []*component
			for i := range 3 {
				all = append(all, h.add(fmt.Sprint("c", i), 2, 0))
			}
			h.begin("p")
			for _, c := range all {
				h.call(c)
				h.done(c)
			}
			ask := func() uint32 {
				ev := h.event(abi.Need, all[2])
				ev.Amount = 1
				answer := h.policy.tell(t, ev, nil)
				if len(answer) != 1 {
					t.Fatalf("NEED was answered with %v, want one decision", answer)
				}
				return answer[0].Component
			}
			first := ask()
			refusal := make([]byte, abi.RejectedSize)
			abi.PutRejected(refusal, abi.Decision{Op: abi.Evict, Component: first}, abi.RejectInUse)
			h.tell(h.event(abi.Rejected, all[first]), refusal)
			if again := ask(); again == first {
				t.Errorf("c%d was refused and proposed again", first)
			}
			h.call(all[2])
			if now := ask(); now != first {
				t.Errorf("after another call c%d is proposed, want c%d again", now, first)
			}
		})
	}
}

// What followed the present's longest earlier likeness is expected, not what
// followed the last call of the same component.
func TestTheLongestContextDecides(t *testing.T) {
	h := newHost(t, "sticky-loop", 1, 100)
	for _, name := range []string{"a", "b", "c", "d", "s", "u", "new"} {
		h.add(name, 1, 0)
	}
	for _, request := range []string{"p: a s b", "p: c s d", "p: a u", "p: a s"} {
		program, err := parse(request)
		if err != nil {
			t.Fatal(err)
		}
		h.play(program)
	}
	// After "a s" came b, then c s d, a and u.
	_, said := h.need(h.components[6], 3)
	if d := cmp.Diff([]string{
		"u -1 (expected furthest ahead)", "a -1 (expected furthest ahead)", "d -1 (expected furthest ahead)",
	}, said); d != "" {
		t.Errorf("victims (-want +got):\n%s", d)
	}
}

// A component is in use from its CALL on, of which nothing else may tell, to its DONE.
func TestACallProtectsUntilItIsDone(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			h := newHost(t, b.Name, 1, 100)
			used, asking := h.add("used", 5, 0), h.add("asking", 5, 0)
			h.begin("p")
			h.call(used)
			h.done(used)
			h.call(used) // all of it is there
			h.end()
			if freed, _ := h.need(asking, 1); freed != 0 {
				t.Fatalf("%d bytes of a component in use were freed", freed)
			}
			h.done(used)
			if freed, _ := h.need(asking, 1); freed != 1 {
				t.Errorf("after the call %d bytes were freed, want 1", freed)
			}
		})
	}
}

// A policy attached in the middle of a run hears what is resident, and goes on. It does not
// touch what calls from before use.
func TestAttachInTheMiddle(t *testing.T) {
	for _, b := range List() {
		t.Run(b.Name, func(t *testing.T) {
			h := newHost(t, b.Name, 1, 10)
			for i := range 4 {
				c := h.add(fmt.Sprint("c", i), 3, 0)
				if i < 3 {
					c.resident = 3
					h.used += 3
					if i == 0 {
						c.calls = 2
					}
					h.tell(h.event(abi.Loaded, c), nil)
				}
			}
			h.call(h.components[3])
			if want := "c3 +3   c1 -2"; !strings.HasPrefix(h.log.String(), want) {
				t.Errorf("the call moved %q, want %q first", h.log.String(), want)
			}
			h.done(h.components[3])
			h.done(h.components[0])
			if freed, _ := h.need(h.components[1], 10); freed != 6 {
				t.Errorf("%d bytes were freed while a second call of before uses c0, want all 6 that others have", freed)
			}
			h.done(h.components[0])
			if freed, _ := h.need(h.components[1], 10); freed != 3 {
				t.Errorf("%d bytes were freed after both calls, want the 3 of c0", freed)
			}
		})
	}
}
