package weights

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/offhost/offhost/host/units"
)

// A Spec is a component to load.
type Spec struct {
	Name   string
	Source Source
	// Writable gives the component memory that may be written, instead of memory that
	// is sealed and may partly stay in files.
	Writable bool
}

// A Config says how to load. Its zero value holds everything and locks nothing.
type Config struct {
	// Budget is how much host memory the components may take together; 0 is no limit.
	// What exceeds it stays in files, as Plan says. machine.Info.HostBudget proposes one.
	Budget units.Bytes
	// PinBudget is how much to try to lock against swapping with mlock; 0 is none.
	PinBudget units.Bytes
	// SealAtExport leaves it to Export to forbid further writable mappings of read-only
	// memory, for a process of this program's own that has to have one to pin it.
	SealAtExport bool
	// Workers is how many read side by side; 0 is as many as there are processors, up
	// to 8, which more do not make faster.
	Workers int
	// Progress, if set, is called after each piece with the bytes loaded so far and
	// those to load in all; by one goroutine at a time, with rising counts.
	Progress func(done, total units.Bytes)
}

const (
	maxWorkers = 8
	// piece is what a worker takes at a time: large enough that files are read nearly
	// in order, small enough that workers end together.
	piece = 8 << 20
	// bounce is what is copied at a time: it stays in a processor's own cache between
	// being read and being written.
	bounce = 256 << 10
)

// A Store is components that were loaded together.
type Store struct {
	components []*Component
	pinned     units.Bytes
	pinError   error
}

// Load loads components. On an error, which names the component, nothing stays
// loaded; so it is when the context ends first. Sources stay the caller's, and must
// stay usable as long as the store when anything was left in files.
func Load(ctx context.Context, specs []Spec, cfg Config) (*Store, error) {
	sizes := make([]units.Bytes, len(specs))
	readOnly := make([]bool, len(specs))
	for i, s := range specs {
		sizes[i], readOnly[i] = s.Source.Manifest().Bytes, !s.Writable
	}
	fileBytes, err := Plan(sizes, readOnly, cfg.Budget)
	if err != nil {
		return nil, err
	}
	components, err := fill(ctx, specs, fileBytes, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{components: components}
	s.pin(cfg.PinBudget)
	return s, nil
}

// Components are in the order of the specs.
func (s *Store) Components() []*Component { return s.components }

// Bytes is how much is held in memory, and how much is left in files.
func (s *Store) Bytes() (held, file units.Bytes) {
	for _, c := range s.components {
		held += c.Bytes() - c.fileBytes
		file += c.fileBytes
	}
	return held, file
}

// Pinned is how much is locked in memory, and why it is not all that it was to be;
// nil when it is.
func (s *Store) Pinned() (units.Bytes, error) { return s.pinned, s.pinError }

// pin locks the components in their order, the highest bytes first where not all of
// one can be: those are moved most.
func (s *Store) pin(budget units.Bytes) {
	for _, c := range s.components {
		n := min(c.Bytes()-c.fileBytes, budget-s.pinned)
		if n <= 0 {
			continue
		}
		if err := c.held.lock(int64(n)); err != nil {
			s.pinError = fmt.Errorf("component %q: %v of memory could not be locked beside %v: %w", c.name, n, s.pinned, err)
			return
		}
		s.pinned += n
	}
}

// Close gives back all memory. Spans must not be used any more.
func (s *Store) Close() error { return closeAll(s.components) }

func closeAll(components []*Component) error {
	var errs []error
	for _, c := range components {
		if err := c.Close(); err != nil {
			errs = append(errs, fmt.Errorf("component %q: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// fill makes the components and reads what is to be held of them.
func fill(ctx context.Context, specs []Spec, fileBytes []units.Bytes, cfg Config) ([]*Component, error) {
	var components []*Component
	l := loader{progress: cfg.Progress}
	for i, s := range specs {
		held, err := newArena(s.Name, s.Source.Manifest().Bytes-fileBytes[i])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("component %q: %w", s.Name, err), closeAll(components))
		}
		c := &Component{name: s.Name, manifest: s.Source.Manifest(), held: held, rest: s.Source, fileBytes: fileBytes[i], writable: s.Writable}
		components = append(components, c)
		for at := int64(0); at < held.size; at += piece {
			l.pieces = append(l.pieces, part{c, at, min(piece, held.size-at)})
		}
		l.total += held.size
	}
	workers := cfg.Workers
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	err := l.run(ctx, min(workers, len(l.pieces)))
	for _, c := range components {
		if err == nil {
			if err = c.held.finish(c.writable, cfg.SealAtExport); err != nil {
				err = fmt.Errorf("component %q: %w", c.name, err)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(components))
	}
	return components, nil
}

// A part of an arena.
type part struct {
	c     *Component
	at, n int64
}

// A loader reads parts of arenas, several at once.
type loader struct {
	pieces   []part
	total    int64
	progress func(done, total units.Bytes)

	next atomic.Int64
	mu   sync.Mutex
	done int64
}

// run returns when all workers have, with the first error.
func (l *loader) run(ctx context.Context, workers int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			buffer := make([]byte, bounce)
			for {
				i := l.next.Add(1) - 1
				if i >= int64(len(l.pieces)) {
					return
				}
				if err := l.read(ctx, l.pieces[i], buffer); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func (l *loader) read(ctx context.Context, x part, buffer []byte) error {
	for n := int64(0); n < x.n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buffer[:min(int64(len(buffer)), x.n-n)]
		if got, err := x.c.rest.ReadAt(p, int64(x.c.fileBytes)+x.at+n); got < len(p) {
			return fmt.Errorf("component %q: %w", x.c.name, unexpected(err))
		}
		if _, err := x.c.held.WriteAt(p, x.at+n); err != nil {
			return fmt.Errorf("component %q: %w", x.c.name, err)
		}
		n += int64(len(p))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done += x.n
	if l.progress != nil {
		l.progress(units.Bytes(l.done), units.Bytes(l.total))
	}
	return nil
}
