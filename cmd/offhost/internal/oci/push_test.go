package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// The artifact is what the CNCF's layout says, field by field, and the same each time.
func TestAnArtifactHasTheCNCFsLayout(t *testing.T) {
	layer, config, manifest, err := pack(wasm, "my.wasm", Description{Title: "my", Version: "1.0", Description: "mine", Source: "https://example.org"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, again, err := pack(wasm, "my.wasm", Description{Title: "my", Version: "1.0", Description: "mine", Source: "https://example.org"})
	if err != nil || !bytes.Equal(manifest.data, again.data) {
		t.Errorf("packed again, it is another artifact, %v", err)
	}
	compact := func(text string) string {
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(text)); err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer("LAYER", layer.Digest.String(), "CONFIG", config.Digest.String()).Replace(b.String())
	}
	if want := compact(`{"created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1", "layerDigests": ["LAYER"]}`); string(config.data) != want {
		t.Errorf("configuration %s, want %s", config.data, want)
	}
	if want := compact(`{
		"schemaVersion": 2,
		"mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": "CONFIG", "size": 161},
		"layers": [{"mediaType": "application/wasm", "digest": "LAYER", "size": 25, "annotations": {"org.opencontainers.image.title": "my.wasm"}}],
		"annotations": {
			"org.opencontainers.image.description": "mine",
			"org.opencontainers.image.source": "https://example.org",
			"org.opencontainers.image.title": "my",
			"org.opencontainers.image.version": "1.0"}}`); string(manifest.data) != want {
		t.Errorf("manifest %s, want %s", manifest.data, want)
	}
	if _, _, bare, err := pack(wasm, "my.wasm", Description{}); err != nil || bytes.Count(bare.data, []byte("annotations")) != 1 {
		t.Errorf("without a description: %s, %v; want no annotations but the layer's", bare.data, err)
	}
}

func TestWhatIsNotPushed(t *testing.T) {
	a := newAnswerer(t)
	tagged := reference(t, a.host()+"/me/my:1.0")
	cfg := config(t)
	for _, c := range []struct {
		name    string
		offline bool
		ref     Reference
		wasm    []byte
		says    string
		is      error
	}{
		{"offline", true, tagged, wasm, "offline", ErrOffline},
		{"a digest", false, a.pinned(t), wasm, "a digest cannot be chosen", nil},
		{"a large module", false, tagged, make([]byte, maxLayer+1), "want at most 4194304", ErrArtifact},
	} {
		cfg.Offline = c.offline
		_, err := New(cfg).Push(t.Context(), c.ref, c.wasm, "my.wasm", Description{})
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	cfg.Offline = false
	if _, err := New(cfg).Push(t.Context(), reference(t, a.host()+"/others/my"), wasm, "my.wasm", Description{}); err == nil || !strings.Contains(err.Error(), "HTTP 404") {
		t.Errorf("got %v, want the registry's answer", err)
	}
}
