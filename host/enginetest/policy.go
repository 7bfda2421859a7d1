package enginetest

import (
	"errors"
	"math/rand/v2"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// wildPolicy answers at random: sensible, unlawful and malformed decisions, errors,
// lost instances. What it says depends on its seed and the event alone, so that a
// second run hears the same.
type wildPolicy struct {
	Seed       uint64
	Components int
	Wildness   int // 0 to 100: how often it says anything
	Dead       bool

	scale     units.Bytes
	suspended bool
}

func randomPolicy(r *rand.Rand, components int) wildPolicy {
	return wildPolicy{Seed: r.Uint64(), Components: components, Wildness: []int{0, 10, 60, 100}[r.IntN(4)], Dead: r.IntN(10) == 0}
}

func (p *wildPolicy) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if p.suspended {
		panic("a suspended policy is told something")
	}
	r := rand.New(rand.NewPCG(p.Seed, ev.Seq<<8|uint64(ev.Kind)))
	if r.IntN(100) >= p.Wildness {
		return nil, nil
	}
	if r.IntN(40) == 0 {
		return nil, errors.New("the policy failed")
	}
	var ds []abi.Decision
	for range r.IntN(4) {
		d := abi.Decision{Op: abi.Op(1 + r.IntN(3)), Component: uint32(r.IntN(p.Components)), Reason: uint16(r.IntN(9))}
		if r.IntN(2) == 0 {
			d.Arg = uint64(r.IntN(64)) * uint64(p.scale)
		}
		if r.IntN(50) == 0 {
			d.Op, d.Component = abi.Op(r.IntN(6)), r.Uint32()
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func (p *wildPolicy) Suspend() { p.suspended = true }

func (p *wildPolicy) Save() ([]byte, error) {
	if p.Seed%3 == 0 {
		return nil, errors.New("cannot save")
	}
	return []byte{byte(p.Seed)}, nil
}

func (p *wildPolicy) Restore(blob []byte) (bool, error) {
	if blob[0]%5 == 0 {
		return false, errors.New("cannot restore")
	}
	return blob[0]%2 == 0, nil
}

func (p *wildPolicy) Revive() (bool, error) {
	r := rand.New(rand.NewPCG(p.Seed, 77))
	if p.Dead {
		return false, errors.New("dead")
	}
	if p.suspended {
		p.suspended = false
		return true, nil
	}
	return r.IntN(2) == 0, nil
}
