package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/report"
)

// A Module is a policy with what a report says of it. The zero value leaves
// everything to the floor.
type Module struct {
	Policy host.Policy
	Info   report.Policy
	// Reasons are the texts of the policy's reason codes, as far as it declares
	// them.
	Reasons map[uint16]string
	// Schema names the form of the policy's saved state, if it declares one: modules
	// of one schema understand each other's.
	Schema string
}

// understands reports whether m can go on from what other has saved.
func (m Module) understands(other Module) bool {
	return m.Info.SHA256 == other.Info.SHA256 || m.Schema != "" && m.Schema == other.Schema
}

// A StateStore keeps what policies have learned from one run to the next. What a
// module cannot have is nil.
type StateStore interface {
	Get(Module) ([]byte, error)
	Put(Module, []byte) error
	Delete(Module) error
}

// A Swap exchanges the policy during a replay.
type Swap struct {
	// At is the number of the engine input, from 1, just before which the exchange
	// happens or the trial begins. Registrations are inputs, and completions are;
	// swaps are not.
	At int64
	// Name is the policy's, for when it cannot be loaded.
	Name string
	// Trial is for how many events it follows without deciding first.
	Trial int
	// Load is called when the time has come. The replay closes the policy when it is
	// done with it, if it is an io.Closer.
	Load func() (Module, error)
}

// troupe is the policies of a replay, in the order of their numbers.
type troupe struct {
	modules  []Module
	running  uint32          // number of the chosen one
	store    StateStore      // nil: state ends with the run
	tookOver []report.Policy // the first that did
	swaps    []Swap          // to come, by At
	fuel     uint64          // of those that were closed
	refused  int64           // swaps whose policy could not be loaded
	notes    notes           // of swaps
	aside    notes           // of what no input of the engine tells
}

func newTroupe(first Module, swaps []Swap) *troupe {
	swaps = slices.Clone(swaps)
	slices.SortStableFunc(swaps, func(a, b Swap) int { return int(max(-1, min(1, a.At-b.At))) })
	return &troupe{modules: []Module{first}, running: 1, swaps: swaps}
}

// module is the policy of a number.
func (t *troupe) module(number uint32) Module {
	if i := int(number) - 1; i >= 0 && i < len(t.modules) {
		return t.modules[i]
	}
	return Module{}
}

// due returns the swap that is to be fed before input n, if one is.
func (t *troupe) due(n int64) (host.Input, bool) {
	for len(t.swaps) > 0 && t.swaps[0].At <= n {
		s := t.swaps[0]
		t.swaps = t.swaps[1:]
		m, err := s.Load()
		if err != nil {
			t.refused++
			t.aside.add(fmt.Sprintf("swap before input %d: %s was refused, the running policy stays: %v", s.At, s.Name, err))
			continue
		}
		t.modules = append(t.modules, m)
		in := host.Input{Kind: host.InSwap, Policy: m.Policy, Trial: s.Trial, Handover: m.understands(t.module(t.running))}
		if !in.Handover { // what it has itself learned in an earlier run
			in.Blob = t.saved(m)
		}
		return in, true
	}
	return host.Input{}, false
}

// swapped is the module that an input brings, if it is a swap, which is the newest.
func (t *troupe) swapped(in *host.Input) Module {
	if in.Kind != host.InSwap {
		return Module{}
	}
	return t.modules[len(t.modules)-1]
}

// saved is what a module has learned in earlier runs, nil if that is nothing.
func (t *troupe) saved(m Module) []byte {
	if t.store == nil || m.Policy == nil {
		return nil
	}
	blob, err := t.store.Get(m)
	if err != nil {
		t.aside.add(fmt.Sprintf("%s: its saved state cannot be read: %v", m.Info.Name, err))
	}
	return blob
}

