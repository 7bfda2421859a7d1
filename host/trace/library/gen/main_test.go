package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/offhost/offhost/host/trace/library"
)

// The shipped traces are what the generator makes: after a change of either run
// go generate in package library.
func TestShippedTraces(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(made) != len(library.Names()) {
		t.Fatalf("%d traces are made and %d are shipped: %v", len(made), len(library.Names()), err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes", filepath.Base(path))
		}
	}
}
