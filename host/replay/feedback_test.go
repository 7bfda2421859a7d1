package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// cast are the policies of these tests, by name.
func cast(name string) (replay.Module, error) {
	m := replay.Module{Info: report.Policy{Name: name}, Schema: "cast"}
	switch name {
	case "eager":
		m.Policy = eager{4}
	case "scholar":
		m.Policy = &scholar{}
	case "stumbles":
		m.Policy = stumbles{}
	case "confused":
		m.Policy = &scholar{faulty: true}
	default:
		return m, fmt.Errorf("%q does not load", name)
	}
	return m, nil
}

// stumbles is a policy that fails whenever a component is registered.
type stumbles struct{ eager }

func (stumbles) Decide(ev *abi.Event, _ []byte) ([]abi.Decision, error) {
	if ev.Kind == abi.Component && ev.Seq > 0 {
		return nil, errors.New("a component")
	}
	return nil, nil
}

// record runs a replay and returns its journal, whole or not, beside what came of it.
func record(t testing.TB, ctx context.Context, cfg replay.Config) ([]byte, bool, *report.Report, error) {
	t.Helper()
	var file bytes.Buffer
	cfg.Record = &replay.Recording{To: &file, Offhost: "test"}
	r, err := replay.Run(ctx, cfg)
	return file.Bytes(), cfg.Record.Whole(), r, err
}

// feedback feeds a journal back.
func feedback(t testing.TB, file []byte, movement func(replay.Movement) error) (*report.Report, error) {
	t.Helper()
	j, err := journal.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return replay.Feedback(context.Background(), replay.FeedbackConfig{
		Journal: j, Baselines: j.Header().Baselines, Movement: movement,
		Load: func(id journal.Identity) (replay.Module, error) { return cast(id.Name) },
	})
}

// On the simulated device the report of a journal is the report of its run, and the
// movements are its movements.
func TestAJournalHasItsRunsReport(t *testing.T) {
	swap := func(at int64, name string, trial int) replay.Swap {
		return replay.Swap{At: at, Name: name, Trial: trial, Load: func() (replay.Module, error) { return cast(name) }}
	}
	cases := map[string]func() replay.Config{
		"nested": func() replay.Config { return small(text(t, nested, 5)) },
		"interleaved": func() replay.Config {
			c := small(text(t, interleaved, 5))
			c.Baselines = nil // while one request waits, another's entered component seems to compute
			return c
		},
		"swapped": func() replay.Config {
			c := small(text(t, nested, 8))
			c.Policy.Policy, c.Policy.Info.Name = &scholar{}, "scholar"
			c.Swaps = []replay.Swap{swap(40, "eager", 0), swap(90, "missing", 0), swap(120, "scholar", 7), swap(1e6, "eager", 0)}
			return c
		},
		"swapped while components are registered": func() replay.Config {
			c := small(text(t, nested, 2))
			c.Swaps = []replay.Swap{swap(2, "stumbles", 0)}
			return c
		},
		"with state": func() replay.Config {
			c := small(text(t, nested, 3))
			c.State = shelf{"": []byte{7}}
			c.Policy.Policy, c.Policy.Info.Name = &scholar{faulty: true}, "confused"
			return c
		},
		"files": func() replay.Config {
			c := small(text(t, nested, 3))
			c.FileBytes, c.File, c.Exclude, c.IgnoreWorkspace = []units.Bytes{20 * MB}, 1e9, []string{"text"}, true
			return c
		},
	}
	for _, name := range library.Names() {
		cases[name] = func() replay.Config {
			c := config(t, name, 2, 44*units.GB)
			c.Policy.Policy, c.Policy.Info.Name = &scholar{}, "scholar"
			return c
		}
	}
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			c := cfg()
			var first, second []replay.Movement
			c.Movement = func(m replay.Movement) error { first = append(first, m); return nil }
			file, whole, want, err := record(t, context.Background(), c)
			if err != nil || !whole {
				t.Fatal(err, whole)
			}
			got, err := feedback(t, file, func(m replay.Movement) error { second = append(second, m); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("the report differs (-run +journal):\n%s", d)
			}
			if d := cmp.Diff(first, second); d != "" || len(first) == 0 {
				t.Errorf("%d movements, which differ (-run +journal):\n%s", len(first), d)
			}
		})
	}
}

