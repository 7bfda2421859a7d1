package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
)

// A Module is what a reference leads to.
type Module struct {
	// Reference has the digest of the manifest, whether it was asked for by it or not.
	Reference Reference
	Wasm      []byte
	SHA256    string // of Wasm, in hexadecimal: the digest of the artifact's layer
	Cached    bool   // no connection was made
}

// Pull returns the module of a reference: from the cache, if it has a digest and all of
// it is there, else from the registry. The error wraps ErrUnpinned, ErrOffline or
// ErrArtifact where it is one of them.
func (r *Remote) Pull(ctx context.Context, ref Reference) (*Module, error) {
	m, err := r.pull(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return m, nil
}

func (r *Remote) pull(ctx context.Context, ref Reference) (*Module, error) {
	if !ref.Pinned() {
		pinned := Scheme + ref.Repository() + "@sha256:..."
		if !r.cfg.AllowTag {
			return nil, fmt.Errorf("%w: want one, as in %s; without it the module may be another one tomorrow (--allow-tag takes what is there now, and says its digest)", ErrUnpinned, pinned)
		}
		if r.cfg.Offline {
			return nil, fmt.Errorf("%w: only its registry can say what it leads to: want a digest, as in %s", ErrOffline, pinned)
		}
		if ref.Tag() == "" {
			ref.ref.Reference = "latest"
		}
	}
	ctx, explain, done := r.bound(ctx, ref)
	defer done()
	p := &puller{Remote: r, ref: ref}
	defer p.close()
	m, err := p.module(ctx)
	return m, explain(err)
}

// A puller is one Pull.
type puller struct {
	*Remote
	ref  Reference
	conn *connection // nil until it is needed
}

func (p *puller) close() {
	if p.conn != nil {
		p.conn.close()
	}
}

func (p *puller) connect() (*remote.Repository, error) {
	if p.cfg.Offline {
		return nil, fmt.Errorf("%w: not all of it is in the cache, %s", ErrOffline, p.cache.dir)
	}
	if p.conn == nil {
		p.conn = p.dial(p.ref)
	}
	return p.conn.repo, nil
}

func (p *puller) module(ctx context.Context) (*Module, error) {
	manifest, err := p.manifest(ctx)
	if err != nil {
		return nil, err
	}
	config, layer, err := readManifest(manifest.data)
	if err != nil {
		return nil, err
	}
	configData, err := p.blob(ctx, "configuration", config)
	if err != nil {
		return nil, err
	}
	if err := checkConfig(configData, layer.Digest); err != nil {
		return nil, err
	}
	wasm, err := p.blob(ctx, "module", layer)
	if err != nil {
		return nil, err
	}
	if p.conn != nil {
		p.cache.put(layer.Digest, wasm)
		p.cache.put(config.Digest, configData)
		p.cache.put(manifest.Digest, manifest.data)
	}
	sum := sha256.Sum256(wasm)
	return &Module{Reference: p.ref.pin(manifest.Digest), Wasm: wasm, SHA256: hex.EncodeToString(sum[:]), Cached: p.conn == nil}, nil
}

func (p *puller) manifest(ctx context.Context) (blob, error) {
	if p.ref.Pinned() {
		if data, ok := p.cache.get(p.ref.digest(), maxManifest); ok {
			return newBlob("", data), nil
		}
	}
	repo, err := p.connect()
	if err != nil {
		return blob{}, err
	}
	desc, body, err := repo.Manifests().FetchReference(ctx, p.ref.ref.Reference)
	if err != nil {
		return blob{}, err
	}
	defer body.Close()
	want := desc.Digest // what a tag leads to, by the registry's word
	if p.ref.Pinned() {
		want = p.ref.digest()
	}
	data, err := readVerified(body, want, maxManifest)
	if err != nil {
		return blob{}, fmt.Errorf("its manifest: %w", err)
	}
	return newBlob(desc.MediaType, data), nil
}

// blob returns content of which the manifest gives digest and size.
func (p *puller) blob(ctx context.Context, what string, d ocispec.Descriptor) ([]byte, error) {
	data, ok := p.cache.get(d.Digest, d.Size)
	if !ok {
		repo, err := p.connect()
		if err != nil {
			return nil, err
		}
		body, err := repo.Blobs().Fetch(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("its %s: %w", what, err)
		}
		defer body.Close()
		if data, err = readVerified(body, d.Digest, d.Size); err != nil {
			return nil, fmt.Errorf("its %s: %w", what, err)
		}
	}
	if int64(len(data)) != d.Size {
		return nil, unusable("its %s has %d bytes, its manifest says %d", what, len(data), d.Size)
	}
	return data, nil
}
