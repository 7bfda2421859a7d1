// Package host is the residency engine: it decides, together with a policy, which
// bytes of which component are on the device, and says so in actions.
//
// The engine is a deterministic state machine. Step takes one Input (a call
// begins, a copy completed, the budget changed) and returns the Actions that
// follow (copy this chunk, release that one, grant this call) and the Records that
// explain them. There is no clock, goroutine or I/O inside: time arrives in the
// input, a Device performs the actions and reports their completion as inputs.
// The same inputs give the same actions on every machine.
//
// A Policy proposes; the engine validates each proposal against rules that no
// policy can break (validate.go), completes what is short and takes over when the
// policy fails (floor.go).
//
// Who calls it: package replay (a recorded trace on a virtual or real device), and
// later a daemon. It knows neither WebAssembly nor CUDA: a Policy speaks package
// abi's types, a Device takes Actions.
//
// The files, in the order in which a call passes through them: component.go (what
// is registered), input.go and calls.go (a call arrives, waits, is admitted and
// granted), events.go and validate.go (the policy is told and asked), room.go and
// floor.go (room is made), transfer.go (chunks are copied), action.go and record.go
// (what comes out). Beside it: attach.go, swap.go and harm.go (which policy decides,
// and how far), thrash.go, and drive.go, which carries actions to a Device.
package host
