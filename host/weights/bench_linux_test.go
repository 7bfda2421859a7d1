package weights_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/host/weights"
)

// The environment says how large the model of the benchmarks is (OFFHOST_BENCH_BYTES,
// as in "4GB"), and may name a Python with safetensors and numpy to be measured beside
// them (OFFHOST_BENCH_PYTHON). Each iteration measures both sides, one after the
// other, and the ratio is the median's: -benchtime 7x makes it steady on a busy machine.
func benchModel(b *testing.B) (dir string, size units.Bytes) {
	b.Helper()
	text := os.Getenv("OFFHOST_BENCH_BYTES")
	if text == "" {
		text = "512MB"
	}
	size, err := units.ParseBytes(text)
	if err != nil {
		b.Fatal(err)
	}
	var tensors []safetensorstest.Tensor
	var total units.Bytes
	// The proportions of a transformer's block: two large matrices, one small vector.
	for i := 0; total < size; i++ {
		for _, t := range []safetensorstest.Tensor{
			tensor(fmt.Sprintf("blocks.%d.up", i), "F16", 3072, 12288), tensor(fmt.Sprintf("blocks.%d.attn", i), "F16", 3072, 3072),
			tensor(fmt.Sprintf("blocks.%d.norm", i), "F16", 3073),
		} {
			tensors = append(tensors, t)
			total += units.Bytes(t.Bytes())
		}
	}
	dir = b.TempDir()
	noise := synthetic(b, 1, "noise", 1<<40)
	safetensorstest.WriteSharded(b, dir, tensors, (len(tensors)+3)/4, func(name string, p []byte, off int64) {
		if _, err := noise.ReadAt(p, off+int64(len(name))*1e9); err != nil {
			b.Fatal(err)
		}
	})
	return dir, total
}

// loadOnce loads a model into memory and returns how long it took, and how much
// memory the process had in all at most, what is mapped and what is not.
func loadOnce(b *testing.B, dir string) (took time.Duration, peak units.Bytes) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	m := openModel(b, dir)
	s, err := weights.Load(context.Background(), []weights.Spec{{Name: "m", Source: source(b, m)}}, weights.Config{})
	if err != nil {
		b.Fatal(err)
	}
	took = time.Since(start)
	f, err := s.Components()[0].Export()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		b.Fatal(err)
	}
	peak = units.Bytes(stat.Blocks)*512 + highWater(b)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return took, peak
}

// highWater is the most memory that the process had mapped.
func highWater(b *testing.B) units.Bytes {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return units.Bytes(kb) * units.KiB
		}
	}
	b.Fatal("no VmHWM")
	return 0
}

func timed(b *testing.B, name string, args ...string) time.Duration {
	b.Helper()
	start := time.Now()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
	return time.Since(start)
}

func shards(b *testing.B, dir string) []string {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(paths) == 0 {
		b.Fatal(err, "no files")
	}
	return paths
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkLoadCached loads a model that is in the page cache, beside cp of its files
// to /dev/shm.
func BenchmarkLoadCached(b *testing.B) {
	dir, size := benchModel(b)
	target, err := os.MkdirTemp("/dev/shm", "offhost")
	if err != nil {
		b.Skip(err)
	}
	defer os.RemoveAll(target)
	copyAll := func() time.Duration {
		defer func() {
			for _, path := range shards(b, target) {
				os.Remove(path)
			}
		}()
		return timed(b, "cp", append(shards(b, dir), target)...)
	}
	copyAll()
	loadOnce(b, dir)
	var ratios, loads, python []float64
	var most units.Bytes
	for b.Loop() {
		cp := copyAll()
		load, peak := loadOnce(b, dir)
		ratios = append(ratios, cp.Seconds()/load.Seconds())
		loads = append(loads, float64(size)/1e9/load.Seconds())
		most = max(most, peak-size)
		if exe := os.Getenv("OFFHOST_BENCH_PYTHON"); exe != "" {
			python = append(python, pythonLoad(b, exe, dir).Seconds()/load.Seconds())
		}
	}
	b.ReportMetric(median(ratios), "x_cp")
	b.ReportMetric(median(loads), "GB/s")
	b.ReportMetric(float64(most)/1e6, "MB_over_weights")
	if len(python) > 0 {
		b.ReportMetric(median(python), "x_python")
	}
}

// BenchmarkLoadCold loads a model of which nothing is in the page cache, beside dd of
// its files to /dev/null, likewise.
func BenchmarkLoadCold(b *testing.B) {
	dir, size := benchModel(b)
	var ratios, loads []float64
	for b.Loop() {
		cool(b, dir)
		var dd time.Duration
		for _, path := range shards(b, dir) {
			dd += timed(b, "dd", "if="+path, "of=/dev/null", "bs=1M")
		}
		cool(b, dir)
		load, _ := loadOnce(b, dir)
		ratios = append(ratios, dd.Seconds()/load.Seconds())
		loads = append(loads, float64(size)/1e9/load.Seconds())
	}
	b.ReportMetric(median(ratios), "x_dd")
	b.ReportMetric(median(loads), "GB/s")
}

// cool drops a model from the page cache.
func cool(b *testing.B, dir string) {
	b.Helper()
	for _, path := range shards(b, dir) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// pythonLoad reads every tensor with safetensors for Python into an array of its own.
func pythonLoad(b *testing.B, exe, dir string) time.Duration {
	b.Helper()
	const script = `
import sys, time
from safetensors import safe_open
start, kept = time.perf_counter(), []
for path in sys.argv[1:]:
    with safe_open(path, "np", backend="pread") as f:
        kept.append([f.get_tensor(k) for k in f.keys()])
print(time.perf_counter() - start)
`
	out, err := exec.Command(exe, append([]string{"-c", script}, shards(b, dir)...)...).Output()
	if err != nil {
		b.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(seconds * 1e9)
}

func BenchmarkSynthetic(b *testing.B) {
	p := make([]byte, 256<<10)
	s := synthetic(b, 1, "unet", 1<<40)
	b.SetBytes(int64(len(p)))
	for i := int64(0); b.Loop(); i++ {
		if _, err := s.ReadAt(p, i*int64(len(p))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	c := load(b, weights.Config{}, weights.Spec{Name: "x", Source: synthetic(b, 1, "x", 256<<20), Writable: true}).Components()[0]
	b.SetBytes(int64(c.Bytes()))
	for b.Loop() {
		digest(b, c)
	}
}
