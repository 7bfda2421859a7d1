package scaffold

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
)

// ManifestName is the file that makes a folder a project.
const ManifestName = "policy.yaml"

// TestFolder is where a project has its tests, and TestSuffix is what the names of their
// files end in.
const (
	TestFolder = "test"
	TestSuffix = ".expect"
)

// A Project is a folder in which a policy is written.
type Project struct {
	Dir      string
	Name     string
	Language *Language
}

// Module is the path of the project's module.
func (p *Project) Module() string { return filepath.Join(p.Dir, p.Name+".wasm") }

// Source is the path of the file with the rule.
func (p *Project) Source() string { return filepath.Join(p.Dir, filepath.FromSlash(p.Language.Source)) }

// Tests returns the paths of the project's tests, in the order of their names.
func (p *Project) Tests() ([]string, error) {
	dir := filepath.Join(p.Dir, TestFolder)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == TestSuffix {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// maxSources is how many files of a project are looked at to see whether one is new.
const maxSources = 10_000

// Newer returns the path of a source that was written after the module, empty if there is
// none, or no module. Sources are what ends as the file with the rule does, the SDK's included.
func (p *Project) Newer() string {
	module, err := os.Stat(p.Module())
	if err != nil {
		return ""
	}
	found, looked := "", 0
	_ = filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not built from, either
		looked++
		switch {
		case looked > maxSources:
			return fs.SkipAll
		case err != nil:
			return nil
		case d.IsDir() && path != p.Dir && (strings.HasPrefix(d.Name(), ".") || slices.Contains(p.Language.Ignored, d.Name())):
			return fs.SkipDir
		case d.Type().IsRegular() && filepath.Ext(path) == filepath.Ext(p.Language.Source):
			if info, err := d.Info(); err == nil && info.ModTime().After(module.ModTime()) {
				found = path
				return fs.SkipAll
			}
		}
		return nil
	})
	return found
}

// maxManifest is far more than two short lines and what is said about them.
const maxManifest = 16 << 10

// Open reads the manifest of a folder. An fs.ErrNotExist says that it has none.
func Open(dir string) (*Project, error) {
	path := filepath.Join(dir, ManifestName)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for whoever writes to it
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, err
	}
	p, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p.Dir = dir
	return p, nil
}

func parse(data []byte) (*Project, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("larger than %d bytes, want two lines: name and language", maxManifest)
	}
	var manifest map[string]string
	if err := yaml.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("want two lines, name and language: %w", err)
	}
	keys := []string{"name", "language"}
	for _, key := range slices.Sorted(maps.Keys(manifest)) {
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("key %.40q is unknown: want name and language%s", key, config.DidYouMean(key, keys))
		}
	}
	if manifest["name"] == "" || manifest["language"] == "" {
		return nil, errors.New("want two lines, name and language")
	}
	if err := CheckName(manifest["name"]); err != nil {
		return nil, err
	}
	language, err := FindLanguage(manifest["language"])
	if err != nil {
		return nil, err
	}
	return &Project{Name: manifest["name"], Language: language}, nil
}
