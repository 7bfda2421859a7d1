package weights

import (
	"fmt"
	"io"

	"github.com/offhost/offhost/host/safetensors"
)

// A Source is where a component's bytes come from. ReadAt reads them as the manifest
// packs them, zeros between the tensors; it may be called by several goroutines at
// once, and again after loading, for what is not held in memory.
type Source interface {
	Manifest() *Manifest
	io.ReaderAt
}

// A modelSource packs some of a model's tensors.
type modelSource struct {
	manifest *Manifest
	tensors  []*safetensors.Tensor // beside the manifest's
}

// FromModel is the source of the tensors of a model whose names are selected; nil
// selects all. An alias goes with its tensor, whatever its own name. The model must
// stay open as long as the component is in use.
func FromModel(m *safetensors.Model, selected func(name string) bool) (Source, error) {
	aliases := map[string][]string{}
	for _, alias := range sortedKeys(m.Aliases) {
		aliases[m.Aliases[alias]] = append(aliases[m.Aliases[alias]], alias)
	}
	s := &modelSource{}
	var tensors []Tensor
	for _, t := range m.Tensors {
		if selected != nil && !selected(t.Name) {
			continue
		}
		s.tensors = append(s.tensors, t)
		tensors = append(tensors, Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Bytes: t.Bytes, Aliases: aliases[t.Name]})
	}
	var err error
	if s.manifest, err = pack(tensors); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	return s, nil
}

func (s *modelSource) Manifest() *Manifest { return s.manifest }

func (s *modelSource) ReadAt(p []byte, off int64) (int, error) {
	n, end := clamp(p, off, s.manifest)
	p = p[:n]
	for i := s.manifest.at(off); len(p) > 0; i++ {
		t := &s.manifest.Tensors[i]
		if pad := t.Offset - off; pad > 0 {
			pad = min(pad, int64(len(p)))
			clear(p[:pad])
			p, off = p[pad:], off+pad
		}
		part := p[:min(int64(len(p)), t.Offset+t.Bytes-off)]
		if len(part) == 0 {
			continue
		}
		if _, err := s.tensors[i].ReadAt(part, off-t.Offset); err != nil {
			return n - len(p), err
		}
		p, off = p[len(part):], off+int64(len(part))
	}
	return n, end
}

// clamp is how much of p lies in a component from an offset on, and io.EOF when that
// is not all.
func clamp(p []byte, off int64, m *Manifest) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d is negative", off)
	}
	if rest := max(0, int64(m.Bytes)-off); rest < int64(len(p)) {
		return int(rest), io.EOF
	}
	return len(p), nil
}
