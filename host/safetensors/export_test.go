package safetensors

import (
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Header reads the header of a file that is no file.
func Header(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	return h.tensors, h.metadata, nil
}

// Index reads the text of an index: its files, sorted, and the file of each tensor.
func Index(text string) (shards []string, of map[string]string, err error) {
	x, err := parseIndex(jsontext.NewDecoder(strings.NewReader(text)))
	if err != nil {
		return nil, nil, err
	}
	return x.shards, x.of, nil
}
