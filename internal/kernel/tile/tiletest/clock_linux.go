package tiletest

import (
	"time"

	"golang.org/x/sys/unix"
)

// now is the processor time the thread has used.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("tiletest: " + err.Error())
	}
	return time.Duration(t.Nano())
}
