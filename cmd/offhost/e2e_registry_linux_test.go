package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An interrupt ends a transfer that hangs, and leaves nothing behind.
func TestAnInterruptedTransferLeavesNothing(t *testing.T) {
	_, cache := ownDirs(t)
	asked := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "http://")
	digest := "@sha256:" + strings.Repeat("0", 64)
	path, _ := repositoryFile(t, minimalModule)
	for _, args := range [][]string{
		{"policy", "pull", host + "/x" + digest, "-o", "x.wasm"},
		{"policy", "install", "oci://" + host + "/x" + digest},
		{"policy", "push", path, host + "/x:1"},
		{"run", "--policy", "oci://" + host + "/x" + digest},
	} {
		cmd := exec.Command(program, args...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), asCommand+"=1")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		<-asked
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		stuck.Stop()
		if code := cmd.ProcessState.ExitCode(); code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "interrupt") {
			t.Errorf("%s: exit code %d, want 1, and that it was interrupted: %s%s", strings.Join(args, " "), code, &out, &errs)
		}
		for _, dir := range []string{cmd.Dir, cache} {
			err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					t.Errorf("%s: %s is left", strings.Join(args, " "), path)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A link that appears where a module is to be, while it is on its way, is not followed.
func TestAPulledModuleReplacesNothing(t *testing.T) {
	host := startRegistry(t, "")
	ownDirs(t)
	path, _ := repositoryFile(t, minimalModule)
	ref := pushed(t, shell{}.succeeds(t, "policy", "push", path, host+"/me/minimal:1.0"))
	sh := shell{dir: t.TempDir()}
	precious := filepath.Join(t.TempDir(), "precious")
	writeFile(t, "precious", precious)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := os.Symlink(precious, filepath.Join(sh.dir, "minimal.wasm")); err != nil && !os.IsExist(err) {
			t.Error(err)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ref = strings.Replace(ref, host, strings.TrimPrefix(server.URL, "http://"), 1)
	sh.fails(t, 2, "minimal.wasm is there already", "policy", "pull", ref)
	if got := readFile(t, precious); string(got) != "precious" {
		t.Errorf("%d bytes were written through the link", len(got))
	}
	if left, err := os.ReadDir(sh.dir); len(left) != 1 {
		t.Errorf("%v, %v; want the link alone", left, err)
	}
}
