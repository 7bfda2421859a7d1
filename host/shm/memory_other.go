//go:build !linux

package shm

import (
	"errors"
	"time"
)

// errLinux is what New returns elsewhere.
var errLinux = errors.New("it needs Linux: memory that can be mapped, moved and given back by descriptor")

type space struct{ mem []byte }

func reserve(int64) (*space, error) { return nil, errLinux }
func (*space) release() error       { return nil }

type block struct{ size int64 }

func newBlock(int64) (*block, error)            { return nil, errLinux }
func (*block) place([]byte, bool) error         { return errLinux }
func (*block) leave([]byte, bool) (bool, error) { return false, errLinux }
func (*block) destroy()                         {}

func canMove() bool { return false }

type alarm struct{}

func newAlarm() (*alarm, error)      { return nil, errLinux }
func (*alarm) sleep(d time.Duration) { time.Sleep(d) }
func (*alarm) close()                {}
