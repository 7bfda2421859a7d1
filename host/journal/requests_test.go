package journal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

func opener(file []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }
}

func records(t testing.TB, from trace.Records) (list []trace.Record) {
	t.Helper()
	for {
		var r trace.Record
		if err := from.Next(&r); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		r.Line = 0
		list = append(list, r)
	}
}

// On the simulated device, which takes no time for anything but transfers and
// computing, the calls of a run are its trace.
func TestTheCallsOfARunAreItsTrace(t *testing.T) {
	for _, test := range []struct {
		trace    string
		requests int64
		budget   units.Bytes
		policy   string
	}{
		{"flux-bf16", 2, 26 * units.GB, "one by one"},
		{"flux-bf16-blocks", 1, 12 * units.GB, ""},
		{"three-pipelines", 4, 24 * units.GiB, ""},
		{"flux-controlnet", 1, 40 * units.GB, ""},
	} {
		c := config(t, test.trace, test.requests, test.budget)
		c.Policy = module(t, test.policy)
		file, first := record(t, c)
		again, err := journal.Requests(opener(file))
		if err != nil {
			t.Fatalf("%s: %v", test.trace, err)
		}
		want := records(t, config(t, test.trace, test.requests, test.budget).Source)
		if d := cmp.Diff(want, records(t, again)); d != "" {
			t.Errorf("%s:\n%s", test.trace, d)
		}

		// Run again, they come to the same report.
		if again, err = journal.Requests(opener(file)); err != nil {
			t.Fatal(err)
		}
		c.Source, c.Policy = again, module(t, test.policy)
		second, err := replay.Run(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first, second); d != "" {
			t.Errorf("%s: reports differ:\n%s", test.trace, d)
		}
	}
}