// A run that ends early leaves a journal, which is fed back up to there and says why.
func TestAJournalOfARunThatEndedEarly(t *testing.T) {
	broken := nested[:strings.LastIndex(nested, `{"kind":"exit"`)]
	stop := errors.New("enough")
	for _, c := range []struct {
		name string
		cfg  func(cancel func()) replay.Config
		is   error
	}{
		{"a trace that breaks off", func(func()) replay.Config { return small(text(t, broken, 0)) }, io.ErrUnexpectedEOF},
		{"a cancelled context", func(cancel func()) replay.Config {
			return small(&stops{text(t, nested, 100), 42, cancel})
		}, stop},
		{"a budget that a call does not fit", func(func()) replay.Config {
			c := small(text(t, interleaved, 2))
			c.Budget = 45 * MB
			return c
		}, nil},
		{"a movement that nobody takes", func(func()) replay.Config {
			c := small(text(t, nested, 2))
			c.Movement = func(replay.Movement) error { return stop }
			return c
		}, stop},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			file, whole, _, err := record(t, ctx, c.cfg(func() { cancel(stop) }))
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !whole {
				t.Fatalf("%v, whole: %v; want a whole journal of a run that fails by %v", err, whole, c.is)
			}
			r, err2 := feedback(t, file, nil)
			if err2 != nil {
				t.Fatal(err2)
			}
			if r.Inputs == 0 || r.EndedEarly != err.Error() {
				t.Errorf("%d inputs, ended by %q; want some, and %v", r.Inputs, r.EndedEarly, err)
			}
		})
	}
}

// A run that never began leaves none.
func TestNoJournalOfARunThatNeverBegan(t *testing.T) {
	for name, spoil := range map[string]func(*replay.Config){
		"no such component": func(c *replay.Config) { c.Keep = []string{"vae"} },
		"excluded too much": func(c *replay.Config) { c.Exclude = []string{"*"} },
		"no budget":         func(c *replay.Config) { c.Budget = 0 },
	} {
		c := small(text(t, nested, 2))
		spoil(&c)
		if _, whole, _, err := record(t, context.Background(), c); err == nil || whole {
			t.Errorf("%s: %v, whole: %v; want an error and no journal", name, err, whole)
		}
	}
}

// breaks is a writer that fails after some bytes.
type breaks struct{ left int }

func (b *breaks) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

// A recording that cannot be written ends the run, and is not whole.
func TestARecordingThatCannotBeWritten(t *testing.T) {
	for _, left := range []int{0, 100_000} {
		c := config(t, "flux-bf16-blocks", 1, 24*units.GB)
		c.Record = &replay.Recording{To: &breaks{left}}
		if _, err := replay.Run(context.Background(), c); err == nil || !strings.Contains(err.Error(), "no space left") || c.Record.Whole() {
			t.Errorf("after %d bytes: %v, whole: %v; want the writer's error and no journal", left, err, c.Record.Whole())
		}
	}
}

// Calls that make no trace leave the baselines out, not the replay.
func TestBaselinesOfCallsThatMakeNoTrace(t *testing.T) {
	var file bytes.Buffer
	e, err := host.New(host.Config{Budget: 100, Chunk: 10, Granularity: 10})
	if err != nil {
		t.Fatal(err)
	}
	w, err := journal.NewWriter(&file, journal.Header{Engine: journal.Engine{Budget: 100, Chunk: 10, Granularity: 10, H2D: 1, D2H: 1}, Pageable: 1,
		Pipelines: []journal.Pipeline{{Name: "p"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []host.Input{
		{Kind: host.InRegister, Spec: host.Spec{Name: "a", Parent: host.NoComponent}},
		{Kind: host.InCall, Call: 1, Component: 0}, // outside requests
		{Kind: host.InDone, Call: 1},
	} {
		out, err := e.Step(in)
		if err == nil {
			err = w.Write(&in, journal.Identity{}, out)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := e.DecisionsSHA256()
	if err := w.Close(journal.End{DecisionsSHA256: fmt.Sprintf("%x", sum)}); err != nil {
		t.Fatal(err)
	}
	j, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := replay.Feedback(context.Background(), replay.FeedbackConfig{Journal: j, Baselines: replay.Baselines})
	if err != nil || len(r.Baselines) != 0 || r.Calls != 1 || !strings.Contains(strings.Join(r.Notes, "\n"), "baselines cannot be computed") {
		t.Errorf("%v, %+v; want one call, no baselines, and why", err, r)
	}
}
