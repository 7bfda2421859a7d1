package host_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
	"github.com/offhost/offhost/host/units"
)

// The transcripts in testdata are the engine's specification by example: what goes
// in, what the policy is told and answers, what the device and the clients are told,
// and the records that explain it. Sizes are plain numbers; a chunk is 8 and the
// granularity 2 unless said otherwise. Rewrite them with
// go test ./host -run Transcripts -rewrite, and read the difference.
//
// Input:
//
//	new budget=N [chunk=N] [granularity=N] [exclude=(A,..)] [keep=(A,..)] [timeout=DURATION] [harm] [bare]
//	    a new engine; harm: with the harm bound, bare: without a policy. Then
//	    NAME BYTES [ro] [parent=NAME] [index=N] a line
//	swap NAME [trial=N] [handover]     to a policy that is told apart by its name
//	policy [NAME]
//	    what it answers from here on, a rule a line; the first that matches is used:
//	    KIND [COMPONENT] [times=N] [fails|fails-fresh|fails-dead]: [OP COMPONENT BYTES [#REASON], ..]
//	    SAVE [fails]: [TEXT] / RESTORE [fails]: [no]
//	begin R [steps=N] [order=(A,..)] / enqueued R / end R
//	call K COMPONENT [request=R] [ws=N]     request 1 unless said; 0: outside requests
//	done K / budget N / foreign N
//	wait DURATION / tick [DURATION]         time passes; a tick tells the engine
//	complete [all | in|back|free COMPONENT/CHUNK] [oom|failed]     the oldest unless said
//	complete again     the last one, a second time
//	lose in|back|free COMPONENT/CHUNK       the device never answers, unless completed by name
//	books / chunks / counters
//
// Output: "tell" is an event to the policy, "<-" its answer; records are in
// parentheses; the rest are actions.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		var s *script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				s = newScript(t, d)
				return s.said()
			}
			s.run(t, d)
			return s.said()
		})
	})
}

// script is an engine with a scripted policy and a device that waits to be told.
type script struct {
	e       *host.Engine
	names   []string
	now     time.Duration
	players map[string]*player
	pending []host.Action
	last    host.Input // completion
	lost    []host.OpID
	out     strings.Builder
}

// player is a scripted policy.
type player struct {
	*script
	name  string // "" for the first
	rules []*rule
	dead  bool
	fresh bool
}

// play returns the policy of a name.
func (s *script) play(name string) *player {
	if s.players[name] == nil {
		s.players[name] = &player{script: s, name: name}
	}
	return s.players[name]
}

// rule is what the policy answers to one kind of event.
type rule struct {
	kind      string
	component string // "" for any
	times     int    // left; negative: for ever
	fails     string
	answer    []abi.Decision
	text      string // of SAVE and RESTORE
}

func (s *script) said() string {
	out := s.out.String()
	s.out.Reset()
	return out
}

