package weights

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/offhost/offhost/host/safetensors"
)

// A Part is a component whose weights are looked for in a folder.
type Part struct {
	Name   string
	Parent string // the component that it is a part of; empty when it has files of its own
}

// A Folder is a directory with a model for each component, as diffusers and
// transformers save pipelines.
type Folder struct {
	models  []*safetensors.Model
	sources []Source
	choices []string
}

// OpenFolder opens the models of components: the file NAME.safetensors, or what the
// directory NAME has, which is one such file or an index with its shards.
// A part "P.X" of P has those tensors of P's model whose names begin with "X.", and P
// has those that no part has; where two parts could have one, the longer name has it.
func OpenFolder(dir string, parts []Part) (*Folder, error) {
	f := &Folder{sources: make([]Source, len(parts))}
	if err := f.open(dir, parts); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Folder) open(dir string, parts []Part) error {
	children := map[string][]int{}
	roots := map[string]bool{}
	for i, p := range parts {
		if p.Parent != "" {
			children[p.Parent] = append(children[p.Parent], i)
		} else {
			roots[p.Name] = true
		}
	}
	for _, p := range parts {
		if p.Parent != "" && !roots[p.Parent] {
			return fmt.Errorf("component %q is a part of %q, which is none with files of its own", p.Name, p.Parent)
		}
	}
	for i, p := range parts {
		if p.Parent != "" {
			continue
		}
		if err := f.openModel(dir, parts, i, children[p.Name]); err != nil {
			return fmt.Errorf("component %q: %w", p.Name, err)
		}
	}
	return nil
}

// openModel opens the model of a component and gives it and its parts their tensors.
func (f *Folder) openModel(dir string, parts []Part, root int, children []int) error {
	name := parts[root].Name
	if name == "." || strings.ContainsAny(name, `/\`+"\x00") || !filepath.IsLocal(name) {
		return errors.New("its name is none of a file or directory: weights can not be looked for")
	}
	model, err := safetensors.OpenModel(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	f.models = append(f.models, model)
	if n := len(model.Passed); n > 0 {
		chosen := fmt.Sprintf("%s: %s, not %s", name, filepath.Base(model.Path), model.Passed[0])
		if n > 1 {
			chosen += fmt.Sprintf(" or %d more", n-1)
		}
		f.choices = append(f.choices, chosen)
	}
	owners := map[string]int{}
	for _, i := range children {
		prefix, ok := strings.CutPrefix(parts[i].Name, name+".")
		if !ok || prefix == "" {
			return fmt.Errorf("part %q: want a name that begins with %q, and the tensors' common prefix", parts[i].Name, name+".")
		}
		owners[prefix] = i
	}
	for _, i := range append([]int{root}, children...) {
		source, err := FromModel(model, func(tensor string) bool { return owner(tensor, owners, root) == i })
		if err != nil {
			return err
		}
		if i != root && len(source.Manifest().Tensors) == 0 {
			return fmt.Errorf("part %q: %s has no tensor whose name begins with %q", parts[i].Name, model.Path, strings.TrimPrefix(parts[i].Name, name+".")+".")
		}
		f.sources[i] = source
	}
	return nil
}

// owner is the component that a tensor belongs to: the one of the longest prefix that
// ends before a dot, or the root.
func owner(tensor string, owners map[string]int, root int) int {
	for prefix := tensor; ; {
		dot := strings.LastIndexByte(prefix, '.')
		if dot < 0 {
			return root
		}
		prefix = prefix[:dot]
		if i, ok := owners[prefix]; ok {
			return i
		}
	}
}

// Sources are in the order of the parts.
func (f *Folder) Sources() []Source { return f.sources }

// Choices say which models were taken where a directory has variants, too.
func (f *Folder) Choices() []string { return f.choices }

// Close closes the files, also of what was left in them by Load.
func (f *Folder) Close() error {
	var errs []error
	for _, m := range f.models {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
