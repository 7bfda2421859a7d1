package host

import "github.com/offhost/offhost/abi"

// A Policy proposes. It is told what happens and may answer with decisions; the
// engine judges them. runtime.Policy, a sandboxed WebAssembly module, is the usual
// one.
type Policy interface {
	// Decide delivers one event with its payload and returns the answer, which is
	// read before the next call. An error voids the answer.
	Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error)
	// Revive is called after an error of Decide. It reports whether the policy
	// starts anew and has to be told the state again; an error means that the
	// policy cannot be used any more.
	Revive() (fresh bool, err error)
	// Suspend gives back what a running instance holds. Revive brings a fresh one.
	Suspend()
}

// A StateKeeper is a policy whose learned state can outlive it.
type StateKeeper interface {
	// Save returns the state, nil when there is none.
	Save() ([]byte, error)
	// Restore hands over what Save returned, perhaps of another module. It is called
	// once, after the policy was told the present state. A policy that does not want
	// it says so by accepted; an error is a fault.
	Restore(blob []byte) (accepted bool, err error)
}
