//go:build !race

// One goroutine has no races to find, and the detector makes the interpreter fifty times as
// slow.

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/policies"
	"github.com/offhost/offhost/runtime"
)

// The built-in policies keep to the ABI, and nothing is to be remarked.
func TestBuiltins(t *testing.T) {
	for _, p := range policies.List() {
		t.Run(p.Name, func(t *testing.T) {
			Test(t, p.Wasm, Config{Name: p.Name, Quick: true})
		})
	}
}

func faulty(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata/faulty", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// Each of the modules of testdata/faulty has one fault: the check that is for it finds it,
// and no other does; and leaves a log of so many events at most that shows it again.
func TestAFaultIsFoundByTheCheckThatIsForIt(t *testing.T) {
	for _, c := range []struct {
		module, check, class string
		events               int
		says                 string
	}{
		{"honest", "", "", 0, ""},
		{"narrow", "", "", 0, ""},
		{"selfless", "", "", 0, ""},
		{"unknown-op", "answers", "answer", 4, "operation 9 is unknown"},
		{"unknown-component", "answers", "answer", 8, "component 4000 is unknown"},
		{"too-many", "answers", "answer", 3, "129 decisions"},
		{"gives-up", "answers", "gave-up", 8, "it returned -1"},
		{"says", "answers", "trap", 8, "NEED: trap: unreachable"},
		{"divides", "answers", "trap", 8, `integer divide by zero in function "share"`},
		{"unlawful", "answers", "unlawful", 16, "asked for"},
		{"stubborn", "rejected", "repeated", 60, "evict all of 0 was refused 4 times"},
		{"insists", "rejected", "repeated", 60, "was refused 4 times (in use)"},
		{"curious", "future", "kind", 3, "want nothing"},
		{"impressed", "future", "differs", 4, "without what is new"},
		{"exact-length", "future", "trap", 2, "longer than version 1"},
		{"exact-flags", "future", "trap", 4, "a flag that version 1 does not know"},
		{"long-names", "hostile", "trap", 2, `in function "overrun"`},
		{"configuration", "hostile", "trap", 1, "unreachable"},
		{"young", "hostile", "trap", 3, "unreachable"},
		{"endless-name", "hostile", "fuel", 2, "out of fuel"},
		{"hoards", "hostile", "fuel", 120, "event 109 CALL: out of fuel"},
		{"restore-traps", "state", "trap", 4, "offhost_v1_restore"},
		{"saves-too-much", "state", "answer", 2, "a blob of 65537 bytes"},
		{"forgets", "state", "refused", 4, "are not accepted"},
		{"trusts", "state", "memory", 4, "out of bounds"},
		{"poisoned", "state", "trap", 12, "state was restored before"},
		{"transplants", "state", "answer", 20, "component 5 is unknown"},
		{"crowded", "fuel", "fuel", 70, "out of fuel"},
		{"table", "fuel", "trap", 1010, "unreachable"},
		{"byte-ids", "fuel", "answer", 310, "both retain component 0"},
		{"wraps", "growth", "answer", 3, "component 4000 is unknown"},
		{"leaks", "growth", "memory", 3, "it goes on growing"},
		{"guestbook", "growth", "memory", 4, "it goes on growing"},
		{"waiting-list", "growth", "memory", 4, "it goes on growing"},
		{"slows", "growth", "drift", 3, "it goes on growing"},
		{"grabs", "growth", "memory", 8, "of 65536 KiB it takes 65536 KiB: it goes on growing"},
	} {
		t.Run(c.module, func(t *testing.T) {
			t.Parallel()
			wasm := faulty(t, c.module)
			cfg := Config{Quick: true}
			r, err := Run(context.Background(), wasm, cfg)
			if err != nil {
				t.Fatal(err)
			}
			var failed *Verdict
			for _, v := range r.Verdicts {
				switch {
				case v.Result == Skipped && c.check != "answers":
					t.Errorf("%s was skipped: %q", v.Check, v.Found)
				case v.Result == Failed && failed != nil && c.module == "unlawful" && v.Check == "rejected":
					// It is that, too.
				case v.Result == Failed && failed != nil:
					t.Errorf("%s fails, too: %q", v.Check, v.Found)
				case v.Result == Failed:
					failed = v
				}
			}
			if failed == nil || c.class == "" {
				if failed != nil || c.class != "" {
					t.Fatalf("%+v fails, want %q", failed, c.check)
				}
				return
			}
			var text bytes.Buffer
			if _, err := failed.Log.WriteTo(&text); err != nil {
				t.Fatal(err)
			}
			if f := failed.Finding; failed.Check != c.check || f.Class != c.class || !strings.Contains(f.Text, c.says) {
				t.Errorf("%s fails with %s: %s; want %s with %s: %s", failed.Check, f.Class, f.Text, c.check, c.class, c.says)
			}
			if n := len(failed.Log.Steps); n > c.events {
				t.Errorf("the log has %d events, want %d at most", n, c.events)
			}
			again, err := ReadLog(bytes.NewReader(text.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(failed.Log, again); d != "" {
				t.Errorf("read again, the log is another one (-written +read):\n%s", d)
			}
			replayed, err := Replay(context.Background(), wasm, again, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if v := replayed.Verdicts[0]; v.Result != Failed || v.Check != c.check || v.Finding.Class != c.class || v.Finding.Text != failed.Finding.Text {
				t.Errorf("told again: %v %s %q", v.Result, v.Check, v.Found)
			}
			// Another module has no part in it.
			honest, err := Replay(context.Background(), faulty(t, "honest"), again, cfg)
			if err != nil || !honest.Passed() {
				t.Errorf("the honest module, told the same: %v, %q", err, honest.Verdicts[0].Found)
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("\n%s", text.String())
			}
		})
	}
}

// No host tells a module what SPEC.md rules out: that it traps then is remarked on.
func TestWhatNoHostSaysIsNoFailure(t *testing.T) {
	wasm := faulty(t, "literal")
	r, err := Run(context.Background(), wasm, Config{Quick: true})
	if err != nil || !r.Passed() {
		t.Fatalf("%v, %+v", err, r)
	}
	v := r.Verdicts[slices.IndexFunc(r.Verdicts, func(v *Verdict) bool { return v.Check == "hostile" })]
	if v.Result != Warned || !strings.Contains(strings.Join(v.Found, "; "), "since they have what no host says, as") {
		t.Errorf("%v %q", v.Result, v.Found)
	}
	told := func(payload string, more ...Step) Result {
		log := &Log{Check: "hostile", Steps: append([]Step{{Event: plainly(abi.Config, 0), Payload: []byte(payload)}}, more...)}
		r, err := Replay(context.Background(), wasm, log, Config{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Verdicts[0].Result
	}
	if got := told(""); got != Warned {
		t.Errorf("no configuration at all: %v", got)
	}
	config := "offhost.chunk_bytes=1\noffhost.d2h_bytes_per_second=1\noffhost.h2d_bytes_per_second=1\n"
	if got := told(config, Step{Event: about(abi.Component, 5000, 0)}); got != Warned {
		t.Errorf("a component 5000: %v", got)
	}
	if got := told(config); got != Passed {
		t.Errorf("what a host says: %v", got)
	}
}

// What a host has told, in each of the logs that most checks judge by, is nothing that no host
// says.
func TestAHostSaysNothingThatNoHostSays(t *testing.T) {
	lru, _ := policies.Get("lru")
	b, err := newBench(context.Background(), lru.Wasm, Config{PolicyConfig: map[string]string{"zeta": "1", "alpha": ""}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	s := &suite{bench: b}
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	for _, src := range s.logs {
		if what := unsaid(src.log.Steps); what != "" {
			t.Errorf("%s: %s", src.log.Name, what)
		}
	}
	said := 0
	for _, log := range s.hostiles(abi.MaxPayload) {
		if unsaid(log.Steps) == "" {
			said++
		}
	}
	if said < 40 {
		t.Errorf("%d hostile logs are what a host may say, want some 40 of them", said)
	}
}

// A module that fails only after a great many events, each of which takes its time, leaves
// logs that show what was found, however little of them can be left out.
func TestWhatTakesTensOfThousandsOfEventsIsShownAgain(t *testing.T) {
	wasm := faulty(t, "bump")
	r, err := Run(context.Background(), wasm, Config{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, v := range r.Verdicts {
		if v.Result != Failed {
			continue
		}
		failed++
		again, err := Replay(context.Background(), wasm, v.Log, Config{Quick: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Verdicts[0]; got.Finding == nil || got.Finding.Text != v.Finding.Text {
			t.Errorf("%s: %s; of %d steps, told again: %v %q", v.Check, v.Finding.Text, len(v.Log.Steps), got.Result, got.Found)
		}
		if v.Check == "fuel" && (!strings.HasSuffix(v.Finding.Text, `in function "allocate"; all the 16384 KiB of memory that it may have are taken, which may be why`) || len(v.Log.Steps) < 20_000) {
			t.Errorf("fuel: %s, in %d steps; want a trap after tens of thousands", v.Finding.Text, len(v.Log.Steps))
		}
	}
	if failed != 2 {
		t.Errorf("%d checks fail, want fuel and growth", failed)
	}
}

// What shows barely among all that a module is told, and only after a million events, is shown by
// little of that.
func TestWhatShowsBarelyIsShownByLittle(t *testing.T) {
	r, err := Run(context.Background(), faulty(t, "annals"), Config{Only: []string{"growth"}})
	if err != nil {
		t.Fatal(err)
	}
	v := r.Verdicts[0]
	if v.Result != Failed || v.Finding.Class != "drift" {
		t.Fatalf("%v %q, want it to grow", v.Result, v.Found)
	}
	if len(v.Log.Steps) > 4 || v.Log.events() > 100_000 {
		t.Errorf("the log has %d steps, told to %d events; want CONFIG, a request, and fewer than 100,000: %s", len(v.Log.Steps), v.Log.events(), v.Finding.Text)
	}
}

// An interrupt ends what takes long, wherever it is: there is no event that is told for long
// after it.
func TestAnInterruptEndsALongLog(t *testing.T) {
	for _, name := range []string{"growth", "fuel"} {
		ctx, cancel := context.WithCancelCause(context.Background())
		enough := errors.New("enough")
		told := 0
		_, err := Run(ctx, faulty(t, "bump"), Config{Only: []string{name}, OnProgress: func(check string, part float64) {
			if check == name {
				told++
				cancel(enough)
			}
		}})
		if !errors.Is(err, enough) || told != 1 {
			t.Errorf("%s: %v, told of its progress %d times, want the context's cause and once", name, err, told)
		}
	}
}

// Random bytes are the run's to give, and lawful: that another seed decides otherwise is
// remarked on, since few mean it.
func TestRandomBytesAreLawful(t *testing.T) {
	for name, says := range map[string]string{
		"random":       "the answer is",
		"saves-chance": "8 bytes are saved, by an instance with another seed",
	} {
		r, err := Run(context.Background(), faulty(t, name), Config{Quick: true, Only: []string{"determinism"}})
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Join(r.Verdicts[0].Found, "; ")
		if v := r.Verdicts[0]; v.Result != Warned || !r.Passed() || !strings.Contains(found, says) || !strings.Contains(found, "another --seed decides otherwise") {
			t.Errorf("%s: %v, %s; want a warning that says %q", name, v.Result, found, says)
		}
	}
}

// That some decisions are refused is nothing, that many are is remarked on.
func TestWhoeverIsRefusedALotIsTold(t *testing.T) {
	for _, name := range []string{"heedless", "honest"} {
		r, err := Run(context.Background(), faulty(t, name), Config{Only: []string{"answers"}})
		if err != nil {
			t.Fatal(err)
		}
		v := r.Verdicts[0]
		if warned := strings.Contains(strings.Join(v.Found, "; "), "that is more than one in 10"); warned != (name == "heedless") || v.Result == Warned != warned {
			t.Errorf("%s: %v, %q", name, v.Result, v.Found)
		}
	}
}

// What a module does at a size that it does not reach with its own fuel is remarked on: a log
// of it would show something else.
func TestWhatIsOutOfReachIsNoFailure(t *testing.T) {
	r, err := Run(context.Background(), faulty(t, "table-dry"), Config{Quick: true, Only: []string{"fuel"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Verdicts[0]; v.Result != Warned || !strings.Contains(strings.Join(v.Found, "; "), "with 1024 components event 1002 COMPONENT: trap: unreachable") {
		t.Errorf("%v %q", v.Result, v.Found)
	}
	// With that fuel it fails.
	r, err = Run(context.Background(), faulty(t, "table-dry"), Config{Quick: true, Only: []string{"fuel"}, Limits: runtime.Limits{Fuel: 6_000_000, Refill: 6_000_000}})
	if err != nil || r.Verdicts[0].Result != Failed || r.Verdicts[0].Finding.Class != "trap" {
		t.Errorf("with more fuel: %v, %+v", err, r.Verdicts[0])
	}
}

// A module that has too little fuel among a thousand components is warned. Among the most that
// there can be it is told, and no more.
func TestTooLittleFuelIsAWarningWherePipelinesAre(t *testing.T) {
	lru, _ := policies.Get("lru")
	for fuel, want := range map[uint64]Result{400_000: Passed, 150_000: Warned} {
		r, err := Run(context.Background(), lru.Wasm, Config{Quick: true, Only: []string{"fuel"}, Limits: runtime.Limits{Fuel: fuel, Refill: fuel}})
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Join(r.Verdicts[0].Found, "; ")
		if r.Verdicts[0].Result != want || !strings.Contains(found, "with 4096, the most that there can be, some events find too little fuel") ||
			strings.Contains(found, "with 1024 some events find too little") != (want == Warned) {
			t.Errorf("with %d fuel: %v %q, want %v", fuel, r.Verdicts[0].Result, found, want)
		}
	}
}

// The committed modules are what their sources give.
func TestFaultyModulesAreWhatTheirSourcesSay(t *testing.T) {
	sources, err := filepath.Glob("testdata/faulty/*.wat")
	modules, err2 := filepath.Glob("testdata/faulty/*.wasm")
	if err != nil || err2 != nil || len(sources) != len(modules) || len(sources) == 0 {
		t.Fatalf("%d sources of %d modules (%v, %v)", len(sources), len(modules), err, err2)
	}
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil && os.Getenv("REQUIRE_TOOLS") == "1" {
		t.Fatal("wat2wasm is not installed, and REQUIRE_TOOLS=1")
	} else if err != nil {
		t.Skip("needs wat2wasm")
	}
	for _, source := range sources {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if msg, err := exec.Command(wat2wasm, "--debug-names", source, "-o", out).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", source, err, msg)
			continue
		}
		built, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		if !bytes.Equal(built, faulty(t, name)) {
			t.Errorf("%s is not what its source gives: wat2wasm --debug-names", name)
		}
	}
}

// What is told live and what is told from the log comes to the same.
func TestALogBringsTheSameAnswersAgain(t *testing.T) {
	for _, p := range policies.List() {
		b, err := newBench(context.Background(), p.Wasm, Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		s := &suite{bench: b}
		for _, sc := range s.scripts(2) {
			log, err := s.act(manner{}, sc)
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			err = s.follow(manner{}, log, func(r *reply) bool {
				told++
				if want := log.Steps[r.index].Answer; !slices.Equal(r.answer, want) || r.fault != nil {
					t.Errorf("%s, step %d: %v, %v, want %v", sc.name, r.index, r.answer, r.fault, want)
				}
				return !t.Failed()
			})
			if err != nil || told != len(log.Steps) {
				t.Errorf("%s: %d of %d steps, %v", sc.name, told, len(log.Steps), err)
			}
			if d := cmp.Diff(log.Steps, coherent(log.Steps)); d != "" {
				t.Errorf("%s: what a host has told is not taken for coherent (-told +coherent):\n%s", sc.name, d)
			}
		}
	}
}

// The generated logs tell of all that a host tells, to a module that has decisions refused: each
// kind of event, and each flag that an engine sets.
func TestTheLogsTellOfEverything(t *testing.T) {
	b, err := newBench(context.Background(), faulty(t, "heedless"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	s := &suite{bench: b}
	kinds, flags, acts := map[abi.Kind]int{}, abi.Flags(0), map[Act]int{}
	tell := func(sc *script) {
		log, err := s.act(manner{}, sc)
		if err != nil {
			t.Fatal(err)
		}
		for i := range log.Steps {
			kinds[log.Steps[i].Event.Kind]++
			acts[log.Steps[i].Act]++
			flags |= log.Steps[i].Event.Flags
		}
	}
	for _, sc := range s.scripts(2) {
		tell(sc)
	}
	tell(crowd(1024))
	for kind := abi.Config; kind <= abi.Rejected; kind++ {
		if kinds[kind] == 0 {
			t.Errorf("there is no %v", kind)
		}
	}
	if want := knownFlags &^ (abi.FlagLoopHint | abi.FlagRemoved); flags != want {
		t.Errorf("the flags are %016b, want %016b", flags, want)
	}
	if acts[Attach] == 0 || acts[Save] == 0 {
		t.Errorf("acts %v: want instances to be exchanged", acts)
	}
}

// The same seed brings the same report, another one other logs.
func TestAReportIsAFunctionOfTheSeed(t *testing.T) {
	run := func(seed uint64) (texts []string) {
		r, err := Run(context.Background(), faulty(t, "stubborn"), Config{Quick: true, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Verdicts {
			texts = append(texts, fmt.Sprint(v.Check, v.Result, v.Found))
			if v.Log != nil {
				var b bytes.Buffer
				if _, err := v.Log.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, b.String())
			}
		}
		return texts
	}
	first := run(1)
	if d := cmp.Diff(first, run(1)); d != "" {
		t.Errorf("two runs differ (-first +second):\n%s", d)
	}
	if slices.Equal(first, run(2)) {
		t.Error("another seed brings the same")
	}
}

// A log that tells a great many events is judged in little memory.
func TestALongLogTakesLittleMemory(t *testing.T) {
	const times = 100_000
	tell := func(kind abi.Kind, id uint32, resident uint64, seq uint64) Step {
		ev := about(kind, id, resident)
		ev.Seq = seq
		return Step{Event: ev}
	}
	log := &Log{Cycle: 3, Times: times, Steps: []Step{
		{Event: plainly(abi.Config, 0)}, tell(abi.Component, 0, 0, 0), {Act: Save},
		tell(abi.Call, 0, 0, 1), tell(abi.Loaded, 0, 64*mib, 2), tell(abi.Done, 0, 64*mib, 3),
	}}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	r, err := Replay(context.Background(), faulty(t, "honest"), log, Config{})
	if err != nil || !r.Passed() {
		t.Fatalf("%v, %+v", err, r)
	}
	goruntime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 64 { // of which 10 are digests
		t.Errorf("%d MiB to tell %d events", mib, log.events())
	}
	var given refusals
	for range 10_000 {
		given.answer(&reply{answer: make([]abi.Decision, abi.MaxDecisions)})
	}
	if len(given.given) > mostGiven {
		t.Errorf("%d decisions are kept, in case they are refused", len(given.given))
	}
}

// A run that nobody waits for ends.
func TestARunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	lru, _ := policies.Get("lru")
	_, err := Run(ctx, lru.Wasm, Config{OnVerdict: func(*Verdict) { cancel(enough) }})
	if !errors.Is(err, enough) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

// A module that is refused is no verdict, but an error that says at which step.
func TestRefusedModules(t *testing.T) {
	_, err := Run(context.Background(), []byte("no module"), Config{})
	if refused := new(runtime.LoadError); !errors.As(err, &refused) || refused.Step != "module" {
		t.Errorf("got %v", err)
	}
}
