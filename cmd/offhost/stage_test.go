package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/machine"
	"github.com/offhost/offhost/host/units"
)

func TestShmNeedsLinux(t *testing.T) {
	for _, system := range []string{"darwin", "windows"} {
		err := checkDevice(config.Shm, system)
		var usage *config.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--device shm needs Linux") || !strings.Contains(err.Error(), system) {
			t.Errorf("on %s: %v, want a refusal that says what it needs", system, err)
		}
		if err := checkDevice(config.Sim, system); err != nil {
			t.Error(err)
		}
	}
	if err := checkDevice(config.Shm, "linux"); err != nil {
		t.Error(err)
	}
}

// Weights get what the machine has room for beside the device, unless the user says
// how much.
func TestRoomForWeights(t *testing.T) {
	const G = units.GiB
	m := func(available units.Bytes) machine.Info {
		return machine.Info{Memory: machine.Memory{Known: available > 0, Total: available, Available: available}}
	}
	small := machine.Info{Memory: m(64 * G).Memory, Cgroup: machine.Cgroup{Limited: true, Version: 2, File: "memory.max", Path: "/box", Limit: 16 * G}}
	for _, c := range []struct {
		name               string
		machine            machine.Info
		asked, device, all units.Bytes
		want               units.Bytes
		says               string
	}{
		{"what is left", m(64 * G), 0, 24 * G, 33 * G, 32 * G, ""}, // of 56: an eighth is for others
		{"what a group leaves", small, 0, 8 * G, 33 * G, 6 * G, ""},
		{"as asked", m(64 * G), 40 * G, 20 * G, 60 * G, 40 * G, ""},
		{"as asked, and not all is needed", m(64 * G), 900 * G, 20 * G, 40 * G, 900 * G, ""},
		{"as asked, where nothing is known", m(0), 40 * G, 20 * G, 60 * G, 40 * G, ""},
		{"a device too large", m(64 * G), 0, 56 * G, 1, 0, "leaves no room for weights"},
		{"a device too large for a group", small, 0, 14 * G, 1, 0, "memory.max of /box"},
		{"too much asked", m(64 * G), 41 * G, 24 * G, 60 * G, 0, "give a smaller --budget, --host-budget or --scale"},
		{"nothing known", m(0), 0, 1, 1, 0, "give --host-budget"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := roomForWeights(c.machine, c.asked, c.device, c.all)
			if got != c.want || (err == nil) != (c.says == "") {
				t.Fatalf("%v, %v; want %v", got, err, c.want)
			}
			var usage *config.UsageError
			if err != nil && (!strings.Contains(err.Error(), c.says) || !errors.As(err, &usage)) {
				t.Errorf("%v, want a usage error that says %q", err, c.says)
			}
		})
	}
}

// The line that says how far loading is appears when it takes long, not more often than
// it can be read, and is gone afterwards.
func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.show(1, 2)
	if p.clear(); b.Len() > 0 {
		t.Errorf("%q was shown at once", &b)
	}
	p.begun, p.last = p.begun.Add(-2*time.Second), p.last.Add(-2*time.Second)
	p.show(units.GB, 4*units.GB)
	p.show(2*units.GB, 4*units.GB)
	p.clear()
	if got := b.String(); !strings.HasPrefix(got, "\rloading weights: 25 %, 1.00 GB of 4.00 GB, ") || strings.Count(got, "loading") != 1 || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("shown was %q", got)
	}
	quiet := newProgress(terminal(&b))
	quiet.begun = quiet.begun.Add(-time.Hour)
	quiet.show(1, 2)
	quiet.clear()
}
