package golden_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/cmd/offhost/internal/golden"
)

// once takes any setting, but not twice.
func once(key string, again bool) error {
	if again {
		return fmt.Errorf("setting %s is there twice", key)
	}
	return nil
}

const small = `# A word to whoever reads it.
offhost.decisions/1
trace   ./loop.jsonl
budget  2GiB

#call   event     about             decision  component           amount  reason
1.3     NEED      unet              evict     text_encoder        256MiB  1
1.4     BEGIN     -                 prefetch  "a name, \"quoted\""       all  65535
1.4     REJECTED  "not resident"    retain    "-"                      7  0
4294967294.4294967295  FAULT
`

// A file is what it was when it is read and written.
func TestFiles(t *testing.T) {
	f, err := golden.Parse(strings.NewReader(small), once)
	if err != nil {
		t.Fatal(err)
	}
	want := &golden.File{
		Remarks:  []string{"# A word to whoever reads it."},
		Settings: []golden.Setting{{Key: "trace", Value: "./loop.jsonl"}, {Key: "budget", Value: "2GiB"}},
		Lines: []golden.Line{
			{Request: 1, Call: 3, Event: "NEED", About: "unet", Op: "evict", Component: "text_encoder", Amount: "256MiB", Reason: 1},
			{Request: 1, Call: 4, Event: "BEGIN", Op: "prefetch", Component: `a name, "quoted"`, Amount: "all", Reason: 65535},
			{Request: 1, Call: 4, Event: golden.Rejected, About: "not resident", Op: "retain", Component: "-", Amount: "7"},
			{Request: 1<<32 - 2, Call: 1<<32 - 1, Event: golden.Fault},
		},
	}
	if d := cmp.Diff(want, f); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	var b strings.Builder
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(small, b.String()); d != "" {
		t.Errorf("written (-want +got)\n%s", d)
	}
}

// A setting comes back as it was written, or is not written.
func TestSettingsComeBack(t *testing.T) {
	for value, fits := range map[string]bool{
		"a=b,  c # d": true, `"`: true, "a\tb": true, strings.Repeat("x", golden.MaxLine-len("key  ")): true,
		strings.Repeat("x", golden.MaxLine-len("key  ")+1): false,
		"": false, " a": false, "a ": false, "a\t": false, "a\r": false, "a\nseed 2": false, "a\n": false, "\xff": false, "\u00a0a": false,
	} {
		f := &golden.File{Settings: []golden.Setting{{Key: "key", Value: value}}}
		var b strings.Builder
		if err := f.Write(&b); err != nil {
			if fits || !strings.Contains(err.Error(), "setting key") {
				t.Errorf("%.20q: %v", value, err)
			}
			continue
		}
		got, err := golden.Parse(strings.NewReader(b.String()), once)
		if !fits || err != nil || cmp.Diff(f.Settings, got.Settings) != "" {
			t.Errorf("%.20q is written and read as %.40v, %v", value, got, err)
		}
	}
}

// What is wrong with a file is said with its line and what would be right.
func TestWhatIsWrong(t *testing.T) {
	head := "offhost.decisions/1\ntrace x\n\n"
	for text, want := range map[string]string{
		"":                                       "line 1: the file ends before the line offhost.decisions/1",
		"# hello\n":                              "line 1: the file ends before",
		"offhost.decisions/2\n":                  `line 1: "offhost.decisions/2": want offhost.decisions/1`,
		"\nx":                                    "line 1: ",
		"offhost.decisions/1\n# y\nbudget\n":     `line 3: "budget": want a setting and its value`,
		"offhost.decisions/1\nseed 1\nseed  1\n": "line 3: setting seed is there twice",
		head + "<<<<<<< HEAD\n":                  `line 4: "<<<<<<< HEAD" has 2 words, want seven`,
		head + "1.3 NEED unet evict x 1MiB\n":    "has 6 words, want seven",
		head + "1.3 FAULT 2\n":                   "has 3 words",
		head + "\n1.3 NEED unet evict x 1MiB one\n":                     `line 5: reason "one": want a number from 0 to 65535`,
		head + "1.3 NEED unet evict x 1MiB 65536\n":                     "reason",
		head + "1 NEED unet evict x 1MiB 1\n":                           `line 4: "1": want a request and the number of a call`,
		head + "1.03 NEED unet evict x 1MiB 1\n":                        "want a request",
		head + "-1.3 NEED unet evict x 1MiB 1\n":                        "want a request",
		head + "1.4294967296 NEED unet evict x 1MiB 1\n":                "want a request",
		head + "1.3 need unet evict x 1MiB 1\n":                         `event "need": want one in capitals`,
		head + "1.3 NEED unet drop x 1MiB 1\n":                          `"drop": want evict, retain or prefetch`,
		head + "1.3 NEED unet evict - 1MiB 1\n":                         "no component to evict",
		head + "1.3 NEED unet evict x - 1\n":                            "amount",
		head + "1.3 NEED unet evict x 1,5MiB 1\n":                       `amount "1,5MiB"`,
		head + "1.3 NEED \"unet evict x 1MiB 1\n":                       "a quote is not closed",
		head + "1.3 NEED \xff evict x 1MiB 1\n":                         "line 4: not valid UTF-8",
		head + strings.Repeat("x", golden.MaxLine) + "yy\n":             "line 4: longer than 4096 bytes",
		strings.Repeat("#\n", golden.MaxSettings+1):                     "more than 1024 lines of remarks",
		"offhost.decisions/1\n" + many("k%d v\n", golden.MaxSettings+1): "line 1026: more than 1024 settings",
		head + strings.Repeat("1.1 FAULT\n", golden.MaxLines+1):         "more than 1048576 decisions",
	} {
		_, err := golden.Parse(strings.NewReader(text), once)
		var at *golden.ParseError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
	}
}

