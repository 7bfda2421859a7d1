package journal_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/trace"
)

// Whatever is read can be fed to an engine, and gives a trace's records, without a
// panic. What an engine takes is written again as it was read.
func FuzzReader(f *testing.F) {
	for seed := range uint64(3) {
		file, _ := lossy(f, seed, "", 3)
		f.Add(string(file))
	}
	f.Add(`{"kind":"journal","schema":"offhost.journal/1","engine":{"budget_bytes":9,"chunk_bytes":4,"granularity_bytes":2,"exclude":["*"],"timeout_ns":1}}
{"kind":"register","time_ns":0,"name":"a","bytes":9,"actions":[{"do":"copy in"}]}
{"kind":"lost","time_ns":1}
{"kind":"restored","time_ns":2}
{"kind":"tick","time_ns":3}
{"kind":"budget","time_ns":3,"bytes":9007199254740991}
{"kind":"swap","time_ns":3,"policy":{"name":"p"}}
{"kind":"close","inputs":5,"decisions_sha256":"` + strings.Repeat("0", 64) + `","sha256":"`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return // the engine's own limits are for its tests
		}
		text = seal(text)
		r, err := journal.NewReader(strings.NewReader(text))
		if err != nil {
			return
		}
		cfg := r.Header().Engine.Config()
		e, err := host.New(cfg)
		if err != nil {
			t.Fatalf("a header that was read makes no engine: %v", err)
		}
		w, err := journal.NewWriter(io.Discard, *r.Header())
		if err != nil {
			t.Fatalf("a header that was read does not write: %v", err)
		}
		var x journal.Entry
		var registered int64
		for r.Next(&x) == nil {
			if registered += int64(x.Input.Spec.Bytes / cfg.Chunk); registered > 1<<12 {
				return // slow, no more
			}
			if out, err := e.Step(x.Input); err == nil && journal.Compare(&x, out) == nil {
				if err := w.Write(&x.Input, x.Swap, out); err != nil {
					t.Fatalf("input %d was read and does not write: %v", x.Number, err)
				}
			} else {
				break
			}
		}
		for r.Next(&x) == nil { // though the engine did otherwise
			e.Step(x.Input)
		}
		if again, err := journal.NewReader(strings.NewReader(text)); err == nil {
			journal.Replay(context.Background(), again, func(journal.Identity) (host.Policy, error) { return nil, errors.New("none") }, nil)
		}
		calls, err := journal.Requests(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
		if err != nil {
			return
		}
		var rec trace.Record
		for calls.Next(&rec) == nil {
			if rec.Compute < 0 || rec.Component >= len(calls.Header().Components) {
				t.Fatalf("a record that no trace has: %+v", rec)
			}
		}
	})
}

// Journals whose lines were left out, doubled, exchanged or given other digits, and
// whose checksum was mended: an engine refuses what makes no sense to it.
func TestMutated(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var originals []string
	for seed := range uint64(6) {
		file, _ := lossy(t, seed, []string{"", "one by one"}[seed%2], 16)
		originals = append(originals, string(file))
	}
	read, differ, gone := 0, 0, 0
	for range 400 {
		lines := strings.SplitAfter(originals[random.IntN(len(originals))], "\n")
		for range 1 + random.IntN(2) {
			i, j := 1+random.IntN(len(lines)-2), 1+random.IntN(len(lines)-2)
			switch random.IntN(4) {
			case 0:
				lines[i] = ""
			case 1:
				lines[i] += lines[i]
			case 2:
				lines[i], lines[j] = lines[j], lines[i]
			case 3:
				b := []byte(lines[i])
				for k := range b {
					if b[k] >= '0' && b[k] <= '9' && random.IntN(30) == 0 {
						b[k] = byte('0' + random.IntN(10))
					}
				}
				lines[i] = string(b)
			}
		}
		text := seal(strings.Join(lines, ""))
		r, err := journal.NewReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		e, err := host.New(r.Header().Engine.Config())
		if err != nil {
			t.Fatal(err)
		}
		var x journal.Entry
		for r.Next(&x) == nil {
			read++
			if x.Input.Kind != host.InSwap {
				e.Step(x.Input)
			}
		}
		_, _, err = feed([]byte(text), nil)
		var broken *journal.Error
		var difference *journal.Difference
		switch {
		case errors.As(err, &broken):
			gone++
		case errors.As(err, &difference):
			differ++
		}
	}
	if read < 20000 || differ < 15 || gone < 15 {
		t.Errorf("%d inputs were read, %d journals gave differences, %d were refused: want more for the test to mean anything", read, differ, gone)
	}
	t.Logf("%d inputs, %d differences, %d refused", read, differ, gone)
}
