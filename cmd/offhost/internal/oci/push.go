package oci

import (
	"bytes"
	"context"
	"fmt"

	"oras.land/oras-go/v2/registry/remote"
)

// Push puts a module into a registry, under the reference's tag if it has one, and
// returns the reference with the digest of its manifest. The same module and description
// have the same digest whenever they are pushed. file is the name that generic tools give
// the module.
func (r *Remote) Push(ctx context.Context, ref Reference, wasm []byte, file string, d Description) (Reference, error) {
	pinned, err := r.push(ctx, ref, wasm, file, d)
	if err != nil {
		return Reference{}, fmt.Errorf("%s: %w", ref, err)
	}
	return pinned, nil
}

func (r *Remote) push(ctx context.Context, ref Reference, wasm []byte, file string, d Description) (Reference, error) {
	switch {
	case ref.Pinned():
		return ref, fmt.Errorf("a digest cannot be chosen: want REGISTRY/NAME or REGISTRY/NAME:TAG")
	case len(wasm) > maxLayer:
		return ref, unusable("the module has %d bytes, want at most %d", len(wasm), maxLayer)
	case r.cfg.Offline:
		return ref, fmt.Errorf("%w: nothing is pushed", ErrOffline)
	}
	layer, config, manifest, err := pack(wasm, file, d)
	if err != nil {
		return ref, err
	}
	ctx, explain, done := r.bound(ctx, ref)
	defer done()
	conn := r.dial(ref)
	defer conn.close()
	for _, b := range []blob{layer, config} {
		if err := pushBlob(ctx, conn.repo, b); err != nil {
			return ref, explain(err)
		}
	}
	name := ref.Tag()
	if name == "" {
		name = manifest.Digest.String()
	}
	old, unknown := conn.repo.Resolve(ctx, name) // as a rule it is new, and there is nothing
	if err := conn.repo.Manifests().PushReference(ctx, manifest.Descriptor, bytes.NewReader(manifest.data), name); err != nil {
		return ref, explain(err)
	}
	if unknown == nil && old.Digest != manifest.Digest {
		r.cfg.Log.Warn("the tag led to another artifact before", "reference", ref, "digest", old.Digest)
	}
	return ref.pin(manifest.Digest), nil
}

func pushBlob(ctx context.Context, repo *remote.Repository, b blob) error {
	there, err := repo.Blobs().Exists(ctx, b.Descriptor)
	if err != nil || there {
		return err
	}
	return repo.Blobs().Push(ctx, b.Descriptor, bytes.NewReader(b.data))
}