func newScript(t *testing.T, d *datadriven.TestData) *script {
	s := &script{players: map[string]*player{}}
	cfg := host.Config{Chunk: 8, Granularity: 2, Policy: s.play(""), HarmBound: d.HasArg("harm")}
	var budget, chunk, granularity int64
	d.ScanArgs(t, "budget", &budget)
	cfg.Budget = units.Bytes(budget)
	if d.MaybeScanArgs(t, "chunk", &chunk) {
		cfg.Chunk = units.Bytes(chunk)
	}
	if d.MaybeScanArgs(t, "granularity", &granularity) {
		cfg.Granularity = units.Bytes(granularity)
	}
	cfg.Exclude, cfg.Keep = values(d, "exclude"), values(d, "keep")
	var timeout string
	if d.MaybeScanArgs(t, "timeout", &timeout) {
		cfg.Timeout = duration(t, timeout)
	}
	if d.HasArg("bare") {
		cfg.Policy = nil
	}
	var err error
	if s.e, err = host.New(cfg); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(d.Input) {
		spec := host.Spec{Parent: host.NoComponent}
		for i, w := range strings.Fields(line) {
			switch {
			case i == 0:
				spec.Name = w
			case i == 1:
				spec.Bytes = units.Bytes(number(t, w))
			case w == "ro":
				spec.ReadOnly = true
			case strings.HasPrefix(w, "parent="):
				spec.Parent = s.id(t, w[len("parent="):])
			case strings.HasPrefix(w, "index="):
				spec.Index = uint32(number(t, w[len("index="):]))
			default:
				t.Fatalf("%q: want ro, parent= or index=", w)
			}
		}
		s.names = append(s.names, spec.Name)
		s.step(host.Input{Kind: host.InRegister, Spec: spec})
	}
	return s
}

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	arg := func(i int) string {
		if i >= len(d.CmdArgs) {
			t.Fatalf("%s: want %d arguments", d.Cmd, i+1)
		}
		return d.CmdArgs[i].Key
	}
	get := func(name string, otherwise int64) int64 {
		d.MaybeScanArgs(t, name, &otherwise)
		return otherwise
	}
	switch d.Cmd {
	case "policy":
		p := s.play("")
		if len(d.CmdArgs) > 0 {
			p = s.play(arg(0))
		}
		p.rules = nil
		for line := range strings.Lines(d.Input) {
			p.rules = append(p.rules, s.parse(t, strings.TrimSpace(line)))
		}
	case "swap":
		s.step(host.Input{Kind: host.InSwap, Policy: s.play(arg(0)), Trial: int(get("trial", 0)), Handover: d.HasArg("handover")})
	case "begin":
		in := host.Input{Kind: host.InBegin, Request: uint32(number(t, arg(0))), Steps: uint32(get("steps", 0))}
		for _, n := range values(d, "order") {
			in.Order = append(in.Order, s.id(t, n))
		}
		s.step(in)
	case "enqueued":
		s.step(host.Input{Kind: host.InEnqueued, Request: uint32(number(t, arg(0)))})
	case "end":
		s.step(host.Input{Kind: host.InEnd, Request: uint32(number(t, arg(0)))})
	case "call":
		s.step(host.Input{Kind: host.InCall, Call: host.CallID(number(t, arg(0))), Component: s.id(t, arg(1)),
			Request: uint32(get("request", 1)), Workspace: units.Bytes(get("ws", 0))})
	case "done":
		s.step(host.Input{Kind: host.InDone, Call: host.CallID(number(t, arg(0)))})
	case "budget":
		s.step(host.Input{Kind: host.InBudget, Bytes: units.Bytes(number(t, arg(0)))})
	case "foreign":
		s.step(host.Input{Kind: host.InForeign, Bytes: units.Bytes(number(t, arg(0)))})
	case "wait":
		s.now += duration(t, arg(0))
	case "tick":
		if len(d.CmdArgs) > 0 {
			s.now += duration(t, arg(0))
		}
		s.step(host.Input{Kind: host.InTick})
	case "complete", "lose":
		s.device(t, d)
	case "books":
		s.out.WriteString(s.e.Books() + "\n")
	case "chunks":
		for i, n := range s.names {
			fmt.Fprintf(&s.out, "%s %s\n", n, s.e.Chunks(host.ID(i)))
		}
	case "counters":
		c := s.e.Counters()
		fmt.Fprintf(&s.out, "decisions=%d rejected=%d faults=%d floor=%d thrash=%d peak=%d\n",
			c.Decisions, c.Rejected, c.Faults, c.FloorDecisions, c.Thrash, int64(c.Peak))
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
}

// device completes or loses actions.
func (s *script) device(t *testing.T, d *datadriven.TestData) {
	if len(d.CmdArgs) > 0 && d.CmdArgs[0].Key == "again" {
		s.step(s.last)
		return
	}
	status, all, want := host.OK, false, ""
	for i := 0; i < len(d.CmdArgs); i++ {
		switch w := d.CmdArgs[i].Key; w {
		case "all":
			all = true
		case "oom":
			status = host.OutOfMemory
		case "failed":
			status = host.Failed
		case "in", "back", "free":
			i++
			want = w + " " + d.CmdArgs[i].Key
		default:
			t.Fatalf("%s %s: want all, in, back, free, oom or failed", d.Cmd, w)
		}
	}
	for {
		i := slices.IndexFunc(s.pending, func(a host.Action) bool {
			if want != "" {
				return s.short(a) == want
			}
			return !slices.Contains(s.lost, a.Op)
		})
		if i < 0 {
			if !all {
				s.out.WriteString("nothing to complete\n")
			}
			return
		}
		a := s.pending[i]
		if d.Cmd == "lose" {
			s.lost = append(s.lost, a.Op)
			return
		}
		s.pending = slices.Delete(s.pending, i, i+1)
		s.last = host.Input{Kind: host.InCompleted, Op: a.Op, Status: status}
		s.step(s.last)
		if !all {
			return
		}
	}
}

