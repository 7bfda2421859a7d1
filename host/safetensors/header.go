package safetensors

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/offhost/offhost/host/units"
)

const (
	// maxHeader is the format's own limit.
	maxHeader = 100_000_000
	// maxRank is as many dimensions as torch and numpy have.
	maxRank = 64
	// maxName is well above the longest path of modules.
	maxName = 4096
	// lengthBytes is the size of the number that a file begins with.
	lengthBytes = 8

	metadataName = "__metadata__"
)

// A header is what a file says of itself, checked against the file's size.
type header struct {
	tensors  []Tensor // in the order in which they lie; they cover the rest of the file
	metadata map[string]string
}

// readHeader reads and checks the header of a file of a size. What it allocates is
// bounded by the bytes that are there, never by a number that they state.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	if size > int64(units.MaxBytes) {
		return nil, fmt.Errorf("has %d bytes: want at most %d", size, units.MaxBytes)
	}
	if size < lengthBytes {
		return nil, fmt.Errorf("has %d bytes: a safetensors file begins with the length of its header, %d bytes", size, lengthBytes)
	}
	var length [lengthBytes]byte
	if err := readFull(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("the header is said to have %d bytes: want at most %d; is it a safetensors file?", n, maxHeader)
	case int64(n) > size-lengthBytes:
		return nil, fmt.Errorf("the header is said to have %d bytes, but only %d follow: the file is cut short or is no safetensors file", n, size-lengthBytes)
	}
	text := io.NewSectionReader(r, lengthBytes, int64(n))
	h, err := parseHeader(jsontext.NewDecoder(bufio.NewReaderSize(text, 1<<16)))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	dataAt := lengthBytes + int64(n)
	if err := h.place(size - dataAt); err != nil {
		return nil, err
	}
	for i := range h.tensors {
		h.tensors[i].Offset += dataAt
	}
	return h, nil
}

// parseHeader reads the JSON object. The decoder refuses invalid UTF-8 and a name
// that is given twice.
func parseHeader(d *jsontext.Decoder) (*header, error) {
	h := &header{}
	if err := want(d, '{'); err != nil {
		return nil, err
	}
	for d.PeekKind() != '}' {
		name, err := text(d)
		if err != nil {
			return nil, err
		}
		if name == metadataName {
			if h.metadata, err = parseMetadata(d); err != nil {
				return nil, fmt.Errorf("%s: %w", metadataName, err)
			}
			continue
		}
		if len(name) > maxName {
			return nil, fmt.Errorf("the name of tensor %s has %d bytes: want at most %d", clip(name), len(name), maxName)
		}
		t, err := parseTensor(d)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", clip(name), err)
		}
		t.Name = name
		h.tensors = append(h.tensors, t)
	}
	return h, end(d)
}

func parseMetadata(d *jsontext.Decoder) (map[string]string, error) {
	if d.PeekKind() == 'n' {
		_, err := d.ReadToken()
		return nil, err
	}
	if err := want(d, '{'); err != nil {
		return nil, err
	}
	metadata := map[string]string{}
	for d.PeekKind() != '}' {
		name, err := text(d)
		if err != nil {
			return nil, err
		}
		if metadata[name], err = text(d); err != nil {
			return nil, fmt.Errorf("%s: %w", clip(name), err)
		}
	}
	_, err := d.ReadToken()
	return metadata, err
}

