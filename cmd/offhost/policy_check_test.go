//go:build !race

// One goroutine has no races to find, and a module is told a hundred thousand events here.

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/policies/conformance"
)

// checked runs offhost policy check in this process, in a folder of its own.
func checked(t testing.TB, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := newApp(nil, &out, &errs)
	a.dir = dir
	code = a.main(context.Background(), append([]string{"policy", "check"}, args...))
	return code, out.String(), errs.String()
}

func checkNames() (names []string) {
	for _, c := range conformance.Checks() {
		names = append(names, c.Name)
	}
	return names
}

// The steps of loading come first, then a line for each check and what else it found.
func TestPolicyCheck(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.wasm")
	if err := os.WriteFile(bad, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	loading := []string{"digest", "module", "exports", "imports", "meter", "compile", "start"}
	for _, c := range []struct {
		name, module string
		code         int
		heads        []string // of the lines after the first
		last, errs   string
	}{
		{"good", "lru", 0, append(slices.Clone(loading), checkNames()...), "The module keeps to the ABI.", ""},
		{"good, and not all of it", "../../policies/conformance/testdata/faulty/table-dry.wasm", 0, append(slices.Clone(loading), checkNames()...),
			"The module keeps to the ABI, with 1 warning.", ""},
		{"refused", bad, 1, []string{"digest", "module", "exports"}, "exports   refused", "bad.wasm"},
		{"faulty", hostile(t, "traps"), 1, append(slices.Clone(loading), checkNames()...), "  offhost policy check " + hostile(t, "traps") + " --events ",
			`traps.wasm fails answers: event 1 CONFIG: trap: unreachable in function "$1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := checked(t, t.TempDir(), c.module, "--quick")
			if code != c.code || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("exit code %d, want %d; standard error has to say %q: %s", code, c.code, c.errs, errs)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")[1:]
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.last) {
				t.Errorf("ends with %q, want %q", last, c.last)
			}
			for _, head := range c.heads {
				i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, head+" ") })
				if i < 0 {
					t.Fatalf("no line begins with %s, in this order:\n%s", head, out)
				}
				lines = lines[i+1:]
			}
		})
	}
}

// A module that fails leaves a log, in which it fails again and another one does not. The
// file is the user's to name, and what was there is replaced.
func TestAFaultIsLeftInAFile(t *testing.T) {
	dir, faulty := t.TempDir(), "../../policies/conformance/testdata/faulty/divides.wasm"
	for range 2 {
		code, out, errs := checked(t, dir, faulty, "--quick")
		if code != 1 || !strings.Contains(out, "A log of 3 events in which answers fails is in "+filepath.Join(dir, "divides.fault.jsonl")) {
			t.Fatalf("exit code %d, want 1 and a log:\n%s%s", code, out, errs)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v; want one file", left, err)
	}
	named := filepath.Join(t.TempDir(), "f")
	if code, out, _ := checked(t, t.TempDir(), faulty, "--quick", "--fault", named); code != 1 || !strings.Contains(out, named) {
		t.Errorf("--fault: exit code %d:\n%s", code, out)
	}
	for _, file := range []string{left[0], named} {
		code, out, errs := checked(t, dir, faulty, "--events", file)
		if code != 1 || !strings.Contains(out, `answers      FAIL     event 3 EVICTED: trap: integer divide by zero in function "share"`) || strings.Contains(out, "A log") {
			t.Errorf("told again: exit code %d, want 1 and the same fault:\n%s%s", code, out, errs)
		}
		if code, out, errs := checked(t, dir, "lru", "--events", file); code != 0 || !strings.Contains(out, "answers      pass     3 events, nothing found\nNothing is wrong, as far as was looked.\n") {
			t.Errorf("lru, told the same: exit code %d:\n%s%s", code, out, errs)
		}
	}
	// A link in its place leads who knows where, and is not followed.
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(precious, filepath.Join(linked, "divides.fault.jsonl")); err == nil { // a privilege on some systems
		if code, _, errs := checked(t, linked, faulty, "--quick"); code != 2 || !strings.Contains(errs, "want another one with --fault") {
			t.Errorf("a link: exit code %d: %s", code, errs)
		}
		if b, err := os.ReadFile(precious); err != nil || string(b) != "mine" {
			t.Errorf("what the link leads to has %q, %v", b, err)
		}
	}
	// It is told again under what it was found under.
	code, out, _ := checked(t, dir, "lru", "--quick", "--policy-fuel", "300", "--policy-refill=10", "--seed", "7", "--policy-config", "a=b")
	if want := " --policy-fuel=300 --policy-refill=10 --seed=7\n"; code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, want the flags %q:\n%s", code, want, out)
	}
}

// Each check that fails leaves a log of its own. The names of all but the first nobody has
// chosen: a link there is not followed. Where one fails alone, there is no other file.
func TestEachFaultIsLeftInAFile(t *testing.T) {
	finding := &conformance.Finding{Class: "trap"}
	report := &conformance.Report{Verdicts: []*conformance.Verdict{{Check: "answers", Result: conformance.Passed}}}
	for _, check := range []string{"fuel", "growth"} {
		report.Verdicts = append(report.Verdicts, &conformance.Verdict{Check: check, Result: conformance.Failed, Found: []string{check + " found it"},
			Finding: finding, Log: &conformance.Log{Check: check, Steps: make([]conformance.Step, 2)}})
	}
	conclude := func(c *moduleCheck) (out string, err error) {
		var b bytes.Buffer
		a := newApp(nil, &b, io.Discard)
		c.name, c.module.name = "./bad.wasm", "bad.wasm"
		for _, v := range report.Verdicts {
			a.tellVerdict(c, v)
		}
		c.text, b = true, bytes.Buffer{}
		err = a.concludeCheck(c, report)
		return b.String(), err
	}

	dir := t.TempDir()
	first, second := filepath.Join(dir, "bad.fault.jsonl"), filepath.Join(dir, "bad.fault.growth.jsonl")
	c := &moduleCheck{fault: first}
	out, err := conclude(c)
	if err == nil || !strings.HasSuffix(err.Error(), "bad.wasm fails fuel, growth: fuel found it") || *c.found.FaultLog != first {
		t.Errorf("%v, fault_log %s", err, *c.found.FaultLog)
	}
	for i, path := range []string{first, second} {
		check := report.Verdicts[i+1].Check
		if log, err := readEvents(path); err != nil || log.Check != check || c.found.Checks[i+1].Fault.Log != path {
			t.Errorf("%s: %+v, %v; want the log of %s", path, log, err, check)
		}
		if !strings.Contains(out, "A log of 2 events in which "+check+" fails is in "+path+"; again:\n  offhost policy check ./bad.wasm --events "+path+"\n") {
			t.Errorf("%s is not named:\n%s", path, out)
		}
	}

	precious, named := filepath.Join(dir, "precious"), filepath.Join(dir, "f")
	writeFile(t, "mine", precious)
	if err := os.Symlink(precious, named+".growth"); err != nil {
		t.Skip(err)
	}
	c = &moduleCheck{fault: named, named: true}
	if _, err := conclude(c); err == nil || !strings.Contains(err.Error(), "f.growth is not a regular file") || *c.found.FaultLog != named {
		t.Errorf("a link: %v, fault_log %v", err, c.found.FaultLog)
	}
	if got := readFile(t, precious); string(got) != "mine" {
		t.Errorf("what the link leads to has %q", got)
	}
}

// What a module logged before it failed is shown with the fault, and what it answers to a log
// that somebody has written, event by event.
func TestPolicyCheckShowsWhatAModuleSays(t *testing.T) {
	says, log := "../../policies/conformance/testdata/faulty/says.wasm", filepath.Join(t.TempDir(), "f")
	const first, second = "it said: panic: no way out\n", `it said:     in \x1b[31mred` + "\n"
	code, out, _ := checked(t, t.TempDir(), says, "--quick", "--fault", log)
	if code != 1 || !strings.Contains(out, first) || !strings.Contains(out, second) {
		t.Errorf("exit code %d, want 1 and what it said:\n%s", code, out)
	}
	_, out, _ = checked(t, t.TempDir(), says, "--events", log, "--format", "json")
	got := decode[checkJSON](t, out)
	want := []string{"panic: no way out", `    in \x1b[31mred`}
	if len(got.Told) == 0 || len(got.Checks) == 0 || got.Checks[0].Fault == nil {
		t.Fatalf("want what it was told, and a fault:\n%s", out)
	}
	if last := got.Told[len(got.Told)-1]; !slices.Equal(last.Said, want) || last.Fault != "trap: unreachable" || !slices.Equal(got.Checks[0].Fault.Said, want) {
		t.Errorf("%+v; want it to say %q", last, want)
	}
	if m := got.Module; m.Fuel != 3_000_000 || m.Refill != 30_000 || m.Memory != 16<<20 {
		t.Errorf("%+v, want the default limits", m)
	}

	// So is what it logged before it could be told anything.
	if code, out, _ := checked(t, t.TempDir(), "../../policies/conformance/testdata/faulty/no-start.wasm"); code != 1 || !strings.Contains(out, "start     refused\n          it said: no way in\n") {
		t.Errorf("exit code %d, want 1 and what it said at its start:\n%s", code, out)
	}

	hand := filepath.Join(t.TempDir(), "hand.jsonl")
	text := `{"kind":"LOG","format":"offhost.events/1"}
{"kind":"CONFIG","budget":1000000000}
{"kind":"COMPONENT","component":0,"bytes":600000000,"payload":{"text":"transformer"}}
{"kind":"COMPONENT","component":1,"bytes":500000000,"payload":{"text":"vae"}}
{"kind":"CALL","component":0,"seq":1,"bytes":600000000}
{"kind":"LOADED","flags":["RESIDENT","IN_USE"],"component":0,"seq":2,"bytes":600000000,"resident":600000000}
{"kind":"DONE","flags":["RESIDENT"],"component":0,"seq":3,"bytes":600000000,"resident":600000000}
{"kind":"CALL","component":1,"seq":4,"bytes":500000000}
{"kind":"NEED","component":1,"seq":5,"bytes":500000000,"amount":100000000}
`
	if err := os.WriteFile(hand, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{
		"lru": "event 8     NEED      vae               evict     transformer ",
		"../../policies/conformance/testdata/faulty/honest.wasm": "event 8     NEED      vae               nothing: the host decides\n",
		says: "event 8     NEED      says: panic: no way out\n",
	} {
		if _, out, _ := checked(t, t.TempDir(), module, "--events", hand); !strings.Contains(out, want) {
			t.Errorf("%s: want %q in\n%s", module, want, out)
		}
	}
}

// A place where nothing can be written takes nothing of the verdict.
func TestAVerdictIsToldThoughItsLogCannotBeWritten(t *testing.T) {
	code, out, errs := checked(t, filepath.Join(t.TempDir(), "none"), "../../policies/conformance/testdata/faulty/divides.wasm", "--quick", "--only", "answers")
	if code != 1 || !strings.Contains(out, "answers      FAIL") || !strings.Contains(errs, "divides.wasm fails answers: ") || !strings.Contains(errs, "want a place for it with --fault FILE") {
		t.Errorf("exit code %d, want 1, the verdict and advice:\n%s%s", code, out, errs)
	}
}

func TestPolicyCheckInJSON(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		module   string
		code     int
		conforms bool
		steps    int
		checks   []string
	}{
		{"lru", 0, true, 7, checkNames()},
		{"../../policies/conformance/testdata/faulty/divides.wasm", 1, false, 7, checkNames()},
		{hostile(t, "wrong-signature"), 1, false, 3, []string{}},
	} {
		code, out, errs := checked(t, dir, c.module, "--quick", "--format", "json")
		got := decode[checkJSON](t, out)
		names := []string{}
		for _, v := range got.Checks {
			names = append(names, v.Check)
			if len(v.Found) == 0 {
				t.Errorf("%s: %s has found nothing to say", c.module, v.Check)
			}
		}
		if code != c.code || got.Conforms != c.conforms || len(got.Steps) != c.steps || len(got.Module.SHA256) != 64 || !slices.Equal(names, c.checks) {
			t.Errorf("%s: exit code %d, %+v\n%s", c.module, code, got, errs)
		}
	}
	_, out, _ := checked(t, dir, "../../policies/conformance/testdata/faulty/divides.wasm", "--quick", "--format", "json", "--only", "answers")
	got := decode[checkJSON](t, out)
	want := []verdictJSON{{Check: "answers", Result: conformance.Failed, Found: []string{`event 3 EVICTED: trap: integer divide by zero in function "share"`},
		Fault: &faultJSON{Class: "trap", Event: 3, Function: "share", Log: filepath.Join(dir, "divides.fault.jsonl")}}}
	if d := cmp.Diff(want, got.Checks); d != "" || got.FaultLog == nil || *got.FaultLog != filepath.Join(dir, "divides.fault.jsonl") {
		t.Errorf("(-want +got)\n%s%v", d, got.FaultLog)
	}
}

func TestPolicyCheckUsage(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.jsonl")
	if err := os.WriteFile(broken, []byte(`{"kind":"LOG","format":"offhost.events/1"}`+"\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, 2, "0 arguments"},
		{[]string{"lru", "--only", "grwoth"}, 2, `unknown check "grwoth"; did you mean "growth"?`},
		{[]string{"lru", "--events", filepath.Join(dir, "none")}, 2, "none"},
		{[]string{"lru", "--events", broken}, 1, "broken.jsonl: line 2: want one JSON object a line"},
		{[]string{"lru", "--events", broken, "--quick"}, 2, "--events tells one log"},
		{[]string{"lru", "--fault", dir}, 2, "--fault: "},
		{[]string{"lru", "--policy-config", "offhost.x=1"}, 2, `offhost.x`},
		{[]string{"lru", "--policy-sha256", strings.Repeat("0", 64)}, 1, "digest differs"},
		{[]string{"lru", "--policy-fuel", "0"}, 2, "--policy-fuel"},
		{[]string{"lru", "--budget", "1GB"}, 2, "--budget"},
		{[]string{hostile(t, "traps"), "--only", "growth"}, 1, "traps.wasm could not be judged: it fails before it comes to that"},
	} {
		code, out, errs := checked(t, dir, append(c.args, "--format", "json")...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d and %q: %s%s", c.args, code, c.code, c.says, errs, out)
		}
	}
}

// What a module is given is what offhost run would give it.
func TestPolicyCheckGivesWhatRunWould(t *testing.T) {
	sets := "../../examples/policies/sets/sets.wasm"
	if _, out, _ := checked(t, t.TempDir(), sets, "--quick", "--only", "answers"); !strings.Contains(out, "it decides nothing") {
		t.Errorf("without a set:\n%s", out)
	}
	if code, out, _ := checked(t, t.TempDir(), sets, "--quick", "--only", "answers", "--policy-config", "set.a=part-0 part-1", "--policy-config", "set.b=part-2"); code != 0 || strings.Contains(out, "it decides nothing") {
		t.Errorf("with sets, exit code %d:\n%s", code, out)
	}
	greedy := "../../examples/policies/greedy-dual/greedy_dual.wasm"
	if _, out, _ := checked(t, t.TempDir(), greedy, "--quick", "--only", "fuel", "--policy-fuel", "300000"); !strings.Contains(out, "fuel         warning") {
		t.Errorf("with a tenth of the default fuel:\n%s", out)
	}
	if code, out, _ := checked(t, t.TempDir(), greedy, "--quick", "--only", "fuel"); code != 0 || !strings.Contains(out, "fuel         pass") {
		t.Errorf("with the default fuel, exit code %d:\n%s", code, out)
	}
}

// Whatever a hostile module does, it gets a verdict: it is refused at its step, or told
// that it fails, or it keeps to the ABI. What it calls things reaches a terminal escaped.
func TestEveryHostileModuleGetsAVerdict(t *testing.T) {
	for _, m := range corpus {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			args, well := []string{m.file(t), "--quick"}, "The module keeps to the ABI"
			if m.costly { // loading is all there is to it
				args, well = append(args, "--only", "answers"), "Nothing is wrong, as far as was looked"
			}
			code, out, errs := checked(t, t.TempDir(), args...)
			text := out + errs
			switch {
			case m.refused():
				if code != 1 || !strings.Contains(errs, m.says) || m.step != "" && !strings.Contains(out, m.step) {
					t.Errorf("exit code %d, want 1; %q at step %q:\n%s", code, m.says, m.step, text)
				}
			case len(m.faults) > 0:
				if code != 1 || !strings.Contains(out, "answers      FAIL") {
					t.Errorf("exit code %d, want 1 and a failure of answers, since it faults:\n%s", code, text)
				}
			case code != 0 && code != 1 || code == 1 != strings.Contains(out, "FAIL") || code == 0 != strings.Contains(out, well):
				t.Errorf("exit code %d:\n%s", code, text)
			}
			if strings.Contains(out, "answers") && !strings.Contains(out, "A log of ") == (code == 1) {
				t.Errorf("exit code %d, and whether there is a log:\n%s", code, text)
			}
			if j := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsGraphic(r) }); j >= 0 {
				t.Errorf("%q is not escaped in %q", text[j:j+1], text[max(0, j-40):j+1])
			}
			if most := 64 << 10; len(text) > most {
				t.Errorf("%d bytes of output, want at most %d", len(text), most)
			}
		})
	}
}
