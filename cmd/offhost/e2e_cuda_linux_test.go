//go:build cuda

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/cuda/emulator"
	"github.com/offhost/offhost/host/safetensors"
	"github.com/offhost/offhost/host/safetensors/safetensorstest"
)

// builtStandIn is built once for all tests, beside the test's own program.
var builtStandIn = sync.OnceValues(func() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	return emulator.Build(context.Background(), filepath.Dir(program))
})

// standIn lets the commands of a test run on the stand-in driver, with a GPU of their own,
// or on the driver that the environment names.
func standIn(t *testing.T) {
	t.Helper()
	if os.Getenv(cuda.LibraryVariable) != "" {
		return
	}
	path, err := builtStandIn()
	if errors.Is(err, emulator.ErrNoCompiler) && os.Getenv("REQUIRE_TOOLS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(cuda.LibraryVariable, path)
	t.Setenv("OFFHOST_EMU_DIR", filepath.Join(t.TempDir(), "gpu"))
}

// needsStandIn skips a test of what a real driver does not do on request.
func needsStandIn(t *testing.T) {
	t.Helper()
	if os.Getenv(cuda.LibraryVariable) != "" {
		t.Skip("needs the stand-in driver: faults on request, or little memory")
	}
	standIn(t)
}

var small = []string{"--scale", "1/256", "--policy", "lru", "--baselines", "none", "--requests", "2"}

// A run on a GPU moves what a run on the simulated device moves.
func TestAGPUMovesWhatIsSimulated(t *testing.T) {
	standIn(t)
	for trace, budget := range map[string]string{"flux-img2img-8bit": "14GiB", "sdxl-controlnet": "9GiB", "flux-fp8-blocks": "16GiB"} {
		args := append([]string{trace, "--budget", budget, "--granularity", "2MiB", "--chunk", "1GiB"}, small...)
		want := shell{}.report(t, args...)
		got := shell{}.report(t, append(args, "--device", "cuda")...)
		if got.H2DBytes != want.H2DBytes || got.D2HBytes != want.D2HBytes || got.DecisionsSHA256 != want.DecisionsSHA256 || got.H2DBytes == 0 {
			t.Errorf("%s: %d bytes in and %d back, decisions %s; simulated: %d, %d, %s", trace,
				got.H2DBytes, got.D2HBytes, got.DecisionsSHA256, want.H2DBytes, want.D2HBytes, want.DecisionsSHA256)
		}
		if got.Device != "cuda" || got.Measured == nil || got.Measured.H2DBytes != got.H2DBytes || got.Measured.VerifiedBytes < got.H2DBytes || got.Measured.H2DBytesPerSecond <= 0 {
			t.Errorf("%s: device %s, measured %+v", trace, got.Device, got.Measured)
		}
	}
}

// A GPU that is lost in the middle of a run is taken into use again; the journal of that
// is fed back without one.
func TestAGPUThatIsLost(t *testing.T) {
	needsStandIn(t)
	t.Setenv("OFFHOST_EMU_FAULT", "cuMemcpyHtoDAsync:30:719:late")
	dir := t.TempDir()
	args := append([]string{"flux-img2img-8bit", "--budget", "20GiB", "--device", "cuda", "--record", "lost.journal"}, small...)
	got := shell{dir: dir}.report(t, args...)
	if got.FaultReasons["device"] == 0 {
		t.Fatalf("faults %v: want the loss among them", got.FaultReasons)
	}
	again := shell{dir: dir}.report(t, "lost.journal")
	if again.DecisionsSHA256 != got.DecisionsSHA256 || again.H2DBytes != got.H2DBytes || again.FaultReasons["device"] != got.FaultReasons["device"] {
		t.Errorf("fed back: %+v, recorded: %+v", again, got)
	}
	// One that is lost again and again ends the run, with the driver's word.
	t.Setenv("OFFHOST_EMU_FAULT", "cuMemcpyHtoDAsync:1+:719:late")
	shell{}.fails(t, 1, "(?s)worker has ended.*CUDA_ERROR_LAUNCH_FAILED.*the device is lost", append([]string{"run", "flux-img2img-8bit", "--budget", "20GiB", "--device", "cuda"}, small...)...)
}

// Memory that others have is found missing, and the run keeps to what there is.
func TestAGPUThatIsSmallerThanTheBudget(t *testing.T) {
	needsStandIn(t)
	t.Setenv("OFFHOST_EMU_MEMORY", "60MiB")
	r := shell{}.report(t, append([]string{"flux-img2img-8bit", "--budget", "24GiB", "--device", "cuda"}, small...)...)
	if r.PeakResidentBytes > 60<<20 || r.PeakResidentBytes < 40<<20 {
		t.Errorf("at most %d bytes were resident, of a budget of 96 MiB and a GPU of 60 MiB", r.PeakResidentBytes)
	}
}

func TestWeightsFromFilesOnAGPU(t *testing.T) {
	standIn(t)
	dir := t.TempDir()
	list := []safetensorstest.Tensor{{Name: "w", DType: safetensors.DType("U8"), Shape: []int64{5 << 20}}}
	for _, name := range []string{"text_encoder", "text_encoder_2", "transformer", "vae"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		safetensorstest.WriteSharded(t, filepath.Join(dir, name), list, 1, func(_ string, p []byte, off int64) {
			for i := range p {
				p[i] = byte(off) + byte(i*7)
			}
		})
	}
	// Half of it stays in files.
	r := shell{}.report(t, append([]string{"flux-img2img-8bit", "--budget", "20GiB", "--device", "cuda", "--weights", dir, "--host-budget", "2560MiB"}, small...)...)
	if r.Host == nil || r.Host.FileBytes == 0 || r.Host.HeldBytes == 0 || r.Measured.FileBytes == 0 || r.H2DBytes != 4*5<<20 {
		t.Errorf("host %+v, measured %+v, %d bytes in", r.Host, r.Measured, r.H2DBytes)
	}
}

func TestDoctorAndBenchOfAGPU(t *testing.T) {
	standIn(t)
	out := shell{}.succeeds(t, "doctor")
	for _, want := range []string{"this build can drive CUDA", "Usable here: sim, shm, cuda.", "cuda driver", "free, allocated in 2 MiB"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, memory := range []string{"pinned", "pageable"} {
		found := decode[linkFound](t, shell{}.succeeds(t, "bench", "link", "--device", "cuda", "--host-memory", memory,
			"--bytes", "8MiB", "--duration", "1ms", "--chunk-sizes", "2MiB,4MiB", "--format", "json"))
		if len(found.Points) != 2 || found.Points[0].H2D <= 0 || found.Points[0].D2H <= 0 {
			t.Errorf("%s: %+v", memory, found)
		}
	}
	shell{}.fails(t, 1, "allocates in multiples of 2 MiB", "bench", "link", "--device", "cuda", "--chunk-sizes", "1MiB", "--bytes", "1MiB")
	shell{}.fails(t, 1, `"GPU-none": want one of GPU-`, append([]string{"run", "--device", "cuda:GPU-none"}, small...)...)
	shell{}.fails(t, 2, "--granularity 1 MiB: .* allocates in multiples of 2 MiB", append([]string{"run", "--device", "cuda", "--granularity", "1MiB", "--chunk", "1GiB"}, small...)...)
	shell{}.fails(t, 1, "started by its host", "cuda-worker")
}

// Without a driver the same binary runs, and says what is missing.
func TestWithoutADriver(t *testing.T) {
	t.Setenv(cuda.LibraryVariable, "/nowhere/libcuda.so.1")
	if out := (shell{}).succeeds(t, "doctor"); !strings.Contains(out, "Usable here: sim, shm. For CUDA, missing:") || !strings.Contains(out, "/nowhere/libcuda.so.1: cannot open") {
		t.Errorf("doctor says:\n%s", out)
	}
	shell{}.succeeds(t, "run", "--requests", "1", "--baselines", "none")
	shell{}.fails(t, 1, "the CUDA driver could not be loaded: /nowhere/libcuda.so.1", "run", "--device", "cuda")
	if said := (shell{}).run(t, "run", "--device", "cuda").stderr; strings.Count(said, "could not be loaded") != 1 {
		t.Errorf("it is said more than once:\n%s", said)
	}
}