// save puts away what the chosen policy has learned. A run that has come to its end is not
// lost for want of a place for that.
func (t *troupe) save() {
	m := t.module(t.running)
	keeper, ok := m.Policy.(host.StateKeeper)
	if t.store == nil || !ok {
		return
	}
	blob, err := keeper.Save()
	if err != nil {
		t.aside.add(fmt.Sprintf("%s: it could not save its state: %v", m.Info.Name, err))
		return
	}
	if blob == nil {
		return
	}
	if err := t.store.Put(m, blob); err != nil {
		t.aside.add(fmt.Sprintf("%s: its state is not kept: %v", m.Info.Name, err))
	}
}

// unfinished notes swaps that the run did not reach and a trial that it did not end.
func (t *troupe) unfinished(inputs int64, e *host.Engine) {
	if n := len(t.swaps); n > 0 {
		t.aside.add(fmt.Sprintf("%d swaps were not reached: the run had %d inputs, the first of them is set before input %d", n, inputs, t.swaps[0].At))
	}
	if _, left := e.Chosen(); left > 0 {
		m := t.modules[len(t.modules)-1]
		t.notes.add(fmt.Sprintf("%s was still on trial when the run ended, %d events before it would have taken over", m.Info.Name, left))
	}
}

// see notes what became of a swap, and forgets state that led to a fault.
func (t *troupe) see(r *host.Record) error {
	m := t.module(r.Cause.Policy)
	if r.Kind == host.RecForget && t.store != nil {
		t.aside.add(fmt.Sprintf("%s: %s", m.Info.Name, r.Text))
		return t.store.Delete(m)
	}
	if r.Kind != host.RecSwap {
		return nil
	}
	if r.Err == nil {
		t.running = r.Cause.Policy
		if len(t.tookOver) < report.MostTookOver {
			t.tookOver = append(t.tookOver, m.Info)
		}
	}
	s := fmt.Sprintf("after event %d: %s (sha256 %.8s): %s", r.Cause.Event, m.Info.Name, m.Info.SHA256, r.Text)
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	t.notes.add(s)
	return nil
}

// discard closes a policy that the engine lets go; the first one is the caller's.
func (t *troupe) discard(p host.Policy) error {
	if p == t.modules[0].Policy {
		return nil
	}
	t.fuel += fuelUsed(p)
	for i := range t.modules {
		if t.modules[i].Policy == p { // keep its name, let its memory go
			t.modules[i].Policy = nil
		}
	}
	return closePolicy(p)
}

// close closes every policy that is left but the first.
func (t *troupe) close() error {
	var errs []error
	for _, m := range t.modules[1:] {
		if m.Policy != nil {
			errs = append(errs, t.discard(m.Policy))
		}
	}
	return errors.Join(errs...)
}

// closeAll closes every policy that is left.
func (t *troupe) closeAll() error {
	return errors.Join(t.close(), closePolicy(t.modules[0].Policy))
}

// fuelSpent is what all policies have spent so far.
func (t *troupe) fuelSpent() uint64 {
	sum := t.fuel
	for _, m := range t.modules {
		sum += fuelUsed(m.Policy)
	}
	return sum
}

// allNotes are what a report notes.
func (t *troupe) allNotes() []string { return append(t.notes.all("swaps"), t.aside.all("notes")...) }

// notes are the first sentences of a kind, and how many more there were.
type notes struct {
	first []string
	more  int
}

func (n *notes) add(s string) {
	if len(n.first) < maxNotes {
		n.first = append(n.first, s)
	} else {
		n.more++
	}
}

func (n *notes) all(kind string) []string {
	if n.more > 0 {
		return append(slices.Clone(n.first), fmt.Sprintf("and %d more %s", n.more, kind))
	}
	return slices.Clone(n.first)
}

func fuelUsed(p host.Policy) uint64 {
	if f, ok := p.(interface{ FuelUsed() uint64 }); ok {
		return f.FuelUsed()
	}
	return 0
}

func closePolicy(p host.Policy) error {
	if c, ok := p.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
