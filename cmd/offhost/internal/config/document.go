package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A document is a configuration file after its keys were checked. Values are the
// text that the file has, as flags and variables have text, so that one place reads
// them all.
type document struct {
	path   string
	values map[string]any    // by key, nested: text or []string
	set    []string          // names of the keys that are set
	idle   []string          // of them, those set to nothing or to the default
	config map[string]string // policy.config: the policy's own keys, case preserved
}

// parse reads a YAML document strictly: known keys once each, no aliases. Errors
// name the line.
func parse(path string, data []byte) (*document, error) {
	doc := &document{path: path, values: map[string]any{}}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) {
		return doc, nil
	}
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, usagef("%s: more than one document, want one", path)
	}
	top := root.Content[0]
	if isNull(top) {
		return doc, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, doc.errorf(top, "want keys and values, as in \"budget: 24GiB\"")
	}
	if err := doc.readKeys(top, "", doc.values); err != nil {
		return nil, err
	}
	return doc, nil
}

func (d *document) errorf(n *yaml.Node, format string, args ...any) error {
	return usagef("%s:%d: %w", d.path, n.Line, fmt.Errorf(format, args...))
}

// readKeys reads the keys of mapping m, whose own name is prefix, into out.
func (d *document) readKeys(m *yaml.Node, prefix string, out map[string]any) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		name := prefix + k.Value
		if _, twice := out[k.Value]; twice || slices.Contains(d.set, name) {
			return d.errorf(k, "key %q is set twice", name)
		}
		if k.Kind == yaml.ScalarNode && isGroup(name) {
			if isNull(v) {
				continue
			}
			if v.Kind != yaml.MappingNode {
				return d.errorf(v, "%s: want keys below it, as in \"%s: {module: sticky-loop}\"", name, name)
			}
			below := map[string]any{}
			out[k.Value] = below
			if err := d.readKeys(v, name+".", below); err != nil {
				return err
			}
			continue
		}
		known := slices.IndexFunc(keys, func(x key) bool { return x.name == name })
		if k.Kind != yaml.ScalarNode || known < 0 || strings.Contains(k.Value, ".") {
			return d.unknown(k, name)
		}
		if isNull(v) {
			continue
		}
		value, err := d.readValue(keys[known], v)
		if err != nil {
			return err
		}
		d.set = append(d.set, name)
		if list, ok := value.([]string); value == "" || value == keys[known].def || ok && len(list) == 0 {
			d.idle = append(d.idle, name)
		}
		if keys[known].kind != pairs {
			out[k.Value] = value
		}
	}
	return nil
}

func (d *document) unknown(k *yaml.Node, name string) error {
	if parent, rest, ok := strings.Cut(name, "."); ok && strings.Contains(k.Value, ".") && isGroup(parent) {
		return d.errorf(k, "key %q: write %s: with %s: below it", name, parent, rest)
	}
	return d.errorf(k, "unknown key %q%s", name, DidYouMean(name, keyNames()))
}

func (d *document) readValue(k key, v *yaml.Node) (any, error) {
	switch {
	case k.kind == pairs:
		if v.Kind != yaml.MappingNode {
			return nil, d.errorf(v, "%s: want the policy's keys and values below it", k.name)
		}
		d.config = map[string]string{}
		return nil, d.readPairs(v, "", d.config)
	case v.Kind == yaml.ScalarNode:
		return v.Value, nil
	case k.kind == list && v.Kind == yaml.SequenceNode:
		items := []string{}
		for _, item := range v.Content {
			if item.Kind != yaml.ScalarNode || isNull(item) {
				return nil, d.errorf(item, "%s: want text in the list", k.name)
			}
			items = append(items, item.Value)
		}
		return items, nil
	case k.kind == list:
		return nil, d.errorf(v, "%s: want a list", k.name)
	}
	return nil, d.errorf(v, "%s: want a single value", k.name)
}

// readPairs reads the policy's own keys, nested ones joined by dots, as written:
// neither their case nor the spelling of a number is touched.
func (d *document) readPairs(m *yaml.Node, prefix string, out map[string]string) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			return d.errorf(k, "%s: want text as a key", keyPolicyConfig)
		}
		name := prefix + k.Value
		switch {
		case v.Kind == yaml.MappingNode:
			if k.Value == "" {
				return d.errorf(k, "%s: a key is empty", keyPolicyConfig)
			}
			if err := d.readPairs(v, name+".", out); err != nil {
				return err
			}
			continue
		case v.Kind != yaml.ScalarNode:
			return d.errorf(v, "%s: %q: want a single value: a policy is given text", keyPolicyConfig, name)
		}
		if _, twice := out[name]; twice {
			return d.errorf(k, "%s: %q is set twice", keyPolicyConfig, name)
		}
		value := v.Value
		if isNull(v) {
			value = ""
		}
		if err := checkPair(name, value); err != nil {
			return d.errorf(k, "%s: %w", keyPolicyConfig, err)
		}
		out[name] = value
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isGroup reports whether keys are nested below name.
func isGroup(name string) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return strings.HasPrefix(k.name, name+".") })
}
