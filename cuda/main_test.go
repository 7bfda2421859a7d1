//go:build cuda && linux

package cuda_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda"
	"github.com/offhost/offhost/cuda/emulator"
	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/emu"
	"github.com/offhost/offhost/cuda/internal/wire"
	"github.com/offhost/offhost/cuda/internal/worker"
	"github.com/offhost/offhost/host/units"
)

// roles are what this test binary is as another process, by the value of OFFHOST_TEST_ROLE.
var roles = map[string]func() error{
	"worker": serve,
	"client": beClient,
	"sleeper": func() error {
		time.Sleep(time.Minute)
		return nil
	},
}

const roleVariable = "OFFHOST_TEST_ROLE"

// gran is the device's granularity: that of current GPUs, or less on the stand-in, where
// worlds of chunks are small then.
var gran = 2 << 20

const granVariable = "OFFHOST_TEST_GRANULARITY"

// TestMain lets the binary be a process of another kind, and sets how many random worlds a
// run goes through. -rapid.checks=N chooses another number.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(granVariable)); err == nil {
		gran = n
	}
	if role := os.Getenv(roleVariable); role != "" {
		f := roles[role]
		if f == nil {
			f = func() error { return bug(role) }
		}
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	checks := "150"
	if os.Getenv(driver.LibraryVariable) != "" {
		checks = "30"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(withDriver(m.Run))
}

// withDriver builds the stand-in for a run of tests, with a GPU of its own, unless the
// environment names a driver.
func withDriver(run func() int) int {
	if os.Getenv(driver.LibraryVariable) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "offhost-cuda-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path, err := emulator.Build(context.Background(), dir)
	if err != nil {
		noDriver = err
	} else {
		standIn = true
		os.Setenv(driver.LibraryVariable, path)
		os.Setenv("OFFHOST_EMU_DIR", filepath.Join(dir, "gpu"))
		gran = 64 << 10
		os.Setenv("OFFHOST_EMU_GRANULARITY", strconv.Itoa(gran))
	}
	os.Setenv(granVariable, strconv.Itoa(gran))
	return run()
}

var (
	standIn  bool  // the driver is the stand-in that was built
	noDriver error // why there is none
)

// serve is cuda.Serve with a way to let the stand-in fail.
func serve() error {
	conn, err := wire.NewConn(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	cfg := worker.Config{}
	cfg.Inject = refuse
	if e, ok := emu.Open(); ok {
		cfg.Inject = e.Inject
	}
	if err := worker.Serve(conn, cfg); err != nil {
		return err
	}
	return leftNothing()
}

// refuse is what a driver does that cannot be told to fail: the fault comes before it.
func refuse(fault string) error {
	call, text, _ := strings.Cut(fault, ":")
	code, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("a fault %q on a real driver: want a function and a code", fault)
	}
	return &driver.Error{Call: call, Code: code}
}

// leftNothing asks the stand-in for what this process has not given back: a Go program
// ends without telling its libraries.
func leftNothing() error {
	e, ok := emu.Open()
	if !ok {
		return nil
	}
	if n := e.Leaks(true); n > 0 {
		return fmt.Errorf("%d things were not given back: %q", n, e.Said())
	}
	return nil
}

// needsDriver skips a test where there is no library to run on.
func needsDriver(t testing.TB) {
	t.Helper()
	if noDriver == nil {
		return
	}
	if errors.Is(noDriver, emulator.ErrNoCompiler) && os.Getenv("REQUIRE_TOOLS") == "" {
		t.Skip(noDriver)
	}
	t.Fatal(noDriver)
}

// needsStandIn skips a test of what a real driver does not do on request.
func needsStandIn(t testing.TB) {
	t.Helper()
	needsDriver(t)
	if !standIn {
		t.Skip("needs the stand-in driver: faults, its books, or a granularity of 64 KiB")
	}
}

// speech is what a process says, by several goroutines' leave.
type speech struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *speech) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *speech) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *speech) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

// role is this test binary as a process of another kind. What it says is kept.
func role(name string, said *speech, env ...string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(self)
		// The race detector would let each process sleep a second at its end.
		cmd.Env = append(append(os.Environ(), roleVariable+"="+name, "GORACE=atexit_sleep_ms=0"), env...)
		cmd.Stderr = said
		return cmd, nil
	}
}

// shared is a source in shared memory, whose lowest bytes are in a file.
type shared struct {
	all  []byte // all of it
	file int64
	fd   *os.File // of the rest
	mem  []byte
}

func newShared(t testing.TB, b []byte, file int64) *shared {
	t.Helper()
	s := &shared{all: b, file: file}
	n := len(b) - int(file)
	if n == 0 {
		return s
	}
	fd, err := unix.MemfdCreate("test-weights", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	s.fd = os.NewFile(uintptr(fd), "weights")
	if err := s.fd.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	if s.mem, err = unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	copy(s.mem, b[file:])
	return s
}

func (s *shared) Span(off, n int64) []byte {
	if off < s.file {
		return nil
	}
	return s.mem[off-s.file : off-s.file+n]
}

func (s *shared) ReadAt(p []byte, off int64) (int, error) { return copy(p, s.all[off:]), nil }

func (s *shared) Memory() (*os.File, error) {
	fd, err := unix.FcntlInt(s.fd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "weights"), nil
}

func (s *shared) close() error {
	if s.fd == nil {
		return nil
	}
	return errors.Join(unix.Munmap(s.mem), s.fd.Close())
}

// complaints are the lines of a process that say that it has misused the stand-in, or
// left something behind.
func complaints(said *speech) (list []string) {
	for line := range strings.Lines(said.String()) {
		if strings.Contains(line, "OFFHOST-EMU") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// opened is a device and what it was opened with.
type opened struct {
	*cuda.Device
	t       testing.TB
	chunk   int64
	first   [][]byte
	sources []*shared
	said    *speech
}

// world counts descriptors and mappings of this process.
func world(t testing.TB) (fds, maps int) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return len(names), bytes.Count(text, []byte("memfd:"))
}

func bytesOf(seed uint64, n units.Bytes) []byte {
	b := make([]byte, n)
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return b
}
