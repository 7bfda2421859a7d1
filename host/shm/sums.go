package shm

import (
	"fmt"
	"hash/crc32"
)

// piece is what one goroutine copies and checks at a time. The runtime's copy of more
// than a megabyte does not read the destination first, which makes it half as fast again.
const piece = 2 << 20

// sum is the checksum of a piece, 0 when it is not known.
type sum uint64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(p []byte) sum { return 1<<32 | sum(crc32.Checksum(p, castagnoli)) }

// pieces is how many a chunk has.
func (k *chunk) pieces() int { return int((k.size + piece - 1) / piece) }

// span is where piece i lies in its chunk.
func (k *chunk) span(i int) (from, to int64) {
	return int64(i) * piece, min(int64(i+1)*piece, k.size)
}

// known makes room for the checksums of a chunk.
func (k *chunk) known() {
	if k.host == nil {
		k.host = make([]sum, k.pieces())
	}
	if k.sums == nil {
		k.sums = make([]sum, k.pieces())
	}
}

// at is a chunk's weights on the device.
func (c *component) at(k *chunk) []byte { return c.mem[k.off : k.off+k.size] }

// hostSum is what piece i of a chunk is in host memory, or in the file.
func (c *component) hostSum(k *chunk, i int) (sum, error) {
	if k.host[i] != 0 {
		return k.host[i], nil
	}
	from, to := k.span(i)
	src := c.Source.Span(k.off+from, to-from)
	if src == nil {
		src = make([]byte, to-from)
		if err := c.read(src, k.off+from); err != nil {
			return 0, err
		}
	}
	k.host[i] = sumOf(src)
	return k.host[i], nil
}

// check compares piece i of a chunk on the device with what it should be, which is what
// the host has unless calls have changed it.
func (d *Device) check(c *component, k *chunk, i int) error {
	want := k.sums[i]
	if want == 0 {
		var err error
		if want, err = c.hostSum(k, i); err != nil {
			return err
		}
		k.sums[i] = want
	}
	from, to := k.span(i)
	got := c.at(k)[from:to]
	d.verified.Add(to - from)
	if sumOf(got) == want {
		return nil
	}
	return d.wrong(c, k, i, got)
}

// wrong says where a piece on the device differs, as exactly as can be known.
func (d *Device) wrong(c *component, k *chunk, i int, got []byte) error {
	from, to := k.span(i)
	if k.sums[i] == k.host[i] {
		if src := c.Source.Span(k.off+from, to-from); src != nil && sumOf(src) == k.host[i] {
			for at := range got {
				if got[at] != src[at] {
					return fmt.Errorf("component %q: chunk %d: byte %d of the weights is %#02x on the device and should be %#02x", c.Name, k.index,
						k.off+from+int64(at), got[at], src[at])
				}
			}
		}
	}
	return fmt.Errorf("component %q: chunk %d: bytes %d to %d of the weights are not what they should be on the device", c.Name, k.index, k.off+from, k.off+to)
}
