package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/trace/library"
	"github.com/offhost/offhost/host/units"
)

// Real bytes move as simulated ones do: the same loads, the same bytes, by the same
// decisions. Only times differ, and every byte is read back.
func TestRealBytesMoveAsSimulatedOnesDo(t *testing.T) {
	for _, c := range []struct{ trace, policy, budget, requests string }{
		{"flux-img2img-8bit", "lru", "12GiB", "3"},
		{"flux-img2img-8bit", "sticky-loop", "12GiB", "3"},
		{"flux-bf16-blocks", "lru", "20GB", "1"},
		{"sdxl-controlnet", "sticky-loop", "8GB", "1"},
	} {
		args := []string{c.trace, "--scale", "1/256", "--budget", c.budget, "--policy", c.policy, "--requests", c.requests}
		sim := shell{}.report(t, args...)
		shm := shell{}.report(t, append(args, "--device", "shm")...)
		type moved struct {
			H2D, D2H, Loads, Evictions, Calls, Inputs int64
			Decisions                                 string
		}
		of := func(r report.Report) moved {
			return moved{r.H2DBytes, r.D2HBytes, r.Loads, r.Evictions, r.Calls, r.Inputs, r.DecisionsSHA256}
		}
		if d := cmp.Diff(of(sim), of(shm)); d != "" || shm.Evictions == 0 {
			t.Errorf("%s under %s, %d evictions (-sim +shm):\n%s", c.trace, c.policy, shm.Evictions, d)
		}
		for i, b := range shm.Baselines {
			if *b.H2DBytes != *sim.Baselines[i].H2DBytes {
				t.Errorf("%s: %s moved %d bytes beside shm, %d beside sim", c.trace, b.Name, *b.H2DBytes, *sim.Baselines[i].H2DBytes)
			}
		}
		m := shm.Measured
		if m == nil || shm.Device != "shm" || shm.Scale != "1/256" || m.H2DBytes != shm.H2DBytes || m.VerifiedBytes < shm.H2DBytes || m.H2DBytesPerSecond == 0 {
			t.Errorf("%s: device %s at %s, measured %+v; want the %d bytes that moved, and as many verified", c.trace, shm.Device, shm.Scale, m, shm.H2DBytes)
		}
		if h := shm.Host; h == nil || h.Weights != report.Synthetic || h.FileBytes != 0 || h.BudgetBytes == 0 || h.HeldBytes != sum(shm.PerComponent, func(c report.Component) int64 { return c.Bytes }) {
			t.Errorf("%s: weights in %+v", c.trace, h)
		}
		if sim.Measured != nil || sim.Host != nil {
			t.Errorf("%s: sim measured %+v, weights in %+v; want neither", c.trace, sim.Measured, sim.Host)
		}
	}
}

func sum(list []report.Component, of func(report.Component) int64) (n int64) {
	for _, c := range list {
		n += of(c)
	}
	return n
}

// A scaled run is the run made small: what it moves, scaled up, is what the run moves.
func TestAScaledRunIsTheRunMadeSmall(t *testing.T) {
	for _, name := range library.Names() {
		whole := shell{}.report(t, name, "--requests", "2", "--baselines", "none")
		small := shell{}.report(t, name, "--requests", "2", "--baselines", "none", "--scale", "1/64")
		for what, n := range map[string][2]int64{
			"bytes": {whole.H2DBytes, small.H2DBytes}, "stall": {whole.StallNS, small.StallNS}, "time": {whole.MakespanNS, small.MakespanNS},
			"budget": {whole.BudgetBytes, small.BudgetBytes}, "chunk": {whole.ChunkBytes, small.ChunkBytes}, "peak": {whole.PeakResidentBytes, small.PeakResidentBytes},
		} {
			if off := float64(64*n[1])/float64(n[0]) - 1; off < -0.001 || off > 0.001 {
				t.Errorf("%s: %s: %d at 1/64 and %d, which is off by %.2f %%", name, what, n[1], n[0], 100*off)
			}
		}
		if small.Loads != whole.Loads || small.LinkBytesPerSecond != whole.LinkBytesPerSecond || small.Scale != "1/64" {
			t.Errorf("%s: %d loads over %d B/s at %q, want %d over %d", name, small.Loads, small.LinkBytesPerSecond, small.Scale, whole.Loads, whole.LinkBytesPerSecond)
		}
	}
	coarse := shell{}.report(t, "--scale", "1/64", "--granularity", "2MiB", "--baselines", "none")
	if coarse.ChunkBytes != int64(2*units.MiB) {
		t.Errorf("chunks of %d bytes where the device allocates 2 MiB: want no less", coarse.ChunkBytes)
	}
}

