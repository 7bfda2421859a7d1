package conformance

import (
	"bytes"
	"slices"
)

var determinismCheck = &check{
	name:  "determinism",
	asks:  "the same events bring the same answers, from every instance",
	run:   (*suite).runDeterminism,
	judge: judgeDeterminism,
}

// others are the instances that a first one is compared with.
var others = []struct {
	manner
	name string
	fuel bool // it has to spend the same, too
	most int  // steps of a log that are told to it; 0: all
}{
	{manner{}, "another instance", true, 0},
	{manner{otherSeed: true}, "an instance with another seed of random bytes", false, 0},
	{manner{interpreter: true}, "an instance that is interpreted", true, 2000},
}

// judgeDeterminism compares instances that were given the same. Random bytes of another seed
// are something else.
func judgeDeterminism(b *bench, log *Log) (*Finding, error) {
	for i := range others {
		if others[i].otherSeed {
			continue
		}
		if f, err := b.compare(log, i); f != nil || err != nil {
			return f, err
		}
	}
	return nil, nil
}

// compare compares the usual instance with another one.
func (b *bench) compare(log *Log, which int) (f *Finding, err error) {
	other := others[which]
	if other.interpreter && b.loaded[manner{}] != nil && b.loaded[manner{}].Info().Engine == "interpreter" {
		return nil, nil
	}
	first, r, err := b.twice(log, other.manner, other.fuel, other.most)
	switch {
	case err != nil || first == nil:
		return nil, err
	case first.failed() != r.failed():
		f = found(r, "differs", "%s ends in %s, the first in %s", other.name, faultText(r.failed()), faultText(first.failed()))
	case !slices.Equal(first.answer, r.answer):
		f = found(r, "differs", "the answer is %s, that of %s is %s", answerText(first.answer), other.name, answerText(r.answer))
	case !bytes.Equal(first.blob, r.blob):
		f = found(r, "differs", "%d bytes are saved, by %s other ones, %d", len(first.blob), other.name, len(r.blob))
	default:
		f = found(r, "differs", "%d fuel is spent, by %s %d: they are not in the same state", first.fuel, other.name, r.fuel)
	}
	return f, nil
}

func faultText(reason string) string {
	if reason == "" {
		return "no fault"
	}
	return "the fault \"" + reason + "\""
}

func (s *suite) runDeterminism(o *outcome) error {
	logs, events, random := 0, 0, false
	for which, other := range others {
		sources := s.logs
		if other.interpreter {
			sources = some(sources, 3)
		}
		for i, src := range sources {
			f, err := s.compare(src.log, which)
			if err != nil {
				return err
			}
			if f != nil && other.otherSeed {
				random = true
				o.warn("%s", f.Text)
				o.say("answers depend on random bytes: another --seed decides otherwise; if that is not meant, the order of a map in Go is the usual cause")
				break
			}
			if f != nil {
				o.fail(f, src)
				return nil
			}
			logs++
			events += src.log.events()
			s.progress((float64(which) + float64(i)/float64(len(sources))) / float64(len(others)))
		}
	}
	same := "the same answers in another instance, with other random bytes and interpreted"
	if random {
		same = "the same answers in another instance and interpreted, with the same random bytes"
	}
	o.say("%s: %s in %s", same, count(events, "event"), count(logs, "log"))
	return nil
}
