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
}
