package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

// A stock is where the weights of a trace's components come from.
type stock struct {
	name    string // as a report has it
	sources []weights.Source
	notes   []string
	folder  *weights.Folder // nil when they are made
}

// openStock opens the weights in a directory, or those that are made from a seed when
// it has no name. Weights in files have their own sizes.
func openStock(dir string, seed uint64, h *trace.Header) (*stock, error) {
	if dir == "" {
		l := &stock{name: report.Synthetic}
		for _, c := range h.Components {
			s, err := weights.Synthetic(seed, c.Name, c.Bytes)
			if err != nil {
				return nil, err
			}
			l.sources = append(l.sources, s)
		}
		return l, nil
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("weights: there is no directory %s", render.Name(dir))
	case err == nil && !info.IsDir():
		return nil, usagef("weights: %s is a file: want a directory that has NAME.safetensors, or a directory NAME, for each component", render.Name(dir))
	}
	parts := make([]weights.Part, len(h.Components))
	for i, c := range h.Components {
		parts[i].Name = c.Name
		if c.Parent != trace.NoComponent {
			parts[i].Parent = h.Components[c.Parent].Name
		}
	}
	folder, err := weights.OpenFolder(dir, parts)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	l := &stock{name: dir, folder: folder, sources: folder.Sources()}
	if choices := folder.Choices(); len(choices) > 0 {
		l.notes = append(l.notes, fmt.Sprintf("weights that have variants beside them, %d: %s", len(choices), first(choices)))
	}
	if err := l.compare(h); err != nil {
		folder.Close()
		return nil, err
	}
	return l, nil
}

// compare notes where files have other sizes than the trace says.
func (l *stock) compare(h *trace.Header) error {
	var differ []string
	for i, n := range l.sizes() {
		c := &h.Components[i]
		if n == 0 {
			return fmt.Errorf("weights: component %s has no tensors in %s: want at least one", render.Name(c.Name), render.Name(l.name))
		}
		if n != c.Bytes {
			differ = append(differ, fmt.Sprintf("%s %s instead of %s", c.Name, n.Decimal(), c.Bytes.Decimal()))
		}
	}
	if n := len(differ); n > 0 {
		l.notes = append(l.notes, fmt.Sprintf("components with other sizes in %s than in the trace, %d of %d: %s", l.name, n, len(l.sources), first(differ)))
	}
	return nil
}

// first lists some things, the first ones.
func first(of []string) string {
	const shown = 3
	if len(of) > shown {
		return strings.Join(of[:shown], ", ") + ", ..."
	}
	return strings.Join(of, ", ")
}

// sizes are the components' sizes.
func (l *stock) sizes() []units.Bytes {
	sizes := make([]units.Bytes, len(l.sources))
	for i, s := range l.sources {
		sizes[i] = s.Manifest().Bytes
	}
	return sizes
}

// load brings the weights into host memory, as far as there is room for them beside a
// device's memory, and returns how much room that was.
func (l *stock) load(ctx context.Context, r *request, h *trace.Header, device units.Bytes, cfg weights.Config) (*weights.Store, units.Bytes, error) {
	var all units.Bytes
	specs := make([]weights.Spec, len(h.Components))
	for i, c := range h.Components {
		all += c.Bytes
		specs[i] = weights.Spec{Name: c.Name, Source: l.sources[i], Writable: !c.ReadOnly}
	}
	room, err := roomForWeights(machine.Read(), r.HostBudget, device, all)
	if err != nil {
		return nil, 0, err
	}
	sizes, readOnly := sizesOf(h)
	if _, err := weights.Plan(sizes, readOnly, room); err != nil {
		return nil, 0, &config.UsageError{Err: err}
	}
	progress := newProgress(r.progress)
	cfg.Budget, cfg.Progress = room, progress.show
	store, err := weights.Load(ctx, specs, cfg)
	progress.clear()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, 0, fmt.Errorf("loading weights: %w", err)
	}
	return store, room, nil
}

func (l *stock) Close() error {
	if l.folder == nil {
		return nil
	}
	return l.folder.Close()
}

// roomForWeights returns how much host memory weights may take on a machine, beside a
// device that takes its memory from there, too. Asked is what the user wants, 0 for as
// much as there is.
func roomForWeights(m machine.Info, asked, device, all units.Bytes) (units.Bytes, error) {
	if asked > 0 {
		if room, of, known := m.Room(); known && device+min(asked, all) > room {
			return 0, usagef("the device's memory, %s, and %s of weights take %s, and %s is all that %s: give a smaller --budget, --host-budget or --scale",
				device.Decimal(), min(asked, all).Decimal(), (device + min(asked, all)).Decimal(), room.Decimal(), of)
		}
		return asked, nil
	}
	budget, why := m.HostBudget()
	switch {
	case budget == 0:
		return 0, usagef("%s: give --host-budget", why)
	case device >= budget:
		return 0, usagef("the device's memory, %s, leaves no room for weights: both may take %s, of %s. Give a smaller --budget or --scale, or --host-budget",
			device.Decimal(), budget.Decimal(), why)
	}
	return budget - device, nil
}
