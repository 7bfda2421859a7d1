package shm

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes one goroutine on time. The runtime's timers are late by up to a
// millisecond, and a thread that sleeps in the system keeps a processor from other
// goroutines until the runtime notices; a timer's descriptor has neither fault.
type alarm struct {
	f  *os.File
	fd int
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("a timer: %w", os.NewSyscallError("timerfd_create", err))
	}
	return &alarm{f: os.NewFile(uintptr(fd), "timer"), fd: fd}, nil
}

// sleep waits as long as it is told, which is above 0.
func (a *alarm) sleep(d time.Duration) {
	var times [8]byte
	if err := unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err == nil {
		if _, err = a.f.Read(times[:]); err == nil {
			return
		}
	}
	time.Sleep(d)
}

func (a *alarm) close() {
	if a != nil {
		_ = a.f.Close()
	}
}
