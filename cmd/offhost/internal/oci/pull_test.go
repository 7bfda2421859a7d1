package oci

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An answerer is a registry with one artifact, which tests make misbehave.
type answerer struct {
	*httptest.Server
	layer, config, manifest blob
	// around is called for each request before it is answered; true: it was the answer.
	around   func(http.ResponseWriter, *http.Request) bool
	requests atomic.Int64
}

var wasm = []byte("\x00asm\x01\x00\x00\x00 and what follows")

// newAnswerer starts a registry that has wasm, under the tag 1.0.
func newAnswerer(t *testing.T) *answerer {
	t.Helper()
	a := &answerer{around: func(http.ResponseWriter, *http.Request) bool { return false }}
	var err error
	if a.layer, a.config, a.manifest, err = pack(wasm, "my.wasm", Description{Title: "my", Version: "1"}); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(a.Close)
	return a
}

func (a *answerer) answer(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	if a.around(w, r) {
		return
	}
	for _, b := range []blob{a.layer, a.config} {
		if r.URL.Path == "/v2/me/my/blobs/"+b.Digest.String() {
			w.Write(b.data)
			return
		}
	}
	if r.URL.Path == "/v2/me/my/manifests/1.0" || r.URL.Path == "/v2/me/my/manifests/"+a.manifest.Digest.String() {
		w.Header().Set("Content-Type", a.manifest.MediaType)
		w.Header().Set("Docker-Content-Digest", a.manifest.Digest.String())
		w.Write(a.manifest.data)
		return
	}
	http.NotFound(w, r)
}

// serve makes another manifest the registry's.
func (a *answerer) serve(mediaType string, data []byte) { a.manifest = newBlob(mediaType, data) }

