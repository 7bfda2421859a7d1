// Package scaffold writes a new policy's project: the start of a policy, the SDK of its
// language, the language's own build file, a test and a page that says what comes next. It
// knows what such a project looks like, so it also finds its way in one. Building is
// package toolchain's, and testing is the command line's own.
package scaffold

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/offhost/offhost/abi/sdk"
)

// Files whose names end in .tmpl are templates over a Project; the others are written as
// they are.
//
//go:embed all:templates
var templates embed.FS

const (
	templateSuffix = ".tmpl"
	sdkFolder      = "sdk"
)

// New writes the project of a name, in a language, to the folder of that name in dir.
// There must be nothing, or an empty folder; what fails leaves nothing behind.
func New(dir, name string, language *Language) (_ *Project, err error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	p := &Project{Dir: filepath.Join(dir, name), Name: name, Language: language}
	empty, err := free(p.Dir)
	if err != nil {
		return nil, err
	}
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	temporary := filepath.Join(dir, "."+name+"."+rand.Text()[:8]+".tmp")
	if err := os.Mkdir(temporary, 0o777); err != nil {
		var at *fs.PathError
		if errors.As(err, &at) { // nobody knows the temporary name
			at.Path = p.Dir
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	for path, data := range files {
		path = filepath.Join(temporary, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			return nil, err
		}
	}
	if empty { // it must still be
		if err := os.Remove(p.Dir); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(temporary, p.Dir); err != nil {
		return nil, err
	}
	return p, nil
}

// free reports whether there is an empty folder at a path; anything else there is an
// error.
func free(path string) (empty bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%s is there already, and no folder: want another name, or remove it", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, err
	}
	if len(entries) > 0 {
		return false, fmt.Errorf("the folder %s is there already, and not empty: want another name, or remove it", path)
	}
	return true, nil
}

// files are all of the project's, by slash-separated path.
func (p *Project) files() (map[string][]byte, error) {
	files := map[string][]byte{}
	kit, err := sdk.Files(p.Language.Name)
	if err != nil {
		return nil, err
	}
	for path, data := range kit {
		files[sdkFolder+"/"+path] = data
	}
	for _, folder := range []string{"templates/common", "templates/" + p.Language.Name} {
		err := fs.WalkDir(templates, folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := templates.ReadFile(path)
			if err != nil {
				return err
			}
			to, isTemplate := strings.CutSuffix(strings.TrimPrefix(path, folder+"/"), templateSuffix)
			if isTemplate {
				if data, err = p.fill(path, data); err != nil {
					return err
				}
			}
			files[to] = data
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (p *Project) fill(path string, text []byte) ([]byte, error) {
	t, err := template.New(path).Option("missingkey=error").Funcs(template.FuncMap{
		"line": func(command, name string) string { return strings.ReplaceAll(command, "NAME", name) },
	}).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
