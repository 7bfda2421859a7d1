package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README shows what really happens: its outputs and its policy are compared with
// the real ones, and its commands are run.
func TestTheREADMEIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	contains := func(what, text string) {
		t.Helper()
		if !strings.Contains(readme, strings.TrimSpace(text)) {
			t.Errorf("the README does not show %s as it is:\n%s", what, text)
		}
	}

	contains("the default run", shell{}.succeeds(t, "run"))

	_, after, _ := strings.Cut(readme, "With `--verbose`")
	_, after, _ = strings.Cut(after, "```\n")
	movements, _, found := strings.Cut(after, "```")
	out := shell{}.succeeds(t, "run", "flux-bf16", "--gpu", "rtx5090", "--verbose")
	if n := strings.Count(movements, "\n"); !found || n != 11 || !strings.HasPrefix(out, movements) {
		t.Errorf("the README shows %d movements, want the first 11 of:\n%s\nit shows:\n%s", n, out, movements)
	}

	minimal, err := os.ReadFile("../../examples/policies/minimal/minimal.c")
	if err != nil {
		t.Fatal(err)
	}
	contains("the minimal policy", string(minimal))
}

func TestTheREADMEsCommandsRun(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	ran, built := 0, true
	ownDirs(t)
	reader := shell{dir: t.TempDir()} // what one command writes another one reads
	for _, m := range regexp.MustCompile(`(?m)^(?:offhost|go run ./cmd/offhost) ([^#|\n]*)`).FindAllStringSubmatch(string(b), -1) {
		if strings.Contains(m[1], "my-trace.jsonl") || strings.Contains(m[1], "ghcr.io") {
			continue // the reader's own
		}
		line := strings.ReplaceAll(m[1], "'", "")
		if len(onDevices()) == 1 && (strings.Contains(line, "shm") || strings.Contains(line, "run.journal") || strings.HasPrefix(line, "bench")) {
			continue // they need Linux
		}
		if !built && strings.Contains(line, "my-policy") {
			continue
		}
		got := reader.run(t, strings.Fields(line)...)
		if strings.Contains(got.stderr, "this installs what is missing") && !requireTools {
			built = false // a compiler is no part of offhost
			continue
		}
		if got.code != 0 {
			t.Errorf("offhost %s: exit code %d: %s", m[1], got.code, got.stderr)
		}
		ran++
	}
	if ran < 8 {
		t.Errorf("%d commands were found in the README, want the 8 and more that it shows", ran)
	}
}
