//go:build cuda && linux

package cuda_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// An error that is final for the worker's process, wherever it shows, ends the worker and
// nothing else: what was in flight is lost, and a new worker does all that the old one did.
func TestStickyErrors(t *testing.T) {
	needsStandIn(t)
	const now, late = "1", "2" // at the call, or when its work is done
	for _, c := range []struct {
		in   host.ActionKind
		call string
	}{
		{host.ActCopyIn, "cuMemCreate:700:" + now}, {host.ActCopyIn, "cuMemMap:719:" + now}, {host.ActCopyIn, "cuMemSetAccess:214:" + now},
		{host.ActCopyIn, "cuEventRecord:700:" + now}, {host.ActCopyIn, "cuMemcpyHtoDAsync:719:" + now}, {host.ActCopyIn, "cuMemcpyHtoDAsync:719:" + late},
		{host.ActCopyBack, "cuMemcpyDtoHAsync:700:" + now}, {host.ActCopyBack, "cuMemcpyDtoHAsync:700:" + late},
		{host.ActRelease, "cuMemUnmap:719:" + now}, {host.ActRelease, "cuMemRelease:719:" + now},
	} {
		t.Run(fmt.Sprint(c.in, " ", c.call), func(t *testing.T) {
			inject := ""
			r := open(t, func(cfg *cuda.Config) {
				cfg.Fault = func(host.Action) cuda.Fault { return cuda.Fault{Inject: inject} }
			})
			if c.in != host.ActCopyIn {
				r.do(host.ActCopyIn, 2)
			}
			inject = c.call
			op := r.send(c.in, 2, 1)
			inject = ""
			if done := r.wait(); done.Op != op || done.Status != host.Lost {
				t.Fatalf("%+v: want it lost", done)
			}
			r.send(host.ActCopyIn, 0, 0)
			if done := r.wait(); done.Status != host.Lost {
				t.Fatalf("%+v: want nothing done on a device that is lost", done)
			}
			if _, ok := r.Free(); ok {
				t.Error("a lost device says what is free")
			}
			if err := r.Restore(); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Restored != 1 || s.Used != 0 {
				t.Errorf("%+v: want one restored, nothing used", s)
			}
			r.said.Reset() // the stand-in says what ended the first
			r.do(host.ActCopyIn, 2)
			r.Compute(1, 2, 0)
			if done := r.wait(); done.Call != 1 || done.Err != nil {
				t.Errorf("%+v: want the call's end", done)
			}
			r.do(host.ActCopyBack, 2)
			r.do(host.ActRelease, 2)
		})
	}
}

// What a component's memory can be pinned as depends on the device; it is pinned all the
// same where its owner has not forbidden it.
func TestPinning(t *testing.T) {
	needsStandIn(t)
	all := units.Bytes(3 * partSize())
	for _, c := range []struct {
		readOnly string
		pin      units.Bytes
		want     units.Bytes
	}{{"1", units.GiB, all}, {"0", units.GiB, all}, {"1", all - 1, all / 3 * 2}, {"1", 0, 0}} {
		r := open(t, func(cfg *cuda.Config) { cfg.Pin = c.pin }, "OFFHOST_EMU_READ_ONLY_REGISTER="+c.readOnly)
		if i := r.Info(); i.Pinned != c.want || (i.Unpinned == "") != (c.want == all) || i.GPU.ReadOnlyPin != (c.readOnly == "1") {
			t.Errorf("read-only %s, %v may be pinned: %v are, %q", c.readOnly, c.pin, i.Pinned, i.Unpinned)
		}
		r.do(host.ActCopyIn, 0)
		r.do(host.ActCopyIn, 2)
		r.do(host.ActCopyBack, 2)
	}
}

// A device can be closed at any moment, and is soon.
func TestClosing(t *testing.T) {
	begun := time.Now()
	r := open(t, nil)
	r.Compute(1, 0, time.Hour)
	r.send(host.ActCopyIn, 1, 0)
	v := r.visit("OFFHOST_TEST_HANG=1")
	r.wait()
	r.Compute(2, 1, time.Hour)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	v.cmd.Process.Kill()
	v.cmd.Wait()

	r = open(t, nil)
	r.Lose()
	restored := make(chan error, 1)
	go func() { restored <- r.Restore() }()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-restored; err == nil {
		t.Log("it was restored before it was closed")
	}
	if r.Restore() == nil || r.Close() != nil {
		t.Error("a closed device lives on")
	}
	// An hour's compute is not waited for, nor a client that lives.
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("closing took %v", took)
	}
}

// What is no socket hurts nobody, and a client is told why it is not wanted.
func TestAttachingWhatIsNoClient(t *testing.T) {
	r := open(t, nil)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(f); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file is attached: %v", err)
	}
	if f.Close() == nil {
		t.Error("the file was not closed")
	}
	if err := r.Attach(f); err == nil {
		t.Error("a closed file is attached")
	}
	r.do(host.ActCopyIn, 0)
}

// The worker's own words say why it could not begin.
func TestWhyAWorkerDoesNotBegin(t *testing.T) {
	needsStandIn(t)
	for name, c := range map[string]struct {
		change func(*cuda.Config)
		env    string
		want   string
	}{
		"no such GPU":  {func(c *cuda.Config) { c.GPU = "GPU-none" }, "A=b", `"GPU-none": want one of GPU-`},
		"no driver":    {nil, "OFFHOST_CUDA_LIB=/nowhere", "/nowhere: cannot open"},
		"a bad driver": {nil, "OFFHOST_EMU_INIT=100", "CUDA_ERROR_NO_DEVICE"},
		"granularity":  {func(c *cuda.Config) { c.Granularity, c.Chunk = 4096, 4096 }, "A=b", "want a multiple of the device's"},
	} {
		for range 5 { // it may be gone before it has read all
			cfg := cuda.Config{Worker: role("worker", new(speech), c.env), Chunk: units.Bytes(chunkSize()), Granularity: units.Bytes(gran)}
			for range 30 {
				cfg.Components = append(cfg.Components, cuda.Component{Name: "c", Bytes: 10, FileBytes: 10, ReadOnly: true, Source: &shared{}})
			}
			if c.change != nil {
				c.change(&cfg)
			}
			if d, err := cuda.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v: want %q in it", name, err, c.want)
				if err == nil {
					d.Close()
				}
			}
		}
	}
	cfg := cuda.Config{Worker: role("sleeper", new(speech)), StartTimeout: 200 * time.Millisecond}
	if _, err := cuda.Probe(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "not ready within 200ms") {
		t.Errorf("a worker that says nothing: %v", err)
	}
}
