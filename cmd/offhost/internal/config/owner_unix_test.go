//go:build unix

package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAFoundFileMustBelongToTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	other := filepath.Join(t.TempDir(), "theirs.yaml")
	if err := os.WriteFile(other, []byte("requests: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(mine, []byte("requests: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(other, 12345, -1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, target string
		linkOwner    int
		refused      bool
	}{
		{"their file", other, 0, true},
		{"their link to my file", mine, 12345, true},
		{"my link to my file", mine, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			link := filepath.Join(dir, FileName)
			if err := os.Symlink(c.target, link); err != nil {
				t.Fatal(err)
			}
			if err := os.Lchown(link, c.linkOwner, -1); err != nil {
				t.Fatal(err)
			}
			_, err := discover(dir, slog.New(slog.DiscardHandler))
			if refused := err != nil && strings.Contains(err.Error(), "does not belong to you"); refused != c.refused {
				t.Errorf("discover: %v; want refused: %v", err, c.refused)
			}
		})
	}
}

// A pipe that nobody writes to, which anybody who can write to the directory can put
// there, is not waited for.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	errs := make(chan error, 2)
	go func() {
		_, err := discover(dir, slog.New(slog.DiscardHandler))
		errs <- err
		_, err = OpenFile(path)
		errs <- err
	}()
	for range cap(errs) {
		select {
		case err := <-errs:
			if err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("got %v, want it refused as not a regular file", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it is waited for")
		}
	}
}
