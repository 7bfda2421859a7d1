package trace

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// opener opens each of the texts in turn, the last one for ever.
func opener(texts ...string) Opener {
	return func() (io.ReadCloser, error) {
		text := texts[0]
		if len(texts) > 1 {
			texts = texts[1:]
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
}

// interleaved has two requests; the second begins before the first ends.
const interleaved = minimal + `{"kind":"begin","request":3,"pipeline":"p"}
{"kind":"begin","request":5,"pipeline":"q"}
{"kind":"call","request":3,"component":"parent","compute_ns":1}
{"kind":"call","request":5,"component":"alone","compute_ns":2}
{"kind":"end","request":3}
{"kind":"end","request":5}
`

func TestRequests(t *testing.T) {
	for _, test := range []struct {
		name string
		n    int64
		want string
	}{
		{"all, once", 0, "begin 3, begin 5, call 3, call 5, end 3, end 5"},
		{"as many as there are", 2, "begin 3, begin 5, call 3, call 5, end 3, end 5"},
		{"the first: the other is left out", 1, "begin 3, call 3, end 3"},
		{"more: begins anew, numbers continue", 3, "begin 3, begin 5, call 3, call 5, end 3, end 5, begin 8, call 8, end 8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := OpenRequests(opener(interleaved), test.n)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := stream(t, s); got != test.want {
				t.Errorf("records %s\nwant    %s", got, test.want)
			}
		})
	}
}

func stream(t *testing.T, s *Requests) string {
	t.Helper()
	var got []string
	for {
		var r Record
		err := s.Next(&r)
		if err == io.EOF {
			return strings.Join(got, ", ")
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Kind.String()+" "+string('0'+rune(r.Request)))
	}
}

func TestRequestsErrors(t *testing.T) {
	pipe := Once(strings.NewReader(interleaved))
	long := minimal + `{"kind":"begin","request":1,"pipeline":"q"}` + "\n" +
		strings.Repeat(`{"kind":"call","component":"alone","compute_ns":86400000000000}`+"\n", 100) + `{"kind":"end","request":1}`
	for _, test := range []struct {
		name string
		open Opener
		n    int64
		want string
	}{
		{"a pipe that has fewer", pipe, 3, "the trace has 2 requests, 3 were asked for: " + ErrOnce.Error()},
		{"nothing to repeat", opener(minimal), 1, "the trace has no requests to repeat"},
		{"changed between two readings", opener(interleaved, strings.Replace(interleaved, `"bytes":7`, `"bytes":8`, 1)), 3,
			"the trace has 2 requests, 3 were asked for: the trace's header is not what it was when the trace was first read: want a file that does not change"},
		{"numbers run out", opener(strings.ReplaceAll(interleaved, `"request":5`, `"request":4294967294`)), 3,
			"request 4294967297 of a repeated trace is above 4294967294: want smaller numbers in the trace"},
		{"times run out", opener(long), 2, "the repeated requests compute for more than 2501h59m59.254740991s in all: want fewer"},
		{"a negative number", opener(interleaved), -1, "-1 requests: want 1 to 4294967294, or 0 for all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := OpenRequests(test.open, test.n)
			for err == nil {
				var r Record
				err = s.Next(&r)
			}
			if err == nil || err.Error() != test.want {
				t.Fatalf("error\n got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestOnce(t *testing.T) {
	open := Once(strings.NewReader(minimal))
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !errors.Is(err, ErrOnce) {
		t.Errorf("second opening: error %v, want %v", err, ErrOnce)
	}
}
