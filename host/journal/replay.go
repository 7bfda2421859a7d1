package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"github.com/offhost/offhost/host"
)

// Compare compares what followed from an entry's input with what the journal says. A
// difference is a *Difference that names the first.
func Compare(x *Entry, out *host.Output) error {
	for i := range out.Actions {
		if i == len(x.Actions) {
			return x.differs("no more than %d actions", fmt.Sprint(len(x.Actions)), describe(actionOf(&out.Actions[i])))
		}
		if now := actionOf(&out.Actions[i]); now != x.Actions[i] {
			return x.differs("%s", describe(x.Actions[i]), describe(now))
		}
	}
	if n := len(out.Actions); n < len(x.Actions) {
		return x.differs("%s", describe(x.Actions[n]), fmt.Sprintf("no more than %d actions", n))
	}
	return nil
}

func (x *Entry) differs(format, recorded, came string) *Difference {
	return &Difference{Input: x.Number, Line: x.Line, Time: x.Input.Time, Kind: x.Input.Kind,
		Recorded: fmt.Sprintf(format, recorded), Came: came}
}

// describe is an action as a journal has it.
func describe(a Action) string {
	var l actionLine
	l.put(&a)
	b, err := json.Marshal(&l)
	if err != nil { // an error's text that is not UTF-8
		return fmt.Sprintf("%+q", fmt.Sprint(a))
	}
	return string(b)
}

// An Observer is given each entry with what followed from it, after the comparison;
// its error ends the replay. Entry and output are valid until it returns. A swap's
// Input has its Policy.
type Observer func(*host.Engine, *Entry, *host.Output) error

// Replay feeds a journal to a new engine, compares every action and at the end the
// hash of the decisions, and returns the engine. The first thing that differs is a
// *Difference; if the journal turns out to have been changed, that is the error
// instead, an *Error.
//
// Load is asked for the policies, first for the header's unless that is none, then
// for that of each swap; their lifetimes are the caller's. Observe may be nil.
func Replay(ctx context.Context, r *Reader, load func(Identity) (host.Policy, error), observe Observer) (*host.Engine, error) {
	cfg := r.Header().Engine.Config()
	if first := r.Header().Policy; first != (Identity{}) {
		p, err := load(first)
		if err != nil {
			return nil, r.blame(ctx, fmt.Errorf("policy %s of the journal: %w", clip(first.Name), err))
		}
		cfg.Policy = p
	}
	e, err := host.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("the journal's engine: %w", err)
	}
	var x Entry
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.Next(&x); err == io.EOF {
			return e, sameDecisions(r, e)
		} else if err != nil {
			return nil, err
		}
		if x.Input.Kind == host.InSwap {
			if x.Input.Policy, err = load(x.Swap); err != nil {
				return nil, r.blame(ctx, fmt.Errorf("policy %s, swapped to before input %d: %w", clip(x.Swap.Name), x.Number, err))
			}
		}
		out, err := e.Step(x.Input)
		if err != nil {
			return nil, r.blame(ctx, x.differs("%s", "that the engine took it", fmt.Sprintf("that it refuses it: %v", err)))
		}
		if err := Compare(&x, out); err != nil {
			return nil, r.blame(ctx, err)
		}
		if observe != nil {
			if err := observe(e, &x, out); err != nil {
				return nil, err
			}
		}
	}
}

// blame reads on to the journal's end, after an error that the journal led to. When it
// finds that the journal was changed, that is what was wrong.
func (j *Reader) blame(ctx context.Context, found error) error {
	var x Entry
	for ctx.Err() == nil {
		err := j.Next(&x)
		var broken *Error
		switch {
		case err == io.EOF:
			return found
		case errors.As(err, &broken):
			return fmt.Errorf("%w (it showed first in this: %v)", err, found)
		case err != nil:
			return errors.Join(found, err)
		}
	}
	return found
}

func sameDecisions(r *Reader, e *host.Engine) error {
	if r.End().DecisionsSHA256 == "" { // the run ended early
		return nil
	}
	sum := e.DecisionsSHA256()
	if now := hex.EncodeToString(sum[:]); now != r.End().DecisionsSHA256 {
		return &Difference{Line: r.line, Recorded: "decisions_sha256 " + r.End().DecisionsSHA256, Came: now}
	}
	return nil
}
