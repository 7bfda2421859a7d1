package wire

import (
	"fmt"

	"github.com/offhost/offhost/host/units"
)

// A worker gives the chunks of read-only components to clients, which map them at
// addresses of their own. A client says hello and what it wants; the worker says what
// there is, and from then on gives what is loaded and asks back what is to leave.
//
// A chunk that is loaded again has other memory and the next generation. What is said of
// an earlier one means nothing any more.

// ToClient is what a worker says: one of its members. The first is Layout, or a refusal.
type ToClient struct {
	Layout  *Layout `json:"layout,omitzero"`
	Part    *Part   `json:"part,omitzero"`
	Map     *Chunks `json:"map,omitzero"`   // with a descriptor for each chunk, in order
	Unmap   *Chunks `json:"unmap,omitzero"` // Unmapped is to follow
	Refused string  `json:"refused,omitzero"`
}

// Layout says how many Parts follow, and how all are cut.
type Layout struct {
	Parts       int         `json:"parts"`
	Chunk       units.Bytes `json:"chunk"`
	Granularity units.Bytes `json:"granularity"`
}

// Part is a component that can be asked for.
type Part struct {
	Component int         `json:"component"`
	Name      string      `json:"name"`
	Bytes     units.Bytes `json:"bytes"`
}

// Chunks are some of one component's.
type Chunks struct {
	Component int     `json:"component"`
	List      []Chunk `json:"list"`
}

// Chunk is one that was loaded for the given time.
type Chunk struct {
	Index      int    `json:"index"`
	Generation uint32 `json:"generation"`
}

// FromClient is what a client says: one of its members. The first is Hello.
type FromClient struct {
	Hello    *ClientHello `json:"hello,omitzero"`
	Want     *Want        `json:"want,omitzero"`
	Unmapped *Chunks      `json:"unmapped,omitzero"`
}

// ClientHello says which device the client uses, by its UUID in full.
type ClientHello struct {
	Version int    `json:"version"`
	GPU     string `json:"gpu"`
}

// Want asks for a component, as far as it is on the device and from now on.
type Want struct {
	Component int `json:"component"`
}

// Check implements Message.
func (m *ToClient) Check(files int) error {
	if count(m.Layout != nil, m.Part != nil, m.Map != nil, m.Unmap != nil, m.Refused != "") != 1 {
		return errOneMember
	}
	want := 0
	var err error
	switch {
	case m.Map != nil:
		want = len(m.Map.List)
		err = m.Map.check()
	case m.Unmap != nil:
		err = m.Unmap.check()
	case m.Layout != nil:
		if l := m.Layout; l.Parts < 0 || l.Parts > MaxComponents || l.Chunk < 1 || l.Granularity < 1 || l.Chunk%l.Granularity != 0 {
			err = fmt.Errorf("a layout of %d parts in chunks of %d bytes, at a granularity of %d", l.Parts, l.Chunk, l.Granularity)
		}
	case m.Part != nil:
		if p := m.Part; p.Component < 0 || p.Component >= MaxComponents || len(p.Name) > MaxName || p.Bytes < 0 || p.Bytes > units.MaxBytes/2 {
			err = fmt.Errorf("component %d %q of %d bytes", p.Component, p.Name, p.Bytes)
		}
	case len(m.Refused) > MaxText:
		err = fmt.Errorf("a refusal of %d bytes", len(m.Refused))
	}
	if err == nil && files != want {
		err = fmt.Errorf("a message with %d descriptors: want %d", files, want)
	}
	return err
}

// Check implements Message.
func (m *FromClient) Check(files int) error {
	if count(m.Hello != nil, m.Want != nil, m.Unmapped != nil) != 1 {
		return errOneMember
	}
	if files != 0 {
		return fmt.Errorf("a message with %d descriptors: want none", files)
	}
	switch {
	case m.Hello != nil:
		if m.Hello.Version != Version || len(m.Hello.GPU) > MaxName {
			return fmt.Errorf("version %d of a GPU's name of %d bytes: want version %d", m.Hello.Version, len(m.Hello.GPU), Version)
		}
	case m.Want != nil:
		if m.Want.Component < 0 || m.Want.Component >= MaxComponents {
			return fmt.Errorf("component %d", m.Want.Component)
		}
	case m.Unmapped != nil:
		return m.Unmapped.check()
	}
	return nil
}

func (c *Chunks) check() error {
	if c.Component < 0 || c.Component >= MaxComponents || len(c.List) == 0 || len(c.List) > MaxFiles {
		return fmt.Errorf("%d chunks of component %d: want 1 to %d", len(c.List), c.Component, MaxFiles)
	}
	for _, k := range c.List {
		if k.Index < 0 {
			return fmt.Errorf("chunk %d", k.Index)
		}
	}
	return nil
}
