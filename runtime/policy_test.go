package runtime

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
)

func load(t testing.TB, name string, cfg Config) *Policy {
	t.Helper()
	p, err := Load(context.Background(), fixture(t, name), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// onBothEngines runs a test on the compiler and on the interpreter.
func onBothEngines(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("compiler", func(t *testing.T) { test(t, Config{}) })
	t.Run("interpreter", func(t *testing.T) { test(t, Config{Interpreter: true}) })
}

func TestDecide(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		cfg.MaxPayload = 3000
		p := load(t, "echo", cfg)
		ev := &abi.Event{Kind: abi.Need, Component: 7, Amount: 1 << 40, Seq: 1}
		for _, payload := range []int{0, 5, 3000} {
			got, err := p.Decide(ev, make([]byte, payload))
			if err != nil {
				t.Fatal(err)
			}
			want := []abi.Decision{{Op: abi.Evict, Reason: uint16(payload), Component: 7, Arg: 1 << 40}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
		}
		var fault *Fault
		if _, err := p.Decide(ev, make([]byte, 3001)); err == nil || errors.As(err, &fault) {
			t.Errorf("a payload larger than announced: got %v, want an error that does not blame the policy", err)
		}
	})
}

// What probe.wat does by the component of the event.
const (
	probeCount = iota
	probeEndless
	probeRecurse
	probeMutual
	probeExponential
	probeTrap
	probeGivesUp
	probeTooMany
	probeFarTooMany
	probeGrows
	probeMemoryBomb
	probeOutOfBounds
	probeFills
	probeDivides
	probeGrowsTooFar
	probeBeyondEvent
)

func TestFaults(t *testing.T) {
	tests := []struct {
		name      string
		component uint32
		is        error
		reason    string
		says      string
		lost      bool
	}{
		{"endless loop", probeEndless, ErrFuel, "fuel", "units are spent", true},
		{"recursion", probeRecurse, ErrStack, "stack", "more than 524288 bytes", true},
		{"mutual recursion", probeMutual, ErrStack, "stack", "more than 524288 bytes", true},
		{"exponential recursion", probeExponential, ErrFuel, "fuel", "are spent", true},
		{"memory bomb", probeMemoryBomb, ErrFuel, "fuel", "are spent (a simple instruction is 1, a page of memory 131072)", true},
		{"filling memory without end", probeFills, ErrFuel, "fuel", "are spent", true},
		{"trap", probeTrap, ErrTrap, "trap", "trap: unreachable", true},
		{"division by zero", probeDivides, ErrTrap, "trap", "trap: integer divide by zero", true},
		{"out of bounds", probeOutOfBounds, ErrMemory, "memory", "access out of bounds", true},
		{"gives up", probeGivesUp, ErrGaveUp, "gave-up", "it returned -7", false},
		{"one decision too many", probeTooMany, ErrAnswer, "answer", "129 decisions, an answer holds 0 to 128", false},
		{"far too many decisions", probeFarTooMany, abi.ErrAnswer, "answer", "2147483647 decisions", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onBothEngines(t, func(t *testing.T, cfg Config) {
				p := load(t, "probe", cfg)
				count := func(want uint64) {
					t.Helper()
					got, err := p.Decide(&abi.Event{Kind: abi.Call, Component: probeCount, Seq: 3}, nil)
					if err != nil || len(got) != 1 || got[0].Arg != want {
						t.Errorf("got %v, %v, want a policy that has seen %d events", got, err, want)
					}
				}
				count(1)
				given := p.in.saved + DefaultRefill
				before := p.FuelUsed()
				start := time.Now()
				got, err := p.Decide(&abi.Event{Kind: abi.Need, Component: tt.component, Seq: 41}, nil)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if got != nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, %v, want %q with %q", got, err, tt.is, tt.says)
				}
				var fault *Fault
				if !errors.As(err, &fault) || fault.Seq != 41 || fault.Kind != abi.Need || fault.SHA256 != p.Info().SHA256 {
					t.Errorf("%#v does not say what was asked of whom", err)
				}
				var reason interface{ Reason() string }
				if !errors.As(err, &reason) || reason.Reason() != tt.reason {
					t.Errorf("%v is counted as something else than %q", err, tt.reason)
				}
				if spent := p.FuelUsed() - before; spent > given || tt.lost && spent != given {
					t.Errorf("%d fuel was spent, the event had %d", spent, given)
				}
				if tt.lost {
					if _, err := p.Decide(&abi.Event{Kind: abi.Call}, nil); !errors.Is(err, ErrLost) {
						t.Errorf("after it: got %v, want %v", err, ErrLost)
					}
				}
				if fresh, err := p.Revive(); err != nil || fresh != tt.lost {
					t.Errorf("Revive: fresh %t, %v, want %t", fresh, err, tt.lost)
				}
				if tt.lost {
					count(1) // a fresh instance
				} else {
					count(3)
				}
			})
		})
	}
}