// pipeline writes a trace of three components, of which one is divided into two blocks
// and one is changed by its calls, and returns its path.
func pipeline(t *testing.T, change bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	none := trace.NoComponent
	w, err := trace.NewWriter(f, &trace.Header{
		Name:   "pipeline",
		Device: trace.Device{Name: "card", Memory: 20 * units.MiB, H2D: 25e9, D2H: 25e9, Pageable: 6e9},
		Components: []trace.Component{
			{Name: "text", Bytes: 10 * units.MiB, ReadOnly: true, Parent: none},
			{Name: "unet", Bytes: 1 * units.MiB, ReadOnly: true, Parent: none},
			{Name: "unet.blocks.0", Bytes: 8 * units.MiB, ReadOnly: !change, Parent: 1, Index: 0},
			{Name: "unet.blocks.1", Bytes: 8 * units.MiB, ReadOnly: true, Parent: 1, Index: 1},
			{Name: "vae", Bytes: 3 * units.MiB, ReadOnly: true, Parent: none},
		},
		Pipelines: []trace.Pipeline{{Name: "pipe", Components: []int{0, 1, 4}, OffloadSeq: []int{0, 1, 4}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3) {
		for _, r := range []trace.Record{
			{Kind: trace.Begin, Component: none},
			{Kind: trace.Call, Component: 0, Compute: 1000},
			{Kind: trace.Enter, Component: 1},
			{Kind: trace.Call, Component: 2, Compute: 1000},
			{Kind: trace.Call, Component: 3, Compute: 1000},
			{Kind: trace.Exit, Component: 1},
			{Kind: trace.Call, Component: 4, Compute: 1000},
			{Kind: trace.End, Component: none},
		} {
			r.Request = i + 1
			if err := w.Write(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// pattern makes the bytes of a tensor from their position.
func pattern(tensor string, p []byte, off int64) {
	for i := range p {
		p[i] = byte(int(off)+i) ^ byte((int(off)+i)>>9) ^ tensor[0]
	}
}

// folder writes weights for the pipeline; text's are a little larger than in the trace.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	u8 := func(name string, n units.Bytes) safetensorstest.Tensor {
		return safetensorstest.Tensor{Name: name, DType: "U8", Shape: []int64{int64(n)}}
	}
	safetensorstest.Write(t, filepath.Join(dir, "text.safetensors"), []safetensorstest.Tensor{u8("a", 6*units.MiB), u8("b", 5*units.MiB)}, nil, pattern)
	for name, tensors := range map[string][]safetensorstest.Tensor{
		"unet": {u8("norm", units.MiB), u8("blocks.0.w", 8*units.MiB), u8("blocks.1.w", 8*units.MiB)},
		"vae":  {u8("decoder", 3*units.MiB)},
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		safetensorstest.Write(t, filepath.Join(dir, name, "model.safetensors"), tensors, nil, pattern)
	}
	return dir
}

// Weights may come from files, with sizes of their own, and what host memory has no room
// for is read from there at each load.
func TestWeightsFromFiles(t *testing.T) {
	path, dir := pipeline(t, false), folder(t)
	safetensorstest.Write(t, filepath.Join(dir, "vae", "model.fp16.safetensors"), nil, nil, pattern)
	run := func(args ...string) report.Report {
		return shell{}.report(t, append([]string{path, "--device", "shm", "--weights", dir, "--chunk", "2MiB", "--pin-budget", "64KiB"}, args...)...)
	}
	r := run()
	if text := r.PerComponent[0]; text.Bytes != int64(11*units.MiB) || r.Host.Weights != dir || r.Host.FileBytes != 0 || r.Measured.FileBytes != 0 {
		t.Errorf("text has %d bytes, weights are in %+v, %d bytes came from files; want 11 MiB, all held", text.Bytes, r.Host, r.Measured.FileBytes)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "than in the trace, 1 of 5: text 12 MB instead of 10 MB") {
		t.Errorf("the notes do not say that text is larger:\n%s", notes)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "vae: model.safetensors, not model.fp16.safetensors") {
		t.Errorf("the notes do not say which weights of vae are used:\n%s", notes)
	}
	if r.Host.PinnedBytes != int64(64*units.KiB) && !strings.Contains(strings.Join(r.Notes, "\n"), "locked in memory") {
		t.Errorf("%d bytes are locked, and no note says why: %q", r.Host.PinnedBytes, r.Notes)
	}

	tight := run("--host-budget", "20MiB")
	files := sum(tight.PerComponent, func(c report.Component) int64 { return c.FileBytes })
	if h := tight.Host; files == 0 || h.FileBytes != files || h.HeldBytes > int64(20*units.MiB) || h.HeldBytes+files != r.Host.HeldBytes {
		t.Errorf("%d bytes in files by component, weights in %+v; want %d in all, 20 MiB of them in memory at most", files, h, r.Host.HeldBytes)
	}
	if tight.Measured.FileBytes < files || tight.H2DBytes != r.H2DBytes {
		t.Errorf("%d bytes came from files, %d were moved; want %d at least, and %d", tight.Measured.FileBytes, tight.H2DBytes, files, r.H2DBytes)
	}
	sim := shell{}.report(t, path, "--chunk", "2MiB", "--host-budget", "20MiB")
	if n := sum(sim.PerComponent, func(c report.Component) int64 { return c.FileBytes }); n == 0 {
		t.Error("sim plans nothing in files under the same host budget")
	}
	slow := shell{}.report(t, path, "--chunk", "2MiB", "--host-budget", "20MiB", "--file-bandwidth", "100MB/s")
	if slow.StallNS <= sim.StallNS {
		t.Errorf("files at 100 MB/s: %d ns of stall, at 3 GB/s %d", slow.StallNS, sim.StallNS)
	}
	out := shell{}.succeeds(t, "run", path, "--device", "shm", "--weights", dir, "--host-budget", "20MiB")
	for _, want := range []string{"in files", "Weights from " + dir + ":", "read from files at each load", "shm measured at", "every byte was right", "baselines: simulated"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
}

// A trace may have nothing to move.
func TestATraceWithoutCalls(t *testing.T) {
	const text = `{"kind":"trace","format":"offhost.trace/1","name":"idle"}
{"kind":"component","name":"a","bytes":1,"read_only":true}
{"kind":"pipeline","name":"p","components":["a"]}
`
	for _, device := range onDevices() {
		r := shell{stdin: strings.NewReader(text)}.report(t, "-", "--device", device, "--gpu", "rtx3090", "--baselines", "none")
		if r.Calls != 0 || r.H2DBytes != 0 {
			t.Errorf("%s: %d calls, %d bytes moved", device, r.Calls, r.H2DBytes)
		}
	}
}

// What calls change goes back, and comes again as it was left: a call would see it.
func TestChangedWeightsGoBack(t *testing.T) {
	r := shell{}.report(t, pipeline(t, true), "--device", "shm", "--chunk", "2MiB", "--policy", "lru")
	if r.D2HBytes == 0 || r.Measured.D2HBytes != r.D2HBytes || r.Measured.D2HBytesPerSecond == 0 || r.PerComponent[2].D2HBytes != r.D2HBytes {
		t.Errorf("%d bytes went back, measured %+v; want some of unet.blocks.0", r.D2HBytes, r.Measured)
	}
}

// A link that is given for the run is kept to; one that a card has is not.
func TestTheDeviceKeepsToALinkThatIsGiven(t *testing.T) {
	path := pipeline(t, true)
	paced := shell{}.report(t, path, "--device", "shm", "--link", "200MB/s,100MB/s")
	if m := paced.Measured; m.H2DBytesPerSecond > 210e6 || m.D2HBytesPerSecond > 105e6 || paced.LinkBytesPerSecond != 200e6 {
		t.Errorf("measured %+v over a link of 200 and 100 MB/s", m)
	}
	free := shell{file: "link: 1kB/s\n"}.report(t, path, "--device", "shm")
	if m := free.Measured; m.H2DBytesPerSecond < 1e6 || free.LinkBytesPerSecond != 1000 {
		t.Errorf("measured %+v, told %d; want more than a configuration says, and that it was told", m, free.LinkBytesPerSecond)
	}
}

func TestWhatShmCannotDo(t *testing.T) {
	path := pipeline(t, false)
	empty := t.TempDir()
	noTensors := folder(t)
	safetensorstest.Write(t, filepath.Join(noTensors, "vae", "model.safetensors"), nil, nil, pattern)
	for _, c := range []struct {
		name string
		code int
		says string
		args []string
	}{
		{"no weights there", 1, `weights: component "text": .*text`, []string{path, "--device", "shm", "--weights", empty}},
		{"a directory that is not there", 2, `weights: there is no directory .*nosuch`, []string{path, "--device", "shm", "--weights", filepath.Join(empty, "nosuch")}},
		{"a file in place of a directory", 2, `weights: .* is a file: want a directory`, []string{path, "--device", "shm", "--weights", path}},
		{"a component without weights", 1, `weights: component vae has no tensors`, []string{path, "--device", "shm", "--weights", noTensors}},
		{"a granularity below a page", 1, `granularity 1\.0 kB: want a multiple of the page size`, []string{path, "--device", "shm", "--granularity", "1KiB", "--chunk", "4KiB"}},
		{"changed weights beyond host memory", 2, `components that are written take .* raise it`, []string{pipeline(t, true), "--device", "shm", "--host-budget", "1MiB"}},
		{"more than the machine has", 2, `the device's memory, .* (leaves no room for weights|is all that)`, []string{"wan22-a14b", "--device", "shm", "--budget", "100TB", "--requests", "1", "--scale", "1048575/1048576"}},
		{"weights on sim", 2, `--weights: device sim has no weights: want --device shm`, []string{path, "--weights", empty}},
		{"a journal where none can be", 2, `--record: create .*/none/j: no such`, []string{path, "--record", filepath.Join(empty, "none", "j")}},
		{"a journal in place of the trace", 2, `--record: .*pipeline.jsonl is what is being run`, []string{path, "--record", path}},
		{"a journal that is no file", 2, `--record: .*is not a regular file`, []string{path, "--record", os.DevNull}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "more than the machine has" && fits(120*units.GB) {
				t.Skip("this machine has room for it")
			}
			shell{}.fails(t, c.code, c.says, append([]string{"run"}, c.args...)...)
		})
	}
}

// fits reports whether this machine has so much memory.
func fits(n units.Bytes) bool {
	text, _ := os.ReadFile("/proc/meminfo")
	var kib int64
	_, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib)
	return err == nil && units.Bytes(kib)*units.KiB > n
}
