package sweep_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/sweep"
	"github.com/offhost/offhost/host/replay"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

func loadBuiltin(tb testing.TB, name string) *runtime.Policy {
	tb.Helper()
	builtin, ok := policies.Get(name)
	if !ok {
		tb.Fatalf("policy %q is not built in", name)
	}
	p, err := runtime.Load(context.Background(), builtin.Wasm, runtime.Config{Name: name})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// A listener is sticky-loop, metered as it always is, that has been told of 64
// resident components which are called in turn.
type listener struct {
	tb     testing.TB
	policy *runtime.Policy
	ev     abi.Event
}

const (
	listened      = 64
	listenedBytes = 1 << 30
)

func newListener(tb testing.TB) *listener {
	tb.Helper()
	l := &listener{tb: tb, policy: loadBuiltin(tb, "sticky-loop")}
	tb.Cleanup(func() { l.policy.Close() })
	l.ev = abi.Event{Parent: abi.None, Budget: listened * listenedBytes, Bytes: listenedBytes, Resident: listenedBytes, Flags: abi.FlagResident | abi.FlagReadOnly}
	l.tell(abi.Config, abi.None, 0)
	for id := range uint32(listened) {
		l.tell(abi.Component, id, 0)
		l.tell(abi.Loaded, id, listenedBytes)
	}
	l.ev.Request = 1
	l.tell(abi.Begin, abi.None, 0)
	for range 4 {
		for id := range uint32(listened) {
			l.tell(abi.Call, id, 0)
			l.tell(abi.Done, id, 0)
		}
	}
	return l
}

func (l *listener) tell(kind abi.Kind, id uint32, amount uint64) []abi.Decision {
	l.ev.Kind, l.ev.Component, l.ev.Amount = kind, id, amount
	l.ev.Seq++
	l.ev.Time += 1000
	answer, err := l.policy.Decide(&l.ev, nil)
	if err != nil {
		l.tb.Fatal(err)
	}
	return answer
}

// An operation is a CALL and its DONE: one CALL takes less.
func BenchmarkCallSticky64(b *testing.B) {
	l := newListener(b)
	b.ReportAllocs()
	id := uint32(0)
	for b.Loop() {
		l.tell(abi.Call, id, 0)
		l.tell(abi.Done, id, 0)
		id = (id + 1) % listened
	}
}

// An operation is a NEED with its answer, of one victim and of half of the
// components.
func BenchmarkNeedSticky64(b *testing.B) {
	for _, victims := range []int{1, listened / 2} {
		b.Run(fmt.Sprint("victims=", victims), func(b *testing.B) {
			l := newListener(b)
			l.tell(abi.Call, 0, 0)
			b.ReportAllocs()
			for b.Loop() {
				if n := len(l.tell(abi.Need, 0, uint64(victims)*listenedBytes)); n != victims {
					b.Fatalf("%d decisions, want %d", n, victims)
				}
			}
		})
	}
}

// An operation is a built-in from its bytes to its first event, and its end.
func BenchmarkLoadBuiltin(b *testing.B) {
	for _, p := range policies.List() {
		b.Run(p.Name, func(b *testing.B) {
			for b.Loop() {
				if err := loadBuiltin(b, p.Name).Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// memory is a trace that was read before.
type memory struct {
	header  *trace.Header
	records []trace.Record
	next    int
}

func (m *memory) Header() *trace.Header { return m.header }

func (m *memory) Next(r *trace.Record) error {
	if m.next == len(m.records) {
		return io.EOF
	}
	*r = m.records[m.next]
	m.next++
	return nil
}

// repeated reads requests of a shipped trace, which is repeated as often as it takes.
func repeated(tb testing.TB, name string, requests int64) *memory {
	tb.Helper()
	open, err := library.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	source, err := trace.OpenRequests(open, requests)
	if err != nil {
		tb.Fatal(err)
	}
	defer source.Close()
	m := &memory{header: source.Header()}
	for {
		var r trace.Record
		if err := source.Next(&r); errors.Is(err, io.EOF) {
			return m
		} else if err != nil {
			tb.Fatal(err)
		}
		m.records = append(m.records, r)
	}
}

// file writes a trace and returns its path and the number of its lines.
func (m *memory) file(tb testing.TB) (path string, lines int) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "trace.jsonl")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	w, err := trace.NewWriter(f, m.header)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range m.records {
		if err := w.Write(&m.records[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		tb.Fatal(err)
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		lines++
	}
	return path, lines
}

// workloads are replays of three kinds: nothing moves after the first request; a block
// moves with almost every call; gigabytes move with most calls, so that the time goes
// into their chunks, some hundred for a line of the trace.
var workloads = []struct {
	name, trace string
	budget      units.Bytes
	requests    int64
}{
	{"fits", "flux-bf16-blocks", 40 * units.GB, 60},
	{"tight", "flux-bf16-blocks", 20 * units.GB, 60},
	{"whole", library.Default, 12 * units.GiB, 2000},
}

// replayed runs a source through a freshly loaded sticky-loop, which is not timed,
// and returns the number of events that it was told.
func replayed(b *testing.B, source trace.Records, budget units.Bytes) int64 {
	b.Helper()
	b.StopTimer()
	policy := loadBuiltin(b, "sticky-loop")
	b.StartTimer()
	r, err := replay.Run(context.Background(), replay.Config{Source: source, Policy: replay.Module{Policy: policy}, Budget: budget,
		H2D: sweep.Link, D2H: sweep.Link, Pageable: sweep.Link / 4, IgnoreWorkspace: true})
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	if err := policy.Close(); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
	return r.PolicyEvents
}

// Events that the policy is told in a second, with trace and engine around it.
func BenchmarkReplayMemory(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			m := repeated(b, w.trace, w.requests)
			var events int64
			b.ReportAllocs()
			for b.Loop() {
				m.next = 0
				events += replayed(b, m, w.budget)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/float64(b.N), "events/op")
		})
	}
}

// Lines of a file that are read, checked and replayed in a second.
func BenchmarkReplayFile(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			path, lines := repeated(b, w.trace, w.requests).file(b)
			b.ReportAllocs()
			for b.Loop() {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				reader, err := trace.NewReader(f)
				if err != nil {
					b.Fatal(err)
				}
				replayed(b, reader, w.budget)
				f.Close()
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
