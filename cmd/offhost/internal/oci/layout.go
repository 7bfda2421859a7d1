package oci

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/offhost/offhost/runtime"
)

// Media types of the CNCF's layout, https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/.
const (
	configType = "application/vnd.wasm.config.v0+json"
	layerType  = "application/wasm"
)

// What an artifact's configuration says of a core module, as opposed to a component.
const (
	architecture = "wasm"
	system       = "wasip1"
)

// Limits of what is read from a registry or the cache, in bytes.
const (
	maxManifest = 256 << 10
	maxConfig   = 64 << 10
	maxLayer    = runtime.DefaultModuleBytes
)

// Media types of manifests that are no module, and are asked for so that the error can
// say what is there instead.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// A wasmConfig is the configuration of an artifact. Its fields beyond these are for others.
type wasmConfig struct {
	// Created is required by readers of the layout. Time zero is written, so that the same
	// module is the same artifact whenever it is pushed.
	Created      time.Time       `json:"created"`
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	LayerDigests []digest.Digest `json:"layerDigests"`
}

// A Description is what is said of a module, in the annotations of its manifest. What is
// empty is left out.
type Description struct {
	Title, Version, Description string
	Source                      string // a URL of its source code
}

func (d Description) annotations() map[string]string {
	all := map[string]string{}
	for key, value := range map[string]string{
		ocispec.AnnotationTitle:       d.Title,
		ocispec.AnnotationVersion:     d.Version,
		ocispec.AnnotationDescription: d.Description,
		ocispec.AnnotationSource:      d.Source,
	} {
		if value != "" {
			all[key] = value
		}
	}
	return all
}

// A blob is content and its name.
type blob struct {
	ocispec.Descriptor
	data []byte
}

func newBlob(mediaType string, data []byte) blob {
	return blob{ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data}
}

// pack makes the artifact of a module: its layer, its configuration and its manifest. The
// same arguments give the same bytes. file is what a generic tool is to call the module.
func pack(wasm []byte, file string, d Description) (layer, config, manifest blob, err error) {
	layer = newBlob(layerType, wasm)
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: file}
	data, err := json.Marshal(wasmConfig{
		Created: time.Unix(0, 0).UTC(), Architecture: architecture, OS: system, LayerDigests: []digest.Digest{layer.Digest},
	})
	if err != nil {
		return layer, config, manifest, err
	}
	config = newBlob(configType, data)
	data, err = json.Marshal(ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      config.Descriptor,
		Layers:      []ocispec.Descriptor{layer.Descriptor},
		Annotations: d.annotations(),
	})
	return layer, config, newBlob(ocispec.MediaTypeImageManifest, data), err
}

// unusable is an artifact that is not what it has to be.
func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrArtifact, fmt.Errorf(format, args...))
}

// readManifest checks that a manifest is one of a module and returns the descriptors of
// its configuration and its layer.
func readManifest(data []byte) (config, layer ocispec.Descriptor, err error) {
	var m struct {
		ocispec.Manifest
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := jsonv2.Unmarshal(data, &m); err != nil {
		return config, layer, unusable("the manifest: %.300w", err)
	}
	switch {
	case m.MediaType == ocispec.MediaTypeImageIndex || m.MediaType == dockerList || m.Manifests != nil:
		return config, layer, unusable("it is an index of %d manifests, for several platforms, and a policy is the same on all: want the digest of one manifest%s",
			len(m.Manifests), modules(m.Manifests))
	case m.MediaType != "" && m.MediaType != ocispec.MediaTypeImageManifest:
		return config, layer, unusable("its manifest is of type %.100q, want %s", m.MediaType, ocispec.MediaTypeImageManifest)
	case m.SchemaVersion != 2:
		return config, layer, unusable("its manifest has the schema version %d, want 2", m.SchemaVersion)
	case m.Config.MediaType != configType:
		return config, layer, unusable("its configuration is of type %.100q, want %s: it is no module in the CNCF's layout, as \"offhost policy push\" makes it",
			m.Config.MediaType, configType)
	case len(m.Layers) != 1:
		return config, layer, unusable("it has %d layers, want one, the module", len(m.Layers))
	}
	layer = m.Layers[0]
	if layer.MediaType != layerType {
		return config, layer, unusable("its layer is of type %.100q, want %s", layer.MediaType, layerType)
	}
	for _, part := range []struct {
		name string
		ocispec.Descriptor
		limit int64
	}{{"configuration", m.Config, maxConfig}, {"module", layer, maxLayer}} {
		if !sha256Digest.MatchString(part.Digest.String()) {
			return config, layer, unusable("its %s has the digest %.100q, want sha256: and 64 hexadecimal digits", part.name, part.Digest)
		}
		if part.Size < 0 || part.Size > part.limit {
			return config, layer, unusable("its %s has %d bytes, want at most %d", part.name, part.Size, part.limit)
		}
	}
	return m.Config, layer, nil
}

// modules lists the manifests of an index that are for WebAssembly.
func modules(all []ocispec.Descriptor) string {
	var found []string
	for _, d := range all {
		if p := d.Platform; p != nil && p.Architecture == architecture && sha256Digest.MatchString(d.Digest.String()) && len(found) < 4 {
			found = append(found, d.Digest.String())
		}
	}
	if found == nil {
		return ""
	}
	return ", as in " + strings.Join(found, ", ")
}

// checkConfig checks that a configuration is that of a core module, and of this one.
func checkConfig(data []byte, layer digest.Digest) error {
	var c struct {
		Architecture string   `json:"architecture"`
		OS           string   `json:"os"`
		LayerDigests []string `json:"layerDigests"`
	}
	if err := jsonv2.Unmarshal(data, &c); err != nil {
		return unusable("its configuration: %.300w", err)
	}
	switch {
	case c.Architecture != architecture:
		return unusable("it is for the architecture %.40q, want %q", c.Architecture, architecture)
	case c.OS != system:
		return unusable("it is for the system %.40q, want %q: a policy is a core module, not a component", c.OS, system)
	case len(c.LayerDigests) != 1 || c.LayerDigests[0] != layer.String():
		return unusable("its configuration names the layers %.100q, its manifest %q", c.LayerDigests, layer)
	}
	return nil
}
