//go:build cuda && linux

package cuda_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/cuda/internal/driver"
	"github.com/offhost/offhost/cuda/internal/emu"
)

// bugs are programs that use the driver as this package must not, and what the stand-in
// says of each: tests of the tests. Those without a word are what the suite's own books
// notice.
var bugs = map[string]struct {
	run  func(*playground) error
	want string
}{
	"nothing wrong":                    {(*playground).nothingWrong, ""},
	"unmap without waiting":            {(*playground).unmapWithoutWaiting, "unmap-in-use"},
	"copy from unpinned memory":        {(*playground).copyUnpinned, "unpinned-copy"},
	"export before the copy completed": {(*playground).exportEarly, "race"},
	"reuse of a pinned buffer":         {(*playground).reusePinned, "changed-in-use"},
	"a missing release":                {(*playground).forgetRelease, "leak"},
	"an access right forgotten":        {(*playground).forgetAccess, "no-access"},
	"a descriptor left open":           {(*playground).leaveDescriptor, "memory is missing"},
}

func TestDeliberateBugsAreCaught(t *testing.T) {
	needsStandIn(t)
	for name, b := range bugs {
		t.Run(name, func(t *testing.T) {
			said := new(speech)
			cmd, err := role(name, said)()
			if err != nil {
				t.Fatal(err)
			}
			err = cmd.Run()
			switch lines := complaints(said); {
			case b.want == "" && (err != nil || len(lines) > 0):
				t.Errorf("%v, %s: want nothing", err, said)
			case b.want != "" && !strings.Contains(said.String(), b.want):
				t.Errorf("%v, %q: want a word of %q", err, said, b.want)
			}
		})
	}
}

// bug is one of them as a process.
func bug(name string) error {
	b, ok := bugs[name]
	if !ok {
		return fmt.Errorf("no such role")
	}
	if _, err := driver.Load(); err != nil {
		return err
	}
	e, ok := emu.Open()
	if !ok {
		return errors.New("not the stand-in")
	}
	g, err := driver.Find("")
	if err != nil {
		return err
	}
	ctx, err := driver.Open(g)
	if err != nil {
		return err
	}
	if err := ctx.Bind(); err != nil {
		return err
	}
	p := &playground{Context: ctx, e: e}
	if p.stream, err = ctx.NewStream(0); err != nil {
		return err
	}
	if p.other, err = ctx.NewStream(0); err != nil {
		return err
	}
	if p.gran, err = ctx.Granularity(); err != nil {
		return err
	}
	if p.free, _, err = ctx.Memory(); err != nil {
		return err
	}
	if err := b.run(p); err != nil {
		return err
	}
	free, _, err := ctx.Memory()
	if err == nil && free != p.free {
		err = fmt.Errorf("memory is missing: %d bytes are free, %d before", free, p.free)
	}
	err = errors.Join(err, p.stream.Close(), p.other.Close(), ctx.Close())
	e.Leaks(true)
	return err
}

type playground struct {
	*driver.Context
	e             *emu.Emulator
	stream, other *driver.Stream
	gran, free    int64
}

// place is a mapped allocation.
type place struct {
	at driver.Address
	h  driver.Handle
}

func (p *playground) allocate(access bool) (x place, err error) {
	if x.h, err = p.Create(p.gran); err != nil {
		return x, err
	}
	if x.at, err = p.Reserve(p.gran, 0); err != nil {
		return x, err
	}
	if err = p.Map(x.at, p.gran, x.h); err != nil || !access {
		return x, err
	}
	return x, p.Allow(x.at, p.gran, true)
}

func (p *playground) giveBack(x place) error {
	return errors.Join(p.Unmap(x.at, p.gran), x.h.Release(), p.Free(x.at, p.gran))
}

func (p *playground) nothingWrong() error {
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	buf, err := p.Pinned(p.gran)
	if err != nil {
		return err
	}
	err = errors.Join(p.stream.ToDevice(x.at, buf), p.e.Kernel(p.stream, x.at, p.gran, time.Millisecond), p.stream.Synchronize())
	f, exportErr := x.h.Export()
	if exportErr == nil {
		f.Close()
	}
	return errors.Join(err, exportErr, p.giveBack(x), p.FreePinned(buf))
}

func (p *playground) unmapWithoutWaiting() error {
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	if err := p.e.Kernel(p.stream, x.at, p.gran, 50*time.Millisecond); err != nil {
		return err
	}
	return p.giveBack(x)
}

func (p *playground) copyUnpinned() error {
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(-1, 0, int(p.gran), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return errors.Join(p.stream.ToDevice(x.at, mem), p.stream.Synchronize(), p.giveBack(x))
}

// exportEarly gives memory away whose copy is still on its way: whoever maps it reads
// what is not there yet.
func (p *playground) exportEarly() error {
	if err := p.e.Bandwidth(uint64(p.gran), 0); err != nil { // a second
		return err
	}
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	buf, err := p.Pinned(p.gran)
	if err != nil {
		return err
	}
	if err := p.stream.ToDevice(x.at, buf); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // it has begun
	f, err := x.h.Export()
	if err != nil {
		return err
	}
	defer f.Close()
	y := place{}
	if y.h, err = p.Import(f); err != nil {
		return err
	}
	if y.at, err = p.Reserve(p.gran, 0); err != nil {
		return err
	}
	return errors.Join(p.Map(y.at, p.gran, y.h), p.Allow(y.at, p.gran, false), p.e.Kernel(p.other, y.at, p.gran, time.Millisecond),
		p.other.Synchronize(), p.stream.Synchronize(), p.giveBack(y), p.giveBack(x), p.FreePinned(buf))
}

func (p *playground) reusePinned() error {
	if err := p.e.Bandwidth(uint64(p.gran)*10, 0); err != nil {
		return err
	}
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	buf, err := p.Pinned(p.gran)
	if err != nil {
		return err
	}
	if err := p.stream.ToDevice(x.at, buf); err != nil {
		return err
	}
	for i := range buf {
		buf[i] = 7
	}
	return errors.Join(p.stream.Synchronize(), p.giveBack(x), p.FreePinned(buf))
}

func (p *playground) forgetRelease() error {
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	return errors.Join(p.Unmap(x.at, p.gran), p.Free(x.at, p.gran))
}

func (p *playground) forgetAccess() error {
	x, err := p.allocate(false)
	if err != nil {
		return err
	}
	buf, err := p.Pinned(p.gran)
	if err != nil {
		return err
	}
	return errors.Join(p.stream.ToDevice(x.at, buf), p.stream.Synchronize())
}

var left *os.File // open for good

func (p *playground) leaveDescriptor() error {
	x, err := p.allocate(true)
	if err != nil {
		return err
	}
	if left, err = x.h.Export(); err != nil {
		return err
	}
	return p.giveBack(x)
}
