package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/runtime"
)

var hostileCheck = &check{
	name:  "hostile",
	asks:  "names, configuration, payloads and numbers of any kind are survived",
	run:   (*suite).runHostile,
	judge: judgeHostile,
	large: func(*Step) bool { return true },

	anything: true,
}

// judgeHostile looks for faults. To give up on an event, as on a configuration that it
// cannot make sense of, is a module's right.
func judgeHostile(b *bench, log *Log) (f *Finding, err error) {
	err = b.follow(manner{}, log, func(r *reply) bool {
		if r.fault != nil && !errors.Is(r.fault, runtime.ErrGaveUp) {
			f = foundFault(r)
		}
		return f == nil
	})
	return f, err
}

// A line is a life of a few events, to which something hostile is done.
type line struct{ steps []Step }

func (l *line) tell(ev abi.Event, payload string) {
	ev.Seq = uint64(len(l.steps) + 1)
	ev.Time = ev.Seq * 1000
	s := Step{Event: ev}
	if payload != "" {
		s.Payload = []byte(payload)
	}
	l.steps = append(l.steps, s)
}

const mib = 1 << 20

// about is an event about a component of 64 MiB.
func about(kind abi.Kind, id uint32, resident uint64) abi.Event {
	ev := abi.Event{Kind: kind, Component: id, Parent: abi.None, NameHash: uint64(id) + 1, Bytes: 64 * mib, Resident: resident, Budget: 160 * mib, Free: 32 * mib, LoadCost: 1000}
	if resident == ev.Bytes {
		ev.Flags = abi.FlagResident
	}
	return ev
}

func plainly(kind abi.Kind, request uint32) abi.Event {
	return abi.Event{Kind: kind, Component: abi.None, Parent: abi.None, Request: request, Budget: 160 * mib}
}

// born is told its configuration and three components.
func (s *suite) born(config string) *line {
	l := &line{}
	l.tell(plainly(abi.Config, 0), config)
	for id := range uint32(3) {
		l.tell(about(abi.Component, id, 0), fmt.Sprint("part-", id))
	}
	return l
}

// live lets the components be called in turn; two of them fit.
func (l *line) live() *line {
	l.tell(plainly(abi.Begin, 1), "")
	for round := range 2 {
		for id := range uint32(3) {
			l.tell(about(abi.Call, id, 0), "")
			if round > 0 || id == 2 {
				need := about(abi.Need, id, 0)
				need.Amount = 64 * mib
				l.tell(need, "")
				l.tell(about(abi.Evicted, (id+1)%3, 0), "")
			}
			l.tell(about(abi.Loaded, id, 64*mib), "")
			l.tell(about(abi.Done, id, 64*mib), "")
		}
	}
	l.tell(plainly(abi.Idle, 0), "")
	l.tell(plainly(abi.End, 1), "")
	return l
}

// configured is a configuration in which a key has a value.
func configured(config, key, value string) string {
	var rest strings.Builder
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(line, key+"=") {
			rest.WriteString(line)
		}
	}
	return sortedLines(rest.String() + key + "=" + value + "\n")
}

