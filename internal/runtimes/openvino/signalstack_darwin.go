//go:build runtimes

package openvino

// keepSignalStack calls f; on this system the CPU plugin leaves the signal
// stack alone.
func keepSignalStack(f func()) { f() }
