// Package enginetest puts an engine and a device through random worlds: components, calls,
// budgets, policies that answer anything, copies that fail, are slow or never answer, a
// device that is lost and comes back. It checks the rules that the engine never breaks
// against books of its own, and, where the device moves real bytes, every byte that a call
// sees.
//
// A world is a Schedule, plain data that rapid draws and shrinks. What a device does wrong
// is part of it, and completions are handed to the engine in the schedule's order after
// they have physically come, so that a seed reproduces a failure on a real device too.
//
// Tests of the engine (on Fake, which moves nothing) and of devices call it. It is no test
// of what a policy decides, nor of how long anything takes.
package enginetest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// A World is what a device is opened for.
type World struct {
	Budget, Chunk, Granularity units.Bytes
	Components                 []host.Spec
	// Fault is to be asked in Submit what goes wrong with the action.
	Fault func(host.Action) Fault
}

// A Fault is what a device does wrong with an action: it takes longer, ends with a
// status other than OK, having done nothing, or is done and never answers.
type Fault struct {
	Delay  time.Duration
	Status host.Status
	Silent bool
}

// A Device is one that can be lost as a whole.
type Device interface {
	host.Worker
	// Lose takes everything off the device; whatever is in flight, or submitted until
	// Restore, completes as lost.
	Lose()
	Restore() error
	Close() error
}

// A Holder is a Device that moves real bytes. A chunk's bytes are those that it had at
// first, changed by a number of calls.
type Holder interface {
	Device
	// OnDevice and InHost compare a chunk, on the device and in host memory.
	OnDevice(c host.ID, chunk, calls int) error
	InHost(c host.ID, chunk, calls int) error
	// Used is the device memory of chunks.
	Used() units.Bytes
	// Left, after Close, says what of the system's was not given back.
	Left() error
}

// A Bench is where worlds are run.
type Bench struct {
	// Scale is how many bytes stand for one: the granularity is two, a chunk eight.
	Scale units.Bytes
	// Open makes a device.
	Open func(World) (Device, error)
	// Random leaves out the worlds that are gone through fault by fault: hundreds of devices
	// are opened for them.
	Random bool
	// Dump, if set, shows an engine's state where a rule was broken.
	Dump func(*host.Engine) string
}

// Run puts the bench through random worlds, as many as rapid is told (-rapid.checks), and
// then some worlds through a fault at each point in turn.
func Run(t *testing.T, b Bench) {
	t.Run("random", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { b.run(t, schedules().Draw(t, "schedule"), nil) })
	})
	if b.Random {
		return
	}
	t.Run("each allocation fails", func(t *testing.T) {
		b.eachInTurn(t, host.OutOfMemory, func(a host.Action) bool { return a.Kind == host.ActCopyIn })
	})
	t.Run("each action fails", func(t *testing.T) {
		b.eachInTurn(t, host.Failed, func(host.Action) bool { return true })
	})
	t.Run("the device is lost at each action", func(t *testing.T) {
		b.eachInTurn(t, host.Lost, func(host.Action) bool { return true })
	})
}

// worldsInTurn is how many worlds are gone through, fault by fault.
const worldsInTurn = 12

// eachInTurn runs worlds in which all goes well, and then each again and again, with the
// first, the second, the third .. action of a kind ending in another way.
func (b Bench) eachInTurn(t *testing.T, st host.Status, concerns func(host.Action) bool) {
	runs := 0
	for seed := range worldsInTurn {
		s := schedules().Example(seed)
		s.Faults, s.Silent, s.Loses = nil, false, false
		for k := 0; ; k++ {
			n := 0
			b.run(t, s, func(a host.Action) Fault {
				if !concerns(a) {
					return Fault{}
				}
				if n++; n-1 == k {
					return Fault{Status: st}
				}
				return Fault{}
			})
			runs++
			if t.Failed() {
				t.Fatalf("world %d with fault %d", seed, k)
			}
			if n <= k {
				break
			}
		}
	}
	t.Logf("%d worlds, %d runs", worldsInTurn, runs)
	if runs < 5*worldsInTurn {
		t.Errorf("%d runs of %d worlds: hardly anything was done in them", runs, worldsInTurn)
	}
}