// step feeds one input and writes down what came of it.
func (s *script) step(in host.Input) {
	in.Time = s.now
	out, err := s.e.Step(in)
	if err != nil {
		fmt.Fprintf(&s.out, "error: %v\n", err)
		return
	}
	for i := range out.Records {
		if r := s.record(&out.Records[i]); r != "" {
			s.out.WriteString("(" + r + ")\n")
		}
	}
	for _, a := range out.Actions {
		switch a.Kind {
		case host.ActCopyIn, host.ActCopyBack, host.ActRelease:
			s.pending = append(s.pending, a)
			s.out.WriteString(s.short(a))
			if a.Kind == host.ActCopyIn && !a.Demand {
				s.out.WriteString(" ahead")
			}
		case host.ActGrant:
			fmt.Fprintf(&s.out, "grant %d", a.Call)
		case host.ActRefuse:
			fmt.Fprintf(&s.out, "refuse %d: %v", a.Call, a.Err)
		case host.ActTrim:
			s.out.WriteString("trim")
		case host.ActDiscard:
			fmt.Fprintf(&s.out, "discard %s", a.Policy.(*player).title())
		}
		s.out.WriteByte('\n')
	}
}

// short names a device action.
func (s *script) short(a host.Action) string {
	verb := map[host.ActionKind]string{host.ActCopyIn: "in", host.ActCopyBack: "back", host.ActRelease: "free"}[a.Kind]
	return fmt.Sprintf("%s %s/%d", verb, s.names[a.Component], a.Chunk)
}

func (s *script) record(r *host.Record) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	name := s.e.Name(r.Component)
	switch r.Kind {
	case host.RecCall:
		if r.Stall == 0 {
			return "" // the grant says it
		}
		return fmt.Sprintf("call %d stalled %v", r.Call, r.Stall)
	case host.RecLoad:
		put("load %s %d", name, int64(r.Weights))
		if r.Ahead > 0 {
			put(", ahead %d", int64(r.Ahead))
		}
	case host.RecEvict:
		put("evict %s %d", name, int64(r.Weights))
		if r.Clean < r.Weights {
			put(", clean %d", int64(r.Clean))
		}
	case host.RecCopyBack:
		put("copy back %s %d", name, int64(r.Weights))
	case host.RecReject:
		put("rejected %v %s %d: %v", r.Decision.Op, name, r.Decision.Arg, r.Code)
	case host.RecFault:
		put("fault: %v", r.Err)
	case host.RecFloor:
		put("floor frees %d", int64(r.Alloc))
	case host.RecThrash:
		put("thrash: %s moved %d, cured by a budget of %d", name, int64(r.Weights), int64(r.Alloc))
	case host.RecState:
		put("policy: %s", r.Text)
	case host.RecSwap, host.RecForget:
		put("policy: %s", r.Text)
		if r.Err != nil {
			put(": %v", r.Err)
		}
	default: // begin, end, done and refused: the input or an action says it
		return ""
	}
	switch r.Cause.By {
	case host.ByPolicy:
		if r.Kind == host.RecEvict || r.Kind == host.RecCopyBack || r.Kind == host.RecLoad {
			put(" by policy #%d", r.Cause.Reason)
		}
	case host.ByFloor:
		if r.Kind != host.RecFloor {
			put(" by floor")
		}
	}
	if c := r.Cause.For; c != host.NoComponent && c != r.Component {
		put(" for %s", s.e.Name(c))
	}
	if r.Request > 0 {
		put(" in %d", r.Request)
	}
	return b.String()
}

// title names a policy.
func (p *player) title() string {
	if p.name == "" {
		return "the first policy"
	}
	return p.name
}

// hear writes down what a policy is told.
func (p *player) hear(what string) {
	p.out.WriteString("tell ")
	if p.name != "" {
		p.out.WriteString(p.name + ": ")
	}
	p.out.WriteString(what + "\n")
}

// find returns the rule for what a policy is told, nil when it has none.
func (p *player) find(kind, component string) *rule {
	for _, r := range p.rules {
		if r.kind == kind && r.times != 0 && (r.component == "" || r.component == component) {
			r.times--
			return r
		}
	}
	return nil
}

// fail makes the policy fail as a rule says.
func (p *player) fail(how string) error {
	p.fresh, p.dead = how == "fails-fresh", how == "fails-dead"
	p.out.WriteString("  <- " + how + "\n")
	return errors.New("the script says so")
}

// Decide, Revive and Suspend make it a host.Policy.

func (p *player) Decide(ev *abi.Event, payload []byte) ([]abi.Decision, error) {
	p.hear(p.event(ev, payload))
	component := ""
	if ev.Component != abi.None {
		component = p.e.Name(host.ID(ev.Component))
	}
	r := p.find(ev.Kind.String(), component)
	if r == nil {
		return nil, nil
	}
	if r.fails != "" {
		return nil, p.fail(r.fails)
	}
	var words []string
	for _, d := range r.answer {
		words = append(words, p.decision(d))
	}
	p.out.WriteString("  <- " + strings.Join(words, ", ") + "\n")
	return r.answer, nil
}

