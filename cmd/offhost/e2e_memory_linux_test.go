//go:build !race

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/offhost/offhost/host/safetensors/safetensorstest"
	"github.com/offhost/offhost/host/units"
)

// Weights are in memory once, beside the device's memory: what is read from files is not
// kept twice, and what host memory has no room for not at all.
func TestWeightsAreInMemoryOnce(t *testing.T) {
	const size = 192 * units.MiB
	dir := t.TempDir()
	safetensorstest.Write(t, filepath.Join(dir, "unet.safetensors"), []safetensorstest.Tensor{{Name: "w", DType: "BF16", Shape: []int64{int64(size) / 2}}}, nil, pattern)
	path := filepath.Join(dir, "one.jsonl")
	const text = `{"kind":"trace","format":"offhost.trace/1","name":"one"}
{"kind":"component","name":"unet","bytes":1000000,"read_only":true}
{"kind":"pipeline","name":"p","components":["unet"]}
{"kind":"begin","request":1,"pipeline":"p"}
{"kind":"call","component":"unet","compute_ns":1}
{"kind":"end","request":1}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	offhost := buildProgram(t)
	run := func(args ...string) units.Bytes {
		_, c := offhost.run(t, append([]string{path, "--device", "shm", "--budget", "192MiB", "--gpu", "rtx3090"}, args...)...)
		return c.peak
	}
	without := run() // a megabyte
	held, streamed := run("--weights", dir), run("--weights", dir, "--host-budget", "32MiB")
	t.Logf("without %v, with %v, with 32 MiB of them held %v", without, held, streamed)
	const slack = 24 * units.MiB
	if most := without + 2*size + slack; held > most || held < without+2*size-slack {
		t.Errorf("a peak of %v, want about %v: %v once for the host and once for the device", held, most-slack, size)
	}
	if most := without + size + 32*units.MiB + 2*slack; streamed > most { // and what is being read
		t.Errorf("with 32 MiB of them held a peak of %v, want at most %v", streamed, most)
	}
}