// The name section tells where a fault happened.
func TestFaultNamesTheFunction(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		wasm := fixture(t, "probe")
		// function 8 of the module is $explode
		names := append([]byte{4}, "name"...)
		names = append(names, 1, 12, 1, 8, 9)
		names = append(names, "ex\x1bplode\n"...)
		wasm = append(wasm, section(0, names)...)
		p, err := Load(context.Background(), wasm, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, err = p.Decide(&abi.Event{Kind: abi.Need, Component: probeTrap, Seq: 1}, nil)
		var fault *Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), `in function "ex\x1bplode`) {
			t.Errorf("got %v, want the function's name, escaped", err)
		}
	})
}

// What a later revision adds to an event is told as part of it, and forgotten with it.
func TestLongerEvents(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		p := load(t, "longer", cfg)
		for _, beyond := range [][]byte{nil, {1, 2, 3, 4, 5, 6, 7, 8}, {9}, bytes.Repeat([]byte{7}, abi.EventArea-abi.EventSize), nil} {
			var first [8]byte
			copy(first[:], beyond)
			want := abi.Decision{Op: abi.Retain, Component: uint32(abi.EventSize + len(beyond)), Arg: binary.LittleEndian.Uint64(first[:])}
			got, err := p.DecideLonger(&abi.Event{Kind: abi.Idle}, beyond, nil)
			if err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("%d bytes more: %v, %v, want %v", len(beyond), got, err, want)
			}
		}
		var fault *Fault
		if _, err := p.DecideLonger(&abi.Event{}, make([]byte, abi.EventArea-abi.EventSize+1), nil); err == nil || errors.As(err, &fault) {
			t.Errorf("more than the window has room for: %v, want an error that does not blame the policy", err)
		}
		if got := p.MemoryBytes(); got != 2<<16 {
			t.Errorf("%d bytes of memory, want two pages", got)
		}
		if p.Suspend(); p.MemoryBytes() != 0 {
			t.Errorf("%d bytes of memory without an instance", p.MemoryBytes())
		}
	})
}

func TestMemoryMayMoveDuringAnEvent(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		cfg.Limits.Refill = DefaultFuel
		p := load(t, "probe", cfg)
		for pages := uint64(3); pages < 20; pages += 2 {
			got, err := p.Decide(&abi.Event{Component: probeGrows}, nil)
			if err != nil || len(got) != 1 || got[0].Arg != pages {
				t.Fatalf("got %v, %v, want %d pages", got, err, pages)
			}
		}
		got, err := p.Decide(&abi.Event{Component: probeGrowsTooFar}, nil)
		if err != nil || got[0].Arg != ^uint64(0) {
			t.Errorf("growing above the limit: got %v, %v, want -1", got, err)
		}
	})
}

// What lies between the event and the payload is zero at every event, whatever the
// policy left there.
func TestReservedBytesAreZero(t *testing.T) {
	p := load(t, "probe", Config{})
	view, ok := p.in.mem.Read(p.in.window, p.windowSize)
	if !ok {
		t.Fatal("no window")
	}
	for i := range view {
		view[i] = 0xff
	}
	got, err := p.Decide(&abi.Event{Component: probeBeyondEvent}, nil)
	if err != nil || len(got) != 1 || got[0].Arg != 0 {
		t.Errorf("got %v, %v, want 0", got, err)
	}
}

