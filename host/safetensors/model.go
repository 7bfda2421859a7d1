package safetensors

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A Model is all tensors of a model, from one file or from several with an index.
type Model struct {
	Path    string            // the file or the index
	Tensors []*Tensor         // sorted by name, each name once
	Aliases map[string]string // further names of tensors, as writers note shared ones
	Files   []*File
	Passed  []string // variants in the same directory that were not meant
}

// OpenModel opens a model: a file, an index, a directory with one of them, or either
// without its extension. All headers are checked, and with an index that it and its
// files name the same tensors; a path that is one shard of several is refused. On an
// error nothing stays open.
func OpenModel(path string) (*Model, error) {
	path, passed, err := find(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: path, Passed: passed}
	if indexName.MatchString(filepath.Base(path)) {
		err = m.openIndex(path)
	} else {
		err = m.openFile(path)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Model) openFile(path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	m.Files = append(m.Files, f)
	m.collect()
	return m.resolve(f.Path, f.Metadata)
}

func (m *Model) openIndex(path string) error {
	x, err := readIndex(path)
	if err != nil {
		return err
	}
	for _, shard := range x.shards {
		f, err := Open(filepath.Join(filepath.Dir(path), shard))
		if err != nil {
			return &Error{path, fmt.Errorf("shard %s: %w", clip(shard), err)}
		}
		m.Files = append(m.Files, f)
	}
	m.collect()
	if err := m.compare(path, x); err != nil {
		return err
	}
	if err := m.resolve(path, x.strings); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := m.resolve(f.Path, f.Metadata); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) collect() {
	for _, f := range m.Files {
		for i := range f.Tensors {
			m.Tensors = append(m.Tensors, &f.Tensors[i])
		}
	}
	slices.SortFunc(m.Tensors, func(a, b *Tensor) int { return strings.Compare(a.Name, b.Name) })
}

// compare checks that index and files name the same tensors.
func (m *Model) compare(path string, x *index) error {
	for i, t := range m.Tensors {
		if i > 0 && m.Tensors[i-1].Name == t.Name {
			return &Error{path, fmt.Errorf("tensor %s is in %s and in %s: want each tensor once", clip(t.Name),
				clip(filepath.Base(m.Tensors[i-1].file.Path)), clip(filepath.Base(t.file.Path)))}
		}
		switch shard, ok := x.of[t.Name]; {
		case !ok:
			return &Error{path, fmt.Errorf("tensor %s of %s is not in the index: index and files are not of one model",
				clip(t.Name), clip(filepath.Base(t.file.Path)))}
		case shard != filepath.Base(t.file.Path):
			return &Error{path, fmt.Errorf("tensor %s is in %s, but the index has it in %s",
				clip(t.Name), clip(filepath.Base(t.file.Path)), clip(shard))}
		}
	}
	if len(m.Tensors) == len(x.of) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(x.of)) {
		if m.Tensor(name) == nil {
			return &Error{path, fmt.Errorf("tensor %s is not in %s, where the index has it", clip(name), clip(x.of[name]))}
		}
	}
	return nil
}

// resolve takes from metadata what torch's save_model and huggingface_hub write for
// tensors that shared their memory with one that was kept: removed name, kept name.
func (m *Model) resolve(path string, metadata map[string]string) error {
	for name, kept := range metadata {
		if m.Tensor(name) != nil || m.Tensor(kept) == nil {
			continue
		}
		if other, ok := m.Aliases[name]; ok && other != kept {
			return &Error{path, fmt.Errorf("%s is another name of tensor %s, and of %s elsewhere", clip(name), clip(kept), clip(other))}
		}
		if m.Aliases == nil {
			m.Aliases = map[string]string{}
		}
		m.Aliases[name] = kept
	}
	return nil
}

// Tensor returns the tensor of a name, which may not be an alias; nil when there is none.
func (m *Model) Tensor(name string) *Tensor {
	i, ok := slices.BinarySearchFunc(m.Tensors, name, func(t *Tensor, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return m.Tensors[i]
}

// Close closes the model's files.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
