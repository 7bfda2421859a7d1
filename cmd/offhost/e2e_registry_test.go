package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// registryTool finds a program that `make registry` installs.
func registryTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && !requireTools {
		t.Skipf("%s is not there: `make registry` installs it", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startRegistry runs the CNCF's registry on this machine for as long as the test lasts,
// and returns its host and port.
func startRegistry(t *testing.T, more string) string {
	t.Helper()
	program := registryTool(t, "registry")
	dir := t.TempDir()
	file := filepath.Join(dir, "registry.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}}
http: {addr: "127.0.0.1:0", secret: a test's}
%s`, filepath.Join(dir, "data"), more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", file)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var read sync.WaitGroup
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		read.Wait()
		_ = cmd.Wait()
	})
	stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var said strings.Builder
	lines := bufio.NewReader(out)
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	for {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			read.Go(func() { _, _ = io.Copy(io.Discard, lines) })
			return m[1]
		}
		if err != nil {
			t.Fatalf("the registry did not start: %v\n%s", err, &said)
		}
	}
}

// pushed is the reference that push prints first.
func pushed(t *testing.T, out string) string {
	t.Helper()
	ref, _, _ := strings.Cut(out, "\n")
	if !regexp.MustCompile(`^oci://\S+@sha256:[0-9a-f]{64}$`).MatchString(ref) {
		t.Fatalf("push prints no reference first:\n%s", out)
	}
	return ref
}

func TestAPolicyGoesThroughARegistry(t *testing.T) {
	host := startRegistry(t, "")
	dir, cache := ownDirs(t)
	path, wasm := repositoryFile(t, minimalModule)
	digest := fmt.Sprintf("%x", sha256.Sum256(wasm))
	run := []string{"flux-bf16", "--requests", "1", "--baselines", "none"}
	want := shell{}.report(t, append(run, "--policy", path)...)

	out := shell{}.succeeds(t, "policy", "push", path, host+"/me/minimal:1.0", "--source", "https://example.org/minimal")
	ref := pushed(t, out)
	if !strings.Contains(out, digest) {
		t.Errorf("push does not print the module's SHA-256, %s:\n%s", digest, out)
	}
	if again := pushed(t, shell{}.succeeds(t, "policy", "push", path, "oci://"+host+"/me/minimal:2.0", "--source", "https://example.org/minimal")); again != ref {
		t.Errorf("pushed again, it is %s, was %s", again, ref)
	}
	for _, moved := range []bool{true, false} { // then it is there, and does not move again
		r := shell{}.run(t, "policy", "push", path, host+"/me/minimal:2.0", "--source", "https://example.org/elsewhere")
		if r.code != 0 || strings.Contains(r.stderr, "the tag led to another artifact before") != moved || strings.Contains(r.stderr, ref[strings.LastIndex(ref, "@")+1:]) != moved {
			t.Errorf("exit code %d, and that the tag moves is to be said: %v: %s", r.code, moved, r.stderr)
		}
	}

	// Whoever reads the registry by hand finds the CNCF's layout.
	manifest := fetchURL(t, "http://"+host+"/v2/me/minimal/manifests/1.0", "application/vnd.oci.image.manifest.v1+json")
	var m struct {
		MediaType string
		Config    struct {
			MediaType, Digest string
		}
		Layers []struct {
			MediaType, Digest string
			Size              int
		}
		Annotations map[string]string
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatal(err)
	}
	if m.MediaType != "application/vnd.oci.image.manifest.v1+json" || m.Config.MediaType != "application/vnd.wasm.config.v0+json" || len(m.Layers) != 1 ||
		m.Layers[0].MediaType != "application/wasm" || m.Layers[0].Digest != "sha256:"+digest || m.Layers[0].Size != len(wasm) ||
		m.Annotations["org.opencontainers.image.source"] != "https://example.org/minimal" || !strings.HasSuffix(ref, fmt.Sprintf("@sha256:%x", sha256.Sum256(manifest))) {
		t.Errorf("manifest of %s:\n%s", ref, manifest)
	}
	if got := fetchURL(t, "http://"+host+"/v2/me/minimal/blobs/"+m.Layers[0].Digest, "*/*"); !bytes.Equal(got, wasm) {
		t.Error("the layer is not the module")
	}
	var c struct {
		Architecture, OS string
		LayerDigests     []string
	}
	if err := json.Unmarshal(fetchURL(t, "http://"+host+"/v2/me/minimal/blobs/"+m.Config.Digest, "*/*"), &c); err != nil || c.Architecture != "wasm" || c.OS != "wasip1" || c.LayerDigests[0] != m.Layers[0].Digest {
		t.Errorf("configuration %+v, %v", c, err)
	}

	// It is run by its reference, in each place where a policy is named.
	tag := "oci://" + host + "/me/minimal:1.0"
	for name, r := range map[string]func() (policy, decisions string){
		"a flag": func() (string, string) {
			got := shell{}.report(t, append(run, "--policy", ref)...)
			return got.Policy.Source + " " + got.Policy.SHA256, got.DecisionsSHA256
		},
		"configuration, and both pins": func() (string, string) {
			got := shell{file: fmt.Sprintf("policy: {module: %q, sha256: %s}\n", ref, digest)}.report(t, run...)
			return got.Policy.Source + " " + got.Policy.SHA256, got.DecisionsSHA256
		},
		"a tag": func() (string, string) {
			got := shell{}.report(t, append(run, "--policy", tag, "--allow-tag")...)
			return got.Policy.Source + " " + got.Policy.SHA256, got.DecisionsSHA256
		},
	} {
		if policy, decisions := r(); policy != ref+" "+digest || decisions != want.DecisionsSHA256 {
			t.Errorf("%s: ran %s, decisions %s; want %s %s, %s", name, policy, decisions, ref, digest, want.DecisionsSHA256)
		}
	}
	if got := (shell{}).report(t, "flux-bf16", "--swap", "50:"+ref, "--baselines", "none"); got.Swaps != 1 {
		t.Errorf("%d swaps, %d refused; want one to %s", got.Swaps, got.SwapsRefused, ref)
	}
	for _, args := range [][]string{{"policy", "check", ref}, {"policy", "inspect", ref}} {
		if out := (shell{}).succeeds(t, args...); !strings.Contains(out, digest) {
			t.Errorf("%s does not show the module: %s", strings.Join(args, " "), out)
		}
	}
	if got := (shell{}).run(t, append([]string{"run", "--policy", tag, "--allow-tag"}, run...)...); !strings.Contains(got.stderr, ref) {
		t.Errorf("the log does not say what the tag leads to:\n%s", got.stderr)
	}
	shell{}.fails(t, 2, `no digest: want one, as in oci://.*/me/minimal@sha256:\.\.\.; .*--allow-tag`, append([]string{"run", "--policy", tag}, run...)...)
	shell{file: fmt.Sprintf("policy: {module: %q, sha256: \"%064d\"}\n", ref, 0)}.fails(t, 1, "digest differs: the module is "+digest, append([]string{"run"}, run...)...)

	// It is installed, and written to a file.
	shell{}.succeeds(t, "policy", "install", ref, "--name", "theirs")
	list := decode[listJSON](t, shell{}.succeeds(t, "policy", "list", "--format", "json"))
	if last := list.Policies[len(list.Policies)-1]; last.Name != "theirs" || last.Source != ref {
		t.Errorf("listed as %+v", last)
	}
	here := shell{dir: t.TempDir()}
	if out := here.succeeds(t, "policy", "pull", ref); !strings.Contains(out, "minimal.wasm has "+ref+"\n") {
		t.Errorf("pull prints %s", out)
	}
	if got, err := os.ReadFile(filepath.Join(here.dir, "minimal.wasm")); err != nil || !bytes.Equal(got, wasm) {
		t.Errorf("pulled %d bytes, %v; want the module", len(got), err)
	}
	here.fails(t, 2, "minimal.wasm is there already: name the file to write with -o", "policy", "pull", ref)
	here.succeeds(t, "policy", "pull", ref, "-o", "minimal.wasm")
	if out := here.succeeds(t, "policy", "pull", ref, "-o", "-"); out != string(wasm) {
		t.Errorf("pulled %d bytes to standard output, want the module", len(out))
	}
	here.fails(t, 2, "no digest", "policy", "pull", tag, "-o", "x.wasm")
	here.fails(t, 1, "HTTP 404: it has no such module", "policy", "pull", host+"/me/others:1.0", "--allow-tag", "-o", "x.wasm")
	here.fails(t, 1, "none/x.wasm: no such file", "policy", "pull", ref, "-o", "none/x.wasm")
	if _, err := os.Stat(filepath.Join(here.dir, "x.wasm")); !os.IsNotExist(err) {
		t.Errorf("a failed pull left a file: %v", err)
	}

	// A module that no run would take is not pushed.
	bad := filepath.Join(t.TempDir(), "bad.wasm")
	if err := os.WriteFile(bad, wasm[:len(wasm)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	shell{}.fails(t, 1, "refused at step module", "policy", "push", bad, host+"/me/bad:1")
	for _, source := range []string{"x", "ftp://example.org", "https://", "https://me:hunter2@example.org", "https://example.org/" + strings.Repeat("x", 1000)} {
		shell{}.fails(t, 2, "--source: .* want an address", "policy", "push", path, host+"/me/bad:1", "--source", source)
	}
	shell{}.fails(t, 2, "its digest comes from what is pushed", "policy", "push", path, ref)
	shell{}.fails(t, 1, "offline: nothing is pushed", "policy", "push", path, host+"/me/x:1", "--offline")

	// Offline, or with a registry that is gone, what is in the cache is enough.
	gone := strings.Replace(ref, host, "127.0.0.1:1", 1)
	for _, args := range [][]string{{"--policy", ref, "--offline"}, {"--policy", gone}} {
		if got := (shell{}).report(t, append(args, run...)...); got.DecisionsSHA256 != want.DecisionsSHA256 {
			t.Errorf("%q: decisions %s, want %s", args, got.DecisionsSHA256, want.DecisionsSHA256)
		}
	}
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	shell{}.fails(t, 1, "offline: not all of it is in the cache, ", append([]string{"run", "--policy", ref, "--offline"}, run...)...)
	shell{}.fails(t, 1, "registry 127.0.0.1:1: .*connection refused", append([]string{"run", "--policy", gone}, run...)...)
	if got := (shell{}).report(t, append(run, "--policy", "theirs", "--offline")...); got.DecisionsSHA256 != want.DecisionsSHA256 {
		t.Errorf("installed in %s, it is not run offline", dir)
	}
}

func fetchURL(t *testing.T, url, accept string) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return data
}

// A registry that wants credentials gets those of Docker's configuration.
func TestARegistryThatWantsCredentials(t *testing.T) {
	passwords := filepath.Join(t.TempDir(), "htpasswd")
	// me, hunter2
	if err := os.WriteFile(passwords, []byte("me:$2a$05$ABCTXOUw3ZgQgmOfYmvJ7ugtIMd8hOlXCEwRZy7w0AEHgu8cavzYW\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", passwords))
	ownDirs(t)
	path, _ := repositoryFile(t, minimalModule)
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	write := func(auth string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(docker, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"policy", "push", path, host + "/me/minimal:1.0"}
	const says = `HTTP 401: it wants credentials, or others.*"docker login 127\.0\.0\.1:\d+" puts them`
	shell{}.fails(t, 1, says, args...)
	write("bWU6aHVudGVyMw==") // me:hunter3
	if got := (shell{}).run(t, args...); got.code != 1 || !regexp.MustCompile(says).MatchString(got.stderr) || strings.Contains(got.stderr, "hunter3") || strings.Contains(got.stderr, "aHVud") {
		t.Errorf("a wrong password: exit code %d: %s", got.code, got.stderr)
	}
	write("bWU6aHVudGVyMg==") // me:hunter2
	ref := pushed(t, shell{}.succeeds(t, args...))
	shell{}.succeeds(t, "policy", "check", ref)
}

// What offhost pushes, another tool can pull, and the other way round.
func TestAnotherToolReadsAndWritesTheSameArtifacts(t *testing.T) {
	oras := registryTool(t, "oras")
	host := startRegistry(t, "")
	ownDirs(t)
	path, wasm := repositoryFile(t, minimalModule)
	dir := t.TempDir()
	other := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(oras, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("oras %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	shell{}.succeeds(t, "policy", "push", path, host+"/me/minimal:1.0")
	other("pull", "--plain-http", host+"/me/minimal:1.0", "-o", "pulled")
	if got, err := os.ReadFile(filepath.Join(dir, "pulled", "minimal.wasm")); err != nil || !bytes.Equal(got, wasm) {
		t.Errorf("oras pulled %d bytes, %v; want the module", len(got), err)
	}

	for name, data := range map[string]string{
		"my.wasm":     string(wasm),
		"config.json": fmt.Sprintf(`{"created":"2026-01-01T00:00:00Z","author":"me","architecture":"wasm","os":"wasip1","layerDigests":["sha256:%x"]}`, sha256.Sum256(wasm)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other("push", "--plain-http", host+"/others/my:1", "--config", "config.json:application/vnd.wasm.config.v0+json", "my.wasm:application/wasm")
	if out := (shell{}).succeeds(t, "policy", "pull", host+"/others/my:1", "--allow-tag", "-o", "-"); out != string(wasm) {
		t.Errorf("pulled %d bytes of what oras pushed, want the module", len(out))
	}
	// Without the configuration it is some artifact, and the error says so.
	other("push", "--plain-http", host+"/others/my:2", "my.wasm:application/wasm")
	shell{}.fails(t, 1, `its configuration is of type "application/vnd.oci.empty.v1\+json", want application/vnd.wasm.config.v0\+json`,
		"policy", "pull", host+"/others/my:2", "--allow-tag", "-o", "-")
}
