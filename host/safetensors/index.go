package safetensors

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxIndex bounds the text of an index; the largest published ones have some MB.
	maxIndex = maxHeader
	// maxShards bounds the files that are open at once; published models have up to
	// some hundred.
	maxShards = 1024
)

// An index says in which file each tensor of a model lies.
type index struct {
	shards  []string          // names of files beside it, sorted
	of      map[string]string // the shard of each tensor
	strings map[string]string // those of its metadata that are strings
}

func readIndex(path string) (*index, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxIndex {
		return nil, &Error{path, fmt.Errorf("has %d bytes: want an index of at most %d", info.Size(), maxIndex)}
	}
	text := io.NewSectionReader(f, 0, info.Size())
	x, err := parseIndex(jsontext.NewDecoder(bufio.NewReaderSize(text, 1<<16)))
	if err != nil {
		return nil, &Error{path, err}
	}
	return x, nil
}

func parseIndex(d *jsontext.Decoder) (*index, error) {
	x := &index{strings: map[string]string{}}
	if err := want(d, '{'); err != nil {
		return nil, err
	}
	for d.PeekKind() != '}' {
		member, err := text(d)
		if err != nil {
			return nil, err
		}
		switch member {
		case "weight_map":
			err = x.parseWeightMap(d)
		case "metadata":
			err = x.parseMetadata(d)
		default:
			err = jsonError(d.SkipValue())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clip(member), err)
		}
	}
	if err := end(d); err != nil {
		return nil, err
	}
	if len(x.of) == 0 {
		return nil, fmt.Errorf("names no tensor: want a weight_map of tensors and the files in which they lie")
	}
	return x, nil
}

func (x *index) parseWeightMap(d *jsontext.Decoder) error {
	if err := want(d, '{'); err != nil {
		return err
	}
	x.of = map[string]string{}
	for d.PeekKind() != '}' {
		tensor, err := text(d)
		if err != nil {
			return err
		}
		shard, err := text(d)
		if err == nil {
			err = checkShardName(shard)
		}
		if err != nil {
			return fmt.Errorf("tensor %s: %w", clip(tensor), err)
		}
		// One copy of the name serves all tensors of a shard.
		i, known := slices.BinarySearch(x.shards, shard)
		if !known {
			if len(x.shards) == maxShards {
				return fmt.Errorf("names more than %d files", maxShards)
			}
			x.shards = slices.Insert(x.shards, i, shard)
		}
		x.of[tensor] = x.shards[i]
	}
	_, err := d.ReadToken()
	return err
}

// parseMetadata keeps the strings, among which writers put names of shared tensors.
func (x *index) parseMetadata(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return jsonError(d.SkipValue())
	}
	if _, err := d.ReadToken(); err != nil {
		return jsonError(err)
	}
	for d.PeekKind() != '}' {
		name, err := text(d)
		if err != nil {
			return err
		}
		if d.PeekKind() != '"' {
			if err := d.SkipValue(); err != nil {
				return jsonError(err)
			}
			continue
		}
		if x.strings[name], err = text(d); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// checkShardName lets an index name files beside it and nothing else.
func checkShardName(name string) error {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`+"\x00") || !strings.HasSuffix(name, extension) {
		return fmt.Errorf("file %s: want the name of a %s file beside the index, without a directory", clip(name), extension)
	}
	return nil
}
