package main

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/host/machine"
)

// Where offhost is tested, it runs; a GPU is not needed.
func TestDoctorOnThisMachine(t *testing.T) {
	b := newBench(t, "")
	if code := b.run("doctor"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	for _, want := range []string{version(), "machine\n", "Usable here: sim"} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &b.out)
		}
	}

	b = newBench(t, "")
	if code := b.run("doctor", "--format", "json"); code != 0 {
		t.Fatalf("exit code %d: %s", code, &b.errs)
	}
	var v struct {
		Schema string
		Runs   bool
		Budget int64 `json:"host_budget_bytes"`
	}
	if err := json.Unmarshal(b.out.Bytes(), &v); err != nil || v.Schema != "offhost.doctor/1" || !v.Runs {
		t.Errorf("%+v, %v; want schema offhost.doctor/1, and that offhost runs", v, err)
	}
	if runtime.GOOS == "linux" && v.Budget == 0 {
		t.Error("host_budget_bytes is 0, want what Linux tells of its memory")
	}
}

func TestDoctorsExitCodes(t *testing.T) {
	for args, want := range map[string]string{
		"doctor --format xml": "text or json",
		"doctor now":          "1 argument, want",
	} {
		b := newBench(t, "")
		if code := b.run(strings.Fields(args)...); code != 2 || !strings.Contains(b.errs.String(), want) || b.out.Len() > 0 {
			t.Errorf("%s: exit code %d, %q; want 2 and %q", args, code, &b.errs, want)
		}
	}

	refused := errors.New("refused")
	for _, format := range []string{config.FormatText, config.FormatJSON} {
		b := newBench(t, "")
		err := b.doctor(t.Context(), machine.Info{OS: "linux", Sharing: machine.Sharing{Memfd: refused, Seals: refused, Passing: refused}}, format)
		var usage *config.UsageError
		if err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), "memfd") {
			t.Errorf("without memory files: %v, want a failure that names memfd", err)
		}
		if !strings.Contains(b.out.String(), "refused") {
			t.Errorf("the findings are not shown before the failure:\n%s", &b.out)
		}
	}
}