func sortedLines(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

func (l *line) log(name string) *Log { return &Log{Name: name, Steps: l.steps} }

// texts are what nobody expects where a name or a value stands.
var texts = map[string]string{
	"empty":          "",
	"64 KiB":         strings.Repeat("x", abi.MaxPayload),
	"255 bytes":      strings.Repeat("n", abi.MaxName),
	"no UTF-8":       "\xff\xfe\xc0\x80\xed\xa0\x80",
	"NUL":            "a\x00b\x00",
	"only NUL":       strings.Repeat("\x00", 1000),
	"lines":          "a=b\nc=d\r\n\n\n=\n==\n",
	"format":         "%s%n%x{}{0}${}",
	"wide":           strings.Repeat("\U0001f4be", 500),
	"terminal codes": "\x1b[2J\x1b]0;x\a",
}

// numbers are values that are no sensible ones.
var numbers = []string{"", "-1", "0", "18446744073709551615", "18446744073709551616", strings.Repeat("9", 5000), "1e400", "NaN", "0x10", " 1", "1.5", "+1"}

// hostiles are lives in which something hostile happens, that need no more room for payloads than there is.
func (s *suite) hostiles(room int) (logs []*Log) {
	config := string(s.config)
	add := func(l *line, format string, args ...any) { logs = append(logs, l.log(fmt.Sprintf(format, args...))) }

	for _, what := range slices.Sorted(maps.Keys(texts)) {
		text := texts[what]
		text = text[:min(len(text), room)]
		l := s.born(config)
		ev := about(abi.Component, 3, 0)
		ev.NameHash = abi.NameHash(text)
		l.tell(ev, text)
		l.tell(about(abi.Call, 3, 0), "")
		add(l.live(), "a name: %s", what)

		add(s.born(text).live(), "configuration: %s", what)
		if len(config)+len(text)+7 <= room {
			add(s.born(configured(config, "value", text)).live(), "a value in the configuration: %s", what)
			add(s.born(configured(config, text, "1")).live(), "a key in the configuration: %s", what)
		}
		l = s.born(config)
		l.tell(plainly(abi.Begin, 9), text)
		add(l.live(), "a declared order: %s", what)
		l = s.born(config)
		for _, kind := range []abi.Kind{abi.Rejected, abi.Call, abi.Need, abi.Enqueued, abi.Idle} {
			l.tell(about(kind, 1, 0), text)
		}
		add(l.live(), "payloads where there are none: %s", what)
	}

	var many bytes.Buffer
	for i := 0; many.Len() < room-16-len(config); i++ {
		fmt.Fprintf(&many, "k%05d=%d\n", i, i)
	}
	add(s.born(sortedLines(many.String()+config)).live(), "very many keys")
	for _, key := range append(slices.Clone(hostKeys), slices.Sorted(maps.Keys(s.cfg.PolicyConfig))...) {
		for _, value := range numbers {
			if len(config)+len(key)+len(value)+2 <= room {
				add(s.born(configured(config, key, value)).live(), "%s=%.24s in the configuration", key, value)
			}
		}
		add(s.born(key).live(), "%s without a value", key)
	}

	for _, c := range []struct {
		name  string
		order []uint32
	}{
		{"unknown components", []uint32{3, 4, 4095, 4096, 1 << 31, abi.None}},
		{"one again and again", slices.Repeat([]uint32{1}, min(room, abi.MinPayload)/4)},
	} {
		var b []byte
		for _, id := range c.order {
			b = le.AppendUint32(b, id)
		}
		l := s.born(config)
		l.tell(plainly(abi.Begin, 9), string(b))
		l.tell(plainly(abi.Begin, 10), string(b[:len(b)-1]))
		add(l.live(), "a declared order of %s", c.name)
	}

	// Each field with what does not fit any other.
	for kind := abi.Component; kind <= abi.Rejected; kind++ {
		l := s.born(config)
		for _, id := range []uint32{0, 3, abi.MaxComponents - 1, abi.MaxComponents, 1 << 16, 1 << 31, abi.None - 1, abi.None} {
			for _, n := range []uint64{0, 1, math.MaxInt64, math.MaxUint64} {
				ev := abi.Event{Kind: kind, Component: id, Parent: id, Index: uint32(n), NameHash: n, Session: uint32(n), Request: uint32(n), Step: uint32(n), Steps: uint32(n),
					Bytes: n, Resident: n, Free: n, Budget: n, Foreign: n, Workspace: n, LoadCost: n, Amount: n, Flags: abi.Flags(n) & knownFlags}
				l.tell(ev, "")
			}
		}
		add(l.live(), "%v with any numbers", kind)
	}

	l := s.born(config)
	for _, kind := range []abi.Kind{abi.Done, abi.End, abi.Evicted, abi.Loaded, abi.Need, abi.Done, abi.End} {
		l.tell(about(kind, 2, 0), "")
	}
	for range 300 {
		l.tell(about(abi.Call, 1, 0), "")
		l.tell(plainly(abi.Begin, 7), "")
	}
	add(l.live(), "ends without beginnings, and beginnings without ends")

	l = s.born(config).live()
	for i := range l.steps {
		l.steps[i].Event.Seq += 1 << 40
		l.steps[i].Event.Time += uint64(10 * 365 * 24 * time.Hour)
	}
	add(l, "a life that begins after ten years")

	l = s.born(config)
	gone := about(abi.Component, 1, 0)
	gone.Flags = abi.FlagRemoved
	for range 2 {
		l.tell(gone, "part-1")
		l.tell(about(abi.Need, 1, 64*mib), "")
		l.tell(about(abi.Component, 1, 0), "another")
		l.tell(about(abi.Component, 1, 0), "another")
	}
	add(l.live(), "a component that is removed, and its id used again")

	l = s.born(config)
	for code := range uint32(20) {
		for _, d := range []abi.Decision{{Op: abi.Evict, Component: 1}, {Op: abi.Prefetch, Component: abi.None, Arg: math.MaxUint64}, {Op: abi.Op(code * 999), Component: 5000}} {
			payload := make([]byte, abi.RejectedSize)
			abi.PutRejected(payload, d, abi.RejectCode(code))
			l.tell(about(abi.Rejected, 1, 0), string(payload))
		}
	}
	add(l.live(), "refusals of what was not decided")
	return logs
}

func (s *suite) runHostile(o *outcome) error {
	room, err := s.room()
	if err != nil {
		return err
	}
	if room < abi.MaxPayload {
		o.say("it lends no window for payloads of 64 KiB")
	}
	var sources []source
	for _, log := range s.hostiles(room) {
		sources = append(sources, source{log: log})
	}
	o.say("%s survived", count(len(sources), "hostile log"))
	return s.first(sources, o)
}
