package weights

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/offhost/offhost/host/units"
)

// A synthetic source makes bytes from their position, so that any part of them can be
// made at any time, in any order, and none has to be kept.
type synthetic struct {
	manifest *Manifest
	key      uint64
}

// Synthetic is a component of one tensor whose bytes follow from the seed, the name
// and their position: for replay without weights. They look random, so that a byte
// that is lost, moved or taken from another component shows; they are no secret.
func Synthetic(seed uint64, name string, size units.Bytes) (Source, error) {
	if size < 0 || size > units.MaxBytes {
		return nil, fmt.Errorf("synthetic weights %q of %d bytes: want 0 to %d", name, size, units.MaxBytes)
	}
	b := binary.LittleEndian.AppendUint64([]byte("offhost synthetic weights 1\n"), seed)
	sum := sha256.Sum256(append(b, name...))
	return &synthetic{
		manifest: &Manifest{Bytes: size, Tensors: []Tensor{{Name: "weights", DType: "U8", Shape: []int64{int64(size)}, Bytes: int64(size)}}},
		key:      binary.LittleEndian.Uint64(sum[:]),
	}, nil
}

func (s *synthetic) Manifest() *Manifest { return s.manifest }

func (s *synthetic) ReadAt(p []byte, off int64) (int, error) {
	n, end := clamp(p, off, s.manifest)
	if n > 0 {
		generate(p[:n], s.key, uint64(off))
	}
	return n, end
}

// generate fills p with the stream of a key from a byte on. Word i of the stream is
// splitmix64's output function of key + i*gamma: Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014.
func generate(p []byte, key, off uint64) {
	const (
		gamma  = 0x9e3779b97f4a7c15
		gamma2 = 2 * gamma % (1 << 64)
		gamma3 = 3 * gamma % (1 << 64)
		gamma4 = 4 * gamma % (1 << 64)
	)
	state := key + off/8*gamma
	if skip := off % 8; skip > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], mix(state))
		p = p[copy(p, word[skip:]):]
		state += gamma
	}
	for len(p) >= 32 {
		q := p[:32:32]
		binary.LittleEndian.PutUint64(q[0:8], mix(state))
		binary.LittleEndian.PutUint64(q[8:16], mix(state+gamma))
		binary.LittleEndian.PutUint64(q[16:24], mix(state+gamma2))
		binary.LittleEndian.PutUint64(q[24:32], mix(state+gamma3))
		p, state = p[32:], state+gamma4
	}
	for len(p) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], mix(state))
		p = p[copy(p, word[:]):]
		state += gamma
	}
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
