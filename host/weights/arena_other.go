//go:build !linux

package weights

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/offhost/offhost/host/units"
)

var errNotLinux = errors.New("shared memory with seals needs Linux")

// An arena is memory of the process's own.
type arena struct {
	mem  []byte
	size int64
}

func newArena(_ string, size units.Bytes) (*arena, error) {
	if int64(size) > math.MaxInt {
		return nil, fmt.Errorf("memory of %v: more than this system addresses", size)
	}
	return &arena{mem: make([]byte, size), size: int64(size)}, nil
}

func (a *arena) WriteAt(p []byte, off int64) (int, error) { return copy(a.mem[off:], p), nil }

func (a *arena) finish(bool, bool) error { return nil }

func (a *arena) export() (*os.File, error) { return nil, errNotLinux }

func (a *arena) duplicate() (*os.File, error) { return nil, errNotLinux }

func (a *arena) lock(n int64) error {
	if n <= 0 {
		return nil
	}
	return errors.New("locking memory needs Linux")
}

func (a *arena) close() error {
	a.mem = nil
	return nil
}

func receive(*os.File, units.Bytes) (*arena, error) { return nil, errNotLinux }
