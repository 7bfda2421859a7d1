package shm

import (
	"time"

	"github.com/offhost/offhost/host/units"
)

const (
	// maxLag is how far a link that was held up may catch up: what a scheduler's hiccup
	// takes is made good, what the machine cannot do is not saved up.
	maxLag = 20 * time.Millisecond
	// grace is how soon after the last copy the next has to be submitted for the link to
	// count as never idle: what the host takes to learn of a completion is not the link's.
	grace = 500 * time.Microsecond
	// coarse is how early a wait that can be cut short ends.
	coarse = 2 * time.Millisecond
	// fine is the rest that is spent on the processor: the system's timers are late by
	// about as much.
	fine = 50 * time.Microsecond
)

// schedule is when the copies of one direction would end on the link that is imitated.
// Deadlines follow each other without regard to when the copies were really done, so that
// errors do not add up.
type schedule struct {
	rate    units.BytesPerSecond
	latency time.Duration
	end     time.Duration // of the last copy
}

// next is when a copy ends that was submitted, and begun by now.
func (s *schedule) next(submitted, now time.Duration, n units.Bytes) time.Duration {
	if s.rate == 0 && s.latency == 0 {
		return now
	}
	begin := max(s.end, now-maxLag)
	if submitted > begin+grace {
		begin = submitted
	}
	s.end = begin + s.latency
	if s.rate > 0 {
		s.end += s.rate.Time(n)
	}
	return s.end
}

// sleepUntil waits for a time of the device's clock, or until the job is to end early.
func (d *Device) sleepUntil(t time.Duration, j *job, a *alarm) {
	if left := t - d.inbox.Elapsed(); left > coarse {
		timer := time.NewTimer(left - coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-j.halt:
			return
		}
	}
	if left := t - d.inbox.Elapsed(); left > fine {
		a.sleep(left - fine)
	}
	for d.inbox.Elapsed() < t {
	}
}
