package host

import (
	"fmt"
	"path"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host/units"
)

// ID names a registered component: dense, from 0, in the order of registration.
type ID uint32

// NoComponent is the ID of nothing.
const NoComponent = ID(abi.None)

// A Spec describes a component at registration.
type Spec struct {
	// Name has 1 to abi.MaxName bytes and is unique.
	Name string
	// Bytes is the size of the component's own weights, its children's excluded;
	// 0 is allowed (a parent whose weights are all in its blocks).
	Bytes units.Bytes
	// FileBytes is how many of its lowest bytes host memory does not hold: they are
	// read from a file each time that they are loaded.
	FileBytes units.Bytes
	// ReadOnly says that calls do not change the weights, so that eviction drops
	// them. The zero value is the safe one: a component is dirty after each call
	// and is copied back.
	ReadOnly bool
	// Parent is the component that this one is a block of, or NoComponent; parents
	// are registered before their children and have no parent themselves.
	Parent ID
	// Index is the position among the parent's children.
	Index uint32
}

// Constraints are rules of the user's that the engine keeps under every policy.
// Each is a list of component names or globs in the syntax of path.Match; a match
// of a parent covers its children.
type Constraints struct {
	// Exclude names what is always on the device: loaded at registration, never
	// evicted.
	Exclude []string
	// Keep names what is not evicted between its first call in a request and the
	// request's end.
	Keep []string
}

// Check returns an error for a pattern that is malformed or matches none of names:
// a constraint that does nothing is a mistake that should not wait for its cost.
func (c Constraints) Check(names []string) error {
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"exclude", c.Exclude}, {"keep", c.Keep}} {
		for _, p := range list.patterns {
			if _, err := path.Match(p, ""); err != nil {
				return fmt.Errorf("%s: %q is not a pattern: %w", list.key, p, err)
			}
			if !matchesAny(p, names) {
				return fmt.Errorf("%s: %q matches no component", list.key, p)
			}
		}
	}
	return nil
}

func matchesAny(pattern string, names []string) bool {
	for _, n := range names {
		if match(pattern, n) {
			return true
		}
	}
	return false
}

