package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// Version is what both ends of a connection have to have.
const Version = 1

// Limits of what a worker is told.
const (
	MaxComponents = abi.MaxComponents
	MaxName       = abi.MaxName
	MaxSlots      = 64
	MaxText       = 4096
)

// Limits of a message.
const (
	MaxMessage = 64 << 10 // bytes
	// MaxFiles is how many descriptors come with a message: the kernel takes 253.
	MaxFiles = 128
)

// A Message is one of those of this package.
type Message interface {
	// Check refuses what makes no sense, given how many descriptors came with it.
	Check(files int) error
}

// Parse reads a message.
func Parse(b []byte, m Message, files int) error {
	if err := json.Unmarshal(b, m, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a message that cannot be read: %w", err)
	}
	return m.Check(files)
}

// ToWorker is what the host says: one of its members. The first is Hello, then come all
// components, and then the ring's memory, if it has slots.
type ToWorker struct {
	Hello     *Hello     `json:"hello,omitzero"`
	Component *Component `json:"component,omitzero"` // with a descriptor of what host memory holds, if it holds any
	Ring      *Ring      `json:"ring,omitzero"`      // with a descriptor of its slots
	Act       *Act       `json:"act,omitzero"`
	Compute   *Compute   `json:"compute,omitzero"`
	Client    *Client    `json:"client,omitzero"` // with a descriptor of its socket
	Memory    *Memory    `json:"memory,omitzero"` // asks for the worker's
}

// Hello says what the worker is for.
type Hello struct {
	Version int    `json:"version"`
	GPU     string `json:"gpu,omitzero"` // its UUID or the beginning of it; empty: the first
	// Components is how many follow; 0 asks for Ready and nothing else.
	Components  int         `json:"components,omitzero"`
	Chunk       units.Bytes `json:"chunk,omitzero"`
	Granularity units.Bytes `json:"granularity,omitzero"`
	Slots       int         `json:"slots,omitzero"` // of the ring, each of a chunk's size
	Verify      bool        `json:"verify,omitzero"`
	Pageable    bool        `json:"pageable,omitzero"` // copy without pinning anything
	// Pin is how many bytes of weights may be pinned.
	Pin units.Bytes `json:"pin,omitzero"`
}

// Component is one by its number, from 0 on in order.
type Component struct {
	Name     string      `json:"name"`
	Bytes    units.Bytes `json:"bytes"`
	File     units.Bytes `json:"file,omitzero"` // the lowest, which host memory does not hold
	ReadOnly bool        `json:"read_only,omitzero"`
}

// Ring is shared memory through which pass what comes from files and what is copied back.
type Ring struct{}

// NoSlot stands for none of the ring's.
const NoSlot = -1

// What an Act is: of the first three the host's name.
const (
	CopyIn   = "copy in"
	CopyBack = "copy back"
	Release  = "release"
	Read     = "read" // copy a chunk to a slot and leave it as it is
)

// Act is an action on a chunk. What is copied in from a file lies in the slot; what is
// copied back goes there.
type Act struct {
	Op        uint64      `json:"op"`
	Kind      string      `json:"kind"`
	Component int         `json:"component"`
	Chunk     int         `json:"chunk"`
	File      units.Bytes `json:"file,omitzero"`
	Slot      int         `json:"slot"`
	Demand    bool        `json:"demand,omitzero"`
	// Delay and Inject are for tests: what to wait for, and what the driver is to do wrong.
	DelayNS int64  `json:"delay_ns,omitzero"`
	Inject  string `json:"inject,omitzero"`
}

// Compute lets a call use a component for at least a time.
type Compute struct {
	Call      uint64 `json:"call"`
	Component int    `json:"component"`
	LeastNS   int64  `json:"least_ns"`
}

// Client is a process that chunks are to be given to.
type Client struct{}

// Memory is a question of how much device memory is free, and the answer.
type Memory struct {
	Free units.Bytes `json:"free,omitzero"`
	Err  string      `json:"err,omitzero"`
}

// FromWorker is what the worker says: one of its members. The first is Ready or Failed.
type FromWorker struct {
	Ready  *Ready  `json:"ready,omitzero"`
	Done   *Done   `json:"done,omitzero"`
	Failed *Failed `json:"failed,omitzero"`
	Memory *Memory `json:"memory,omitzero"`
}

// GPU describes a device.
type GPU struct {
	Name          string      `json:"name"`
	UUID          string      `json:"uuid"`
	PCI           string      `json:"pci,omitzero"`
	Total         units.Bytes `json:"total"`
	VirtualMemory bool        `json:"virtual_memory,omitzero"`
	Export        bool        `json:"export,omitzero"`
	ReadOnlyPin   bool        `json:"read_only_pin,omitzero"`
}

// Ready says which device the worker has.
type Ready struct {
	Library     string      `json:"library"`
	Driver      int         `json:"driver"`            // 12040 is 12.4
	Missing     []string    `json:"missing,omitempty"` // functions that the worker calls
	GPUs        []GPU       `json:"gpus,omitempty"`
	GPU         GPU         `json:"gpu,omitzero"`
	Granularity units.Bytes `json:"granularity,omitzero"`
	Free        units.Bytes `json:"free,omitzero"`
	Pinned      units.Bytes `json:"pinned,omitzero"`
	Unpinned    string      `json:"unpinned,omitzero"` // why not all is that was to be
}

