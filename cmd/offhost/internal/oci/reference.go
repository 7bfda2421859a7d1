package oci

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// Scheme begins a reference where modules may also be named otherwise.
const Scheme = "oci://"

// maxReference is longer than any name that registries take.
const maxReference = 512

// A Reference names a module in a registry: by a digest, which is that of its manifest,
// by a tag, or by neither, as one that is to be pushed may be.
type Reference struct {
	ref registry.Reference
}

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// ParseReference reads REGISTRY/NAME, followed by :TAG, @sha256:DIGEST, or both, of which
// the digest counts. The scheme may stand before it.
func ParseReference(text string) (Reference, error) {
	const want = "want REGISTRY/NAME@sha256:DIGEST or REGISTRY/NAME:TAG, as in ghcr.io/me/my-policy:1.0"
	bare := strings.TrimPrefix(text, Scheme)
	host, _, _ := strings.Cut(bare, "/")
	if strings.Contains(host, "@") {
		// Perhaps a password: the reference is not repeated.
		return Reference{}, errors.New("a reference has no user: credentials are taken from Docker's config.json, where \"docker login\" puts them")
	}
	if len(bare) > maxReference {
		return Reference{}, fmt.Errorf("a reference of %d bytes, want at most %d", len(bare), maxReference)
	}
	ref, err := registry.ParseReference(bare)
	if err == nil && (strings.HasSuffix(bare, ":") || strings.HasSuffix(bare, "@")) {
		err = errors.New("it ends where a tag or a digest should follow")
	}
	if err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w; %s", text, err, want)
	}
	if strings.Contains(ref.Reference, ":") && !sha256Digest.MatchString(ref.Reference) {
		return Reference{}, fmt.Errorf("reference %q: its digest has to be sha256: and 64 hexadecimal digits in lower case", text)
	}
	return Reference{ref}, nil
}

// String writes the reference with its scheme.
func (r Reference) String() string { return Scheme + r.ref.String() }

// Pinned says whether the reference has a digest.
func (r Reference) Pinned() bool { return strings.Contains(r.ref.Reference, ":") }

// Tag returns the tag, empty if there is none.
func (r Reference) Tag() string {
	if r.Pinned() {
		return ""
	}
	return r.ref.Reference
}

// Repository is the registry and the name in it.
func (r Reference) Repository() string { return r.ref.Registry + "/" + r.ref.Repository }

// Registry is the registry alone.
func (r Reference) Registry() string { return r.ref.Registry }

// Base is the last part of the name.
func (r Reference) Base() string { return path.Base(r.ref.Repository) }

// digest is that of a pinned reference.
func (r Reference) digest() digest.Digest { return digest.Digest(r.ref.Reference) }

func (r Reference) pin(d digest.Digest) Reference {
	r.ref.Reference = d.String()
	return r
}

// local says whether a registry is on this machine.
func local(host string) bool {
	if name, _, ok := strings.Cut(host, ":"); ok && !strings.HasPrefix(host, "[") {
		host = name
	}
	if ip, _, ok := strings.Cut(strings.TrimPrefix(host, "["), "]"); ok {
		host = ip
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
