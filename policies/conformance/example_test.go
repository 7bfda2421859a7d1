package conformance_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/offhost/offhost/policies/conformance"
)

// A module that divides by what is left after an eviction.
func Example() {
	wasm, err := os.ReadFile("testdata/faulty/divides.wasm")
	if err != nil {
		log.Fatal(err)
	}
	report, err := conformance.Run(context.Background(), wasm, conformance.Config{Quick: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range report.Verdicts {
		if v.Result == conformance.Failed {
			fmt.Printf("%s: %s\n", v.Check, v.Found[0])
			fmt.Println(len(v.Log.Steps), "events show it")
		}
	}
	// Output:
	// answers: event 3 EVICTED: trap: integer divide by zero in function "share"
	// 3 events show it
}

// A log of one's own asks a policy a question.
func ExampleReplay() {
	wasm, err := os.ReadFile("testdata/faulty/unknown-op.wasm")
	if err != nil {
		log.Fatal(err)
	}
	events, err := conformance.ReadLog(strings.NewReader(`{"kind":"LOG","format":"offhost.events/1","check":"answers"}
{"kind":"CONFIG"}
{"kind":"COMPONENT","component":0,"bytes":600000000,"payload":{"text":"transformer"}}
{"kind":"CALL","component":0,"seq":1,"bytes":600000000}
{"kind":"DONE","component":0,"seq":2,"bytes":600000000,"resident":600000000}
`))
	if err != nil {
		log.Fatal(err)
	}
	report, err := conformance.Replay(context.Background(), wasm, events, conformance.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Verdicts[0].Found[0])
	// Output:
	// event 4 DONE: malformed answer: decision 0: operation 9 is unknown, want 1 (evict), 2 (retain) or 3 (prefetch)
}
