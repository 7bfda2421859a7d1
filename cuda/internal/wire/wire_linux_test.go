package wire

import (
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

func connect(t *testing.T) (a, b *Conn) {
	t.Helper()
	x, y, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	if a, err = NewConn(x); err != nil {
		t.Fatal(err)
	}
	if b, err = NewConn(y); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// examples are messages with every member that there is.
var examples = []Message{
	&ToWorker{Hello: &Hello{Version: Version, GPU: "GPU-1", Components: 2, Chunk: 32 * units.MiB, Granularity: 2 * units.MiB, Slots: 4, Verify: true, Pageable: true, Pin: 5}},
	&ToWorker{Component: &Component{Name: "unet", Bytes: 7, File: 7, ReadOnly: true}},
	&ToWorker{Act: &Act{Op: 1, Kind: CopyIn, Component: 2, Chunk: 3, File: 4, Slot: 5, Demand: true, DelayNS: 6, Inject: "x"}},
	&ToWorker{Compute: &Compute{Call: 1, Component: 2, LeastNS: 3}},
	&ToWorker{Memory: &Memory{}},
	&FromWorker{Ready: &Ready{Library: "l", Driver: 12040, Missing: []string{"m"}, GPUs: []GPU{{Name: "n", UUID: "u", PCI: "p", Total: 1, VirtualMemory: true, Export: true}}, GPU: GPU{Name: "n"}, Granularity: 2, Free: 3, Pinned: 4, Unpinned: "why"}},
	&FromWorker{Done: &Done{Op: 1, Status: host.Failed, Err: "e", TookNS: 2, Verified: 3, Used: 4}},
	&FromWorker{Done: &Done{Call: 9}},
	&FromWorker{Failed: &Failed{Err: "e"}},
	&FromWorker{Memory: &Memory{Free: 8}},
	&ToClient{Layout: &Layout{Parts: 1, Chunk: 4, Granularity: 2}},
	&ToClient{Part: &Part{Component: 1, Name: "unet", Bytes: 3}},
	&ToClient{Unmap: &Chunks{Component: 1, List: []Chunk{{Index: 1, Generation: 2}}}},
	&ToClient{Refused: "no"},
	&FromClient{Hello: &ClientHello{Version: Version, GPU: "GPU-1"}},
	&FromClient{Want: &Want{Component: 3}},
	&FromClient{Unmapped: &Chunks{Component: 1, List: []Chunk{{Index: 1, Generation: 2}}}},
}

func TestWhatIsSentIsReceived(t *testing.T) {
	a, b := connect(t)
	for _, m := range examples {
		if err := a.Send(m); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
		if _, err := b.Receive(got); err != nil || !reflect.DeepEqual(m, got) {
			t.Errorf("%+v, %v: want %+v", got, err, m)
		}
	}
	a.Close()
	if _, err := b.Receive(&ToWorker{}); err != io.EOF {
		t.Errorf("after the peer has closed: %v, want io.EOF", err)
	}
}

func TestDescriptorsTravel(t *testing.T) {
	a, b := connect(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := &ToClient{Map: &Chunks{}}
	var files []*os.File
	for i := range MaxFiles {
		m.Map.List = append(m.Map.List, Chunk{Index: i})
		files = append(files, f)
	}
	if err := b.Identify(); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	if err := a.Send(m, files...); err != nil {
		t.Fatal(err)
	}
	got, err := b.Receive(&ToClient{})
	if err != nil || len(got) != MaxFiles {
		t.Fatalf("%d descriptors, %v", len(got), err)
	}
	for _, g := range got {
		if flags, err := unix.FcntlInt(g.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a descriptor that children inherit: %#x, %v", flags, err)
		}
		g.Close()
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors are left, %d before", n, before)
	}
	if pid := b.Sender(); pid != os.Getpid() {
		t.Errorf("sent by %d: want this process, %d", pid, os.Getpid())
	}
	// Those of a message that is refused are closed.
	for name, text := range map[string]string{"no message": "{", "not a byte": "", "fewer chunks": `{"map":{"component":1,"list":[{"index":1,"generation":1}]}}`} {
		if _, _, err := a.c.WriteMsgUnix([]byte(text), unix.UnixRights(int(f.Fd()), int(f.Fd())), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Receive(&ToClient{}); err == nil {
			t.Errorf("%s: received", name)
		}
		if n := descriptors(t); n != before {
			t.Errorf("%s: %d descriptors are left, %d before", name, n, before)
		}
	}
}

func TestLimits(t *testing.T) {
	a, b := connect(t)
	if err := a.Send(&ToClient{Refused: strings.Repeat("x", MaxText+1)}); err == nil {
		t.Error("a text that is too long is sent")
	}
	if _, _, err := a.c.WriteMsgUnix(make([]byte, MaxMessage+1), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Receive(&ToClient{}); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("a message that is too long: %v", err)
	}
	// One who does not listen does not keep the sender.
	var err error
	for range 100000 {
		if err = a.SendWithin(10*time.Millisecond, &ToClient{Refused: "no"}); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sending to one who does not listen: %v", err)
	}
}

func TestOtherSockets(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[1])
	if _, err := NewConn(os.NewFile(uintptr(fds[0]), "stream")); err == nil {
		t.Error("a socket without bounds of messages is taken")
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewConn(f); err == nil {
		t.Error("a file is taken for a socket")
	}
}
