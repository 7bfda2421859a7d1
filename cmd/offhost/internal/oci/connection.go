package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A connection talks to one repository of a registry.
type connection struct {
	repo  *remote.Repository
	close func()
}

const (
	maxRedirects = 10
	maxHeaders   = 64 << 10 // bytes of an answer's header
)

// dial prepares a connection; it is made with the first request.
func (r *Remote) dial(ref Reference) *connection {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeaders
	transport.DisableCompression = true
	client := &auth.Client{
		Client:     &http.Client{Transport: retry.NewTransport(transport), CheckRedirect: checkRedirect},
		Credential: credential,
		Cache:      auth.NewCache(),
	}
	if r.cfg.UserAgent != "" {
		client.SetUserAgent(r.cfg.UserAgent)
	}
	if local(ref.Registry()) {
		// The library would not ask a service on this machine for a token.
		client.BlockedRealmPrefixes = slices.DeleteFunc(auth.DefaultBlockedRealmPrefixes(),
			func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	}
	return &connection{
		repo: &remote.Repository{
			Client: client, Reference: ref.ref,
			PlainHTTP:          r.cfg.PlainHTTP || local(ref.Registry()),
			ManifestMediaTypes: []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerList},
			MaxMetadataBytes:   maxManifest,
		},
		close: transport.CloseIdleConnections,
	}
}

// credential is what Docker's config.json, or the helpers that it names, have for a
// registry. It is asked for when a registry wants one, and not before.
func credential(ctx context.Context, registry string) (auth.Credential, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return auth.EmptyCredential, fmt.Errorf("credentials: %w", err)
	}
	found, err := credentials.Credential(store)(ctx, registry)
	if err != nil {
		return auth.EmptyCredential, fmt.Errorf("credentials: %w", err)
	}
	return found, nil
}

// checkRedirect keeps redirects from going on for ever, and from leaving TLS.
func checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("redirected %d times", len(via))
	}
	if from := via[len(via)-1].URL; from.Scheme == "https" && to.URL.Scheme != "https" {
		return fmt.Errorf("redirected from HTTPS to %s without TLS", to.URL.Host)
	}
	return nil
}

// bound limits a transfer in time. explain says what its errors are about, and when the
// time or the caller has ended it.
func (r *Remote) bound(ctx context.Context, ref Reference) (_ context.Context, explain func(error) error, done func()) {
	registry := ref.Registry()
	late := fmt.Errorf("registry %s: not done within %v, the longest that a transfer may take (--registry-timeout)", registry, r.cfg.Timeout)
	ctx, done = context.WithTimeoutCause(ctx, r.cfg.Timeout, late)
	return ctx, func(err error) error {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		return explained(registry, err)
	}, done
}

// queries are the parts of addresses that may hold a token.
var queries = regexp.MustCompile(`\?[^\s"]*`)

// explained says what an error of a transfer is about, without the addresses that a
// registry has redirected to.
func explained(registry string, err error) error {
	var answer *errcode.ErrorResponse
	var request *url.Error
	switch {
	case err == nil, errors.Is(err, ErrArtifact), errors.Is(err, ErrOffline):
		return err
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		answer = &errcode.ErrorResponse{StatusCode: http.StatusUnauthorized}
		fallthrough
	case errors.As(err, &answer):
		return fmt.Errorf("registry %s: HTTP %d%s", registry, answer.StatusCode, meaning(answer, registry))
	case errors.Is(err, errdef.ErrNotFound):
		return fmt.Errorf("registry %s: HTTP 404: it has no such module", registry)
	case errors.As(err, &request):
		if strings.Contains(request.Err.Error(), "server gave HTTP response to HTTPS client") {
			return fmt.Errorf("registry %s: it does not speak TLS; --plain-http does without, and anybody on the way can then read credentials", registry)
		}
		return fmt.Errorf("registry %s: %w", registry, request.Err)
	}
	return fmt.Errorf("registry %s: %.500s", registry, queries.ReplaceAllString(err.Error(), ""))
}

func meaning(answer *errcode.ErrorResponse, registry string) string {
	said := ""
	if len(answer.Errors) > 0 {
		said = fmt.Sprintf(" (%.300s)", answer.Errors)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Sprintf(": it wants credentials, or others%s: \"docker login %s\" puts them into Docker's config.json, where they are looked for", said, registry)
	case http.StatusForbidden:
		return ": it does not allow this" + said
	case http.StatusNotFound:
		return ": it has no such module" + said
	}
	return ": " + strings.ToLower(http.StatusText(answer.StatusCode)) + said
}
