package trace

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
)

// An Opener opens a trace's text from its start. It is called again each time the
// trace is to be read from there; an Opener that cannot do that returns ErrOnce.
type Opener func() (io.ReadCloser, error)

// Once makes an Opener of a stream that can be read only once, such as standard
// input. Closing it is left to whoever owns r.
func Once(r io.Reader) Opener {
	used := false
	return func() (io.ReadCloser, error) {
		if used {
			return nil, ErrOnce
		}
		used = true
		return io.NopCloser(r), nil
	}
}

// RecordsCloser is Records that come from something open.
type RecordsCloser interface {
	Records
	io.Closer
}

// Requests reads some number of requests from a trace: its first ones, all of it,
// or more than it has, by beginning anew at its end. Repeated requests continue
// the numbering. It is not safe for concurrent use.
type Requests struct {
	opener  func() (RecordsCloser, error)
	records RecordsCloser // of this pass
	header  *Header
	closed  bool
	want    int64 // requests to read; 0 for all, once

	begun, ended int64
	base         uint32          // added to this pass's numbers
	last         uint32          // largest number so far, base included
	beyond       map[uint32]bool // open requests of this pass that are not wanted
	passBegan    bool
	compute      time.Duration // of earlier passes
	err          error
}

// OpenRequests opens a trace to read n of its requests; 0 means all, once. The
// caller closes the result.
func OpenRequests(open Opener, n int64) (*Requests, error) {
	return Repeat(func() (RecordsCloser, error) {
		file, err := open()
		if err != nil {
			return nil, err
		}
		reader, err := NewReader(file)
		if err != nil {
			file.Close()
			return nil, err
		}
		return &text{reader, file}, nil
	}, n)
}

// text is a trace's text being read.
type text struct {
	*Reader
	io.Closer
}

// Repeat is OpenRequests for records that are not a trace's text. They have to be the
// same each time that they are opened.
func Repeat(open func() (RecordsCloser, error), n int64) (*Requests, error) {
	if n < 0 || n > MaxRequest {
		return nil, fmt.Errorf("%d requests: want 1 to %d, or 0 for all", n, uint32(MaxRequest))
	}
	s := &Requests{opener: open, want: n, beyond: map[uint32]bool{}}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Requests) open() error {
	records, err := s.opener()
	if err != nil {
		return err
	}
	if s.header != nil && !reflect.DeepEqual(records.Header(), s.header) {
		records.Close()
		return errors.New("the trace's header is not what it was when the trace was first read: want a file that does not change")
	}
	s.records, s.header, s.closed, s.passBegan = records, records.Header(), false, false
	return nil
}

// Header returns the trace's header.
func (s *Requests) Header() *Header { return s.header }

// Next reads the next record; io.EOF follows the last one.
func (s *Requests) Next(r *Record) error {
	if s.err == nil {
		s.err = s.next(r)
	}
	return s.err
}

func (s *Requests) next(r *Record) error {
	for {
		if s.want > 0 && s.ended == s.want {
			return io.EOF
		}
		err := s.records.Next(r)
		if err == io.EOF && s.want > 0 {
			if err := s.again(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if s.skip(r) {
			continue
		}
		if r.Request > MaxRequest-s.base {
			return fmt.Errorf("request %d of a repeated trace is above %d: want smaller numbers in the trace", uint64(r.Request)+uint64(s.base), uint32(MaxRequest))
		}
		r.Request += s.base
		if r.Compute > MaxTotal-s.compute {
			return fmt.Errorf("the repeated requests compute for more than %v in all: want fewer", MaxTotal)
		}
		s.compute += r.Compute
		s.last = max(s.last, r.Request)
		return nil
	}
}

// skip says whether r belongs to a request beyond those wanted, and counts those
// that are wanted.
func (s *Requests) skip(r *Record) bool {
	switch {
	case r.Kind == Begin && s.want > 0 && s.begun == s.want:
		s.beyond[r.Request] = true
		return true
	case s.beyond[r.Request]:
		if r.Kind == End {
			delete(s.beyond, r.Request)
		}
		return true
	}
	switch r.Kind {
	case Begin:
		s.begun++
		s.passBegan = true
	case End:
		s.ended++
	}
	return false
}

// again begins the trace anew.
func (s *Requests) again() error {
	if !s.passBegan {
		return errors.New("the trace has no requests to repeat")
	}
	if err := s.Close(); err != nil {
		return err
	}
	s.base = s.last
	if err := s.open(); err != nil {
		return fmt.Errorf("the trace has %d requests, %d were asked for: %w", s.begun, s.want, err)
	}
	return nil
}

// Close closes what the opener opened.
func (s *Requests) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.records.Close()
}
