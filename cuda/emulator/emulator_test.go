package emulator

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The cases are C, since what they hold to account is a C library; each becomes a test
// here. On a real driver (OFFHOST_CUDA_LIB=libcuda.so.1) those that need the stand-in's
// faults, clock or misuse detection are skipped by name.
func TestConformance(t *testing.T) {
	dir := t.TempDir()
	suite, err := BuildSuite(t.Context(), dir)
	if errors.Is(err, ErrNoCompiler) && os.Getenv("REQUIRE_TOOLS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	library := os.Getenv("OFFHOST_CUDA_LIB")
	if library == "" {
		if library, err = Build(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), suite)
	cmd.Env = append(os.Environ(), "OFFHOST_CUDA_LIB="+library)
	output, err := cmd.CombinedOutput()
	if len(output) == 0 {
		t.Fatalf("the suite printed nothing: %v", err)
	}
	ended := reportCases(t, string(output))
	if err != nil && !t.Failed() {
		t.Errorf("%v\n%s", err, output)
	}
	if ended < 100 {
		t.Errorf("%d cases were reported, want over 100:\n%s", ended, output)
	}
}

// reportCases turns the suite's lines into subtests and returns how many there were.
// What follows a failed case's line, up to the next case, belongs to it.
func reportCases(t *testing.T, output string) int {
	line := regexp.MustCompile(`^(ok|skip|FAIL) +([a-z0-9_]+)(?:: (.*))?$`)
	type ending struct {
		how, name string
		text      []string
	}
	var endings []ending
	for s := bufio.NewScanner(strings.NewReader(output)); s.Scan(); {
		if m := line.FindStringSubmatch(s.Text()); m != nil {
			endings = append(endings, ending{m[1], m[2], []string{m[3]}})
		} else if n := len(endings); n > 0 {
			endings[n-1].text = append(endings[n-1].text, s.Text())
		}
	}
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			switch e.how {
			case "FAIL":
				t.Error(strings.Join(e.text, "\n"))
			case "skip":
				t.Skip(e.text[0])
			}
		})
	}
	return len(endings)
}

// What is wrong with a source, with the way it is called or with a flag is said, and
// leaves no file behind.
func TestBuildSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	_, err := Build(t.Context(), dir, "-DAPI=nonsense")
	if errors.Is(err, ErrNoCompiler) && os.Getenv("REQUIRE_TOOLS") != "1" {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "API") {
		t.Errorf("Build = %v, want the compiler's words", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v was left behind", left)
	}
	t.Setenv("CC", "no-such-compiler")
	if _, err := Build(t.Context(), dir); !errors.Is(err, ErrNoCompiler) {
		t.Errorf("Build without a compiler = %v, want ErrNoCompiler", err)
	}
}