// match reports whether a pattern names a component, literally or as a glob.
func match(pattern, name string) bool {
	if pattern == name {
		return true
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// covers reports whether one of patterns names the component or its parent.
func covers(patterns []string, name, parent string) bool {
	for _, p := range patterns {
		if match(p, name) || parent != "" && match(p, parent) {
			return true
		}
	}
	return false
}

// A chunkState says where a chunk is. Every state but absent holds device memory.
type chunkState uint8

const (
	absent      chunkState = iota
	loading                // allocated, its copy is in flight
	resident               // backed and valid
	copyingBack            // dirty, to be or being copied back, then released
	releasing              // its release is in flight
	lost                   // the device never answered: its memory counts as used
	stateMask   chunkState = 7
	dirtyBit    chunkState = 1 << 7
)

// component is a registered component and where its bytes are. Sizes are
// allocated bytes unless a name says weights.
type component struct {
	Spec
	id       ID
	nameHash uint64
	alloc    units.Bytes // Bytes rounded up to the granularity
	chunks   []chunkState

	resident units.Bytes // of chunks that are resident
	loading  units.Bytes // of chunks whose copy is in flight
	leaving  units.Bytes // of chunks on their way out
	dirty    units.Bytes // of chunks that are resident and differ from the host's copy
	low      int         // no chunk below is absent
	top      int         // no chunk at or above is resident
	back     backed      // what is being copied back

	load   *load       // the queued or running transfer to the device, if any
	leases int         // admitted and granted calls
	pinned bool        // excluded from offloading
	keep   bool        // named by Keep
	kept   int         // open requests that keep it
	late   int         // chunks for which the device did not answer, or that it lost
	lateIn units.Bytes // of them, those being loaded
	stuck  bool        // copying back failed: its only copy is on the device

	lastUse     uint64 // number of the event that used it last
	retainUntil uint64 // number of the last call through which it is retained

	thrash thrashState
}

// backed adds up the chunks of one eviction that are copied back, so that they are
// explained in one record.
type backed struct {
	chunks         int // still to come
	weights, alloc units.Bytes
	request        uint32
	cause          Cause
}

// missing is how many bytes a demand load would have to bring.
func (c *component) missing() units.Bytes { return c.alloc - c.resident - c.loading }

// queued is how many bytes a queued prefetch would still bring.
func (c *component) queued() units.Bytes {
	if c.load == nil || c.load.demand {
		return 0
	}
	return c.load.claim
}

// held reports whether nothing of the component may be evicted now.
func (c *component) held() bool { return c.pinned || c.kept > 0 || c.leases > 0 || c.stuck }

// evictable is how many bytes could be taken from the component now. What a
// prefetch has merely queued can always be.
func (c *component) evictable() units.Bytes {
	if c.held() {
		return c.queued()
	}
	return c.resident + c.queued()
}

func (c *component) flags() abi.Flags {
	var f abi.Flags
	if c.resident == c.alloc {
		f |= abi.FlagResident
	}
	if c.pinned {
		f |= abi.FlagPinned
	}
	if c.leases > 0 {
		f |= abi.FlagInUse
	}
	if c.kept > 0 {
		f |= abi.FlagKept
	}
	if c.ReadOnly {
		f |= abi.FlagReadOnly
	}
	if c.dirty > 0 {
		f |= abi.FlagDirty
	}
	return f
}

// geometry is how components are cut into chunks.
type geometry struct {
	chunk, granularity units.Bytes
}

func (g geometry) alloc(n units.Bytes) units.Bytes {
	return (n + g.granularity - 1) / g.granularity * g.granularity
}

func (g geometry) chunks(alloc units.Bytes) int64 {
	return int64((alloc + g.chunk - 1) / g.chunk)
}

// chunkAlloc is the device memory that chunk i of c takes.
func (g geometry) chunkAlloc(c *component, i int) units.Bytes {
	return min(g.chunk, c.alloc-units.Bytes(i)*g.chunk)
}

// fromTheTop is what evicting at least n of a component's first resident bytes frees:
// whole chunks, the highest of which may be a short one.
func (g geometry) fromTheTop(resident, n units.Bytes) units.Bytes {
	if n >= resident {
		return resident
	}
	return resident - (resident-n)/g.chunk*g.chunk
}

// chunkWeights is how many bytes of weights chunk i of c holds.
func (g geometry) chunkWeights(c *component, i int) units.Bytes {
	return max(0, min(g.chunk, c.Bytes-units.Bytes(i)*g.chunk))
}

// chunkFile is how many of them come from a file.
func (g geometry) chunkFile(c *component, i int) units.Bytes {
	return max(0, min(g.chunk, c.FileBytes-units.Bytes(i)*g.chunk))
}

// missingChunks counts the chunks that are neither resident nor being loaded. Only
// the last chunk may be shorter than the others, so bytes tell.
func (g geometry) missingChunks(c *component) int {
	return int((c.missing() + g.chunk - 1) / g.chunk)
}

// lowestMissing is the size of the n lowest chunks that are missing, which c has.
func (g geometry) lowestMissing(c *component, n int) units.Bytes {
	return min(units.Bytes(n)*g.chunk, c.missing())
}

// highestResident returns the highest resident chunk, -1 when there is none.
func (c *component) highestResident() int {
	for c.top > 0 && c.chunks[c.top-1]&stateMask != resident {
		c.top--
	}
	return c.top - 1
}

// lowestAbsent returns the lowest chunk that could be loaded now, -1 when every
// missing one is still on its way out.
func (c *component) lowestAbsent() int {
	for c.low < len(c.chunks) && c.chunks[c.low]&stateMask != absent {
		c.low++
	}
	if c.low == len(c.chunks) {
		return -1
	}
	return c.low
}
