package safetensors

import "io"

// Header reads the header of a file that is no file.
func Header(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	return h.tensors, h.metadata, nil
}
