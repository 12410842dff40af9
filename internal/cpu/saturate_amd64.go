package cpu

import "golang.org/x/sys/cpu"

// Int8Saturates reports whether this machine lacks integer dot products with
// wide sums, so that runtimes add pairs of 8-bit products in 16 bits, which
// saturate. It describes the machine, whatever kernels are chosen here.
func Int8Saturates() bool { return !cpu.X86.HasAVX512VNNI && !cpu.X86.HasAVXVNNI }
