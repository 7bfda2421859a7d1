// Gen writes the shipped traces from public component sizes, step counts and step
// times. It is run by go generate in package library; the figures and where they
// come from are in figures.go, the sequences in traces.go.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes each trace to a file named after it in dir.
func run(dir string) error {
	for _, b := range traces() {
		var text bytes.Buffer
		if err := b.write(&text); err != nil {
			return fmt.Errorf("%s: %w", b.header.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, b.header.Name+".jsonl"), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
