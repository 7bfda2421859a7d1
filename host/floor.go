package host

import "github.com/offhost/offhost/host/units"

// floor frees at least bytes, or all that can be taken, from components other than
// c: queued prefetches first, since they cost nothing, then least recently used
// components, highest chunks first and no more than is missing, retained ones
// last. It cannot fail and asks nobody.
func (e *Engine) floor(bytes units.Bytes, c *component, request uint32, cause Cause) {
	e.counters.FloorDecisions++
	e.record(Record{Kind: RecFloor, Request: request, Component: cause.For, Alloc: bytes, Cause: cause})
	for i := len(e.ahead) - 1; i >= 0 && bytes > 0; i = min(i, len(e.ahead)) - 1 {
		if l := e.ahead[i]; l.c != c && l.claim > 0 {
			bytes -= e.cancel(l.c, bytes)
		}
	}
	for bytes > 0 {
		v := e.leastRecent(c)
		if v == nil {
			return
		}
		bytes -= e.evict(v, min(bytes, v.resident), request, cause)
	}
}

// leastRecent returns the next victim of the floor, nil when there is none.
func (e *Engine) leastRecent(but *component) *component {
	var best *component
	for _, c := range e.components {
		if c == but || c.resident == 0 || c.held() {
			continue
		}
		if best == nil {
			best = c
			continue
		}
		if a, b := c.retainUntil >= e.callSeq, best.retainUntil >= e.callSeq; a != b {
			if b {
				best = c
			}
			continue
		}
		if c.lastUse < best.lastUse {
			best = c
		}
	}
	return best
}