// rewrite changes the manifest.
func (a *answerer) rewrite(t *testing.T, change func(*ocispec.Manifest)) {
	t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(a.manifest.data, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	a.serve(ocispec.MediaTypeImageManifest, data)
}

// reconfigure changes the configuration, and the manifest with it.
func (a *answerer) reconfigure(t *testing.T, text string) {
	t.Helper()
	a.config = newBlob(configType, []byte(text))
	a.rewrite(t, func(m *ocispec.Manifest) { m.Config = a.config.Descriptor })
}

func (a *answerer) host() string { return strings.TrimPrefix(a.URL, "http://") }

func (a *answerer) pinned(t *testing.T) Reference {
	t.Helper()
	return reference(t, a.host()+"/me/my@"+a.manifest.Digest.String())
}

func reference(t *testing.T, text string) Reference {
	t.Helper()
	ref, err := ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// config is that of a test, with a cache and Docker's configuration of its own.
func config(t *testing.T) Config {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return Config{CacheDir: filepath.Join(t.TempDir(), "cache"), Timeout: time.Minute}
}

// files are those below a directory, with their contents.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[e.Name()] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkCache fails unless each file of a cache is what its name says.
func checkCache(t *testing.T, dir string) (n int) {
	t.Helper()
	all := files(t, dir)
	for name, data := range all {
		if digest.FromString(data).Encoded() != name {
			t.Errorf("the cache has the file %s, with %d bytes of another digest", name, len(data))
		}
	}
	return len(all)
}

func TestAPulledModuleNeedsNoConnectionAgain(t *testing.T) {
	a := newAnswerer(t)
	cfg := config(t)
	first, err := New(cfg).Pull(t.Context(), a.pinned(t))
	if err != nil {
		t.Fatal(err)
	}
	if first.Cached || !bytes.Equal(first.Wasm, wasm) || "sha256:"+first.SHA256 != a.layer.Digest.String() || first.Reference != a.pinned(t) {
		t.Errorf("got %+v, want the module of %v", first, a.pinned(t))
	}
	if n := checkCache(t, cfg.CacheDir); n != 3 {
		t.Errorf("%d files are kept, want manifest, configuration and module", n)
	}
	a.Close()
	before := a.requests.Load()
	for _, cfg.Offline = range []bool{false, true} {
		again, err := New(cfg).Pull(t.Context(), a.pinned(t))
		if err != nil || !again.Cached || !bytes.Equal(again.Wasm, wasm) {
			t.Errorf("offline %v: %+v, %v; want the module from the cache", cfg.Offline, again, err)
		}
	}
	if a.requests.Load() != before {
		t.Error("the registry was asked for what is in the cache")
	}
}

func TestWhatIsInTheCacheIsCheckedEachTime(t *testing.T) {
	a := newAnswerer(t)
	cfg := config(t)
	var log strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, b := range []func() blob{func() blob { return a.manifest }, func() blob { return a.config }, func() blob { return a.layer }} {
		if _, err := New(cfg).Pull(t.Context(), a.pinned(t)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(cfg.CacheDir, "sha256", b().Digest.Encoded())
		for _, damage := range []string{"", "other", string(b().data) + "x"} {
			if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg.Offline = true
			if m, err := New(cfg).Pull(t.Context(), a.pinned(t)); !errors.Is(err, ErrOffline) {
				t.Errorf("%s damaged, offline: %v, %v; want %v", b().MediaType, m, err, ErrOffline)
			}
			cfg.Offline = false
			log.Reset()
			m, err := New(cfg).Pull(t.Context(), a.pinned(t))
			if err != nil || m.Cached || !bytes.Equal(m.Wasm, wasm) {
				t.Errorf("%s damaged: %+v, %v; want it fetched again", b().MediaType, m, err)
			}
			if !strings.Contains(log.String(), path) {
				t.Errorf("%s damaged: the log does not name it: %s", b().MediaType, &log)
			}
			checkCache(t, cfg.CacheDir)
		}
	}
}

func TestACacheThatCannotBeWrittenIsNoFailure(t *testing.T) {
	a := newAnswerer(t)
	cfg := config(t)
	if err := os.WriteFile(cfg.CacheDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if m, err := New(cfg).Pull(t.Context(), a.pinned(t)); err != nil || !bytes.Equal(m.Wasm, wasm) || !strings.Contains(log.String(), "not kept in the cache") {
		t.Errorf("got %v, %v, and the log %s; want the module, and that it is not kept", m, err, &log)
	}
}

func TestATagIsTakenWhenItIsAskedFor(t *testing.T) {
	a := newAnswerer(t)
	cfg := config(t)
	tagged := reference(t, a.host()+"/me/my:1.0")
	if m, err := New(cfg).Pull(t.Context(), tagged); !errors.Is(err, ErrUnpinned) || !strings.Contains(err.Error(), "--allow-tag") {
		t.Errorf("got %v, %v; want %v", m, err, ErrUnpinned)
	}
	cfg.AllowTag, cfg.Offline = true, true
	if m, err := New(cfg).Pull(t.Context(), tagged); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: got %v, %v; want %v", m, err, ErrOffline)
	}
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	cfg.Offline = false
	for range 2 { // the second time, too, it has to be asked
		before := a.requests.Load()
		m, err := New(cfg).Pull(t.Context(), tagged)
		if err != nil || m.Reference != a.pinned(t) || !bytes.Equal(m.Wasm, wasm) || m.Cached {
			t.Errorf("got %+v, %v; want the module and its digest", m, err)
		}
		if a.requests.Load() == before {
			t.Error("the registry was not asked")
		}
	}
	if _, err := New(cfg).Pull(t.Context(), reference(t, a.host()+"/me/my")); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("without a tag: %v, want that there is no latest", err)
	}
}

// Whatever a registry answers, the error says what is wrong and the cache has nothing
// that is not what its name says.
func TestARegistryIsNotTrusted(t *testing.T) {
	path := func(kind string, b func(*answerer) blob, answer func(*answerer, http.ResponseWriter)) func(*testing.T, *answerer) {
		return func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, kind+"/"+b(a).Digest.String()) {
					return false
				}
				answer(a, w)
				return true
			}
		}
	}
	layer := func(answer func(*answerer, http.ResponseWriter)) func(*testing.T, *answerer) {
		return path("blobs", func(a *answerer) blob { return a.layer }, answer)
	}
	manifest := func(answer func(*answerer, http.ResponseWriter)) func(*testing.T, *answerer) {
		return path("manifests", func(a *answerer) blob { return a.manifest }, answer)
	}
	status := func(code int, body string) func(*testing.T, *answerer) {
		return func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				io.WriteString(w, body)
				return true
			}
		}
	}
	change := func(change func(*ocispec.Manifest)) func(*testing.T, *answerer) {
		return func(t *testing.T, a *answerer) { a.rewrite(t, change) }
	}
	replace := func(mediaType, text string) func(*testing.T, *answerer) {
		return func(_ *testing.T, a *answerer) { a.serve(mediaType, []byte(text)) }
	}
	configured := func(text string) func(*testing.T, *answerer) {
		return func(t *testing.T, a *answerer) {
			a.reconfigure(t, strings.ReplaceAll(text, "LAYER", a.layer.Digest.String()))
		}
	}
	endless := func(w http.ResponseWriter) {
		for range 1 << 14 {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<12)); err != nil {
				return
			}
		}
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":"m","digest":"sha256:%064d","size":1,"platform":{"architecture":"wasm","os":"wasip1"}},{"mediaType":"m","digest":"sha256:%064d","size":1,"platform":{"architecture":"amd64","os":"linux"}}]}`,
		ocispec.MediaTypeImageIndex, 1, 2)

	for _, c := range []struct {
		name     string
		make     func(*testing.T, *answerer)
		says     string
		artifact bool // the error is ErrArtifact
	}{
		{"another manifest", manifest(func(a *answerer, w http.ResponseWriter) {
			w.Header().Set("Content-Type", a.manifest.MediaType)
			w.Header().Set("Docker-Content-Digest", a.manifest.Digest.String())
			w.Write(bytes.Replace(a.manifest.data, []byte("my.wasm"), []byte("no.wasm"), 1))
		}), "its manifest: unusable artifact: its digest is sha256:", true},
		{"another manifest, and its digest", manifest(func(a *answerer, w http.ResponseWriter) {
			other := bytes.Replace(a.manifest.data, []byte("my.wasm"), []byte("no.wasm"), 1)
			w.Header().Set("Content-Type", a.manifest.MediaType)
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(other).String())
			w.Write(other)
		}), "digest mismatch", false},
		{"another module", layer(func(a *answerer, w http.ResponseWriter) {
			w.Write(bytes.Replace(a.layer.data, []byte("what"), []byte("that"), 1))
		}), "its module: unusable artifact: its digest is sha256:", true},
		{"a module that is cut off", layer(func(a *answerer, w http.ResponseWriter) {
			w.Header().Set("Content-Length", fmt.Sprint(len(a.layer.data)))
			w.Write(a.layer.data[:9])
		}), "unexpected EOF", false},
		{"a shorter module", layer(func(a *answerer, w http.ResponseWriter) { w.Write(a.layer.data[:9]) }), "mismatch Content-Length", false},
		{"an endless module", layer(func(_ *answerer, w http.ResponseWriter) { endless(w) }), "its module: unusable artifact: more than ", true},
		{"an endless manifest", manifest(func(a *answerer, w http.ResponseWriter) {
			w.Header().Set("Content-Type", a.manifest.MediaType)
			w.Header().Set("Docker-Content-Digest", a.manifest.Digest.String())
			w.Header().Set("Content-Length", fmt.Sprint(1<<40))
			endless(w)
		}), "more than 262144 bytes", true},
		{"no content type", manifest(func(a *answerer, w http.ResponseWriter) {
			w.Header()["Content-Type"] = nil
			w.Write(a.manifest.data)
		}), "Content-Type", false},

		{"a large module", change(func(m *ocispec.Manifest) { m.Layers[0].Size = maxLayer + 1 }), "its module has 4194305 bytes, want at most 4194304", true},
		{"a negative size", change(func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }), "its module has -1 bytes", true},
		{"a wrong size", change(func(m *ocispec.Manifest) { m.Layers[0].Size += 5 }), "mismatch Content-Length", false},
		{"a large configuration", change(func(m *ocispec.Manifest) { m.Config.Size = maxConfig + 1 }), "its configuration has 65537 bytes", true},
		{"an image", change(func(m *ocispec.Manifest) { m.Config.MediaType = ocispec.MediaTypeImageConfig }),
			"its configuration is of type \"application/vnd.oci.image.config.v1+json\", want application/vnd.wasm.config.v0+json", true},
		{"another layer", change(func(m *ocispec.Manifest) { m.Layers[0].MediaType = ocispec.MediaTypeImageLayerGzip }), "its layer is of type", true},
		{"no layer", change(func(m *ocispec.Manifest) { m.Layers = nil }), "it has 0 layers, want one", true},
		{"two layers", change(func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }), "it has 2 layers, want one", true},
		{"another hash", change(func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha512:" + digest.Digest(strings.Repeat("0", 128)) }),
			"its module has the digest", true},
		{"a digest that is a path", change(func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../../etc/passwd" }), "its module has the digest", true},
		{"another schema", change(func(m *ocispec.Manifest) { m.SchemaVersion = 1 }), "schema version 1, want 2", true},
		{"an index", replace(ocispec.MediaTypeImageIndex, index), "index of 2 manifests, for several platforms, and a policy is the same on all: want the digest of one manifest, as in sha256:" + fmt.Sprintf("%064d", 1), true},
		{"an index that says that it is a manifest", func(_ *testing.T, a *answerer) {
			a.serve(ocispec.MediaTypeImageManifest, append([]byte(`{"manifests":[],`), a.manifest.data[1:]...))
		}, "index of 0 manifests", true},
		{"Docker's manifest", replace(dockerManifest, `{"schemaVersion":2,"mediaType":"`+dockerManifest+`"}`), "its manifest is of type", true},
		{"no JSON", replace(ocispec.MediaTypeImageManifest, `<html>`), "the manifest: ", true},
		{"a member twice", func(_ *testing.T, a *answerer) {
			a.serve(ocispec.MediaTypeImageManifest, append([]byte(`{"layers":[],`), a.manifest.data[1:]...))
		}, "duplicate", true},
		{"a component", configured(`{"architecture":"wasm","os":"wasip2","layerDigests":["LAYER"]}`), "want \"wasip1\": a policy is a core module, not a component", true},
		{"another architecture", configured(`{"architecture":"amd64","os":"linux","layerDigests":["LAYER"]}`), "for the architecture \"amd64\", want \"wasm\"", true},
		{"another's configuration", configured(`{"architecture":"wasm","os":"wasip1","layerDigests":["sha256:1"]}`), "its configuration names the layers [\"sha256:1\"]", true},
		{"an empty configuration", configured(`{}`), "for the architecture \"\"", true},
		{"a configuration that is no JSON", configured(`{`), "its configuration: ", true},

		{"401", status(401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`),
			"HTTP 401: it wants credentials, or others (unauthorized: authentication required): \"docker login 127.0.0.1:", false},
		{"403", status(403, ``), "HTTP 403: it does not allow this", false},
		{"404", status(404, `{"errors":[{"code":"NAME_UNKNOWN","message":"who?"}]}`), "HTTP 404: it has no such module", false},
		{"418", status(418, `{"errors":[{"code":"A","message":"`+strings.Repeat("long ", 200)+`"}]}`), "HTTP 418: i'm a teapot (a: long", false},
		{"a redirect that goes round", func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
		}, "redirected 10 times", false},
		{"a redirect to nowhere, with a token", func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "http://127.0.0.1:1/blob?signature=hunter2", http.StatusTemporaryRedirect)
				return true
			}
		}, "connection refused", false},
		{"a redirect to an answer that does not fit, with a token", func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.URL.RawQuery != "":
					io.WriteString(w, "short")
				case strings.Contains(r.URL.Path, "/blobs/"):
					http.Redirect(w, r, "/elsewhere?signature=hunter2", http.StatusTemporaryRedirect)
				default:
					return false
				}
				return true
			}
		}, "mismatch Content-Length", false},
		{"a long header", func(_ *testing.T, a *answerer) {
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("X", strings.Repeat("x", 2*maxHeaders))
				return false
			}
		}, "headers exceeded", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAnswerer(t)
			c.make(t, a)
			cfg := config(t)
			m, err := New(cfg).Pull(t.Context(), a.pinned(t))
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrArtifact) != c.artifact {
				t.Errorf("got %v, %v;\nwant an error with %q, %v: %v", m, err, c.says, ErrArtifact, c.artifact)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), a.pinned(t).String()+": ") || len(err.Error()) > 1000 || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error is too long, does not name the reference, or has a token: %v", err)
			}
			if n := checkCache(t, cfg.CacheDir); n != 0 {
				t.Errorf("%d files are kept of what was refused", n)
			}
		})
	}
}

func TestASlowRegistryIsLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		where string // part of the paths that are slow
		reset bool   // it begins to answer
	}{{"that does not answer", "/manifests/", false}, {"that does not finish", "/blobs/", true}} {
		t.Run(c.name, func(t *testing.T) {
			a := newAnswerer(t)
			over := make(chan struct{})
			t.Cleanup(func() { close(over) }) // before the server closes, which waits
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, c.where) {
					return false
				}
				if c.reset {
					io.WriteString(w, "begun")
					w.(http.Flusher).Flush()
				}
				select {
				case <-over:
				case <-r.Context().Done():
				}
				return true
			}
			cfg := config(t)
			cfg.Timeout = 200 * time.Millisecond
			_, err := New(cfg).Pull(t.Context(), a.pinned(t))
			if err == nil || !strings.Contains(err.Error(), "not done within 200ms, the longest that a transfer may take (--registry-timeout)") {
				t.Errorf("got %v, want the time that it was given", err)
			}
			if n := checkCache(t, cfg.CacheDir); n != 0 {
				t.Errorf("%d files are kept", n)
			}

			cfg.Timeout = time.Minute
			stop := errors.New("interrupted")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
			if _, err := New(cfg).Pull(ctx, a.pinned(t)); !errors.Is(err, stop) {
				t.Errorf("got %v, want what ended it", err)
			}
		})
	}
}

func TestCredentialsAreDockersAndAreNotShown(t *testing.T) {
	const user, password = "me", "hunter2"
	for _, c := range []struct {
		name, password string
		bearer         bool
		says           string
	}{
		{"basic", password, false, ""},
		{"basic, wrong", "hunter3", false, "HTTP 401"},
		{"basic, none", "", false, "HTTP 401: it wants credentials"},
		{"a token, none", "", true, "HTTP 401: it wants credentials"},
		{"a token", password, true, ""},
		{"a token, wrong", "hunter3", true, "HTTP 401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAnswerer(t)
			a.around = func(w http.ResponseWriter, r *http.Request) bool {
				u, p, ok := r.BasicAuth()
				known := ok && u == user && p == password
				switch {
				case r.URL.Path == "/token" && known:
					io.WriteString(w, `{"token":"t0ken"}`)
				case r.URL.Path == "/token":
					w.WriteHeader(http.StatusUnauthorized)
				case !c.bearer && known, c.bearer && r.Header.Get("Authorization") == "Bearer t0ken":
					return false
				case c.bearer:
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, a.URL))
					w.WriteHeader(http.StatusUnauthorized)
				default:
					w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
				return true
			}
			cfg := config(t)
			data := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, a.host(), base64.StdEncoding.EncodeToString([]byte(user+":"+c.password)))
			if c.password == "" {
				data = "{}"
			}
			if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := New(cfg).Pull(t.Context(), a.pinned(t))
			switch {
			case c.says == "" && (err != nil || !bytes.Equal(m.Wasm, wasm)):
				t.Errorf("got %v, %v; want the module", m, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			case err != nil && (strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "aHVud")):
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		a := newAnswerer(t)
		a.around = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		cfg := config(t)
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(`{"auths":{"hunter2"`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(cfg).Pull(t.Context(), a.pinned(t)); err == nil || !strings.Contains(err.Error(), "credentials") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("got %v, want that the credentials cannot be read", err)
		}
	})
}

func TestRedirectsKeepTLS(t *testing.T) {
	request := func(url string) *http.Request { return httptest.NewRequest(http.MethodGet, url, nil) }
	for _, c := range []struct {
		from, to string
		ok       bool
	}{{"https://a/", "https://b/", true}, {"http://a/", "http://b/", true}, {"http://a/", "https://b/", true}, {"https://a/", "http://a/?x=hunter2", false}} {
		err := checkRedirect(request(c.to), []*http.Request{request(c.from)})
		if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("from %s to %s: %v, want it allowed: %v", c.from, c.to, err, c.ok)
		}
	}
}

func TestPlainHTTPIsForThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:5000": true, "127.1.2.3": true, "[::1]:5000": true, "[::ffff:127.0.0.1]": true,
		"localhost.example.org": false, "example.org:5000": false, "10.0.0.1:5000": false, "127.0.0.1.example.org": false, "[fe80::1]:80": false,
	} {
		if local(host) != want {
			t.Errorf("%s is on this machine: %v, want %v", host, local(host), want)
		}
		ref := reference(t, host+"/x")
		for _, plain := range []bool{false, true} {
			if got := New(Config{PlainHTTP: plain}).dial(ref).repo.PlainHTTP; got != (want || plain) {
				t.Errorf("%s is talked to without TLS: %v, want %v", host, got, want || plain)
			}
		}
	}
}

func TestReferences(t *testing.T) {
	pin := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct{ text, says, tag, repository, base string }{
		{"ghcr.io/me/my:1.0", "oci://ghcr.io/me/my:1.0", "1.0", "ghcr.io/me/my", "my"},
		{"oci://ghcr.io/me/my@" + pin, "oci://ghcr.io/me/my@" + pin, "", "ghcr.io/me/my", "my"},
		{"oci://localhost:5000/my:1.0@" + pin, "oci://localhost:5000/my@" + pin, "", "localhost:5000/my", "my"},
		{"[::1]:5000/my", "oci://[::1]:5000/my", "", "[::1]:5000/my", "my"},
	} {
		r, err := ParseReference(c.text)
		if err != nil || r.String() != c.says || r.Tag() != c.tag || r.Repository() != c.repository || r.Base() != c.base || r.Pinned() != strings.Contains(c.text, pin) {
			t.Errorf("%s: %v, tag %q, repository %q, base %q, pinned %v, %v", c.text, r, r.Tag(), r.Repository(), r.Base(), r.Pinned(), err)
		}
	}
	for _, text := range []string{"", "oci://", "my", "ghcr.io/", "ghcr.io/My", "ghcr.io/../my", "ghcr.io//my", "ghcr.io/my:", "ghcr.io/my@", "ghcr.io/my@sha256:abc",
		"ghcr.io/my@sha512:" + strings.Repeat("a", 128), "ghcr.io/my@" + strings.ToUpper(pin), "http://ghcr.io/my", "ghcr.io/my?x", "gh cr/my", "ghcr.io/" + strings.Repeat("a", maxReference)} {
		if r, err := ParseReference(text); err == nil {
			t.Errorf("%.80q is read as %v", text, r)
		}
	}
	if _, err := ParseReference("me:hunter2@ghcr.io/my"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password in a reference: %v, want an error without it", err)
	}
}

func FuzzManifest(f *testing.F) {
	_, config, manifest, err := pack(wasm, "my.wasm", Description{Title: "my"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(manifest.data)
	f.Add(config.data)
	f.Add([]byte(`{"manifests":[{"platform":{"architecture":"wasm"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = checkConfig(data, "sha256:x")
		config, layer, err := readManifest(data)
		if err != nil {
			if !errors.Is(err, ErrArtifact) || len(err.Error()) > 2000 {
				t.Errorf("got %v, want a short %v", err, ErrArtifact)
			}
			return
		}
		for _, d := range []ocispec.Descriptor{config, layer} {
			if !sha256Digest.MatchString(d.Digest.String()) || d.Size < 0 || d.Size > maxLayer {
				t.Errorf("accepted %+v", d)
			}
		}
	})
}