// Done says how an action ended, or a call's compute.
type Done struct {
	Op       uint64      `json:"op,omitzero"`
	Call     uint64      `json:"call,omitzero"`
	Status   host.Status `json:"status,omitzero"`
	Err      string      `json:"err,omitzero"`
	TookNS   int64       `json:"took_ns,omitzero"`  // of a copy, by the device's clock
	Verified units.Bytes `json:"verified,omitzero"` // read back and compared
	Used     units.Bytes `json:"used,omitzero"`     // device memory of chunks now
}

// Failed is a worker's last word.
type Failed struct {
	Err string `json:"err"`
}

// Clip makes a text short enough for a message, and one that can be sent.
func Clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > MaxText {
		s = strings.ToValidUTF8(s[:MaxText-3], "") + "..."
	}
	return s
}

var errOneMember = errors.New("a message with other than one member")

func count(present ...bool) (n int) {
	for _, p := range present {
		if p {
			n++
		}
	}
	return n
}

// Check implements Message.
func (m *ToWorker) Check(files int) error {
	if count(m.Hello != nil, m.Component != nil, m.Ring != nil, m.Act != nil, m.Compute != nil, m.Client != nil, m.Memory != nil) != 1 {
		return errOneMember
	}
	most := 0
	switch {
	case m.Hello != nil:
		if err := m.Hello.check(); err != nil {
			return err
		}
	case m.Component != nil:
		if err := m.Component.check(); err != nil {
			return err
		}
		if m.Component.Bytes > m.Component.File {
			most = 1
		}
	case m.Ring != nil, m.Client != nil:
		most = 1
	case m.Act != nil:
		if err := m.Act.check(); err != nil {
			return err
		}
	case m.Compute != nil:
		if c := m.Compute; c.Call == 0 || c.Component < 0 || c.LeastNS < 0 {
			return fmt.Errorf("compute of call %d of component %d for %d ns", c.Call, c.Component, c.LeastNS)
		}
	}
	if files != most {
		return fmt.Errorf("a message with %d descriptors: want %d", files, most)
	}
	return nil
}

func (h *Hello) check() error {
	switch {
	case h.Version != Version:
		return fmt.Errorf("version %d: want %d", h.Version, Version)
	case len(h.GPU) > MaxName:
		return fmt.Errorf("a UUID of %d bytes", len(h.GPU))
	case h.Components < 0 || h.Components > MaxComponents:
		return fmt.Errorf("%d components: want 0 to %d", h.Components, MaxComponents)
	case h.Slots < 0 || h.Slots > MaxSlots:
		return fmt.Errorf("%d slots: want 0 to %d", h.Slots, MaxSlots)
	case h.Pin < 0:
		return fmt.Errorf("%d bytes to pin", h.Pin)
	case h.Components == 0:
		return nil
	}
	_, err := host.Config{Budget: 1, Chunk: h.Chunk, Granularity: h.Granularity}.WithDefaults()
	return err
}

func (c *Component) check() error {
	switch {
	case len(c.Name) > MaxName:
		return fmt.Errorf("a component name of %d bytes", len(c.Name))
	case c.Bytes < 0 || c.Bytes > units.MaxBytes/2 || c.File < 0 || c.File > c.Bytes:
		return fmt.Errorf("component %q: %d bytes, %d of them in a file", c.Name, c.Bytes, c.File)
	}
	return nil
}

func (a *Act) check() error {
	switch a.Kind {
	case CopyIn, Release:
	case CopyBack, Read:
		if a.Slot == NoSlot {
			return fmt.Errorf("%s without a slot", a.Kind)
		}
	default:
		return fmt.Errorf("an action of kind %q", a.Kind)
	}
	if a.Op == 0 || a.Component < 0 || a.Chunk < 0 || a.File < 0 || a.Slot < NoSlot || a.Slot >= MaxSlots || a.DelayNS < 0 || len(a.Inject) > MaxText {
		return fmt.Errorf("%s %d of chunk %d of component %d, %d bytes of it from slot %d", a.Kind, a.Op, a.Chunk, a.Component, a.File, a.Slot)
	}
	return nil
}

// Check implements Message.
func (m *FromWorker) Check(files int) error {
	if count(m.Ready != nil, m.Done != nil, m.Failed != nil, m.Memory != nil) != 1 {
		return errOneMember
	}
	if files != 0 {
		return fmt.Errorf("a message with %d descriptors: want none", files)
	}
	switch {
	case m.Done != nil:
		d := m.Done
		if (d.Op == 0) == (d.Call == 0) || d.Status > host.Lost || d.TookNS < 0 || d.Verified < 0 || d.Used < 0 || len(d.Err) > MaxText {
			return fmt.Errorf("the end of action %d, call %d, with status %d", d.Op, d.Call, d.Status)
		}
	case m.Memory != nil:
		if m.Memory.Free < 0 || len(m.Memory.Err) > MaxText {
			return fmt.Errorf("%d bytes of free memory", m.Memory.Free)
		}
	case m.Failed != nil:
		if m.Failed.Err == "" || len(m.Failed.Err) > MaxText {
			return errors.New("a failure without a reason, or with a novel")
		}
	case m.Ready != nil:
		r := m.Ready
		if r.Granularity < 0 || r.Free < 0 || r.Pinned < 0 || r.GPU.Total < 0 {
			return errors.New("a device of negative size")
		}
	}
	return nil
}
