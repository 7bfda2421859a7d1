// Package conformance checks whether a policy module keeps to the ABI (package abi): that
// it follows every event without a fault, answers what a host can act upon, is a function of
// what it is told, survives what it is told by anybody, and does not grow. What it decides,
// and whether that is any good, is not for this package: offhost run says that.
//
// Four ideas hold it up. A Log is what an instance is told, step by step; a policy being a
// function of that, a log is all that it takes to see a fault again, and it can be written
// to a file and read (FORMAT.md). A check is a property: it makes logs, and judges a module
// by each of them. A Verdict is what it says. And minimising leaves of a log that shows a
// fault what it takes to show it, and little more.
//
// Logs come from three places. A script (stage.go, shapes.go) is acted out by a real
// engine with a simulated device, while the module under test decides: what it is told is
// what a host would tell it, and what is unlawful is so by the host's own word. Golden logs
// (golden.go) are what hosts have told the built-in lru on shipped traces, the same for
// every module. And what no host has told yet, such as events of a later version or names
// of 64 KiB, is made by hand (future.go, hostile.go).
//
// Third parties import it to test a module of their own:
//
//	//go:embed my.wasm
//	var wasm []byte
//
//	func TestMyPolicy(t *testing.T) {
//		conformance.Test(t, wasm, conformance.Config{Quick: true})
//	}
//
// The command line's "offhost policy check" is the same, with the steps of loading before
// it. Everything is deterministic: the same module, configuration and seed bring the same
// report.
package conformance