func many(form string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}

// lines makes a decision of each letter.
func lines(letters string) (list []golden.Line) {
	for _, l := range letters {
		list = append(list, golden.Line{Request: 1, Event: golden.Fault, Call: uint32(l)})
	}
	return list
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, want, got, shown string }{
		{"the same", "abc", "abc", ""},
		{"nothing", "", "", ""},
		{"one is another", "abcdefgh", "abcdxfgh", " b c d-e+x f g h"},
		{"one more", "abcdef", "abcxdef", " a b c+x d e f"},
		{"one less", "abcdef", "abdef", " a b-c d e f"},
		{"two for three", "abcdef", "axyef", " a-b-c-d+x+y e f"},
		{"more at the end", "ab", "abcd", " a b+c+d"},
		{"less at the end", "abcd", "ab", " a b-c-d"},
		{"nothing was expected", "", "ab", "+a+b"},
		{"nothing came", "ab", "", "-a-b"},
		{"the first only", "abcdefg", "xbcdyfg", "-a+x b c d"},
		{"nothing in common", "abcdefghij", "klmnopqrst", "-a-b-c-d-e-f+k+l+m+n+o+p"},
	} {
		var b strings.Builder
		if err := golden.Diff(&b, lines(c.want), lines(c.got)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(b.String()) {
			var letter rune
			if _, err := fmt.Sscanf(line[1:], " 1.%d FAULT", &letter); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			got += line[:1] + string(letter)
		}
		if got != c.shown {
			t.Errorf("%s: %q, want %q", c.name, got, c.shown)
		}
		if golden.Same(lines(c.want), lines(c.got)) != (c.shown == "") {
			t.Errorf("%s: whether they are the same is wrong", c.name)
		}
	}
}

// Only what answers a question is a decision: not what is said while the policy is
// attached, nor in answer to a refusal.
func TestRecorder(t *testing.T) {
	var r golden.Recorder
	evict := func(id uint32, arg uint64) []abi.Decision {
		return []abi.Decision{{Op: abi.Evict, Component: id, Arg: arg, Reason: 9}}
	}
	see := func(ev abi.Event, payload string, answer []abi.Decision) { r.See(&ev, []byte(payload), answer) }
	see(abi.Event{Kind: abi.Config, Component: abi.None}, "", evict(0, 0))
	see(abi.Event{Kind: abi.Component, Component: 0, Seq: 1}, "unet", nil)
	see(abi.Event{Kind: abi.Component, Component: 1, Seq: 2}, "vae", evict(0, 1))
	see(abi.Event{Kind: abi.Begin, Component: abi.None, Request: 7, Seq: 3}, "", evict(1, 0))
	see(abi.Event{Kind: abi.Call, Component: 1, Request: 7, Step: 1, Seq: 4}, "", nil)
	see(abi.Event{Kind: abi.Need, Component: 1, Request: 7, Step: 1, Seq: 6}, "", []abi.Decision{{Op: abi.Retain, Component: 5, Arg: 3}, {Op: 9, Arg: 1 << 63}})
	refused := make([]byte, abi.RejectedSize)
	abi.PutRejected(refused, abi.Decision{Op: abi.Evict, Component: 1, Arg: 32 << 20, Reason: 2}, abi.RejectInUse)
	see(abi.Event{Kind: abi.Rejected, Component: 1, Seq: 7}, string(refused), evict(0, 2))
	r.Fault()
	see(abi.Event{Kind: abi.Config, Component: abi.None, Seq: 7}, "", evict(0, 3))
	see(abi.Event{Kind: abi.Loaded, Component: 0, Seq: 7}, "", evict(0, 4))
	see(abi.Event{Kind: abi.Begin, Component: abi.None, Request: 8, Seq: 8}, "", evict(0, 0))
	want := []golden.Line{
		{Event: "COMPONENT", About: "vae", Op: "evict", Component: "unet", Amount: "1B", Reason: 9},
		{Request: 7, Event: "BEGIN", Op: "evict", Component: "vae", Amount: "all", Reason: 9},
		{Request: 7, Call: 1, Event: "NEED", About: "vae", Op: "retain", Component: "component(5)", Amount: "3"},
		{Request: 7, Call: 1, Event: "NEED", About: "vae", Op: "op(9)", Component: "unet", Amount: "9223372036854775808B"},
		{Request: 7, Call: 1, Event: golden.Rejected, About: "in use", Op: "evict", Component: "vae", Amount: "32MiB", Reason: 2},
		{Request: 7, Call: 1, Event: golden.Fault},
		{Request: 8, Event: "BEGIN", Op: "evict", Component: "unet", Amount: "all", Reason: 9},
	}
	if d := cmp.Diff(want, r.Lines); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for range golden.MaxLines {
		r.Fault()
	}
	if !r.Full || len(r.Lines) != golden.MaxLines {
		t.Errorf("%d lines, full: %v", len(r.Lines), r.Full)
	}
}

// Whatever is read is written so that it reads the same.
func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add("offhost.decisions/1\n\n0.0 - 0 evict 0 0 0")
	f.Add("offhost.decisions/1\na b\n\n1.1 NEED \"\\x00\" evict \"\" all 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		any := func(string, bool) error { return nil }
		file, err := golden.Parse(strings.NewReader(text), any)
		if err != nil {
			return
		}
		var b strings.Builder
		if err := file.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := golden.Parse(strings.NewReader(b.String()), any)
		if err != nil {
			if strings.Contains(err.Error(), "longer than") {
				return // by what columns and escapes add to it
			}
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if d := cmp.Diff(file, again); d != "" {
			t.Errorf("(-first +second)\n%s", d)
		}
	})
}
