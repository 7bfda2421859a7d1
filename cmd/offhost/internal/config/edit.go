package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/offhost/offhost/cmd/offhost/internal/wholefile"
	"github.com/offhost/offhost/host/units"
)

// A File is a configuration file that is to be changed; one that is not there is empty.
type File struct {
	path string
	data []byte
	doc  *document
}

// OpenFile reads and checks a configuration file, and that it can be written.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening it could wait
		return nil, usagef("configuration: %s is not a regular file: want one, or a name that is free", path)
	}
	r, err := os.Open(path)
	switch {
	case err == nil:
		defer r.Close()
		if f.data, err = readLimited(r); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if f.doc, err = parse(path, f.data); err != nil {
		return nil, err
	}
	if err = wholefile.Check(path); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, usagef("configuration: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return f, nil
}

// Chunk is the chunk size that a run with this file would use.
func (f *File) Chunk() (units.Bytes, error) {
	text, _ := f.doc.values[keyChunk].(string)
	size, err := units.ParseBytes(cmp.Or(text, lookup(keyChunk).def))
	if err == nil && (size == 0 || size > units.MaxBytes/2) {
		err = fmt.Errorf("size %q: want more than 0", text)
	}
	if err != nil {
		return 0, usagef("%s: %s: %w", f.path, keyChunk, err)
	}
	return size, nil
}

// WriteLink sets the link's bandwidth in the file, and leaves everything else in it as it
// is: keys, comments and layout.
func (f *File) WriteLink(h2d, d2h units.BytesPerSecond) error {
	value := strings.ReplaceAll(fmt.Sprintf("%v,%v", h2d, d2h), " ", "")
	data, err := f.set(keyLink, value)
	if err != nil {
		return err
	}
	out, err := wholefile.Create(f.path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if _, err := out.Write(data); err != nil {
		return errors.Join(fmt.Errorf("configuration: %w", err), out.Discard())
	}
	return out.Commit()
}

// set returns the file's text with a key of the top level set to a value. The text around
// it stays; only where it is laid out in a way that forbids this, all is laid out anew.
func (f *File) set(name, value string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(f.data, &root); err != nil {
		return nil, usagef("%s: %w", f.path, err)
	}
	if len(root.Content) == 0 || isNull(root.Content[0]) { // nothing but comments
		root.Kind, root.Content = yaml.DocumentNode, []*yaml.Node{{Kind: yaml.MappingNode}}
	}
	top := root.Content[0]
	var node *yaml.Node
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == name {
			node = top.Content[i+1]
		}
	}
	var data []byte
	if node == nil {
		data = appendLine(f.data, name+": "+value)
	} else {
		data = splice(f.data, node, value)
	}
	if f.differsIn(name, value, data) == nil {
		return data, nil
	}

	if node == nil {
		node = &yaml.Node{}
		top.Content = append(top.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, node)
	}
	*node = yaml.Node{Kind: yaml.ScalarNode, Value: value, LineComment: node.LineComment}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&root), e.Close()); err != nil { // the comments around everything are the root's
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return b.Bytes(), f.differsIn(name, value, b.Bytes())
}

func appendLine(data []byte, line string) []byte {
	data = bytes.Clone(data)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return append(data, line+"\n"...)
}

// splice replaces the text of a scalar that stands on one line.
func splice(data []byte, node *yaml.Node, value string) []byte {
	lines := bytes.SplitAfter(bytes.Clone(data), []byte("\n"))
	if node.Line < 1 || node.Line > len(lines) || node.Column < 1 || node.Column > len(lines[node.Line-1]) {
		return data
	}
	line := lines[node.Line-1]
	head, tail := line[:node.Column-1], line[node.Column-1:]
	for _, quote := range []string{"", `"`, `'`} {
		if after, ok := bytes.CutPrefix(tail, []byte(quote+node.Value+quote)); ok && node.Value != "" {
			lines[node.Line-1] = append(append(bytes.Clone(head), value...), after...)
			break
		}
	}
	return bytes.Join(lines, nil)
}

// differsIn says in what else than a key's value a text differs from the file.
func (f *File) differsIn(name, value string, data []byte) error {
	doc, err := parse(f.path, data)
	if err != nil {
		return err
	}
	want := maps.Clone(f.doc.values)
	want[name] = value
	if !reflect.DeepEqual(want, doc.values) || !maps.Equal(f.doc.config, doc.config) {
		return usagef("%s cannot be changed without losing something of it: set %s: %s there", f.path, name, value)
	}
	return nil
}