// script writes a journal of what a script says, and reads its calls.
func script(t *testing.T, entries []journal.Entry) ([]trace.Record, error) {
	t.Helper()
	var file bytes.Buffer
	w, err := journal.NewWriter(&file, journal.Header{Engine: journal.Engine{Budget: 100, Chunk: 1, Granularity: 1},
		Pipelines: []journal.Pipeline{{Name: "p", Components: []int{0, 1, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		entries = append([]journal.Entry{{Input: host.Input{Kind: host.InRegister, Spec: host.Spec{Name: string(rune('d' - i)), Bytes: 1, Parent: host.NoComponent}}}}, entries...)
	}
	for i := range entries {
		out := &host.Output{}
		for _, a := range entries[i].Actions {
			b := host.Action{Kind: a.Kind, Call: a.Call}
			if a.Kind == host.ActRefuse {
				b.Err = errors.New("refused")
			}
			out.Actions = append(out.Actions, b)
		}
		if err := w.Write(&entries[i].Input, journal.Identity{}, out); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(journal.End{DecisionsSHA256: hex.EncodeToString(make([]byte, 32))}); err != nil {
		t.Fatal(err)
	}
	c, err := journal.Requests(opener(file.Bytes()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var list []trace.Record
	for {
		var r trace.Record
		if err := c.Next(&r); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		r.Line = 0
		list = append(list, r)
	}
}

func begin(at time.Duration, request uint32) journal.Entry {
	return journal.Entry{Input: host.Input{Kind: host.InBegin, Time: at, Request: request, Signature: abi.NameHash("p")}}
}

func call(at time.Duration, request uint32, k host.CallID, c host.ID, actions ...journal.Action) journal.Entry {
	return journal.Entry{Input: host.Input{Kind: host.InCall, Time: at, Request: request, Call: k, Component: c}, Actions: actions}
}

func done(at time.Duration, k host.CallID, actions ...journal.Action) journal.Entry {
	return journal.Entry{Input: host.Input{Kind: host.InDone, Time: at, Call: k}, Actions: actions}
}

func end(at time.Duration, request uint32) journal.Entry {
	return journal.Entry{Input: host.Input{Kind: host.InEnd, Time: at, Request: request}}
}

func tick(at time.Duration, actions ...journal.Action) journal.Entry {
	return journal.Entry{Input: host.Input{Kind: host.InTick, Time: at}, Actions: actions}
}

func grant(k host.CallID) journal.Action  { return journal.Action{Kind: host.ActGrant, Call: k} }
func refuse(k host.CallID) journal.Action { return journal.Action{Kind: host.ActRefuse, Call: k} }

// Calls compute from their grant to their end, or to the first call inside them; what
// never ran is left out; what a journal leaves open ends with it.
func TestRequests(t *testing.T) {
	record := func(k trace.Kind, request uint32, c int, compute time.Duration) trace.Record {
		return trace.Record{Kind: k, Request: request, Component: c, Compute: compute}
	}
	none := trace.NoComponent
	for _, test := range []struct {
		name    string
		entries []journal.Entry
		want    []trace.Record
		err     string
	}{
		{"nested", []journal.Entry{begin(1, 1), call(1, 1, 1, 0), tick(5, grant(1)), call(8, 1, 2, 1, grant(2)), done(10, 2),
			call(12, 1, 3, 2, grant(3)), done(13, 3), done(20, 1), end(20, 1)},
			[]trace.Record{record(trace.Begin, 1, none, 0), record(trace.Enter, 1, 0, 3), record(trace.Call, 1, 1, 2), record(trace.Call, 1, 2, 1),
				record(trace.Exit, 1, 0, 0), record(trace.End, 1, none, 0)}, ""},
		{"a refused call and one that outlasts those around it", []journal.Entry{begin(0, 1), call(0, 1, 1, 0, refuse(1)), call(0, 1, 2, 1, grant(2)),
			call(2, 1, 3, 2, grant(3)), done(3, 2), done(7, 3), end(7, 1)},
			[]trace.Record{record(trace.Begin, 1, none, 0), record(trace.Enter, 1, 1, 2), record(trace.Call, 1, 2, 5), record(trace.Exit, 1, 1, 0), record(trace.End, 1, none, 0)}, ""},
		{"two requests at once", []journal.Entry{begin(0, 1), begin(0, 2), call(0, 1, 1, 0, grant(1)), call(1, 2, 2, 1, grant(2)), done(3, 2), end(3, 2), done(9, 1), end(9, 1)},
			[]trace.Record{record(trace.Begin, 1, none, 0), record(trace.Begin, 2, none, 0), record(trace.Call, 1, 0, 9), record(trace.Call, 2, 1, 2), record(trace.End, 2, none, 0), record(trace.End, 1, none, 0)}, ""},
		{"left open", []journal.Entry{begin(0, 1), call(0, 1, 1, 0, grant(1)), call(2, 1, 2, 1, grant(2)), begin(2, 2), call(3, 2, 3, 0), tick(7)},
			[]trace.Record{record(trace.Begin, 1, none, 0), record(trace.Enter, 1, 0, 2), record(trace.Call, 1, 1, 5), record(trace.Begin, 2, none, 0),
				record(trace.Exit, 1, 0, 0), record(trace.End, 1, none, 0), record(trace.End, 2, none, 0)}, ""},
		{"no requests", []journal.Entry{tick(4)}, nil, "the journal has no requests to run again"},
		{"outside requests", []journal.Entry{call(0, 0, 1, 0)}, nil, "line 6: field request: call 1 belongs to none"},
		{"inside one that waits", []journal.Entry{begin(0, 1), call(0, 1, 1, 0), call(0, 1, 2, 1)}, nil, "line 8: calls 1 and 2 of one request wait"},
		{"inside itself", []journal.Entry{begin(0, 1), call(0, 1, 1, 0, grant(1)), call(0, 1, 2, 0, grant(2)), done(1, 2)}, nil, "line 8: a trace cannot have this call: "},
		{"not in the pipeline", []journal.Entry{begin(0, 1), call(0, 1, 1, 3, grant(1)), done(1, 1)}, nil, "line 7: a trace cannot have this call: "},
		{"too long", []journal.Entry{begin(0, 1), call(0, 1, 1, 1, grant(1)), done(25*time.Hour, 1)}, nil, "line 7: a trace cannot have this call: "},
		{"an unknown pipeline", []journal.Entry{{Input: host.Input{Kind: host.InBegin, Request: 1}}}, nil, "line 6: field signature: is that of no pipeline"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := script(t, test.entries)
			if test.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Fatalf("error\n got %v\nwant %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
