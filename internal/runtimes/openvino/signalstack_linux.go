//go:build runtimes

package openvino

import (
	"runtime"
	"syscall"
	"unsafe"
)

// signalStack is stack_t.
type signalStack struct {
	start uintptr
	flags int32
	size  uintptr
}

// keepSignalStack calls f and then gives the thread back the alternate signal
// stack that it had. The CPU plugin, when it is created, installs a stack of
// its own on the calling thread, and when it is destroyed, unmaps that stack
// and puts the old one back if it happens to be on the same thread. Goroutines
// change threads, so a thread would be left with a stack that is gone, and the
// next signal (Go's preemption is one) would end the process.
func keepSignalStack(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var had signalStack
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, 0, uintptr(unsafe.Pointer(&had)), 0); errno != 0 {
		panic("openvino: read the signal stack: " + errno.Error())
	}
	f()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(&had)), 0, 0); errno != 0 {
		panic("openvino: restore the signal stack: " + errno.Error())
	}
}
