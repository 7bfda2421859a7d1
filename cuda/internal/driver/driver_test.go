//go:build cuda

package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"github.com/offhost/offhost/cuda/emulator"
)

const roleVariable = "OFFHOST_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "load" {
		l, err := Load()
		if err != nil {
			fmt.Println(errors.Is(err, ErrNoDriver), err)
			os.Exit(0)
		}
		list, err := GPUs()
		fmt.Println(l.Version, len(l.Missing), len(list), err, l.Has("cuMemCreate"), l.Has("cuNoSuchThing"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The jumps are for what the header declares, no more and no less.
func TestSymbolsAreTheHeaders(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler")
	}
	out, err := exec.Command(cc, "-E", "-P", "../../include/cuda.h").Output()
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, m := range regexp.MustCompile(`\b(cu[A-Z]\w*) *\(`).FindAllStringSubmatch(string(out), -1) {
		declared = append(declared, m[1])
	}
	slices.Sort(declared)
	declared = slices.Compact(declared)
	text, err := os.ReadFile("symbols.h")
	if err != nil {
		t.Fatal(err)
	}
	var jumps []string
	for _, m := range regexp.MustCompile(`(?m)^SYMBOL\((\w+)\)$`).FindAllStringSubmatch(string(text), -1) {
		jumps = append(jumps, m[1])
	}
	if !slices.Equal(declared, jumps) {
		t.Errorf("cuda.h declares\n%s\nsymbols.h has\n%s", strings.Join(declared, " "), strings.Join(jumps, " "))
	}
}

// Before Load everything is there and says no; gorgonia's package has called cuInit then.
func TestWithoutALibrary(t *testing.T) {
	if _, err := cu.NumDevices(); !errors.Is(err, cu.NotInitialized) {
		t.Errorf("cu.NumDevices: %v, want %v", err, cu.NotInitialized)
	}
	err := wrap("cuDeviceGetCount", cu.NotInitialized)
	if err == nil || err.Error() != "cuDeviceGetCount: error 3" || !errors.Is(err, cu.NotInitialized) || Sticky(err) || OutOfMemory(err) {
		t.Errorf("%v: want error 3, without a library that could name it", err)
	}
	if !Sticky(fmt.Errorf("a copy: %w", &Error{"cuEventSynchronize", 700})) || !Sticky(errors.Join(&Error{"cuMemUnmap", 1}, &Error{"cuMemRelease", 719})) || Sticky(errors.New("x")) || Sticky(nil) {
		t.Error("an illegal address is final for a process, other things are not")
	}
}

func TestLoad(t *testing.T) {
	standIn, err := emulator.Build(t.Context(), t.TempDir())
	if err != nil && !errors.Is(err, emulator.ErrNoCompiler) {
		t.Fatal(err)
	}
	libc, _ := filepath.Glob("/lib/*/libm.so.6")
	cases := map[string]string{"/nowhere/libcuda.so.1": "true the CUDA driver could not be loaded: /nowhere/libcuda.so.1: cannot open"}
	if len(libc) > 0 {
		cases[libc[0]] = "it has no cuInit: it is not a CUDA driver"
	}
	if err == nil {
		cases[standIn] = " 0 1 <nil> true false"
	}
	for path, want := range cases {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=load", LibraryVariable+"="+path, "OFFHOST_EMU_DIR="+filepath.Join(t.TempDir(), "gpu"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %s, %v: want %q", path, out, err, want)
		}
	}
}
