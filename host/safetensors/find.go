package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const extension = ".safetensors"

var (
	// As in model.safetensors.index.json and
	// diffusion_pytorch_model.safetensors.index.fp16.json.
	indexName = regexp.MustCompile(`\.safetensors\.index(\.[^.]+)?\.json$`)
	// As in model-00001-of-00003.safetensors, model.fp16-00001-of-00002.safetensors
	// and model-00001-of-00002.fp16.safetensors.
	shardName = regexp.MustCompile(`-[0-9]+-of-[0-9]+(\.[^.]+)?\.safetensors$`)
)

// find returns the file or the index of the model that a path means: the path itself,
// the path with the extension, or the one model in a directory, which is one file, or one
// index with its shards. Of several the one that is not marked as a variant (".fp16") is
// meant, as in transformers and diffusers, and the others are passed over; a choice that is
// left open is an error that names them, and so is a shard that no index names.
func find(path string) (found string, passed []string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(path, extension) {
		if _, err := os.Stat(path + extension); err == nil {
			return path + extension, nil, nil
		}
		return "", nil, fmt.Errorf("neither %s nor %s exists: %w", path, path+extension, fs.ErrNotExist)
	}
	if err != nil {
		return "", nil, err
	}
	if !info.IsDir() {
		if name := filepath.Base(path); shardName.MatchString(name) {
			return "", nil, &Error{path, errors.New("is one file of several: give the index beside it (.safetensors.index.json) or the directory")}
		}
		return path, nil, nil
	}
	if _, err := os.Stat(path + extension); err == nil {
		return "", nil, fmt.Errorf("both %s and the directory %s exist: give the file or its index", path+extension, path)
	}
	names, shards, err := list(path)
	if err != nil {
		return "", nil, err
	}
	switch {
	case len(names) == 0 && len(shards) > 0:
		return "", nil, &Error{path, fmt.Errorf("has %d files of a model but not its index (NAME.safetensors.index.json)", len(shards))}
	case len(names) == 0:
		return "", nil, &Error{path, errors.New("has no safetensors file")}
	case len(shards) > 0:
		return "", nil, &Error{path, fmt.Errorf("has files of a model that no index beside them names (%s), and %s: want one file, or an index with its shards",
			some(shards), some(names))}
	}
	plain := slices.DeleteFunc(slices.Clone(names), isVariant)
	switch {
	case len(names) == 1:
		return filepath.Join(path, names[0]), nil, nil
	case len(plain) == 1:
		passed = slices.DeleteFunc(names, func(name string) bool { return name == plain[0] })
		return filepath.Join(path, plain[0]), passed, nil
	}
	return "", nil, &Error{path, fmt.Errorf("has several models: give one of %s", some(names))}
}

// some lists names, but not too many.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// list returns the models of a directory, single files and indexes, and the shards that no
// index has.
func list(dir string) (models, shards []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var files []string
	of := map[string]bool{} // files that are an index's
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
		case strings.HasSuffix(name, extension):
			files = append(files, name)
		case indexName.MatchString(name):
			models = append(models, name)
			x, err := readIndex(filepath.Join(dir, name))
			if err != nil {
				return nil, nil, err
			}
			for _, shard := range x.shards {
				of[shard] = true
			}
		}
	}
	for _, name := range files {
		switch {
		case of[name]:
		case shardName.MatchString(name):
			shards = append(shards, name)
		default:
			models = append(models, name)
		}
	}
	slices.Sort(models)
	return models, shards, nil
}

// isVariant reports whether a name has a further part between its dots.
func isVariant(name string) bool {
	if m := indexName.FindStringSubmatch(name); m != nil {
		name = strings.TrimSuffix(name, m[0])
		return m[1] != "" || strings.Contains(name, ".")
	}
	return strings.Contains(strings.TrimSuffix(name, extension), ".")
}
