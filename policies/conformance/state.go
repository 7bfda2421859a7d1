package conformance

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"github.com/offhost/offhost/abi"
	"github.com/offhost/offhost/host"
)

var stateCheck = &check{
	name:  "state",
	asks:  "what is saved can be restored, and what was not saved by the module harms nobody",
	run:   (*suite).runState,
	judge: judgeState,
	large: func(s *Step) bool { return s.Blob != nil },
}

// judgeState looks at a log in which state is saved and restored.
func judgeState(b *bench, log *Log) (*Finding, error) {
	if !slices.ContainsFunc(log.Steps, func(s Step) bool { return s.Act == Save || s.Act == Restore }) {
		return nil, nil
	}
	var f *Finding
	var follow follower
	var saved []byte
	restored := false
	err := b.follow(manner{}, log, func(r *reply) bool {
		follow.step(r.step)
		switch {
		case r.fault != nil && (r.step.Act != Tell || restored):
			if f = foundFault(r); restored && r.step.Act == Tell {
				f.Text += "; state was restored before"
			}
		case r.fault != nil:
			return false // that is for another check
		case r.step.Act == Attach:
			restored = false
		case r.step.Act == Save:
			saved = r.blob
		case r.step.Act == Restore:
			if own := r.step.Blob == nil; own && saved != nil && !r.accepted {
				f = found(r, "refused", "the %d bytes that the module has saved are not accepted, with the same configuration and components", len(saved))
			}
			restored = restored || r.accepted
		case restored && follow.read(r.step):
			if err := host.WellFormed(r.answer, follow.registered); err != nil {
				f = found(r, malformed, "%v; state was restored before", err)
			}
		}
		return f == nil
	})
	if err != nil || f != nil {
		return f, err
	}
	first, r, err := b.twice(log, manner{}, false, 0)
	switch {
	case err != nil || first == nil:
	case !bytes.Equal(first.blob, r.blob):
		f = found(r, "differs", "%d bytes are saved, by another instance that was told the same other ones, %d", len(first.blob), len(r.blob))
	default:
		f = found(r, "differs", "the answer is %s, that of another instance that was told and restored the same %s", answerText(first.answer), answerText(r.answer))
	}
	return f, err
}

// offering is a log in which each blob that is restored is another one.
func offering(blob []byte) func(*Log) *Log {
	return func(log *Log) *Log {
		log = log.clone()
		for i := range log.Steps {
			if log.Steps[i].Act == Restore {
				log.Steps[i].Blob = blob
			}
		}
		return log
	}
}

// strangers are blobs that a module has not saved: its own, damaged, and others'.
func strangers(own []byte, r *rand.Rand, n int) (list [][]byte) {
	list = append(list, []byte{}, []byte{0}, make([]byte, 8), bytes.Repeat([]byte{0xff}, abi.MaxPayload), make([]byte, abi.MaxPayload),
		[]byte("the state of another policy\n"), noise(r, 1000), noise(r, abi.MaxPayload))
	if len(own) == 0 {
		return list
	}
	list = append(list, own[:len(own)-1], own[:len(own)/2], own[:min(len(own), 4)], slices.Concat(own, own)[:min(2*len(own), abi.MaxPayload)])
	for i := range n {
		b := slices.Clone(own)
		for range 1 + i%4 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		if i%3 == 0 { // a length or a count, most likely
			at := r.IntN(len(b))
			copy(b[at:], bytes.Repeat([]byte{0xff}, 4))
		}
		list = append(list, b)
	}
	return list
}

func (s *suite) runState(o *outcome) error {
	exports := s.loaded[manner{}].Info().Exports
	saves, restores := slices.Contains(exports, abi.ExportSave), slices.Contains(exports, abi.ExportRestore)
	switch {
	case !saves && !restores:
		o.say("it keeps no state")
		return nil
	case saves != restores:
		o.warn("it has one of %s and %s, which does nothing without the other", abi.ExportSave, abi.ExportRestore)
	}
	var sources []source
	var own []byte     // the longest that it has saved
	var saved [][]byte // what it has saved last in each
	for _, sc := range s.exchanges() {
		log, err := s.act(manner{}, sc)
		if err != nil {
			return err
		}
		sources = append(sources, source{log: log, script: sc})
		var last []byte
		err = s.follow(manner{}, log, func(r *reply) bool {
			if len(r.blob) > len(own) {
				own = bytes.Clone(r.blob)
			}
			if len(r.blob) > 0 {
				last = bytes.Clone(r.blob)
			}
			return true
		})
		if err != nil {
			return err
		}
		saved = append(saved, last)
	}
	if err := s.first(sources, o); err != nil || o.failed() {
		return err
	}
	n := 60
	if s.cfg.Quick {
		n = 12
	}
	room, err := s.room()
	if err != nil {
		return err
	}
	blobs := strangers(own, rand.New(rand.NewPCG(s.cfg.Seed, 8)), n)
	blobs = slices.DeleteFunc(blobs, func(b []byte) bool { return len(b) > room })
	var offered []source
	offer := func(src source, blob []byte) {
		dress := offering(blob)
		offered = append(offered, source{log: dress(src.log), script: src.script, dress: dress})
	}
	for i, blob := range blobs {
		offer(sources[i%len(sources)], blob)
	}
	// What was saved is the policy's, not the pipeline's: it comes whole where other components
	// are.
	for i, src := range sources {
		for j, blob := range saved {
			if i != j && len(blob) > 0 {
				offer(src, blob)
			}
		}
	}
	o.say("%d bytes saved and restored, %d other blobs survived", len(own), len(offered))
	twice, err := s.savesTheSameTwice(sources[0].log)
	if err != nil {
		return err
	}
	if !twice {
		o.warn("saving twice, with nothing told in between, gives two blobs")
	}
	return s.first(offered, o)
}

// savesTheSameTwice is not asked of a module, since hosts save once; but whoever compares
// blobs wonders.
func (s *suite) savesTheSameTwice(log *Log) (same bool, err error) {
	var steps []Step
	for _, step := range log.Steps {
		steps = append(steps, step)
		if step.Act == Save {
			steps = append(steps, step)
		}
	}
	same = true
	var last []byte
	was := Tell
	err = s.follow(manner{}, log.with(steps), func(r *reply) bool {
		if r.step.Act == Save {
			same = same && (was != Save || bytes.Equal(last, r.blob))
			last = r.blob
		}
		was = r.step.Act
		return r.fault == nil
	})
	return same, err
}
