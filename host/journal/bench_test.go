package journal_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/units"
)

// entries are those of a run that moves much.
func entries(b *testing.B) (journal.Header, []host.Input, []host.Output, []byte) {
	c := config(b, "flux-bf16", 2, 25*units.GB)
	file, _ := record(b, c)
	var ins []host.Input
	var outs []host.Output
	r, _, err := feed(file, func(_ *host.Engine, x *journal.Entry, out *host.Output) error {
		ins = append(ins, x.Input)
		outs = append(outs, host.Output{Actions: append([]host.Action(nil), out.Actions...)})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return *r.Header(), ins, outs, file
}

func BenchmarkWrite(b *testing.B) {
	head, ins, outs, file := entries(b)
	b.ReportAllocs()
	i := len(ins)
	var w *journal.Writer
	for b.Loop() {
		if i == len(ins) {
			i = 0
			var err error
			if w, err = journal.NewWriter(io.Discard, head); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Write(&ins[i], journal.Identity{}, &outs[i]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(len(file))/float64(len(ins)), "B/input")
}

func BenchmarkRead(b *testing.B) {
	_, _, _, file := entries(b)
	b.ReportAllocs()
	var r *journal.Reader
	var x journal.Entry
	for b.Loop() {
		if r == nil {
			var err error
			if r, err = journal.NewReader(bytes.NewReader(file)); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Next(&x); err == io.EOF {
			r = nil
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
