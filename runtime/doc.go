// Package runtime runs one untrusted policy module on wazero: it checks the module,
// has it metered (package meter), compiles it, and carries events in and decisions
// out through the window that the module lends. Limits are counted, not timed, so
// that the same events give the same answers and the same faults on every machine.
//
// It does not judge what a policy answers, knows nothing of memory, devices or
// requests, and does not decide what follows a fault: the engine (package host)
// does, which calls Decide and Revive. The command line calls Load, and the rest
// of a Policy's methods to say what it loaded.
package runtime
