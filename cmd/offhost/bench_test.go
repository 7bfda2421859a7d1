package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/link"
	"github.com/offhost/offhost/host/units"
)

type linkFound struct {
	Schema, Device string
	Bytes          int64
	Points         []struct {
		Chunk  int64 `json:"chunk_bytes"`
		H2D    int64 `json:"h2d_bytes_per_second"`
		D2H    int64 `json:"d2h_bytes_per_second"`
		Rounds int
	}
	Written *struct {
		Path  string
		Chunk int64 `json:"chunk_bytes"`
	}
}

// The simulated device is as fast as it is told to be, less what each copy takes beside
// its bytes.
func TestBenchLinkOfTheSimulatedDevice(t *testing.T) {
	found := decode[linkFound](t, shell{}.succeeds(t, "bench", "link", "--device", "sim", "--link", "10GB/s,5GB/s", "--chunk-sizes", "64KiB,32MiB", "--format", "json"))
	if found.Schema != linkSchema || found.Device != "sim" || len(found.Points) != 2 || found.Written != nil {
		t.Fatalf("found %+v", found)
	}
	small, large := found.Points[0], found.Points[1]
	if small.Chunk != int64(64*units.KiB) || small.H2D > 5e9 || large.H2D < 9.9e9 || large.H2D > 10e9 || large.D2H < 4.9e9 || large.D2H > 5e9 || large.Rounds < 3 {
		t.Errorf("measured %+v and %+v", small, large)
	}
}

// What was measured on shm is what a run with that configuration takes for the link.
func TestBenchLinkWritesAConfiguration(t *testing.T) {
	if len(onDevices()) == 1 {
		t.Skip("shm needs Linux")
	}
	path := filepath.Join(t.TempDir(), "my.yaml")
	const mine = "# mine\nchunk: 1MiB\n\ngranularity: 1MiB # fine\n"
	if err := os.WriteFile(path, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	quick := []string{"bench", "link", "--bytes", "4MiB", "--duration", "1ms", "--chunk-sizes", "512KiB,2MiB", "--write", path}
	found := decode[linkFound](t, shell{}.succeeds(t, append(quick, "--format", "json")...))
	if len(found.Points) != 3 || found.Written == nil || found.Written.Chunk != int64(units.MiB) {
		t.Fatalf("found %+v, want the file's chunk among what was measured", found)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(b), mine+"link: ") {
		t.Fatalf("%v; the file is:\n%s", err, b)
	}
	r := shell{}.report(t, "--config", path, "--baselines", "none")
	for _, p := range found.Points {
		if off := float64(r.LinkBytesPerSecond)/float64(p.H2D) - 1; p.Chunk == found.Written.Chunk && (off < -0.01 || off > 0.01) {
			t.Errorf("a run takes %d B/s, measured were %d", r.LinkBytesPerSecond, p.H2D)
		}
	}
	if out := (shell{}.succeeds(t, quick...)); !strings.Contains(out, "512 KiB") && !strings.Contains(out, "524 kB") || !strings.Contains(out, "has the bandwidth of") {
		t.Errorf("shown was:\n%s", out)
	}
	left(t, filepath.Dir(path), "my.yaml")
}

func TestWhatBenchLinkCannotDo(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("bugdet: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "none", "x.yaml")
	for args, says := range map[string]string{
		"--device rocm":                       `--device: "rocm": want sim, shm, cuda`,
		"--device shm --host-memory pageable": "only on device cuda memory is pinned or not",
		"--device cuda --link 1GB/s":          "device cuda has the link that it has",
		"--device sim":                        "give --link",
		"--device sim --write x":              "--write: device sim has the link that it is told",
		"--link fast":                         `--link: bandwidth "fast"`,
		"--chunk-sizes 2MiB,,":                `--chunk-sizes: size ""`,
		"--chunk-sizes 0":                     `--chunk-sizes: "0": want more than 0`,
		"--chunk-sizes 5GiB":                  "at most 4 GiB",
		"--bytes 0":                           `--bytes: "0"`,
		"--bytes 100TB":                       "lower --bytes",
		"--duration 0s":                       "--duration",
		"--duration 2h":                       "at most an hour",
		"--format xml":                        "text or json",
		"--write " + bad:                      `unknown key "bugdet"`,
		"--write " + nowhere:                  "configuration: create .*/none/x.yaml: no such file",
		"now":                                 "1 argument, want",
		"--chunk-sizes 1MiB --burn":           "unknown flag",
	} {
		if len(onDevices()) == 1 && !strings.Contains(args, "sim") {
			continue
		}
		shell{}.fails(t, 2, says, append([]string{"bench", "link"}, strings.Fields(args)...)...)
	}
	if len(onDevices()) > 1 {
		shell{}.fails(t, 1, "want a multiple of the page size", "bench", "link", "--chunk-sizes", "1KiB", "--bytes", "1MiB")
	}
}

func TestBenchLinkEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	cancel(stop)
	b := newBench(t, "")
	err := b.benchLink(ctx, linkBench{device: config.Sim, memory: config.Pinned, sizes: "2MiB", bytes: "4MiB", link: "1GB/s", format: config.FormatText, duration: link.DefaultDuration})
	if !errors.Is(err, stop) || b.out.Len() > 0 {
		t.Errorf("%v and %q, want the context's cause and nothing", err, &b.out)
	}
}
