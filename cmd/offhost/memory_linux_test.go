package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
)

// The most memory that the command, built as users build it, takes for a trace of a
// million lines with all baselines. Traces are streamed; what grows is the report's
// list of requests and what the optimum keeps of the future.
func BenchmarkPeakMemory(b *testing.B) {
	const lines = 1_000_000
	program := filepath.Join(b.TempDir(), "offhost")
	if msg, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, msg)
	}
	for _, c := range []struct {
		name, trace, budget string
	}{
		{"requests", library.Default, "12GiB"},      // many of them, short
		{"evictions", "flux-bf16-blocks", "20GB"},   // with almost every call
		{"components", "wan22-a14b-blocks", "24GB"}, // and nested calls
	} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "trace.jsonl")
			writeRepeated(b, path, c.trace, lines)
			var peak int64
			for b.Loop() {
				cmd := exec.Command(program, "run", path, "--budget", c.budget, "--ignore-workspace", "--format", "json")
				peak = max(peak, watch(b, cmd))
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB")
			b.ReportMetric(lines*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// watch runs a command and returns its peak memory in bytes, looked at every few
// milliseconds. What wait4 reports will not do: it counts the parent's memory too,
// which the process has until it becomes the command.
func watch(b *testing.B, cmd *exec.Cmd) int64 {
	b.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	var peak int64
	for {
		select {
		case err := <-ended:
			if err != nil || peak == 0 {
				b.Fatalf("%v, a peak of %d bytes: %s", err, peak, &errs)
			}
			return peak
		case <-time.After(5 * time.Millisecond):
			text, err := os.ReadFile(status)
			if err != nil {
				continue // it has just ended
			}
			if _, after, ok := strings.Cut(string(text), "VmHWM:"); ok {
				var kib int64
				if _, err := fmt.Sscan(after, &kib); err != nil {
					b.Fatal(err)
				}
				peak = max(peak, kib<<10)
			}
		}
	}
}

// writeRepeated writes a shipped trace again and again, up to a number of lines and
// the end of the request that reaches it.
func writeRepeated(b *testing.B, path, name string, lines int) {
	b.Helper()
	open, err := library.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	source, err := trace.OpenRequests(open, trace.MaxRequest)
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w, err := trace.NewWriter(f, source.Header())
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; ; n++ {
		var r trace.Record
		if err := source.Next(&r); err != nil {
			b.Fatal(err)
		}
		if err := w.Write(&r); err != nil {
			b.Fatal(err)
		}
		if n >= lines && r.Kind == trace.End {
			break
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		b.Fatal(err)
	}
}
