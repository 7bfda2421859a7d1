package weights

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// digestBlock is what one leaf of a digest covers.
const digestBlock = 4 << 20

// digest identifies what a component's bytes are, wherever they lie. Its leaves are
// the SHA-256 of a zero byte and 4 MiB of the component each, the last of the rest;
// the digest is the SHA-256 of a one byte, the component's size as 8 bytes,
// little-endian, and the leaves. So its blocks can be computed side by side, and one
// that was changed is found without the others.
func (c *Component) digest(ctx context.Context) (Hash, error) {
	size := int64(c.manifest.Bytes)
	leaves := make([]Hash, (size+digestBlock-1)/digestBlock)
	var (
		next    atomic.Int64
		workers sync.WaitGroup
		once    sync.Once
		failed  error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range min(runtime.GOMAXPROCS(0), len(leaves)) {
		workers.Go(func() {
			var buffer []byte
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(leaves)) {
					return
				}
				off := i * digestBlock
				n := min(digestBlock, size-off)
				block := c.Span(off, n)
				if block == nil {
					if buffer == nil {
						buffer = make([]byte, digestBlock)
					}
					block = buffer[:n]
					if _, err := c.ReadAt(block, off); err != nil {
						once.Do(func() { failed = err })
						cancel()
						return
					}
				}
				leaf := sha256.New()
				leaf.Write([]byte{0})
				leaf.Write(block)
				leaf.Sum(leaves[i][:0])
			}
		})
	}
	workers.Wait()
	if failed != nil {
		return Hash{}, fmt.Errorf("component %q: digest: %w", c.name, failed)
	}
	if err := ctx.Err(); err != nil {
		return Hash{}, err
	}
	root := sha256.New()
	root.Write(binary.LittleEndian.AppendUint64([]byte{1}, uint64(size)))
	for i := range leaves {
		root.Write(leaves[i][:])
	}
	return Hash(root.Sum(nil)), nil
}
