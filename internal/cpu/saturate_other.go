//go:build !amd64

package cpu

// Int8Saturates reports whether runtimes add pairs of 8-bit products in 16
// bits, which saturate. Only x86 processors without VNNI do.
func Int8Saturates() bool { return false }
