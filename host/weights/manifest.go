package weights

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/offhost/offhost/host/safetensors"
	"github.com/offhost/offhost/host/units"
)

// Align is where tensors begin: at multiples of it. It is what cuMemAlloc and torch's
// allocator give, so that no kernel sees a tensor aligned worse than it is used to.
const Align = 512

// A Manifest says what lies where in a component. Tensors are sorted by name, so that
// one model has one layout, however its files are cut. The bytes between two tensors
// are zeros.
type Manifest struct {
	Tensors []Tensor
	Bytes   units.Bytes // to the end of the last tensor
}

// A Tensor is one tensor of a component.
type Tensor struct {
	Name    string
	DType   safetensors.DType
	Shape   []int64
	Offset  int64    // from the component's beginning, a multiple of Align
	Bytes   int64    // as dtype and shape say
	Aliases []string // further names of the same bytes, sorted
}

// A Hash is a SHA-256.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// LayoutHash identifies the manifest: models that were trained further from one
// another have the same, and different digests.
//
// It is the SHA-256 of "offhost weights layout 1\n", the number of tensors, and for
// each its name, dtype, rank, dimensions, offset, bytes, number of aliases and
// aliases; numbers as 8 bytes, little-endian, strings as their length and bytes.
func (m *Manifest) LayoutHash() Hash {
	sum := sha256.New()
	var b []byte
	number := func(n int64) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) {
		number(int64(len(s)))
		b = append(b, s...)
	}
	b = append(b, "offhost weights layout 1\n"...)
	number(int64(len(m.Tensors)))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		text(t.Name)
		text(string(t.DType))
		number(int64(len(t.Shape)))
		for _, n := range t.Shape {
			number(n)
		}
		number(t.Offset)
		number(t.Bytes)
		number(int64(len(t.Aliases)))
		for _, a := range t.Aliases {
			text(a)
		}
		sum.Write(b)
		b = b[:0]
	}
	sum.Write(b)
	return Hash(sum.Sum(nil))
}

// pack lays tensors out one after the other, in the order of their names.
func pack(tensors []Tensor) (*Manifest, error) {
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	m := &Manifest{Tensors: tensors}
	for i := range tensors {
		t := &tensors[i]
		t.Offset = alignUp(int64(m.Bytes))
		if t.Bytes > int64(units.MaxBytes)-t.Offset {
			return nil, fmt.Errorf("tensor %q of %d bytes makes the component larger than %d bytes", t.Name, t.Bytes, units.MaxBytes)
		}
		m.Bytes = units.Bytes(t.Offset + t.Bytes)
	}
	return m, nil
}

func alignUp(n int64) int64 { return (n + Align - 1) / Align * Align }

// Check says what is wrong with a manifest that came from elsewhere.
func (m *Manifest) Check() error {
	if m.Bytes < 0 || m.Bytes > units.MaxBytes {
		return fmt.Errorf("manifest: %d bytes: want 0 to %d", m.Bytes, units.MaxBytes)
	}
	end := int64(0)
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if err := t.check(end, int64(m.Bytes)); err != nil {
			return fmt.Errorf("manifest: tensor %q: %w", t.Name, err)
		}
		if i > 0 && m.Tensors[i-1].Name >= t.Name {
			return fmt.Errorf("manifest: tensor %q after %q: want names in order, each once", t.Name, m.Tensors[i-1].Name)
		}
		end = t.Offset + t.Bytes
	}
	if end != int64(m.Bytes) {
		return fmt.Errorf("manifest: %d bytes, but the last tensor ends at %d", m.Bytes, end)
	}
	return nil
}

// check says what is wrong with a tensor that follows one which ends at a byte, in a
// component of a size.
func (t *Tensor) check(end, size int64) error {
	bytes, err := safetensors.Size(t.DType, t.Shape)
	switch {
	case err != nil:
		return err
	case t.Bytes != bytes:
		return fmt.Errorf("%d bytes, but shape %v of %s has %d", t.Bytes, t.Shape, t.DType, bytes)
	case t.Offset != alignUp(end):
		return fmt.Errorf("begins at %d: want %d, the first multiple of %d behind the one before", t.Offset, alignUp(end), Align)
	case t.Bytes > size-t.Offset:
		return fmt.Errorf("ends at %d, behind the end of the component, %d", t.Offset+t.Bytes, size)
	case !slices.IsSorted(t.Aliases):
		return errors.New("aliases are not sorted")
	}
	return nil
}

// at returns the index of the first tensor that ends behind an offset.
func (m *Manifest) at(off int64) int {
	i, _ := slices.BinarySearchFunc(m.Tensors, off, func(t Tensor, off int64) int {
		return cmp.Compare(t.Offset+t.Bytes, off+1)
	})
	return i
}
