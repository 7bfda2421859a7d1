package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/offhost/offhost/cmd/offhost/internal/config"
	"github.com/offhost/offhost/cmd/offhost/internal/render"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/baseline"
	"github.com/offhost/offhost/host/journal"
	"github.com/offhost/offhost/host/trace"
	"github.com/offhost/offhost/host/units"
)

// A source is the records that a run replays, at the scale of the run: a trace's, or
// the calls of a journal.
type source struct {
	io.Closer
	records trace.Records
	journal *journal.Header // nil for a trace
	// fileBytes are, of a journal's components, what host memory did not hold.
	fileBytes []units.Bytes
}

// openSource opens what a request names, and brings the request's sizes to its scale.
func openSource(r *request) (*source, error) {
	s := &source{}
	requests, err := s.open(r)
	if err != nil {
		return nil, err
	}
	s.Closer, s.records = requests, requests
	if err := s.scale(&r.Settings); err != nil {
		return nil, errors.Join(err, requests.Close())
	}
	return s, nil
}

func (s *source) open(r *request) (*trace.Requests, error) {
	if !r.calls {
		return trace.OpenRequests(r.open, r.Requests)
	}
	return trace.Repeat(func() (trace.RecordsCloser, error) {
		calls, err := journal.Requests(r.open)
		if err != nil {
			return nil, err
		}
		s.journal, s.fileBytes = calls.Journal(), calls.FileBytes()
		return calls, nil
	}, r.Requests)
}

// scale shrinks the records, and the settings' sizes with them. A journal's records are
// at the scale of its own run already.
func (s *source) scale(r *config.Settings) error {
	of := r.Scale // the records
	if j := s.journal; j != nil && j.Scale != "" {
		own, err := units.ParseScale(j.Scale)
		if err != nil {
			return fmt.Errorf("the journal: %w", err)
		}
		if !r.Scale.IsOne() && r.Scale != own {
			return usagef("--scale %v: the journal's run was at %v already", r.Scale, own)
		}
		of, r.Scale = units.Scale{}, own
	}
	r.Budget, r.HostBudget, r.PinBudget = r.Scale.Bytes(r.Budget), r.Scale.Bytes(r.HostBudget), r.Scale.Bytes(r.PinBudget)
	s.cut(r, of)
	for i, n := range s.fileBytes {
		s.fileBytes[i] = of.Bytes(n)
	}
	if !of.IsOne() {
		s.records = trace.Scale(s.records, of)
	}
	return nil
}

// smallestPage is the least that a scaled device allocates.
const smallestPage = 4 * units.KiB

// cut settles granularity and chunk: the user's, else the journal's, else the defaults.
// The granularity is scaled too, so that a small trace keeps its proportions, unless the
// user has said what the device's is. A chunk is never smaller.
func (s *source) cut(r *config.Settings, of units.Scale) {
	chunk, granularity := r.Scale.Bytes(r.Chunk), r.Granularity
	if s.journal != nil && !r.ChunkChosen {
		chunk = of.Bytes(s.journal.Engine.Chunk)
	}
	if granularity == 0 { // not on a GPU, which has its own
		granularity = r.Scale.Bytes(host.DefaultGranularity)
		if s.journal != nil {
			granularity = of.Bytes(s.journal.Engine.Granularity)
		}
		if !of.IsOne() {
			page := smallestPage
			if r.Device == config.Shm {
				page = max(page, units.Bytes(os.Getpagesize()))
			}
			granularity = max(granularity/page*page, page)
		}
	}
	r.Granularity = granularity
	r.Chunk = (chunk + granularity - 1) / granularity * granularity
}

// Header returns the records' header.
func (s *source) Header() *trace.Header { return s.records.Header() }

// resize gives the components sizes of their own.
func (s *source) resize(sizes []units.Bytes) {
	h := *s.Header()
	h.Components = append([]trace.Component(nil), h.Components...)
	for i, n := range sizes {
		h.Components[i].Bytes = n
	}
	s.records = resized{s.records, &h}
}

type resized struct {
	trace.Records
	header *trace.Header
}

func (r resized) Header() *trace.Header { return r.header }

// takeHints completes the settings from the device that the trace hints at.
func takeHints(s *config.Settings, h *trace.Header) error {
	s.Budget = cmp.Or(s.Budget, h.Device.Memory)
	s.Link.H2D = cmp.Or(s.Link.H2D, h.Device.H2D)
	s.Link.D2H = cmp.Or(s.Link.D2H, h.Device.D2H, s.Link.H2D)
	// Copies of pageable memory cross the same link, whoever says how fast they are.
	s.Link.Pageable = min(cmp.Or(s.Link.Pageable, h.Device.Pageable, baseline.Pageable), s.Link.H2D)
	if s.HostMemory == config.Pageable {
		s.Link.H2D, s.Link.D2H = s.Link.Pageable, min(s.Link.Pageable, s.Link.D2H)
	}
	switch {
	case s.Budget == 0:
		return usagef("trace %s does not say how much memory its device has: give --budget or --gpu", render.Name(h.Name))
	case s.Link.H2D == 0:
		return usagef("trace %s does not say how fast its link is: give --link or --gpu", render.Name(h.Name))
	}
	return nil
}