func (p *player) Revive() (bool, error) {
	if p.dead {
		return false, errors.New("the script says that it is dead")
	}
	return p.fresh, nil
}

func (p *player) Suspend() { p.hear("suspended") }

// Save and Restore make it a host.StateKeeper.

func (p *player) Save() ([]byte, error) {
	p.hear("save")
	r := p.find("SAVE", "")
	switch {
	case r == nil:
		return nil, nil
	case r.fails != "":
		return nil, p.fail(r.fails)
	}
	p.out.WriteString("  <- " + r.text + "\n")
	return []byte(r.text), nil
}

func (p *player) Restore(blob []byte) (bool, error) {
	p.hear("restore " + string(blob))
	r := p.find("RESTORE", "")
	switch {
	case r == nil:
		return true, nil
	case r.fails != "":
		return false, p.fail(r.fails)
	}
	p.out.WriteString("  <- " + r.text + "\n")
	return r.text != "no", nil
}

func (s *script) decision(d abi.Decision) string {
	name := strconv.Itoa(int(d.Component))
	if int(d.Component) < len(s.names) {
		name = s.names[d.Component]
	}
	text := fmt.Sprintf("%v %s %d", d.Op, name, d.Arg)
	if d.Reason != 0 {
		text += fmt.Sprintf(" #%d", d.Reason)
	}
	return text
}

var flagNames = []string{"resident", "excluded", "in-use", "dirty", "loop", "kept", "", "removed", "truncated", "thrash"}

func (s *script) event(ev *abi.Event, payload []byte) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	put("%d %v", ev.Seq, ev.Kind)
	switch ev.Kind {
	case abi.Config, abi.Idle:
		return b.String()
	case abi.Enqueued, abi.Begin, abi.End:
		put(" %d", ev.Request)
		if ev.Steps > 0 {
			put(" step=%d/%d", ev.Step, ev.Steps)
		}
		for ; len(payload) >= 4; payload = payload[4:] {
			put(" %s", s.names[payload[0]])
		}
		return b.String()
	}
	if ev.Component != abi.None {
		put(" %s %d/%d", s.e.Name(host.ID(ev.Component)), ev.Resident, ev.Bytes)
	}
	if ev.Step > 0 {
		put(" step=%d", ev.Step)
	}
	if ev.Amount > 0 {
		put(" amount=%d", ev.Amount)
	}
	if ev.Workspace > 0 {
		put(" ws=%d", ev.Workspace)
	}
	switch ev.Kind {
	case abi.Call, abi.Need, abi.Done, abi.Pressure:
		put(" free=%d", ev.Free)
	case abi.Rejected:
		put(" code=%d", payload[16])
	}
	for i, n := range flagNames {
		if n != "" && ev.Flags&(1<<i) != 0 {
			put(" %s", n)
		}
	}
	return b.String()
}

// parse reads a rule.
func (s *script) parse(t *testing.T, line string) *rule {
	head, tail, ok := strings.Cut(line, ":")
	if !ok {
		t.Fatalf("%q: want KIND [..]: DECISIONS", line)
	}
	r := &rule{times: -1}
	for i, w := range strings.Fields(head) {
		switch {
		case i == 0:
			r.kind = w
		case strings.HasPrefix(w, "times="):
			r.times = int(number(t, w[len("times="):]))
		case strings.HasPrefix(w, "fails"):
			r.fails = w
		default:
			s.id(t, w)
			r.component = w
		}
	}
	if r.kind == "SAVE" || r.kind == "RESTORE" {
		r.text = strings.TrimSpace(tail)
		return r
	}
	for text := range strings.SplitSeq(tail, ",") {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if len(words) < 3 {
			t.Fatalf("%q: want OP COMPONENT BYTES", text)
		}
		d := abi.Decision{Op: map[string]abi.Op{"evict": abi.Evict, "retain": abi.Retain, "prefetch": abi.Prefetch, "juggle": 9}[words[0]],
			Arg: uint64(number(t, words[2]))}
		if n, err := strconv.Atoi(words[1]); err == nil {
			d.Component = uint32(n)
		} else {
			d.Component = uint32(s.id(t, words[1]))
		}
		if len(words) > 3 {
			d.Reason = uint16(number(t, strings.TrimPrefix(words[3], "#")))
		}
		r.answer = append(r.answer, d)
	}
	return r
}

func (s *script) id(t *testing.T, name string) host.ID {
	i := slices.Index(s.names, name)
	if i < 0 {
		t.Fatalf("component %q: want one of %v", name, s.names)
	}
	return host.ID(i)
}

func values(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
