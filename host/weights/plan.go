package weights

import (
	"fmt"
	"slices"

	"github.com/offhost/offhost/host/units"
)

// spillUnit is the granularity of devices, so that a chunk's tail is not split
// between memory and file for nothing.
const spillUnit = 2 * units.MiB

// Plan decides how many of each component's lowest bytes stay in files when all
// components together exceed a budget of host memory; 0 is no limit. Only read-only
// components may: a changed one could not be read from its file again. The result
// depends on the arguments alone.
//
// It cuts the largest components down to one common size. An engine evicts a
// component's highest chunks first and loads the lowest missing ones first, so that
// a byte moves only when the eviction reaches down to it: what a byte costs falls
// with its distance from the top of its component, whatever that curve is. Leaving
// the bytes with the largest distance in files is therefore the cheapest choice as
// long as nothing is known of how often which component is used, and those are the
// lowest bytes of the largest components. Spilling in proportion or whole components
// would leave bytes in files that are nearer to a top, and where every eviction
// takes whole components all choices cost the same.
//
// Parts are rounded up to 2 MiB, so that up to that much less per component is held
// than would fit.
func Plan(sizes []units.Bytes, readOnly []bool, budget units.Bytes) ([]units.Bytes, error) {
	if len(sizes) != len(readOnly) {
		return nil, fmt.Errorf("%d sizes and %d marks of what is read-only: want one of each per component", len(sizes), len(readOnly))
	}
	if budget < 0 {
		return nil, fmt.Errorf("host memory budget of %d bytes: want 0 for no limit, or more", budget)
	}
	fileBytes := make([]units.Bytes, len(sizes))
	var written, total units.Bytes
	var spillable []units.Bytes
	for i, size := range sizes {
		if size < 0 || size > units.MaxBytes-total {
			return nil, fmt.Errorf("component %d of %d bytes: want 0 or more, all together up to %d", i, size, units.MaxBytes)
		}
		total += size
		if readOnly[i] {
			spillable = append(spillable, size)
		} else {
			written += size
		}
	}
	if budget == 0 || total <= budget {
		return fileBytes, nil
	}
	if written > budget {
		return nil, fmt.Errorf("components that are written take %v, which must be held, but the budget of host memory is %v: raise it, or mark as read-only what is", written, budget)
	}
	held := level(spillable, budget-written)
	for i, size := range sizes {
		if readOnly[i] && size > held {
			fileBytes[i] = min(size, (size-held+spillUnit-1)/spillUnit*spillUnit)
		}
	}
	return fileBytes, nil
}

// level is the largest size to which all sizes can be cut such that their sum is at
// most room, which is less than their sum now.
func level(sizes []units.Bytes, room units.Bytes) units.Bytes {
	sizes = slices.Sorted(slices.Values(sizes))
	for i, size := range sizes {
		rest := units.Bytes(len(sizes) - i)
		if size > room/rest {
			return room / rest
		}
		room -= size
	}
	return units.MaxBytes
}
