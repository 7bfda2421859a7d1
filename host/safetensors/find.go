package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
// the path with the extension, or the one model in a directory. Where a directory has
// several, the one that is not marked as a variant (".fp16") is meant, as in
// transformers and diffusers; a choice that is left open is an error that names them.
func find(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(path, extension) {
		if _, err := os.Stat(path + extension); err == nil {
			return path + extension, nil
		}
		return "", fmt.Errorf("neither %s nor %s exists: %w", path, path+extension, fs.ErrNotExist)
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		if name := filepath.Base(path); shardName.MatchString(name) {
			return "", &Error{path, errors.New("is one file of several: give the index beside it (.safetensors.index.json) or the directory")}
		}
		return path, nil
	}
	if _, err := os.Stat(path + extension); err == nil {
		return "", fmt.Errorf("both %s and the directory %s exist: give the file or its index", path+extension, path)
	}
	names, shards, err := list(path)
	if err != nil {
		return "", err
	}
	plain := names
	if len(names) > 1 {
		plain = nil
		for _, name := range names {
			if !isVariant(name) {
				plain = append(plain, name)
			}
		}
	}
	switch {
	case len(plain) == 1:
		return filepath.Join(path, plain[0]), nil
	case len(names) == 0 && shards > 0:
		return "", &Error{path, fmt.Errorf("has %d files of a model but not its index (NAME.safetensors.index.json)", shards)}
	case len(names) == 0:
		return "", &Error{path, errors.New("has no safetensors file")}
	}
	const most = 8
	more := ""
	if len(names) > most {
		names, more = names[:most], ", ..."
	}
	return "", &Error{path, fmt.Errorf("has several models: give one of %s%s", strings.Join(names, ", "), more)}
}

// list returns the single files and indexes of a directory, and how many shards it has.
func list(dir string) (names []string, shards int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
		case shardName.MatchString(name):
			shards++
		case indexName.MatchString(name), strings.HasSuffix(name, extension):
			names = append(names, name)
		}
	}
	return names, shards, nil
}

// isVariant reports whether a name has a further part between its dots.
func isVariant(name string) bool {
	if m := indexName.FindStringSubmatch(name); m != nil {
		name = strings.TrimSuffix(name, m[0])
		return m[1] != "" || strings.Contains(name, ".")
	}
	return strings.Contains(strings.TrimSuffix(name, extension), ".")
}
