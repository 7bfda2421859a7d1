package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
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
	var manifest struct {
		Name     string
		Language string
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&manifest); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("want two lines, name and language: %w", err)
	}
	if manifest.Name == "" || manifest.Language == "" {
		return nil, errors.New("want two lines, name and language")
	}
	if err := CheckName(manifest.Name); err != nil {
		return nil, err
	}
	language, err := FindLanguage(manifest.Language)
	if err != nil {
		return nil, err
	}
	return &Project{Name: manifest.Name, Language: language}, nil
}