// Each event adds its refill to what was left, up to the limit; a fresh instance
// begins with nothing.
func TestFuelIsSaved(t *testing.T) {
	const fuel, refill = 3000, 1200
	onBothEngines(t, func(t *testing.T, cfg Config) {
		cfg.Limits = Limits{Fuel: fuel, Refill: refill}
		p := load(t, "probe", cfg)
		given := func() uint64 { // what an event that spends all of it had
			t.Helper()
			before := p.FuelUsed()
			if _, err := p.Decide(&abi.Event{Component: probeEndless}, nil); !errors.Is(err, ErrFuel) {
				t.Fatalf("got %v, want %v", err, ErrFuel)
			}
			if _, err := p.Revive(); err != nil {
				t.Fatal(err)
			}
			return p.FuelUsed() - before - started(t, cfg)
		}
		if got := given(); got != refill {
			t.Errorf("the first event had %d, want %d", got, refill)
		}
		for _, idle := range []uint64{1, 10} {
			var spent uint64
			for range idle {
				before := p.FuelUsed()
				if _, err := p.Decide(&abi.Event{Component: probeCount}, nil); err != nil {
					t.Fatal(err)
				}
				spent = p.FuelUsed() - before
			}
			want := min(refill-spent+refill, fuel)
			if idle == 10 {
				want = fuel
			}
			if got := given(); got != want {
				t.Errorf("after %d events that take %d: got %d, want %d", idle, spent, got, want)
			}
		}
	})
}

// started is the fuel that starting probe takes.
func started(t *testing.T, cfg Config) uint64 {
	t.Helper()
	return load(t, "probe", cfg).FuelUsed()
}

