//go:build !race

// What is measured here is the command as users build it, and a process of the test
// program with the race detector is larger than that.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/offhost/offhost/host/report"
	"github.com/offhost/offhost/host/units"
	"github.com/offhost/offhost/runtime"
)

// asMeter, when it is set, makes the test program run another one and write, as the last
// line on standard error, the most memory that it had resident, in KiB, and the time
// that it computed, in nanoseconds. The kernel begins a process's peak with the size of
// the process that started it, so that one has to be small.
const asMeter = "RUN_AND_MEASURE"

func init() {
	path := os.Getenv(asMeter)
	if path == "" {
		return
	}
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p := cmd.ProcessState
	fmt.Fprintln(os.Stderr, p.SysUsage().(*syscall.Rusage).Maxrss, int64(p.UserTime()+p.SystemTime()))
	os.Exit(0)
}

// A program is the command as users build it: the race detector and the test's own
// code are not in what is measured.
type program string

func buildProgram(t *testing.T) program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "offhost")
	if msg, err := exec.Command(needTool(t, "go"), "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	return program(path)
}

// A cost is what a run took: from beginning to end, or computing if that is less,
// which it is while other programs keep the machine busy.
type cost struct {
	time time.Duration
	peak units.Bytes // of resident memory
}

// run runs offhost run, which has to succeed.
func (p program) run(t testing.TB, args ...string) (report.Report, cost) {
	t.Helper()
	meter, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(meter, append([]string{"run", "--format", "json"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asMeter+"="+string(p))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err = cmd.Run()
	wall := time.Since(start)
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	var peak, computed int64
	if _, notThere := fmt.Sscan(lines[len(lines)-1], &peak, &computed); err != nil || notThere != nil {
		t.Fatalf("%s: %v, %v\n%s", strings.Join(args, " "), err, notThere, errs.String())
	}
	c := cost{min(wall, time.Duration(computed)), units.Bytes(peak) * units.KiB}
	return decode[report.Report](t, out.String()), c
}

// Every other module decides in place of the policy, takes over in the middle, or is
// on trial: the run completes and says what happened, and costs no more than it may.
func TestAHostileModuleIsContained(t *testing.T) {
	offhost := buildProgram(t)
	_, without := offhost.run(t, append([]string{"--policy", "lru"}, tryOut...)...)
	t.Logf("without: %v, %v", without.time, without.peak)
	for _, m := range corpus {
		if m.refused() {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			path := m.file(t)
			for _, way := range []struct {
				name  string
				loads int
				args  []string
			}{
				{"in place", 1, []string{"--policy", path}},
				{"swapped in", 1, []string{"--policy", "lru", "--swap", middle + ":" + path}},
				{"swapped for itself", 2, []string{"--policy", path, "--swap", middle + ":" + path}},
				{"on trial", 1, []string{"--policy", "lru", "--swap", middle + ":" + path, "--swap-trial", "50"}},
			} {
				if m.costly && way.name != "in place" && way.name != "swapped in" {
					continue // loading is all there is to it
				}
				t.Run(way.name, func(t *testing.T) {
					args := append(way.args, tryOut...)
					r, c := offhost.run(t, args...)
					t.Logf("%v more, %v more, %d events, faults %v", c.time-without.time, c.peak-without.peak, r.PolicyEvents, r.FaultReasons)
					if r.Requests != 40 || len(r.PerRequest) != 40 {
						t.Errorf("%d requests completed, want 40", r.Requests)
					}
					if way.name == "in place" {
						m.checkFaults(t, r.FaultReasons)
						if (r.Decisions > 0) != m.lawful {
							t.Errorf("%d decisions were carried out, want some: %v", r.Decisions, m.lawful)
						}
					} else if r.Swaps+r.SwapsRefused != 1 || len(r.Notes) == 0 {
						t.Errorf("%d swaps, %d refused, notes %q; want one, and a note", r.Swaps, r.SwapsRefused, r.Notes)
					}
					// A busy machine collects garbage late: what one run of three takes is the
					// module's part.
					peak := c.peak
					for range 2 {
						if peak-without.peak <= mostMemory {
							break
						}
						_, again := offhost.run(t, args...)
						peak = min(peak, again.peak)
					}
					if peak-without.peak > mostMemory {
						t.Errorf("it took %v more memory, want at most %v", peak-without.peak, mostMemory)
					}
					m.checkTime(t, offhost, args, c.time, without.time, way.loads, r.PolicyEvents)
				})
			}
		})
	}
}

// mostMemory is what a run with a module may take beside what it takes without: the
// module's memory and 32 MiB.
const mostMemory = runtime.DefaultMemoryPages*64*units.KiB + 32*units.MiB

// checkTime allows a module 10 microseconds an event and 2 s to load. A run that took
// longer is repeated, as other programs spoil caches, too.
func (m member) checkTime(t *testing.T, offhost program, args []string, took, without time.Duration, loads int, events int64) {
	t.Helper()
	most := without + time.Duration(events)*10*time.Microsecond + time.Duration(loads)*2*time.Second
	for range 2 {
		if took <= most {
			return
		}
		_, again := offhost.run(t, args...)
		took = min(took, again.time)
	}
	if took > most {
		t.Errorf("the run took %v, want at most %v: %v without the module, 10 µs for each of %d events and 2 s to load it",
			took, most, without, events)
	}
}

func TestAThousandSwapsTakeNoMoreMemoryThanAHundred(t *testing.T) {
	offhost := buildProgram(t)
	swaps := func(n int) (report.Report, cost) {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%d:%s", 500+40*i, []string{"lru", "sticky-loop"}[i%2]))
		}
		r, c := offhost.run(t, "flux-bf16-blocks", "--budget", "20GB", "--ignore-workspace", "--baselines", "none", "--swap", strings.Join(list, ","))
		if r.Swaps != int64(n) || r.SwapsRefused != 0 || r.Faults != 0 {
			t.Errorf("%d swaps, %d refused, %d faults; want %d, none, none", r.Swaps, r.SwapsRefused, r.Faults, n)
		}
		return r, c
	}
	_, few := swaps(100)
	_, many := swaps(1000)
	t.Logf("100 swaps: %v, %v; 1,000: %v, %v", few.time, few.peak, many.time, many.peak)
	if many.peak > few.peak+16*units.MiB {
		t.Errorf("1,000 swaps took %v, 100 took %v", many.peak, few.peak)
	}
}
