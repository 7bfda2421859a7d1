package trace

import (
	"os"
	"strings"
	"testing"
)

// The example in FORMAT.md is a trace.
func TestFormatExample(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	header, records, err := readAll(example)
	if err != nil {
		t.Fatal(err)
	}
	if len(header.Components) != 2 || len(records) != 4 {
		t.Errorf("%d components and %d records: want 2 and 4", len(header.Components), len(records))
	}
}