// A suspended policy answers nothing and begins anew.
func TestSuspend(t *testing.T) {
	onBothEngines(t, func(t *testing.T, cfg Config) {
		p := load(t, "probe", cfg)
		count := func() uint64 {
			t.Helper()
			got, err := p.Decide(&abi.Event{Component: probeCount}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return got[0].Arg
		}
		count()
		count()
		used := p.FuelUsed()
		p.Suspend()
		p.Suspend()
		_, err := p.Decide(&abi.Event{Component: probeCount}, nil)
		var fault *Fault
		if !errors.As(err, &fault) || !errors.Is(err, ErrLost) || fault.Reason() != "lost" {
			t.Errorf("while suspended: got %v, want %v", err, ErrLost)
		}
		if fresh, err := p.Revive(); !fresh || err != nil {
			t.Errorf("Revive: %t, %v, want a fresh instance", fresh, err)
		}
		if n := count(); n != 1 || p.FuelUsed() <= used {
			t.Errorf("it has seen %d events and spent %d in all, want 1 and more than %d", n, p.FuelUsed(), used)
		}
	})
}

// The same events spend the same fuel on either engine.
func TestFuelIsTheSameOnBothEngines(t *testing.T) {
	var used []uint64
	onBothEngines(t, func(t *testing.T, cfg Config) {
		for _, name := range []string{"probe", "wasi"} {
			p := load(t, name, cfg)
			for c := range uint32(16) {
				_, _ = p.Decide(&abi.Event{Kind: abi.Need, Component: c % 12, Seq: 1}, nil) // faults belong to it
				used = append(used, p.FuelUsed())
				if _, err := p.Revive(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if half := len(used) / 2; half == 0 {
		t.Error("nothing was measured")
	} else if diff := cmp.Diff(used[:half], used[half:]); diff != "" {
		t.Errorf("fuel (-compiler +interpreter):\n%s", diff)
	}
}

// The limits of an event are those of the configuration.
func TestConfiguredLimits(t *testing.T) {
	p := load(t, "probe", Config{Limits: Limits{Fuel: 5000, Refill: 9000, StackBytes: 10000, MemoryPages: 2}})
	for _, tt := range []struct {
		component uint32
		is        error
		says      string
	}{{probeEndless, ErrFuel, "all 5000 units"}, {probeRecurse, ErrStack, "10000 bytes"}} {
		if _, err := p.Decide(&abi.Event{Component: tt.component}, nil); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("got %v, want %q with %q", err, tt.is, tt.says)
		}
		if _, err := p.Revive(); err != nil {
			t.Fatal(err)
		}
	}
	p = load(t, "probe", Config{Limits: Limits{MemoryPages: 2, Refill: DefaultFuel}})
	if got, err := p.Decide(&abi.Event{Component: probeGrows}, nil); err != nil || got[0].Arg != 1 {
		t.Errorf("growing to 3 pages of 2: got %v, %v, want 1 page", got, err)
	}
}

func TestWASI(t *testing.T) {
	const inval, badf = 28, 8
	onBothEngines(t, func(t *testing.T, cfg Config) {
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		p := load(t, "wasi", cfg)
		ask := func(p *Policy, function uint32) (errno uint16, value uint64) {
			t.Helper()
			got, err := p.Decide(&abi.Event{Component: function, Time: 123456789}, nil)
			if err != nil || len(got) != 1 {
				t.Fatalf("function %d: got %v, %v", function, got, err)
			}
			return got[0].Reason, got[0].Arg
		}
		for _, tt := range []struct {
			name     string
			function uint32
			errno    uint16
			value    uint64
		}{
			{"the clock shows the event's time", 0, 0, 123456789},
			{"an unknown clock", 9, inval, 123456789},
			{"writing to standard error", 2, 0, 23},
			{"writing to a file", 3, badf, 23},
			{"no arguments", 4, 0, 0},
			{"no environment", 5, 0, 0},
			{"yielding", 6, 0, 0},
			{"waiting is over at once", 7, 0, 42},
		} {
			if errno, value := ask(p, tt.function); errno != tt.errno || value != tt.value {
				t.Errorf("%s: got error %d and %d, want %d and %d", tt.name, errno, value, tt.errno, tt.value)
			}
		}
		for _, want := range []string{`text=hello\x1b[31m`, `text="second line"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log lacks %s:\n%s", want, log.String())
			}
		}

		// A line of 23 bytes in one vector is paid for: by what writing to no file leaves out.
		spent := func(function uint32) uint64 {
			before := p.FuelUsed()
			ask(p, function)
			return p.FuelUsed() - before
		}
		if got := spent(2) - spent(3); got != 32+8*23 {
			t.Errorf("writing a line takes %d more than not writing it, want %d", got, 32+8*23)
		}

		_, first := ask(p, 1)
		_, second := ask(p, 1)
		again := load(t, "wasi", cfg)
		if _, value := ask(again, 1); value != first || first == second || first == 0 {
			t.Errorf("random numbers %#x, %#x and in a second instance %#x: want two that differ and the first again", first, second, value)
		}

		if _, err := p.Decide(&abi.Event{Component: 8}, nil); !errors.Is(err, ErrTrap) || !strings.Contains(err.Error(), "proc_exit(3)") {
			t.Errorf("exiting: got %v, want a trap that names the code", err)
		}
		if fresh, err := p.Revive(); !fresh || err != nil {
			t.Fatalf("Revive: %t, %v", fresh, err)
		}
		if _, err := p.Decide(&abi.Event{Component: 10}, nil); !errors.Is(err, ErrFuel) {
			t.Errorf("2 GiB of random bytes: got %v, want %v", err, ErrFuel)
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	p := load(t, "wasi", Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Limits: Limits{LogBytes: 200}})
	for range 20 {
		if _, err := p.Decide(&abi.Event{Component: 11}, nil); !errors.Is(err, ErrFuel) {
			t.Fatalf("got %v, want %v", err, ErrFuel)
		}
		if _, err := p.Revive(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "policy says"); n != 18 {
		t.Errorf("%d lines of 200 bytes, want 17 and a piece:\n%s", n, log.String())
	}
	if n := strings.Count(log.String(), "the rest is dropped"); n != 1 {
		t.Errorf("the end of the log is announced %d times, want once", n)
	}
}

// What a policy logs tells of which event it was said, and that of one that failed has its
// first lines and its last.
func TestAFaultHasItsLastWords(t *testing.T) {
	var log bytes.Buffer
	p := load(t, "wasi", Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := p.Decide(&abi.Event{Seq: 77, Component: 11}, nil)
	var fault *Fault
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want a fault", err)
	}
	if n := len(fault.Said); n != maxEventLines+1+maxLastLines || !strings.HasSuffix(fault.Said[maxEventLines], " lines)") {
		t.Errorf("%d lines, want the first %d, how many are left out, and the last %d: %q", n, maxEventLines, maxLastLines, fault.Said)
	}
	if n := strings.Count(log.String(), `msg="policy says" policy=`); n != maxEventLines+maxLastLines || n != strings.Count(log.String(), " event=77 ") {
		t.Errorf("%d lines are logged, want %d of event 77:\n%s", n, maxEventLines+maxLastLines, log.String())
	}
	if _, err := p.Revive(); err != nil {
		t.Fatal(err)
	}
	_, err = p.Decide(&abi.Event{Seq: 78, Component: 8}, nil)
	if fault = nil; !errors.As(err, &fault) || len(fault.Said) > 0 {
		t.Errorf("%v; said %q, want nothing of an event before", err, fault.Said)
	}
}

func TestCloseTwice(t *testing.T) {
	p := load(t, "nothing", Config{})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Decide(&abi.Event{}, nil); !errors.Is(err, ErrLost) {
		t.Errorf("after Close: got %v, want %v", err, ErrLost)
	}
	if _, err := p.Revive(); err == nil {
		t.Error("a closed policy came back to life")
	}
}
