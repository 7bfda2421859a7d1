//go:build !race

package policies_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page with the transcripts, and what builds the policies in each.
const transcriptPage = "README.md"

var transcribed = map[string]toolchain{"C": clang, "Rust": rust, "Zig": zig, "Go": goTool, "AssemblyScript": assemblyScript}

// A session is the commands below a heading of the page, with what they said: all of it, as
// on a terminal.
type session struct {
	language string
	commands []string
	text     string // as the page has it
}

var consoles = regexp.MustCompile("(?ms)^### (\\w+)$.*?^```console\n(.*?)^```$")

func sessions(page string) (list []session) {
	for _, m := range consoles.FindAllStringSubmatch(page, -1) {
		s := session{language: m[1], text: m[2]}
		for line := range strings.Lines(m[2]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				s.commands = append(s.commands, strings.TrimSuffix(command, "\n"))
			}
		}
		list = append(list, s)
	}
	return list
}

// run runs the commands one after the other in a new folder.
func (s *session) run(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	for _, command := range s.commands {
		text.WriteString("$ " + command + "\n")
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+path)
		cmd.Stdout, cmd.Stderr = &text, &text
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

var outcomes = regexp.MustCompile(`(?m)^my-policy/test/loop\.expect .*written$|^my-policy\.wasm moved .*$`)

// The policy in each language is the same, and so is what the page says of each.
func TestThePoliciesOfThePageDecideTheSame(t *testing.T) {
	var want []string
	for _, s := range sessions(string(read(t, transcriptPage))) {
		got := outcomes.FindAllString(s.text, -1)
		if want == nil {
			want = got
		}
		if d := cmp.Diff(want, got); d != "" || len(got) != 2 {
			t.Errorf("%s decides otherwise than the first (-first +this):\n%s", s.language, d)
		}
	}
}

// What Go compiles depends on its version, of which any will do: its module's digest and the
// figures about it; of what it costs, all figures.
var (
	goFigures = regexp.MustCompile(`(?m)[0-9a-f]{64}|sha256 [0-9a-f]{8}|\d+ bytes|bytes=\d+|[0-9.]+ MB$|\d+ (functions|control instructions|fuel spent)|at 0x[0-9a-f]+`)
	figures   = regexp.MustCompile(`\d[\d.,]*`)
)

// How long something takes differs from run to run, what that is of something else, and how
// wide the columns are.
var (
	durations = regexp.MustCompile(`\d+(\.\d+)? (ns|µs|ms|s)\b`)
	multiples = regexp.MustCompile(`(?m)(( T){4}) \d+\.\d+`)
	columns   = regexp.MustCompile(`(?m) +`)
)

func (s *session) same(text string) string {
	var same strings.Builder
	for i, part := range strings.Split(text, "$ offhost ") {
		if i > 0 {
			same.WriteString("$ offhost ")
		}
		bench := strings.HasPrefix(part, "policy bench")
		if bench {
			part = multiples.ReplaceAllString(durations.ReplaceAllString(columns.ReplaceAllString(part, " "), "T"), "$1 R")
		}
		if s.language == "Go" {
			part = goFigures.ReplaceAllString(part, "...")
			if bench || strings.HasPrefix(part, "policy check") {
				part = figures.ReplaceAllString(part, "...")
			}
		}
		same.WriteString(part)
	}
	return same.String()
}

// heed lets a change of offhost's sources count: what was tested before them, with go build
// between, must not be taken from the cache.
func heed(t *testing.T) {
	t.Helper()
	for _, tree := range []string{"cmd", "abi", "host", "runtime", "policies"} {
		if err := filepath.WalkDir(filepath.Join("../..", tree), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
}

// The page shows what happens, in each language.
func TestTranscripts(t *testing.T) {
	heed(t)
	bin := t.TempDir()
	if said, err := exec.Command("go", "build", "-o", filepath.Join(bin, "offhost"), "../../cmd/offhost").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	path := bin + string(filepath.ListSeparator) + os.Getenv("PATH")
	page := string(read(t, transcriptPage))
	list := sessions(page)
	if len(list) != len(transcribed) {
		t.Errorf("the page has %d transcripts, want %d", len(list), len(transcribed))
	}
	for _, s := range list {
		t.Run(s.language, func(t *testing.T) {
			builder, ok := transcribed[s.language]
			if !ok {
				t.Fatal("nothing is known of what builds it")
			}
			builder.need(t)
			got := s.run(t, path)
			d := cmp.Diff(strings.Split(s.same(s.text), "\n"), strings.Split(s.same(got), "\n"))
			switch {
			case d == "":
			case *update:
				page = strings.Replace(page, s.text, got, 1)
			default:
				t.Errorf("make transcript writes it anew (-page +now):\n%s", d)
			}
		})
	}
	if *update {
		if err := os.WriteFile(transcriptPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The page has a line for each example.
func TestThePageListsTheExamples(t *testing.T) {
	page := string(read(t, transcriptPage))
	pages, err := filepath.Glob("*/README.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(err)
	}
	inner, err := filepath.Glob("*/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pages, inner...) {
		if link := "(" + filepath.ToSlash(filepath.Dir(path)) + "/)"; !strings.Contains(page, link) {
			t.Errorf("the page does not lead to %s", link)
		}
	}
}
