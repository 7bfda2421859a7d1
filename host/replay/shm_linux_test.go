package replay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/shm"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// onShm is a small run on real bytes, with a device that does wrong what fault says.
func onShm(t *testing.T, src trace.Records, source func(i int, n units.Bytes) shm.Source, fault func(host.Action) shm.Fault, log *slog.Logger) replay.Config {
	t.Helper()
	c := small(src)
	c.Granularity, c.Chunk = 4*units.KiB, units.MiB
	cfg := shm.Config{Budget: c.Budget, Chunk: c.Chunk, Granularity: c.Granularity, Verify: true, Fault: fault, Logger: log}
	for i, k := range src.Header().Components {
		cfg.Components = append(cfg.Components, shm.Component{Name: k.Name, Bytes: k.Bytes, ReadOnly: k.ReadOnly, Source: source(i, k.Bytes)})
	}
	d, err := shm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c.Device, c.Place = d, replay.Place{Device: "shm", Measured: func() *report.Measured { return &report.Measured{H2DBytes: int64(d.Stats().H2D)} }}
	return c
}

func memory(_ int, n units.Bytes) shm.Source { return make(shm.Memory, n) }

// Whatever a device does wrong, and however the run ends by that, its journal is whole
// and comes to the same.
func TestAJournalOfADeviceThatFails(t *testing.T) {
	ended, went := 0, 0
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		faults := 0
		c := onShm(t, text(t, nested, 2), memory, func(a host.Action) (f shm.Fault) {
			switch n := random.IntN(250); {
			case n < 2 && a.Kind == host.ActCopyIn:
				f.Status = host.OutOfMemory
			case n < 3:
				f.Status = host.Failed
			}
			if f.Status != host.OK {
				faults++
			}
			return f
		}, nil)
		c.Policy, _ = cast("eager")
		file, whole, r, err := record(t, context.Background(), c)
		if !whole {
			t.Fatalf("seed %d: %v, and no journal", seed, err)
		}
		again, err2 := feedback(t, file, nil)
		if err2 != nil {
			t.Fatalf("seed %d: %v", seed, err2)
		}
		if again.Measured == nil || again.Measured.H2DBytes == 0 || again.Device != "shm" {
			t.Errorf("seed %d: on %s, measured %+v", seed, again.Device, again.Measured)
		}
		if err != nil {
			ended++
			if again.EndedEarly != err.Error() {
				t.Errorf("seed %d: it ended by %q, want %v", seed, again.EndedEarly, err)
			}
			continue
		}
		if faults > 0 {
			went++
		}
		if again.DecisionsSHA256 != r.DecisionsSHA256 || total(again) != total(r) || again.Inputs != r.Inputs {
			t.Errorf("seed %d: fed back %+v, the run was %+v", seed, total(again), total(r))
		}
	}
	if ended == 0 || went == 0 {
		t.Errorf("%d runs ended early and %d survived a fault; the test wants some of both", ended, went)
	}
}

// vanishing is weights in a file that is cut short while they are used. Several chunks
// are read side by side.
type vanishing struct {
	shm.Memory
	left atomic.Int64 // bytes that can be read
}

var errGone = errors.New("the file was cut short")

func (*vanishing) Span(int64, int64) []byte { return nil }

func (v *vanishing) ReadAt(p []byte, off int64) (int, error) {
	if v.left.Add(-int64(len(p))) < 0 {
		return 0, errGone
	}
	return v.Memory.ReadAt(p, off)
}

// wrong is weights that are not twice the same.
type wrong struct {
	shm.Memory
	mu sync.Mutex
}

func (*wrong) Span(int64, int64) []byte { return nil }

func (w *wrong) ReadAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Memory[off]++
	return w.Memory.ReadAt(p, off)
}

// Weights that vanish, or change, end the run with what was wrong.
func TestWeightsThatFail(t *testing.T) {
	const readOnly = `{"kind":"trace","format":"offhost.trace/1","name":"files"}
{"kind":"component","name":"a","bytes":40000000,"read_only":true}
{"kind":"component","name":"b","bytes":40000000,"read_only":true}
{"kind":"pipeline","name":"p","components":["a","b"]}
{"kind":"begin","request":1,"pipeline":"p"}
{"kind":"call","component":"a","compute_ns":1}
{"kind":"call","component":"b","compute_ns":1}
{"kind":"call","component":"a","compute_ns":1}
{"kind":"end","request":1}
`
	for name, source := range map[string]func(i int, n units.Bytes) shm.Source{
		"vanished": func(i int, n units.Bytes) shm.Source {
			if i == 0 {
				v := &vanishing{Memory: make(shm.Memory, n)}
				v.left.Store(42e6)
				return v
			}
			return make(shm.Memory, n)
		},
		"changed": func(i int, n units.Bytes) shm.Source { return &wrong{Memory: make(shm.Memory, n)} },
	} {
		var log bytes.Buffer
		c := onShm(t, text(t, readOnly, 0), source, nil, slog.New(slog.NewTextHandler(&log, nil)))
		c.FileBytes = []units.Bytes{40 * MB, 40 * MB}
		file, whole, _, err := record(t, context.Background(), c)
		var lack *host.DeviceError
		if err == nil || !errors.As(err, &lack) || !whole {
			t.Errorf("%s: %v, whole: %v; want the device's error, and a journal", name, err, whole)
			continue
		}
		if err := c.Device.(io.Closer).Close(); err != nil { // what it still logs comes before
			t.Fatal(err)
		}
		if why := map[string]string{"vanished": errGone.Error(), "changed": "are not what they should be on the device"}[name]; !strings.Contains(log.String(), why) {
			t.Errorf("%s: the log does not say %q:\n%s", name, why, &log)
		}
		if r, err := feedback(t, file, nil); err != nil || r.EndedEarly == "" {
			t.Errorf("%s: fed back: %v", name, err)
		}
	}
}