// parseTensor reads one entry and checks what can be checked without the others. A
// member that the format does not have is refused: it could change what the others mean.
func parseTensor(d *jsontext.Decoder) (Tensor, error) {
	var t Tensor
	var offsets []int64
	if err := want(d, '{'); err != nil {
		return t, err
	}
	for d.PeekKind() != '}' {
		member, err := text(d)
		if err != nil {
			return t, err
		}
		switch member {
		case "dtype":
			var s string
			s, err = text(d)
			t.DType = DType(s)
		case "shape":
			t.Shape, err = integers(d, maxRank)
		case "data_offsets":
			offsets, err = integers(d, 2)
		default:
			err = errors.New("is not known: want dtype, shape and data_offsets")
		}
		if err != nil {
			return t, fmt.Errorf("%s: %w", clip(member), err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return t, err
	}
	switch {
	case t.Shape == nil:
		return t, errors.New("has no shape: want a list of sizes, empty for a scalar")
	case len(offsets) != 2:
		return t, fmt.Errorf("has %d data_offsets: want two, where it begins and where it ends", len(offsets))
	case offsets[1] < offsets[0]:
		return t, fmt.Errorf("ends at %d, before it begins at %d", offsets[1], offsets[0])
	}
	t.Offset, t.Bytes = offsets[0], offsets[1]-offsets[0]
	size, err := Size(t.DType, t.Shape)
	if err != nil {
		return t, err
	}
	if size != t.Bytes {
		return t, fmt.Errorf("takes %d bytes by its data_offsets, but shape %v of %s takes %d", t.Bytes, t.Shape, t.DType, size)
	}
	return t, nil
}

// Size is how many bytes a tensor takes; elements smaller than a byte are packed.
func Size(d DType, shape []int64) (int64, error) {
	bits := d.Bits()
	if bits == 0 {
		return 0, fmt.Errorf("dtype %s is not known: want one of %s", clip(string(d)), knownDTypes())
	}
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		if n > 0 && bits > math.MaxInt64/n {
			return 0, fmt.Errorf("shape %v of %s has more bits than 64-bit numbers count", shape, d)
		}
		bits *= n
	}
	if bits%8 != 0 {
		return 0, fmt.Errorf("shape %v of %s has %d bits: want whole bytes", shape, d, bits)
	}
	return bits / 8, nil
}

// place sorts the tensors by where they lie and checks that they cover the data of a
// size without a hole or an overlap.
func (h *header) place(size int64) error {
	slices.SortFunc(h.tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes), strings.Compare(a.Name, b.Name))
	})
	at, before := int64(0), ""
	for i := range h.tensors {
		t := &h.tensors[i]
		switch {
		case t.Offset+t.Bytes > size:
			return fmt.Errorf("tensor %s ends at %d, but there are only %d bytes of data: the file is cut short or its header is wrong", clip(t.Name), t.Offset+t.Bytes, size)
		case t.Offset < at:
			return fmt.Errorf("tensor %s begins at %d, inside of tensor %s, which ends at %d", clip(t.Name), t.Offset, clip(before), at)
		case t.Offset > at:
			return fmt.Errorf("no tensor takes bytes %d to %d of the data, before tensor %s: the format allows no hole", at, t.Offset, clip(t.Name))
		}
		at, before = t.Offset+t.Bytes, t.Name
	}
	if at != size {
		return fmt.Errorf("no tensor takes bytes %d to %d, the end of the data: the format allows no hole", at, size)
	}
	return nil
}

// want reads a delimiter.
func want(d *jsontext.Decoder, k jsontext.Kind) error {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return jsonError(err)
	case token.Kind() != k:
		return fmt.Errorf("want a JSON %s, have a %v", map[jsontext.Kind]string{'{': "object", '[': "list"}[k], token.Kind())
	}
	return nil
}

// end reads the end of the outermost object, after which only white space may follow.
func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return jsonError(err)
	}
	switch _, err := d.ReadToken(); {
	case err == nil:
		return errors.New("more follows the JSON object: want only spaces")
	case err != io.EOF:
		return jsonError(err)
	}
	return nil
}

func text(d *jsontext.Decoder) (string, error) {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return "", jsonError(err)
	case token.Kind() != '"':
		return "", fmt.Errorf("want a string, have a %v", token.Kind())
	}
	return token.String(), nil
}

// integers reads a list of at most so many whole numbers that are not negative.
func integers(d *jsontext.Decoder, most int) ([]int64, error) {
	if err := want(d, '['); err != nil {
		return nil, err
	}
	list := []int64{}
	for d.PeekKind() != ']' {
		token, err := d.ReadToken()
		if err != nil {
			return nil, jsonError(err)
		}
		n, err := strconv.ParseInt(token.String(), 10, 64)
		switch {
		case token.Kind() != '0' || err != nil || n < 0:
			return nil, fmt.Errorf("%s: want a whole number of 0 to %d", clip(token.String()), int64(math.MaxInt64))
		case len(list) == most:
			return nil, fmt.Errorf("the list is longer than %d", most)
		}
		list = append(list, n)
	}
	_, err := d.ReadToken()
	return list, err
}

// jsonError says a JSON error in fewer words; a header that ends early is one.
func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON text ends early")
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return err
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Errorf("name %s is given twice", clip(syntax.JSONPointer.LastToken()))
	}
	return fmt.Errorf("not JSON at byte %d: %w", syntax.ByteOffset, syntax.Err)
}
